//! A recording from a stranger: its swarm is told what is in it, and whatever that is, every invariant holds and the replay
//! ends.
#![no_main]

use common::plant;
use crc::{CRC_32_ISCSI, Crc};
use libfuzzer_sys::fuzz_target;
use record::{MAGIC, Replay, Step};

const CRC: Crc<u32> = Crc::<u32>::new(&CRC_32_ISCSI);
/// A brain may have much to say; a replay of all of it teaches nothing.
const MAX_STEPS: usize = 5_000;

fuzz_target!(|data: &[u8]| {
    let [raw, records @ ..] = data else { return };
    let recording = if raw % 4 == 3 {
        data[1..].to_vec()
    } else {
        // The checksum would keep everything else out.
        let len = u32::try_from(records.len()).expect("short").to_le_bytes();
        [&MAGIC[..], &len, &CRC.checksum(records).to_le_bytes(), records].concat()
    };
    let Ok(mut replay) = Replay::new(&recording) else { return };
    let (mut steps, mut told, mut teller) = (0, 0, record::Teller::default());
    let replayed = replay.run(|now, step| {
        steps += 1;
        told += usize::from(matches!(step, Step::Told(_)));
        teller.tell(now, &step, &mut |mut event| {
            event.mask();
            assert_eq!(event.kind.peer().and_then(|peer| peer.addr), None, "it is masked");
        });
        steps < MAX_STEPS
    });
    if let Ok(replayed) = replayed {
        assert!(replayed.inputs as usize >= told);
        plant(|| (1..4).contains(&told));
    }
});
