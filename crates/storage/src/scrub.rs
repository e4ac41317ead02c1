//! Reading again, at leisure, what was verified long ago: disks forget, and say nothing.

use crate::limits::HASH_READ;
use crate::pool::{lock, run_on};
use crate::state::Phase;
use crate::torrent::Inner;
use crate::{Error, TorrentDisk};
use hash::Sha1;
use std::sync::atomic::Ordering;
use types::PieceIndex;

impl TorrentDisk {
    /// The first verified piece from this one on.
    pub fn next_verified(&self, from: PieceIndex) -> Option<PieceIndex> {
        let state = lock(&self.inner.state);
        (from.get()..state.verified.len()).map(PieceIndex::new).find(|&piece| state.verified.contains(piece))
    }

    /// How many bytes a piece has.
    pub fn piece_len(&self, piece: PieceIndex) -> u32 {
        self.inner.files.layout.lengths().piece_len(piece)
    }

    /// Hashes a verified piece again as the disk has it, past what the system has in memory where it lets go of that, and
    /// says whether it is still good. If not, it is lost, which is told as [`DiskEvent::PieceLost`](crate::DiskEvent::PieceLost).
    /// What memory the system gave to it is free again afterwards.
    ///
    /// # Errors
    ///
    /// As [`read_block`](Self::read_block).
    pub async fn scrub(&self, piece: PieceIndex) -> Result<bool, Error> {
        let inner = self.inner.clone();
        run_on(&self.inner.queues.workers, move || inner.scrub(piece)).await?
    }
}

impl Inner {
    fn scrub(&self, piece: PieceIndex) -> Result<bool, Error> {
        let epoch = self.epoch.load(Ordering::Relaxed);
        let place = self.files.place(piece);
        if !self.is_readable(piece, &lock(&self.state)) {
            return Err(Error::NotVerified(piece.get()));
        }
        self.files.forget_cached_piece(piece, place);
        let len = self.files.layout.lengths().piece_len(piece);
        let (mut state, mut buf) = (Sha1::new(), vec![0; HASH_READ.min(len as usize)]);
        let step = u32::try_from(buf.len()).unwrap_or(len).max(1);
        for offset in (0..len).step_by(step as usize) {
            let part = &mut buf[..step.min(len - offset) as usize];
            if let Err(error) = self.files.read(piece, offset, place, part) {
                if !error.will_pass() {
                    self.lose(piece, &error);
                }
                return Err(error);
            }
            state.update(part);
        }
        self.files.forget_cached_piece(piece, place);
        if self.files.layout.piece_hash(piece)? == Some(state.finalize()) {
            return Ok(true);
        }
        self.lose_bad(piece, epoch);
        Ok(false)
    }

    /// A verified piece turned out to be bad, unless something was lost since: then it may have been written anew.
    fn lose_bad(&self, piece: PieceIndex, epoch: u64) {
        {
            // Blocks that come for it are told of after it is.
            let _assembly = lock(&self.assembly);
            let mut state = lock(&self.state);
            let changed = self.epoch.load(Ordering::Relaxed) != epoch;
            if changed || state.phase == Phase::Closed || !state.verified.contains(piece) {
                return;
            }
            state.take_back(piece);
            self.note_lost(&[piece]);
        }
        self.tell();
    }
}
