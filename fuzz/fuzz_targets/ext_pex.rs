//! Messages of `ut_pex` (BEP 11): bounded, and addresses and flags stay together when they are written again.
#![no_main]

use common::{Parts, dict_of, plant};
use libfuzzer_sys::fuzz_target;
use wire::MAX_PEX_PEERS;
use wire::ext::{Pex, PexFlags, PexPeer};

const KEYS: [&str; 6] = ["added", "added.f", "added6", "added6.f", "dropped", "dropped6"];

fuzz_target!(|data: &[u8]| {
    check(data);
    check(&dict_of(&KEYS, data));

    let mut parts = Parts(data);
    let mut pex = Pex {
        added: parts.list(99, |parts| PexPeer { addr: parts.addr(), flags: PexFlags(parts.byte()) }),
        dropped: parts.list(99, Parts::addr),
    };
    // IPv4 comes first, in the order in which it was given.
    pex.added.sort_by_key(|peer| peer.addr.is_ipv6());
    pex.dropped.sort_by_key(|addr| addr.is_ipv6());
    let read = Pex::decode(&pex.encode()).expect("what we write");
    plant(|| {
        read.dropped.len() >= 2
            && read.added.iter().any(|peer| peer.addr.is_ipv6() && peer.flags.0 & 0x12 == 0x12)
    });
    assert_eq!(read, pex);
});

fn check(data: &[u8]) {
    let Ok(pex) = Pex::decode(data) else { return };
    assert!(pex.added.len() <= 2 * MAX_PEX_PEERS && pex.dropped.len() <= 2 * MAX_PEX_PEERS);
    assert_eq!(Pex::decode(&pex.encode()), Ok(pex));
}
