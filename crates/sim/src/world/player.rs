//! A player: it wants one piece after another, each at its time.

use super::{Event, World};
use crate::outcome::Playback;
use std::time::Duration;
use swarm::Input;
use types::{PieceIndex, Time};

/// How many pieces ahead of the one that is played have a deadline.
const READ_AHEAD: u32 = 8;
/// The film begins after so many pieces' time on the line.
const BEGIN_AFTER: u32 = 3;

/// What a player is at.
#[derive(Debug)]
pub(super) struct Player {
    bytes_per_sec: u64,
    /// The next piece to be played.
    next: u32,
    /// It is not there, and the picture stands still since.
    stalled: Option<Time>,
    outcome: Playback,
}

impl Player {
    pub(super) fn new(bytes_per_sec: u64) -> Player {
        Player { bytes_per_sec: bytes_per_sec.max(1), next: 0, stalled: None, outcome: Playback::default() }
    }

    pub(super) fn outcome(&self) -> Playback {
        self.outcome
    }

    /// Whether the piece has a deadline.
    pub(super) fn wants(&self, piece: PieceIndex) -> bool {
        (self.next..self.next + READ_AHEAD).contains(&piece.get())
    }

    fn time_of(&self, bytes: u64) -> Duration {
        Duration::from_nanos(bytes.saturating_mul(1_000_000_000) / self.bytes_per_sec)
    }
}

impl World<'_> {
    /// The player says by when it wants the first pieces.
    pub(super) fn begin_film(&mut self, node: u32) {
        let piece = u64::from(self.lengths.piece_length());
        let this = &mut self.nodes[node as usize];
        let Some(player) = &mut this.player else { return };
        let line = Duration::from_nanos(piece * 1_000_000_000 / this.spec.down.max(1));
        let begin = self.now + line * BEGIN_AFTER;
        let each = player.time_of(piece);
        let life = this.life;
        self.queue.put(begin, Event::Play { node, life });
        for number in 0..READ_AHEAD {
            self.want_by(node, number, begin + each * number);
        }
    }

    fn want_by(&mut self, node: u32, number: u32, at: Time) {
        let local = self.clock(node) + at.since(self.now);
        if let Some(piece) = self.lengths.piece(number) {
            self.tell(node, Input::SetDeadline { piece, at: Some(local) });
        }
    }

    /// The next piece is due.
    pub(super) fn play(&mut self, node: u32) {
        let now = self.now;
        let this = &mut self.nodes[node as usize];
        let Some(player) = &mut this.player else { return };
        let piece = PieceIndex::new(player.next);
        if !this.disk.have().contains(piece) {
            player.stalled.get_or_insert(now);
            return;
        }
        if let Some(since) = player.stalled.take() {
            player.outcome.stalled += now - since;
        }
        let took = player.time_of(self.lengths.piece_len(piece).into());
        let each = player.time_of(self.lengths.piece_length().into());
        player.next += 1;
        let (life, next) = (this.life, player.next);
        if next < self.lengths.piece_count() {
            self.queue.put(now + took, Event::Play { node, life });
            self.want_by(node, next + READ_AHEAD - 1, now + took + each * (READ_AHEAD - 1));
        }
    }

    /// A piece is there: the picture may move again.
    pub(super) fn play_on(&mut self, node: u32, piece: PieceIndex) {
        let stalled = |player: &Player| player.stalled.is_some() && player.next == piece.get();
        if self.nodes[node as usize].player.as_ref().is_some_and(stalled) {
            self.play(node);
        }
    }
}
