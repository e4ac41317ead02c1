//! Messages of `ut_holepunch` (BEP 55) and `lt_donthave` (BEP 54): what is read is written in the same bytes, but for an
//! error code that may be absent or be garbage where there is no error.
#![no_main]

use common::{Parts, plant};
use libfuzzer_sys::fuzz_target;
use wire::ext::{DontHave, Holepunch, HolepunchError, HolepunchKind};

fuzz_target!(|data: &[u8]| {
    if let Ok(message) = Holepunch::decode(data) {
        let again = message.encode();
        let told = again.len() - if matches!(message.kind, HolepunchKind::Error(_)) { 0 } else { 4 };
        assert_eq!(again[..told], data[..told]);
        assert_eq!(Holepunch::decode(&again), Ok(message));
        plant(|| matches!(message.kind, HolepunchKind::Error(_)) && message.addr.is_ipv6());
    }
    match DontHave::decode(data) {
        Ok(gone) => assert_eq!(gone.encode(), data),
        Err(_) => assert_ne!(data.len(), 4),
    }
    let mut parts = Parts(data);
    let kind = match parts.byte() % 3 {
        0 => HolepunchKind::Rendezvous,
        1 => HolepunchKind::Connect,
        _ => HolepunchKind::Error(HolepunchError(parts.u32())),
    };
    let message = Holepunch { kind, addr: parts.addr() };
    assert_eq!(Holepunch::decode(&message.encode()), Ok(message));
});
