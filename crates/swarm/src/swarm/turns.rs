//! Limits: what passes is counted here, and under a limit it is decided here whose turn it is.
//!
//! Blocks are what can be held back: they are asked for, and handed out to be sent, one at a time and in turns over all
//! peers, as fast as the bucket of that direction allows. Everything else is said at once and charged.

use super::Swarm;
use super::download::blocks_in;
use super::upload::serve;
use crate::bucket::Bucket;
use crate::limits::{LIMITED_REQUESTS, LIMITED_WINDOW, SERVE_TIME, WEB_SEED_BATCH};
use crate::line::{block_cost, cost, request_cost};
use crate::peer::Peer;
use crate::{DisconnectReason, Input, Limits, Output, PeerKey};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::ops::Bound::{Excluded, Unbounded};
use types::{BLOCK_LEN, Time};
use wire::ext::METADATA_PIECE_LEN;

/// One direction of the line.
#[derive(Debug)]
pub(super) struct Line {
    bucket: Bucket,
    /// How much of the limit others may take with what they say unasked.
    unasked: Bucket,
    /// Bytes since the start.
    passed: u64,
    /// Who had a turn last.
    last: Option<PeerKey>,
    /// Somebody waits for a turn, which comes then.
    held: Option<Time>,
}

impl Line {
    pub(super) fn new(limit: Option<u64>, now: Time) -> Line {
        let (bucket, unasked) = (Bucket::new(limit, now), Bucket::new(limit.map(share_of_unasked), now));
        Line { bucket, unasked, passed: 0, last: None, held: None }
    }

    pub(super) fn is_limited(&self) -> bool {
        self.bucket.rate().is_some()
    }

    pub(super) fn passed(&self) -> u64 {
        self.passed
    }

    pub(super) fn held(&self) -> Option<Time> {
        self.held
    }

    /// What passed elsewhere counts here.
    pub(super) fn take_over(&mut self, before: &Line) {
        self.passed = self.passed.saturating_add(before.passed);
    }

    fn pass(&mut self, bytes: u64) {
        self.passed = self.passed.saturating_add(bytes);
        self.bucket.charge(bytes);
    }

    /// What somebody said unasked passed. It cannot be held back: whoever floods us is to take a part of the limit, and
    /// not all of it from those whom we ask.
    fn pass_unasked(&mut self, now: Time, bytes: u64) {
        if self.unasked.wait(now, 0).is_none() {
            self.unasked.charge(bytes);
            self.pass(bytes);
        } else {
            self.passed = self.passed.saturating_add(bytes);
        }
    }

    fn set_rate(&mut self, now: Time, limit: Option<u64>, committed: u64) {
        self.bucket.set_rate(now, limit, committed);
        self.unasked.set_rate(now, limit.map(share_of_unasked), 0);
    }
}

/// What may be said unasked under a limit, before it counts no more.
fn share_of_unasked(limit: u64) -> u64 {
    limit / 2
}

/// Counting.
impl Swarm {
    /// Counts what came in, and which blocks went out.
    pub(super) fn note_passed(&mut self, input: &Input<'_>) {
        match input {
            Input::PeerConnected { .. } => {
                let handshake = cost(wire::handshake::LEN as u64);
                self.down.pass(handshake);
                self.up.pass(handshake);
            }
            Input::Message { message, .. } => {
                self.down.pass_unasked(self.now, cost(message.encoded_len() as u64));
            }
            Input::BlockReceived { block, .. }
            | Input::BlockRefused { block, .. }
            | Input::Unrequested { block, .. } => self.down.pass(block_cost(block.len)),
            Input::BlockSent { block, .. } => self.up.pass(block_cost(block.len)),
            _ => {}
        }
    }

    /// Counts what is said.
    pub(super) fn note_said(&mut self, output: &Output) {
        match output {
            Output::Send { message, .. } => self.up.pass(cost(message.encoded_len() as u64)),
            Output::Request { .. } | Output::Cancel { .. } => self.up.pass(request_cost()),
            Output::ServeMetadata { .. } => self.up.pass(cost(METADATA_PIECE_LEN.into())),
            _ => {}
        }
    }

    /// What is asked for and has not come.
    fn coming(&self) -> u64 {
        let requests: usize = self.peers.values().map(|peer| peer.requests.len()).sum();
        (requests as u64).saturating_mul(block_cost(BLOCK_LEN))
    }

    /// What the driver was handed out to send and has not sent.
    fn going(&self) -> u64 {
        let peers = self.peers.values().filter(|peer| !peer.serving.is_empty());
        peers.map(|peer| cost(peer.serving_bytes)).sum()
    }
}

/// Turns.
impl Swarm {
    /// Goes on where a limit held us back, if it does so no longer.
    pub(super) fn go_on_if_due(&mut self) {
        if self.down.held.is_some_and(|at| self.now >= at) {
            self.ask_in_turn();
        }
        if self.up.held.is_some_and(|at| self.now >= at) {
            self.serve_in_turn();
        }
    }

    /// Asks one peer after the other for a block, as long as the limit allows.
    pub(super) fn ask_in_turn(&mut self) {
        self.down.held = None;
        loop {
            let coming = self.coming();
            if let Some(at) = self.down.bucket.wait(self.now, coming) {
                let (asking, peers) = self.asking();
                let waiting = peers.values().any(|peer| asking.has_use_for(peer));
                self.down.held = waiting.then_some(at);
                return;
            }
            let last = self.down.last;
            let (mut asking, peers) = self.asking();
            // A web seed's turn is a run of blocks.
            let most = |peer: &Peer| if peer.is_web_seed { WEB_SEED_BATCH } else { 1 };
            match next_turn(peers, last, |key, peer| asking.fill(key, peer, most(peer)) > 0) {
                Some(key) => self.down.last = Some(key),
                None => return,
            }
        }
    }

    /// Hands out one peer's request after the other, as long as the limit allows.
    pub(super) fn serve_in_turn(&mut self) {
        self.up.held = None;
        let most =
            blocks_in(self.up.bucket.rate().unwrap_or(u64::MAX), SERVE_TIME) as u64 * u64::from(BLOCK_LEN);
        let now = self.now;
        let may = |peer: &Peer| {
            !peer.queue.is_empty() && peer.serving_bytes < peer.serve_budget(now).min(most.max(1))
        };
        loop {
            let going = self.going();
            if let Some(at) = self.up.bucket.wait(now, going) {
                self.up.held = self.peers.values().any(may).then_some(at);
                return;
            }
            let out = &mut self.out;
            let turn = |key, peer: &mut Peer| may(peer) && serve(out, key, peer);
            match next_turn(&mut self.peers, self.up.last, turn) {
                Some(key) => self.up.last = Some(key),
                None => return,
            }
        }
    }

    /// How many requests one peer may have in flight because of a limit of our own, whatever it brings.
    pub(super) fn share(&self) -> Option<usize> {
        let limit = self.down.bucket.rate()?;
        let asked = self.peers.values().filter(|peer| peer.am_interested && !peer.peer_choking).count();
        Some((blocks_in(limit, LIMITED_WINDOW) / asked.max(1)).max(LIMITED_REQUESTS))
    }
}

/// The first peer after the last one, in the order of keys and round again, that takes its turn.
fn next_turn(
    peers: &mut BTreeMap<PeerKey, Peer>,
    last: Option<PeerKey>,
    mut takes: impl FnMut(PeerKey, &mut Peer) -> bool,
) -> Option<PeerKey> {
    let last = last.unwrap_or(PeerKey(u64::MAX));
    let after =
        peers.range_mut((Excluded(last), Unbounded)).find_map(|(&key, peer)| takes(key, peer).then_some(key));
    after.or_else(|| peers.range_mut(..=last).find_map(|(&key, peer)| takes(key, peer).then_some(key)))
}

/// Other limits.
impl Swarm {
    pub(super) fn on_set_limits(&mut self, limits: Limits) {
        let Limits { up, down, upload_slots, max_peers } = limits;
        let (coming, going) = (self.coming(), self.going());
        self.down.set_rate(self.now, down, coming);
        self.up.set_rate(self.now, up, going);
        (self.down.held, self.up.held) = (None, None);
        (self.config.max_up, self.config.max_down) = (up, down);
        self.metadata.set_limit(self.now, up);
        (self.config.upload_slots, self.config.max_peers) = (upload_slots, max_peers);
        self.close_least_useful();
        self.choker.set_slots(upload_slots);
        if self.slots_used() > self.choker.slots() {
            self.choke_round();
        } else {
            self.fill_slots();
        }
        self.fill_everybody();
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            self.pump(key);
        }
    }

    /// Closes connections until there are no more than may be.
    fn close_least_useful(&mut self) {
        let over = self.peers.len().saturating_sub(self.config.max_peers);
        if over == 0 {
            return;
        }
        let mut peers: Vec<_> =
            self.peers.iter().map(|(&key, peer)| (usefulness(peer, self.now), Reverse(key))).collect();
        peers.sort_unstable();
        for (_, Reverse(key)) in peers.into_iter().take(over) {
            self.disconnect(key, DisconnectReason::TooManyPeers);
        }
    }
}

/// Who wants something or has something comes before who does not, then who brings or takes more; of equals, who came
/// first.
fn usefulness(peer: &Peer, now: Time) -> (bool, u64) {
    let rates = peer.down.rate.per_sec(now).saturating_add(peer.up.rate.per_sec(now));
    (peer.am_interested || peer.wants(), rates)
}
