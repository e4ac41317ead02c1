//! Any bytes as rows of a session's store: they are lost, or say what can be said of the torrent and are written again as
//! they were read.
#![no_main]

use common::{Parts, plant};
use engine::fuzzed;
use libfuzzer_sys::fuzz_target;

const TORRENT: &[u8] = b"d4:infod5:filesld6:lengthi20000e4:pathl1:aeed6:lengthi5e4:pathl1:beee4:name1:n12:piece lengthi16384e6:pieces40:0123456789012345678901234567890123456789ee";
/// A row that is good.
const ROW: &[u8] =
    b"d8:category5:films3:dir6:/srv/x5:namesd10:00000000011:ce6:pausedi0e10:priorities2:-h4:tagsl1:aee";

fn check(row: &[u8]) {
    if let Some(once) = fuzzed::record(row) {
        assert_eq!(fuzzed::record(&once).as_ref(), Some(&once));
        let has = |part: &[u8]| once.windows(part.len()).any(|window| window == part);
        plant(|| has(b"8:move dir") && has(b"6:pausedi1e"));
    }
    if let Some((files, pieces)) = fuzzed::torrent(row, TORRENT) {
        assert!(files > 0 && files <= 2);
        assert_eq!(pieces, 2);
    }
    if let Some(once) = fuzzed::session(row) {
        assert_eq!(fuzzed::session(&once).as_ref(), Some(&once));
    }
    assert!(fuzzed::claimed(row, TORRENT).is_none_or(|pieces| pieces <= 2));
}

/// Some bytes of a good row become others.
fn mutated(data: &[u8]) -> Vec<u8> {
    let (mut row, mut parts) = (ROW.to_vec(), Parts(data));
    while !parts.is_empty() {
        let at = usize::from(parts.byte()) % row.len();
        row[at] = parts.byte();
    }
    row
}

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&mutated(data));
});
