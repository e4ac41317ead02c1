//! Any text as a tracker's URL: what is read reads the same again, shows no secret, and grows into an announce URL.
#![no_main]

use common::plant;
use libfuzzer_sys::fuzz_target;
use tracker::{Announce, Event, TrackerUrl, UrlRules, http};
use types::{InfoHashV1, PeerId, Zone};

fuzz_target!(|text: &str| {
    let url = match TrackerUrl::parse(text) {
        Ok(url) => url,
        Err(error) => return assert!(!error.to_string().contains(char::is_control)),
    };
    let whole = url.secret_text();
    assert!(whole.bytes().all(|b| b.is_ascii_graphic()));
    if whole.len() <= tracker::limits::MAX_URL_LEN {
        assert_eq!(TrackerUrl::parse(&whole).as_ref(), Ok(&url));
    }
    let shown = url.to_string();
    assert_eq!(shown.matches('/').count(), 2, "{shown}");
    assert!(!shown.contains(['?', '@']), "{shown}");
    if url.check(UrlRules::default()).is_ok() && url.host().zone() == Some(Zone::Private) {
        assert!(url.path().ends_with("/announce") || url.scheme() == tracker::Scheme::Udp);
    }
    let announce = Announce {
        info_hash: InfoHashV1([0xfe; 20]),
        peer_id: PeerId([b'p'; 20]),
        port: 1,
        uploaded: 0,
        downloaded: 0,
        left: 0,
        event: Some(Event::Started),
        numwant: Some(1),
        key: 1,
        tracker_id: Some(vec![0, 0xff]),
        ipv4: None,
        ipv6: None,
    };
    let announced = http::announce_url(&url, &announce);
    assert!(announced.bytes().all(|b| b.is_ascii_graphic()));
    assert!(announced.contains(url.target()));
    let _ = http::scrape_url(&url, &[announce.info_hash]);
    plant(|| whole.contains('@') && whole.contains('?'));
});
