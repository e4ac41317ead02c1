//! A tracker's body, and a query to our own tracker: bounded results, one-line texts, replies that read back.
#![no_main]

use common::plant;
use libfuzzer_sys::fuzz_target;
use tracker::limits::{MAX_PEERS, MAX_TRACKER_ID_LEN};
use tracker::serve::Tracker;
use types::{InfoHashV1, Time};

fuzz_target!(|data: &[u8]| {
    match tracker::http::parse_announce(data) {
        Ok(answer) => {
            assert!(answer.peers.len() <= MAX_PEERS);
            assert!(answer.peers.iter().all(|peer| peer.port() != 0 && !peer.ip().is_unspecified()));
            assert!(answer.tracker_id.is_none_or(|id| id.len() <= MAX_TRACKER_ID_LEN));
            plant(|| {
                !answer.peers.is_empty()
                    && answer.seeders == Some(5)
                    && answer.interval > Some(core::time::Duration::from_secs(1800))
            });
            assert!(answer.warning.is_none_or(|text| is_one_line(&text)));
        }
        Err(error) => assert!(is_one_line(&error.to_string())),
    }
    let asked = [InfoHashV1([b'a'; 20]), InfoHashV1([0; 20])];
    match tracker::http::parse_scrape(data, &asked) {
        Ok(entries) => assert!(entries.iter().all(|(torrent, _)| asked.contains(torrent))),
        Err(error) => assert!(is_one_line(&error.to_string())),
    }
    let query = String::from_utf8_lossy(data);
    let mut server = Tracker::new(1);
    assert!(bencode::decode(&server.announce(Time::ZERO, [1, 2, 3, 4].into(), &query)).is_ok());
    assert!(bencode::decode(&server.scrape(Time::ZERO, &query)).is_ok());
});

fn is_one_line(text: &str) -> bool {
    !text.contains(char::is_control) && text.chars().count() < 400
}
