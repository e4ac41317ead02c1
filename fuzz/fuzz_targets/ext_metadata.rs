//! Messages of `ut_metadata` (BEP 9): whatever follows the dictionary is data, and it is bounded.
#![no_main]

use common::{Parts, dict_of, plant};
use libfuzzer_sys::fuzz_target;
use wire::ext::{METADATA_PIECE_LEN, Metadata};

const KEYS: [&str; 3] = ["msg_type", "piece", "total_size"];

fuzz_target!(|data: &[u8]| {
    check(data);
    let mut parts = Parts(data);
    let dict = dict_of(&KEYS, parts.bytes());
    check(&[&dict[..], parts.0].concat());

    let (kind, piece) = (parts.byte(), parts.u32());
    let (of_data, data) = (piece % 1000, [parts.0, &[kind]].concat());
    if data.len() > METADATA_PIECE_LEN as usize {
        return;
    }
    let total_size = of_data * METADATA_PIECE_LEN + data.len() as u32;
    let message = match kind % 3 {
        0 => Metadata::Request { piece },
        1 => Metadata::Reject { piece },
        _ => Metadata::Data { piece: of_data, total_size, data: data.into() },
    };
    assert_eq!(Metadata::decode(&message.encode()), Ok(Some(message)));
});

fn check(data: &[u8]) {
    let Ok(Some(message)) = Metadata::decode(data) else { return };
    plant(|| matches!(message, Metadata::Reject { .. }));
    if let Metadata::Data { data, .. } = &message {
        assert!(data.len() <= METADATA_PIECE_LEN as usize);
    }
    assert_eq!(Metadata::decode(&message.encode()), Ok(Some(message.clone())));
}
