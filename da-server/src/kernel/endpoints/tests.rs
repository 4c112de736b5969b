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

fn name_of(endpoints: &Endpoints, attribution: Attribution) -> Option<&str> {
    match attribution {
        Attribution::To(id) => Some(&endpoints.labels(id).name),
        Attribution::Unlisted | Attribution::Ambiguous => None,
    }
}

#[test]
fn exact_names_suffixes_and_neither() {
    let mut all = endpoints(Unlisted::Drop);
    let address = "10.0.0.1:443".parse().expect("address");
    for (name, owner) in [
        ("api.a.example", Some("a")),
        ("deep.er.a.example", Some("a")),
        ("a.example", None),
        ("nota.example", None),
        ("b.example", Some("b")),
        ("x.b.example", None),
    ] {
        let attribution = all.attribute(Some(name), address);
        assert_eq!(name_of(&all, attribution), owner, "{name}");
    }
}

#[test]
fn an_address_is_asked_only_where_no_name_was_seen() {
    let mut all = endpoints(Unlisted::Drop);
    let mapped = "10.0.0.10:443".parse().expect("address");
    let attribution = all.attribute(None, mapped);
    assert_eq!(name_of(&all, attribution), Some("b"));
    let address = "10.0.0.9:443".parse().expect("address");
    let attribution = all.attribute(None, address);
    assert_eq!(name_of(&all, attribution), Some("b"));
    assert_eq!(all.attribute(Some("else.example"), address), Attribution::Unlisted);
}

#[test]
fn an_address_that_served_two_endpoints_is_nobodys() {
    let mut all = endpoints(Unlisted::Drop);
    let address = "10.0.0.1:443".parse().expect("address");
    assert_eq!(all.attribute(None, address), Attribution::Unlisted);
    all.attribute(Some("api.a.example"), address);
    let attribution = all.attribute(None, address);
    assert_eq!(name_of(&all, attribution), Some("a"));
    all.attribute(Some("b.example"), address);
    assert_eq!(all.attribute(None, address), Attribution::Ambiguous);
}

#[test]
fn an_address_that_served_an_unlisted_host_is_nobodys_either() {
    let mut all = endpoints(Unlisted::Drop);
    let address = "10.0.0.1:443".parse().expect("address");
    all.attribute(Some("api.a.example"), address);
    all.attribute(Some("else.example"), address);
    assert_eq!(all.attribute(None, address), Attribution::Ambiguous);
}

#[test]
fn a_proxys_address_is_not_learned() {
    let all = endpoints(Unlisted::Drop);
    let attribution = all.attribute_proxied(Some("b.example"));
    assert_eq!(name_of(&all, attribution), Some("b"));
    assert_eq!(all.attribute_proxied(None), Attribution::Unlisted);
}

#[test]
fn unlisted_hosts_are_other_where_that_is_wanted() {
    let mut all = endpoints(Unlisted::Other);
    let address = "10.0.0.1:443".parse().expect("address");
    let attribution = all.attribute(Some("else.example"), address);
    assert_eq!(name_of(&all, attribution), Some("other"));
}

#[test]
fn a_looked_up_address_is_its_endpoints_as_long_as_nothing_speaks_against_it() {
    let mut all = endpoints(Unlisted::Drop);
    let [own, shared, named, foreign] =
        [1, 2, 3, 4].map(|last| SocketAddr::from(([10, 0, 0, last], 443)));
    all.looked_up("api.a.example", vec![own, shared, named, foreign]);
    all.looked_up("b.example", vec![shared]);
    let attribution = all.attribute(None, own);
    assert_eq!(name_of(&all, attribution), Some("a"));
    assert_eq!(all.attribute(None, shared), Attribution::Ambiguous, "two hosts");
    all.attribute(Some("b.example"), named);
    assert_eq!(all.attribute(None, named), Attribution::Ambiguous, "another host was asked");
    all.attribute(Some("else.example"), foreign);
    assert_eq!(all.attribute(None, foreign), Attribution::Ambiguous, "an unlisted one, too");
    all.replace(&[endpoint("c", &["api.a.example"], &[])], Unlisted::Drop);
    let attribution = all.attribute(None, own);
    assert_eq!(name_of(&all, attribution), Some("c"));
}

#[test]
fn only_whole_names_can_be_looked_up() {
    let all = endpoints(Unlisted::Drop);
    let mut hosts: Vec<_> = all.hosts().collect();
    hosts.sort_unstable();
    assert_eq!(hosts, ["api.a.example", "b.example"]);
}

#[test]
fn a_resolved_host_is_known_before_its_first_connection() {
    let mut all = endpoints(Unlisted::Drop);
    let address = "10.0.0.2:443".parse().expect("address");
    all.resolved("API.a.example", address);
    all.resolved("else.example", address);
    let attribution = all.attribute(None, address);
    assert_eq!(name_of(&all, attribution), Some("a"));
}

#[test]
fn an_endpoint_that_stays_is_the_same_after_a_change() {
    let mut all = endpoints(Unlisted::Other);
    let address = "10.0.0.1:443".parse().expect("address");
    let before = ["api.a.example", "b.example", "else.example"]
        .map(|name| all.attribute(Some(name), address));

    let changed = [endpoint("new", &["new.example"], &[]), endpoint("a", &["a2.example"], &[])];
    all.replace(&changed, Unlisted::Drop);
    assert_eq!(all.attribute(Some("a2.example"), address), before[0]);
    let of_new = all.attribute(Some("new.example"), address);
    assert_eq!(name_of(&all, of_new), Some("new"));
    assert!(!before.contains(&of_new));
    for gone in ["api.a.example", "b.example", "else.example"] {
        assert_eq!(all.attribute(Some(gone), address), Attribution::Unlisted, "{gone}");
    }
    assert_eq!(
        all.attribute(None, "10.0.0.9:443".parse().expect("address")),
        Attribution::Unlisted
    );
    for (of, name) in before.into_iter().zip(["a", "b", "other"]) {
        assert_eq!(name_of(&all, of), Some(name), "connections end as what they began");
    }
}

#[test]
fn an_endpoint_of_another_kind_is_another() {
    let mut all = endpoints(Unlisted::Drop);
    let address = "10.0.0.1:443".parse().expect("address");
    let llm = all.attribute(Some("b.example"), address);
    let mut changed = endpoint("b", &["b.example"], &[]);
    changed.kind = EndpointKind::Tts;
    all.replace(&[changed], Unlisted::Drop);
    assert_ne!(all.attribute(Some("b.example"), address), llm);
}

#[test]
fn a_learned_address_follows_its_host_to_another_endpoint() {
    let mut all = endpoints(Unlisted::Drop);
    let address = "10.0.0.1:443".parse().expect("address");
    all.attribute(Some("api.a.example"), address);
    all.replace(&[endpoint("c", &["api.a.example"], &[])], Unlisted::Drop);
    let attribution = all.attribute(None, address);
    assert_eq!(name_of(&all, attribution), Some("c"));
    all.replace(&[], Unlisted::Drop);
    assert_eq!(all.attribute(None, address), Attribution::Unlisted);
}
