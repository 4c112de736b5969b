use super::*;

fn endpoint(name: &str, hosts: &[&str], addresses: &[&str]) -> EndpointConfig {
    EndpointConfig {
        name: name.to_owned(),
        kind: EndpointKind::Llm,
        hosts: hosts.iter().map(ToString::to_string).collect(),
        addresses: addresses.iter().map(|address| address.parse().expect("address")).collect(),
    }
}

fn endpoints(unlisted: Unlisted) -> Endpoints {
    let all = [
        endpoint("a", &["api.a.example", "*.a.example"], &[]),
        endpoint("b", &["b.example"], &["10.0.0.9:443", "[::ffff:10.0.0.10]:443"]),
    ];
    Endpoints::new(&all, unlisted)
}

/// In the network namespace of most tests.
fn at(address: &str) -> Place {
    Place { network: 1, address: address.parse().expect("address") }
}

/// A connection to there, which asks for that name or shows none.
fn asks(endpoints: &mut Endpoints, name: Option<&str>, place: Place) -> Attribution {
    if let Some(name) = name {
        endpoints.learn(name, place).expect("room");
    }
    endpoints.attribute(name, place)
}

fn name_of(endpoints: &Endpoints, attribution: Attribution) -> Option<&str> {
    match attribution {
        Attribution::To(id) => Some(&endpoints.labels(id).name),
        Attribution::Unlisted | Attribution::Ambiguous => None,
    }
}

#[test]
fn exact_names_suffixes_and_neither() {
    let mut all = endpoints(Unlisted::Drop);
    let address = at("10.0.0.1:443");
    for (name, owner) in [
        ("api.a.example", Some("a")),
        ("deep.er.a.example", Some("a")),
        ("a.example", None),
        ("nota.example", None),
        ("b.example", Some("b")),
        ("x.b.example", None),
    ] {
        let attribution = asks(&mut all, Some(name), address);
        assert_eq!(name_of(&all, attribution), owner, "{name}");
    }
}

#[test]
fn an_address_is_asked_only_where_no_name_was_seen() {
    let mut all = endpoints(Unlisted::Drop);
    let mapped = at("10.0.0.10:443");
    let attribution = asks(&mut all, None, mapped);
    assert_eq!(name_of(&all, attribution), Some("b"));
    let address = at("10.0.0.9:443");
    let attribution = asks(&mut all, None, address);
    assert_eq!(name_of(&all, attribution), Some("b"));
    assert_eq!(asks(&mut all, Some("else.example"), address), Attribution::Unlisted);
}

#[test]
fn an_address_that_served_two_endpoints_is_nobodys() {
    let mut all = endpoints(Unlisted::Drop);
    let address = at("10.0.0.1:443");
    assert_eq!(asks(&mut all, None, address), Attribution::Unlisted);
    asks(&mut all, Some("api.a.example"), address);
    let attribution = asks(&mut all, None, address);
    assert_eq!(name_of(&all, attribution), Some("a"));
    asks(&mut all, Some("b.example"), address);
    assert_eq!(asks(&mut all, None, address), Attribution::Ambiguous);
}

#[test]
fn an_address_that_served_an_unlisted_host_is_nobodys_either() {
    let mut all = endpoints(Unlisted::Drop);
    let address = at("10.0.0.1:443");
    asks(&mut all, Some("api.a.example"), address);
    asks(&mut all, Some("else.example"), address);
    assert_eq!(asks(&mut all, None, address), Attribution::Ambiguous);
}

#[test]
fn a_proxys_address_is_not_learned() {
    let all = endpoints(Unlisted::Drop);
    let attribution = all.attribute_proxied(Some("b.example"), None);
    assert_eq!(name_of(&all, attribution), Some("b"));
    assert_eq!(all.attribute_proxied(None, None), Attribution::Unlisted);
}

#[test]
fn a_proxy_is_asked_for_a_host_or_an_address() {
    let mut list = [endpoint("b", &["b.example:8443"], &["10.0.0.9:8000"])];
    let all = Endpoints::new(&list, Unlisted::Drop);
    let asked = |authority| all.attribute_proxied(None, Target::read(authority, 443).as_ref());
    for known in ["b.example:8443", "10.0.0.9:8000", "[::ffff:10.0.0.9]:8000"] {
        assert_eq!(name_of(&all, asked(known)), Some("b"), "{known}");
    }
    for unknown in ["b.example", "10.0.0.9:8001", "else.example:8443"] {
        assert_eq!(asked(unknown), Attribution::Unlisted, "{unknown}");
    }
    let target = Target::read("10.0.0.1:8443", 443);
    let through = all.attribute_proxied(Some("b.example"), target.as_ref());
    assert_eq!(name_of(&all, through), Some("b"), "a name behind the address");
    list[0].addresses.clear();
    let all = Endpoints::new(&list, Unlisted::Drop);
    assert_eq!(all.attribute_proxied(None, target.as_ref()), Attribution::Unlisted);
}

#[test]
fn a_name_with_a_port_is_looked_up_and_known_there() {
    let list = [endpoint("one", &["a:8000"], &[]), endpoint("two", &["a:8001"], &[])];
    let mut all = Endpoints::new(&list, Unlisted::Drop);
    let [one, two] = ["10.0.0.1:8000", "10.0.0.1:8001"].map(at);
    all.looked_up("a", 8000, vec![one.address]);
    all.looked_up("a", 8001, vec![two.address]);
    for (address, name) in [(one, "one"), (two, "two")] {
        let without = asks(&mut all, None, address);
        assert_eq!(name_of(&all, without), Some(name));
        let named = asks(&mut all, Some("a"), address);
        assert_eq!(name_of(&all, named), Some(name));
        let without = asks(&mut all, None, address);
        assert_eq!(name_of(&all, without), Some(name), "nothing speaks against it");
    }
}

#[test]
fn unlisted_hosts_are_other_where_that_is_wanted() {
    let mut all = endpoints(Unlisted::Other);
    let address = at("10.0.0.1:443");
    let attribution = asks(&mut all, Some("else.example"), address);
    assert_eq!(name_of(&all, attribution), Some("other"));
}

#[test]
fn a_looked_up_address_is_its_endpoints_as_long_as_nothing_speaks_against_it() {
    let mut all = endpoints(Unlisted::Drop);
    let [own, shared, named, foreign] =
        ["10.0.0.1:443", "10.0.0.2:443", "10.0.0.3:443", "10.0.0.4:443"].map(at);
    let answer = [own, shared, named, foreign].map(|place| place.address);
    all.looked_up("api.a.example", 443, answer.to_vec());
    all.looked_up("b.example", 443, vec![shared.address]);
    let attribution = asks(&mut all, None, own);
    assert_eq!(name_of(&all, attribution), Some("a"));
    assert_eq!(asks(&mut all, None, shared), Attribution::Ambiguous, "two hosts");
    asks(&mut all, Some("b.example"), named);
    assert_eq!(asks(&mut all, None, named), Attribution::Ambiguous, "another host was asked");
    asks(&mut all, Some("else.example"), foreign);
    assert_eq!(asks(&mut all, None, foreign), Attribution::Ambiguous, "an unlisted one, too");
    all.replace(&[endpoint("c", &["api.a.example"], &[])], Unlisted::Drop);
    let attribution = asks(&mut all, None, own);
    assert_eq!(name_of(&all, attribution), Some("c"));
}

#[test]
fn only_whole_names_can_be_looked_up() {
    let all = endpoints(Unlisted::Drop);
    let mut hosts: Vec<_> = all.hosts().collect();
    hosts.sort_unstable();
    assert_eq!(hosts, [("api.a.example", 443), ("b.example", 443)]);
}

#[test]
fn a_resolved_host_is_known_before_its_first_connection() {
    let mut all = endpoints(Unlisted::Drop);
    let address = at("10.0.0.2:443");
    all.resolved("API.a.example", address.address);
    all.resolved("else.example", address.address);
    let attribution = asks(&mut all, None, address);
    assert_eq!(name_of(&all, attribution), Some("a"));
}

#[test]
fn an_endpoint_that_stays_is_the_same_after_a_change() {
    let mut all = endpoints(Unlisted::Other);
    let address = at("10.0.0.1:443");
    let before = ["api.a.example", "b.example", "else.example"]
        .map(|name| asks(&mut all, Some(name), address));

    let changed = [endpoint("new", &["new.example"], &[]), endpoint("a", &["a2.example"], &[])];
    all.replace(&changed, Unlisted::Drop);
    assert_eq!(asks(&mut all, Some("a2.example"), address), before[0]);
    let of_new = asks(&mut all, Some("new.example"), address);
    assert_eq!(name_of(&all, of_new), Some("new"));
    assert!(!before.contains(&of_new));
    for gone in ["api.a.example", "b.example", "else.example"] {
        assert_eq!(asks(&mut all, Some(gone), address), Attribution::Unlisted, "{gone}");
    }
    assert_eq!(asks(&mut all, None, at("10.0.0.9:443")), Attribution::Unlisted);
    for (of, name) in before.into_iter().zip(["a", "b", "other"]) {
        assert_eq!(name_of(&all, of), Some(name), "connections end as what they began");
    }
}

#[test]
fn an_endpoint_of_another_kind_is_another() {
    let mut all = endpoints(Unlisted::Drop);
    let address = at("10.0.0.1:443");
    let llm = asks(&mut all, Some("b.example"), address);
    let mut changed = endpoint("b", &["b.example"], &[]);
    changed.kind = EndpointKind::Tts;
    all.replace(&[changed], Unlisted::Drop);
    assert_ne!(asks(&mut all, Some("b.example"), address), llm);
}

#[test]
fn a_learned_address_follows_its_host_to_another_endpoint() {
    let mut all = endpoints(Unlisted::Drop);
    let address = at("10.0.0.1:443");
    asks(&mut all, Some("api.a.example"), address);
    all.replace(&[endpoint("c", &["api.a.example"], &[])], Unlisted::Drop);
    let attribution = asks(&mut all, None, address);
    assert_eq!(name_of(&all, attribution), Some("c"));
    all.replace(&[], Unlisted::Drop);
    assert_eq!(asks(&mut all, None, address), Attribution::Unlisted);
}

#[test]
fn an_address_is_learned_in_the_network_where_it_was_seen() {
    let mut all = endpoints(Unlisted::Drop);
    let here = at("10.0.0.1:443");
    let there = Place { network: 2, ..here };
    asks(&mut all, Some("api.a.example"), here);
    let attribution = asks(&mut all, None, here);
    assert_eq!(name_of(&all, attribution), Some("a"));
    assert_eq!(asks(&mut all, None, there), Attribution::Unlisted, "another host");
    let target = Target::Address(here.address);
    let proxied = all.attribute_proxied(None, Some(&target));
    assert_eq!(proxied, Attribution::Unlisted, "as the proxy sees it, in whatever network");
}
