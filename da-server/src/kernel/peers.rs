//! What the two ends of a connection are called.

use std::net::{IpAddr, SocketAddr};

use da_ebpf_common::peers::Peers;
use unicode_properties::{GeneralCategory, GeneralCategoryGroup, UnicodeGeneralCategory};

/// Local and remote address of a connection; v4-mapped addresses come out as IPv4.
pub fn addresses(peers: &Peers) -> (SocketAddr, SocketAddr) {
    let address = |bytes: [u8; 16]| -> IpAddr {
        if i32::from(peers.family) == libc::AF_INET6 {
            IpAddr::from(bytes).to_canonical()
        } else {
            IpAddr::from([bytes[0], bytes[1], bytes[2], bytes[3]])
        }
    };
    (
        SocketAddr::new(address(peers.local_address), peers.local_port),
        SocketAddr::new(address(peers.remote_address), peers.remote_port),
    )
}

/// Name of the connecting process; what is not UTF-8 in it is replaced.
pub fn process_name(peers: &Peers) -> String {
    let name = peers.command.split(|byte| *byte == 0).next().unwrap_or_default();
    String::from_utf8_lossy(name).into_owned()
}

/// The same as it is shown, as a label and elsewhere.
pub fn shown_name(peers: &Peers) -> String {
    printable(&process_name(peers))
}

/// The name with what can't be printed replaced: besides control characters also what only changes how
/// others are shown (marks of direction, joiners) and what no font has, so that two names that look
/// alike are alike.
pub fn printable(name: &str) -> String {
    if name.trim().is_empty() {
        return "unnamed".to_owned();
    }
    name.chars().map(|c| if is_printable(c) { c } else { '_' }).collect()
}

fn is_printable(c: char) -> bool {
    let separates = [GeneralCategory::LineSeparator, GeneralCategory::ParagraphSeparator];
    c != char::REPLACEMENT_CHARACTER
        && c.general_category_group() != GeneralCategoryGroup::Other
        && !separates.contains(&c.general_category())
}

#[cfg(test)]
mod tests {
    use zerocopy::FromZeros;

    use super::*;

    #[test]
    fn v4_mapped_addresses_are_v4() {
        let mut peers = Peers::new_zeroed();
        peers.family = libc::AF_INET6 as u16;
        peers.remote_address = std::net::Ipv4Addr::new(127, 0, 0, 2).to_ipv6_mapped().octets();
        peers.remote_port = 443;
        assert_eq!(addresses(&peers).1, "127.0.0.2:443".parse().expect("address"));
        peers.family = libc::AF_INET as u16;
        peers.remote_address[..4].copy_from_slice(&[10, 0, 0, 1]);
        assert_eq!(addresses(&peers).1, "10.0.0.1:443".parse().expect("address"));
    }

    #[test]
    fn a_process_name_ends_at_its_first_zero() {
        let mut peers = Peers::new_zeroed();
        assert_eq!(process_name(&peers), "");
        peers.command = *b"python3\0left\0\0\0\0";
        assert_eq!(process_name(&peers), "python3");
        peers.command = *b"\xffifteen-and-one\0";
        assert_eq!(process_name(&peers), "\u{fffd}ifteen-and-one");
    }
}
