//! The brain: every input comes in here, every output leaves from here.

use crate::{Config, Input, Output, PeerView, Stats};
use alloc::collections::VecDeque;
use types::{Bitfield, Lengths, Time};

/// The brain of one torrent. See the [crate's page](crate) for how it is driven.
#[derive(Debug)]
pub struct Swarm {
    out: VecDeque<Output>,
}

impl Swarm {
    /// A swarm that has the pieces in `have` (an empty set if its length is not the torrent's) and wants them
    /// all. If it has them all, [`Output::Finished`] is its first output.
    pub fn new(_config: Config, _lengths: Lengths, _have: Bitfield, _seed: u64, _now: Time) -> Swarm {
        Swarm { out: VecDeque::new() }
    }

    /// Tells what happened at `now`, which must not run backwards.
    #[expect(clippy::needless_pass_by_value)]
    pub fn handle(&mut self, _now: Time, input: Input<'_>) {
        if let Input::PeersFound { addrs, .. } = input {
            self.out.extend(addrs.iter().map(|&addr| Output::Connect { addr }));
        }
    }

    /// Lets deadlines pass. To be called at [`poll_timeout`](Self::poll_timeout); earlier or later is harmless.
    pub fn handle_timeout(&mut self, _now: Time) {}

    /// The next thing to do. To be asked until `None` after each `handle` and `handle_timeout`.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.out.pop_front()
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if nothing happens before; `None`: never.
    pub fn poll_timeout(&self) -> Option<Time> {
        None
    }

    /// Numbers, as of `now`.
    pub fn stats(&self, _now: Time) -> Stats {
        Stats::default()
    }

    /// Every connection, in the order of their keys, as of `now`.
    pub fn peers(&self, _now: Time) -> impl Iterator<Item = PeerView<'_>> {
        core::iter::empty()
    }
}
