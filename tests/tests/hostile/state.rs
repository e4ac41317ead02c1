//! What an earlier run kept, as it comes back from a bad disk, an old backup, or another torrent.

use std::fs;
use std::path::PathBuf;

use super::{PIECES, SMALL, sized};
use crate::common::{Home, run};
use rawtorrent_tests::content::{Sample, bytes};
use rawtorrent_tests::metafile::PIECE_LEN;
use rawtorrent_tests::score::score;
use sha1::{Digest, Sha1};

/// As long as [`SMALL`], under another name.
const OTHER: Sample = Sample { name: "other.bin", layout: SMALL.layout };
/// Kind and checksum of a record.
const HEAD: usize = 40;
const NOTE_MAGIC: &[u8] = b"rawtorrent blocks 1\n";
/// The piece that a note says is there.
const NOTED: usize = 5;

/// A download that is complete, and what is kept of it.
struct Kept {
    home: Home,
    record: PathBuf,
}

/// What the next run finds.
struct Found {
    record: Vec<u8>,
    note: Option<Vec<u8>>,
    /// The piece of which a byte is wrong on disk.
    spoiled: Option<usize>,
}

impl Kept {
    fn new(sample: Sample) -> Kept {
        let home = Home::new(sample);
        let done = run(&mut home.download_from(&[&home.fake_seed()]));
        assert_eq!(done.code(), Some(0), "{}", done.stderr);
        let folder = home.path().join("state/rawtorrent/resume");
        let mut files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let record = files.find(|path| path.extension().is_some_and(|end| end == "resume")).unwrap();
        Kept { home, record }
    }

    /// Puts a kind and the right checksum before a body.
    fn seal(&self, magic: &[u8], body: &[u8]) -> Vec<u8> {
        let place = self.record.file_stem().unwrap().as_encoded_bytes();
        let checksum = Sha1::digest([place, body].concat());
        [magic, &checksum[..], body].concat()
    }

    /// The record as a run leaves it that is killed: its pieces are believed as they are. Without some of them.
    fn unclean(&self, without: impl Fn(usize) -> bool) -> Vec<u8> {
        let record = fs::read(&self.record).unwrap();
        let mut body = record[HEAD..].to_vec();
        let find = |what: &[u8]| body.windows(what.len()).position(|here| here == what).unwrap() + what.len();
        let (clean, pieces) = (find(b"5:cleani"), find(b"6:pieces3:"));
        body[clean] = b'0';
        for piece in (0..PIECES).filter(|&piece| without(piece)) {
            body[pieces + piece / 8] &= !(0x80 >> (piece % 8));
        }
        self.seal(&record[..20], &body)
    }

    /// A note that says that [`NOTED`] was written after this record was.
    fn note(&self, record: &[u8]) -> Vec<u8> {
        let after = &record[20..HEAD];
        let partial = format!("7:partialll{}", format_args!("i{NOTED}ei0ei1ei2ei3eeee"));
        self.seal(NOTE_MAGIC, &[b"d5:after20:", after, partial.as_bytes()].concat())
    }

    /// That a run that finds this ends with the right content.
    fn assert_recovers(&self, found: &Found, round: usize) {
        fs::write(&self.record, &found.record).unwrap();
        let note = self.record.with_extension("blocks");
        match &found.note {
            Some(bytes) => fs::write(note, bytes).unwrap(),
            None => drop(fs::remove_file(note)),
        }
        let mut content = SMALL.stream();
        if let Some(piece) = found.spoiled {
            content[piece * PIECE_LEN + 7] ^= 1;
        }
        fs::write(self.home.downloaded(), content).unwrap();
        let seed = self.home.fake_seed();
        let done = run(&mut self.home.download_from(&[&seed]));
        assert_eq!(done.code(), Some(0), "round {round}: {}", done.stderr);
        self.home.assert_downloaded();
    }
}

fn flipped(mut bytes: Vec<u8>, random: &mut fastrand::Rng) -> Vec<u8> {
    let at = random.usize(0..bytes.len());
    bytes[at] ^= 1 << random.u8(0..8);
    bytes
}

fn truncated(mut bytes: Vec<u8>, random: &mut fastrand::Rng) -> Vec<u8> {
    bytes.truncate(random.usize(0..bytes.len()));
    bytes
}

#[test]
fn state_that_is_damaged_old_or_of_another_torrent() {
    let [kept, other] = [SMALL, OTHER].map(Kept::new);
    let (clean, foreign) = (fs::read(&kept.record).unwrap(), fs::read(&other.record).unwrap());
    let mut random = fastrand::Rng::with_seed(31);
    let rounds = sized(99, 504);
    for round in 0..rounds {
        let spoiled = Some(random.usize(0..PIECES - 1));
        let unclean = kept.unclean(|_| false);
        let lacks_noted = kept.unclean(|piece| piece == NOTED);
        let note = kept.note(&lacks_noted);
        let found = |record, note, spoiled| Found { record, note, spoiled };
        let found = match round % 9 {
            0 => found(flipped(unclean, &mut random), None, spoiled),
            1 => found(flipped(clean.clone(), &mut random), None, spoiled),
            2 => found(truncated(unclean, &mut random), None, spoiled),
            3 => found(foreign.clone(), None, spoiled),
            4 => found(other.unclean(|_| false), None, spoiled),
            5 => found(bytes(random.u64(..), random.usize(0..2_000)), None, spoiled),
            // Old: it knows less than there is.
            6 => found(kept.unclean(|piece| piece > round % PIECES), None, None),
            // What a note claims is not there.
            7 => found(lacks_noted, Some(note), Some(NOTED)),
            _ => found(lacks_noted, Some(flipped(note, &mut random)), Some(NOTED)),
        };
        kept.assert_recovers(&found, round);
    }
    score(
        "state_that_is_damaged_old_or_of_another_torrent",
        "resume records and notes with a bit flipped, cut, stale, of another torrent, beside wrong bytes on disk",
        rounds as u64,
        "each run started and ended with the right content",
        "never a false piece, never a refusal",
    );
}
