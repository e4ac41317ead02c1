//! What may be believed of a claim, given what the files look like.

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;
use metainfo::Metainfo;
use types::{Bitfield, PieceIndex};

const NANOS: i64 = 1_000_000_000;

/// What a client wrote down of a file that it says is complete.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Evidence {
    /// Nothing that could be compared, or nothing that is said twice.
    #[default]
    None,
    /// When it was last changed, in seconds since 1970.
    ChangedAt(i64),
    /// Until when it may have been changed last, in seconds since 1970.
    ChangedUntil(i64),
}

/// What is claimed of a torrent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Have {
    /// The pieces that the client had.
    pub pieces: Bitfield,
    /// For each file of the torrent.
    pub files: Vec<Evidence>,
    /// Files in which the client has blocks of pieces that it has not yet as a whole.
    pub begun: Vec<bool>,
}

/// What a file looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Look {
    /// Length in bytes.
    pub size: u64,
    /// Time of the last change, in nanoseconds since 1970.
    pub mtime_nanos: i64,
}

/// What is to be done with a torrent's pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judged {
    /// The pieces that may be there; all others are not.
    pub pieces: Bitfield,
    /// Files of which nothing need be hashed. A piece is believed if all of its files are among them.
    pub trusted: Vec<bool>,
    /// Files in which the client says that it has something: what is there is the torrent's.
    pub claimed: Vec<bool>,
    /// Pieces that are believed.
    pub believed: u32,
    /// Files that are not there, though pieces in them were claimed.
    pub missing: usize,
    /// Some pieces lie in padding alone, in no file that could be compared: only hashing tells of them.
    pub has_bare_padding: bool,
}

impl Have {
    pub(crate) fn nothing(metainfo: &Metainfo) -> Have {
        Have {
            pieces: Bitfield::new(metainfo.lengths().piece_count()),
            files: vec![Evidence::None; metainfo.files().len()],
            begun: vec![false; metainfo.files().len()],
        }
    }

    /// Takes in that a block is there, wherever in the torrent.
    pub(crate) fn begin(&mut self, metainfo: &Metainfo, block: Range<u64>) {
        for slice in metainfo.file_slices(block) {
            self.begun[slice.file] = true;
        }
    }

    /// Whether all of a torrent is claimed.
    pub fn is_all(&self) -> bool {
        self.pieces.is_full()
    }

    /// Holds the claims against what the torrent's files look like (`None`: not there). `written` is when the client wrote
    /// them down, in nanoseconds since 1970: what was changed later it knows nothing of.
    pub fn judge(&self, metainfo: &Metainfo, looks: &[Option<Look>], written: i64) -> Judged {
        let (files, lengths) = (metainfo.files(), metainfo.lengths());
        let look = |file: usize| looks.get(file).copied().flatten();
        let claims_all_of =
            |file: usize| metainfo.file_pieces(file).all(|piece| self.claims(PieceIndex::new(piece)));
        let mut judged = Judged {
            pieces: Bitfield::new(lengths.piece_count()),
            trusted: vec![false; files.len()],
            claimed: vec![false; files.len()],
            believed: 0,
            missing: 0,
            has_bare_padding: false,
        };
        for (number, file) in files.iter().enumerate() {
            if !file.is_regular() || file.length == 0 {
                // There is nothing to be wrong about.
                judged.trusted[number] = true;
                continue;
            }
            let claims_some = metainfo.file_pieces(number).any(|piece| self.claims(PieceIndex::new(piece)));
            judged.claimed[number] = claims_some || self.begun.get(number) == Some(&true);
            let Some(look) = look(number) else {
                judged.missing += usize::from(claims_some);
                continue;
            };
            let evidence = self.files.get(number).copied().unwrap_or_default();
            judged.trusted[number] = look.size == file.length
                && claims_all_of(number)
                && look.mtime_nanos < written
                && evidence.agrees(look);
        }
        for piece in lengths.pieces() {
            let slices = metainfo.file_slices(lengths.piece_range(piece));
            let mut regular = slices.filter(|slice| files[slice.file].is_regular()).peekable();
            if regular.peek().is_none() {
                judged.has_bare_padding = true;
                continue;
            }
            let (mut there, mut trusted) = (true, true);
            for slice in regular {
                there &= look(slice.file).is_some();
                trusted &= judged.trusted[slice.file];
            }
            if there {
                judged.pieces.insert(piece);
                judged.believed += u32::from(trusted);
            }
        }
        judged
    }

    fn claims(&self, piece: PieceIndex) -> bool {
        piece.get() < self.pieces.len() && self.pieces.contains(piece)
    }
}

impl Evidence {
    fn agrees(self, look: Look) -> bool {
        let seconds = look.mtime_nanos.div_euclid(NANOS);
        match self {
            Evidence::None => false,
            Evidence::ChangedAt(time) => time > 0 && seconds == time,
            Evidence::ChangedUntil(time) => time > 0 && seconds <= time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::torrent;

    /// Files of 40,000, 50,001 and 5 bytes, in pieces of 16 KiB.
    fn metainfo() -> Metainfo {
        Metainfo::parse(&torrent()).unwrap()
    }

    fn look(size: u64) -> Option<Look> {
        Some(Look { size, mtime_nanos: 100 * NANOS + 7 })
    }

    fn have(evidence: Evidence) -> Have {
        Have { pieces: Bitfield::full(6), files: vec![evidence; 3], begun: vec![false; 3] }
    }

    fn judge(have: &Have, looks: &[Option<Look>]) -> Judged {
        have.judge(&metainfo(), looks, 1000 * NANOS)
    }

    fn trusted(judged: &Judged) -> &[bool] {
        &judged.trusted
    }

    #[test]
    fn what_agrees_is_believed() {
        let looks = [look(40_000), look(50_001), look(5)];
        for (evidence, is) in [
            (Evidence::ChangedAt(100), true),
            (Evidence::ChangedAt(99), false),
            (Evidence::ChangedAt(101), false),
            (Evidence::ChangedUntil(100), true),
            (Evidence::ChangedUntil(i64::MAX), true),
            (Evidence::ChangedUntil(99), false),
            (Evidence::ChangedUntil(-1), false),
            (Evidence::None, false),
        ] {
            let judged = judge(&have(evidence), &looks);
            assert_eq!(judged.believed, if is { 6 } else { 0 }, "{evidence:?}");
            assert_eq!(judged.pieces.count_ones(), 6, "what is not believed is hashed");
        }
        let late = have(Evidence::ChangedUntil(i64::MAX)).judge(&metainfo(), &looks, 99);
        assert_eq!(late.believed, 0, "changed after it was written down");
    }

    #[test]
    fn a_file_of_another_size_is_hashed() {
        let judged = judge(&have(Evidence::ChangedAt(100)), &[look(40_000), look(50_000), look(5)]);
        assert_eq!(trusted(&judged), [true, false, true]);
        // Pieces 0 and 1 lie in the first file alone.
        assert_eq!((judged.believed, judged.pieces.count_ones()), (2, 6));
    }

    #[test]
    fn a_file_that_is_not_there_has_no_pieces() {
        let judged = judge(&have(Evidence::ChangedAt(100)), &[look(40_000), None, look(5)]);
        assert_eq!((judged.believed, judged.pieces.count_ones(), judged.missing), (2, 2, 1));
    }

    #[test]
    fn one_piece_less_and_the_file_is_hashed() {
        let mut have = have(Evidence::ChangedAt(100));
        have.pieces.remove(PieceIndex::new(1));
        let judged = judge(&have, &[look(40_000), look(50_001), look(5)]);
        assert_eq!(trusted(&judged), [false, true, true]);
        assert_eq!((judged.believed, judged.pieces.count_ones()), (3, 6));
    }

    #[test]
    fn a_file_is_the_torrents_where_the_client_has_something_of_it() {
        let looks = [look(40_000), look(50_001), look(5)];
        let mut have = Have::nothing(&metainfo());
        assert_eq!(judge(&have, &looks).claimed, [false; 3]);
        have.pieces.insert(PieceIndex::new(1));
        assert_eq!(judge(&have, &looks).claimed, [true, false, false]);
        have.begin(&metainfo(), 90_000..90_006);
        assert_eq!(judge(&have, &looks).claimed, [true, true, true]);
    }

    #[test]
    fn a_bit_field_of_another_torrent_claims_nothing_beyond_its_end() {
        let have = Have { pieces: Bitfield::full(2), files: Vec::new(), begun: Vec::new() };
        assert_eq!(judge(&have, &[look(40_000), None, None]).believed, 0);
        assert_eq!(judge(&have, &[]).pieces.count_ones(), 0);
    }
}
