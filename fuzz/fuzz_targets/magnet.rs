//! Any bytes as a magnet link: what is read is bounded, is read again as it is printed, and errors fit on a line.
#![no_main]

use common::plant;
use libfuzzer_sys::fuzz_target;
use metainfo::Magnet;
use metainfo::magnet::{MAX_HINTS, MAX_LINK_LEN, MAX_SELECTED_FILE};

fuzz_target!(|data: &[u8]| {
    check(data);
    // Few inputs name a torrent by themselves.
    check(&[b"magnet:?xt=urn:btih:0123456789012345678901234567890123456789&", data].concat());
});

fn check(link: &[u8]) {
    let magnet = match Magnet::parse(link) {
        Ok(magnet) => magnet,
        Err(error) => return assert!(!error.to_string().contains(char::is_control)),
    };
    let hints = [magnet.trackers.len(), magnet.web_seeds.len(), magnet.peers.len(), magnet.dht_nodes.len()];
    assert!(hints.into_iter().all(|hints| hints <= MAX_HINTS));
    assert!(magnet.peers.iter().chain(&magnet.dht_nodes).all(|peer| peer.port != 0));
    let ranges = magnet.select_only.as_deref().unwrap_or_default();
    assert!(ranges.iter().all(|range| range.start() <= range.end() && *range.end() <= MAX_SELECTED_FILE));
    assert!(ranges.windows(2).all(|pair| pair[0].end() + 1 < *pair[1].start()));
    plant(|| magnet.peers.len() == 1 && ranges.len() == 2);
    let printed = magnet.to_string();
    assert!(printed.bytes().all(|byte| byte.is_ascii_graphic()));
    if printed.len() <= MAX_LINK_LEN {
        assert_eq!(Magnet::parse(printed), Ok(magnet));
    }
}
