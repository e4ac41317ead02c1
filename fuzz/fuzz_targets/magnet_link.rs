//! A link made of any parts: it can be printed and read again without a loss.
#![no_main]

use common::{Parts, plant};
use core::net::IpAddr;
use libfuzzer_sys::fuzz_target;
use metainfo::Magnet;
use metainfo::magnet::{Host, HostPort, MAX_LINK_LEN, MAX_SELECTED_FILE};
use types::{InfoHash, InfoHashV1, InfoHashV2};

fn once<T: PartialEq>(items: Vec<T>) -> Vec<T> {
    items.into_iter().fold(Vec::new(), |mut once, item| {
        if !once.contains(&item) {
            once.push(item);
        }
        once
    })
}

fn urls(parts: &mut Parts<'_>, scheme: &str) -> Vec<String> {
    once(parts.list(4, |parts| format!("{scheme}://host/{}", parts.text().trim_end())))
}

fn hosts(parts: &mut Parts<'_>) -> Vec<HostPort> {
    once(parts.list(4, |parts| {
        let host = match parts.byte() % 3 {
            0 => Host::Name(format!("host-{}.example", parts.byte())),
            1 => Host::Ip(IpAddr::from(parts.array::<4>())),
            _ => Host::Ip(IpAddr::from(parts.array::<16>())),
        };
        HostPort { host, port: parts.u16().max(1) }
    }))
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let (v1, v2) = (InfoHashV1(parts.array()), InfoHashV2(parts.array()));
    let info_hash = match parts.byte() % 3 {
        0 => InfoHash::V1(v1),
        1 => InfoHash::V2(v2),
        _ => InfoHash::Hybrid(v1, v2),
    };
    let mut first = 0;
    let select_only = parts.list(5, |parts| {
        let start = first + u32::from(parts.u16());
        let end = start + u32::from(parts.byte());
        first = end + 2;
        start..=end
    });
    assert!(first <= MAX_SELECTED_FILE);
    let magnet = Magnet {
        name: Some(parts.text()).filter(|name| !name.trim().is_empty()),
        trackers: urls(&mut parts, "udp"),
        web_seeds: urls(&mut parts, "https"),
        peers: hosts(&mut parts),
        dht_nodes: hosts(&mut parts),
        select_only: (parts.byte() % 4 > 0).then_some(select_only),
        ..Magnet::new(info_hash)
    };
    let link = magnet.to_string();
    assert!(link.bytes().all(|byte| byte.is_ascii_graphic()));
    if link.len() <= MAX_LINK_LEN {
        assert_eq!(Magnet::parse(&link).as_ref(), Ok(&magnet));
    }
    plant(|| {
        magnet.trackers.len() >= 2
            && !magnet.peers.is_empty()
            && magnet.select_only.as_ref().is_some_and(|ranges| !ranges.is_empty())
    });
});
