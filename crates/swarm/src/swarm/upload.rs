//! Serving: who is unchoked, and what they asked for.

use super::seeding::{let_finish, note_choked};
use super::{Swarm, send};
use crate::allowed_fast::allowed_fast;
use crate::choker::Candidate;
use crate::dial_guard::host;
use crate::limits::{
    ALLOWED_FAST_PIECES, CHOKE_GRACE, CREDIT_BYTES, HELD_PATIENCE, MAX_BAD_REQUESTS, MAX_REQUEST_LEN,
    MIN_SERVED,
};
use crate::peer::Peer;
use crate::{DisconnectReason, Output, PeerKey};
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::IpAddr;
use types::{BlockRange, Time};
use wire::{Message, Request};

/// What becomes of a request.
enum Answer {
    Queue(BlockRange),
    /// It crossed our choke on its way.
    TooLate,
    /// It cannot be met now; without BEP 6 the peer has to find out.
    Refuse,
    /// It can never be met: without BEP 6, this is why the connection is closed.
    Bad(DisconnectReason),
}

impl Swarm {
    pub(super) fn on_request(&mut self, key: PeerKey, request: Request) {
        let Some(peer) = self.peers.get(&key) else { return };
        let mut answer = self.answer(peer, request);
        if peer.fast && matches!(answer, Answer::Queue(_)) && self.buggify.hits(64) {
            answer = Answer::Refuse;
        }
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let reason = match answer {
            Answer::Queue(block) => {
                if peer.am_choking {
                    peer.note_fast(block);
                }
                peer.queue.push_back(block);
                self.note_request(key, block);
                self.pump(key);
                return self.hold_if_full(key);
            }
            Answer::TooLate | Answer::Refuse => None,
            Answer::Bad(reason) => Some(reason),
        };
        peer.bad_requests += u32::from(!matches!(answer, Answer::TooLate));
        let too_many = peer.bad_requests > MAX_BAD_REQUESTS;
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::SilentDrop) {
            return;
        }
        if peer.fast && !too_many {
            send(&mut self.out, self.now, key, peer, Message::Reject(request));
        } else if let Some(reason) = reason {
            self.disconnect(key, reason);
        } else if too_many {
            self.disconnect(key, DisconnectReason::TooManyRequests);
        }
    }

    fn answer(&self, peer: &Peer, request: Request) -> Answer {
        let block = self.lengths.block_range(request.index, request.begin, request.length);
        let Some(block) = block.filter(|block| block.len <= MAX_REQUEST_LEN) else {
            return Answer::Bad(DisconnectReason::BadRequest);
        };
        let barred = peer.am_choking && !peer.may_have_fast(block);
        if barred && peer.ever_unchoked && self.now.since(peer.choke_changed) < CHOKE_GRACE {
            return Answer::TooLate;
        }
        if barred || !self.picker.have().contains(block.piece) || !peer.knows_of(block.piece) {
            return Answer::Refuse;
        }
        if peer.requests_in() >= self.config.max_requests && !self.queues_without_end() {
            return if peer.fast { Answer::Refuse } else { Answer::Bad(DisconnectReason::TooManyRequests) };
        }
        Answer::Queue(block)
    }

    fn queues_without_end(&self) -> bool {
        #[cfg(feature = "planted")]
        return self.config.planted == Some(crate::Planted::EndlessQueue);
        #[cfg(not(feature = "planted"))]
        false
    }

    /// Whoever cannot be told that a request is refused is not listened to before it comes to that.
    fn hold_if_full(&mut self, key: PeerKey) {
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::NeverHeld) {
            return;
        }
        let full = self.config.max_requests / 2;
        let endless = self.queues_without_end();
        if let Some(peer) = self.peers.get_mut(&key)
            && !peer.fast
            && !peer.held
            && peer.requests_in() >= full
            && !endless
        {
            peer.held = true;
            peer.took = self.now;
            self.wake_by(self.now + HELD_PATIENCE);
            self.out.push_back(Output::Hold { peer: key });
        }
    }

    /// Whoever was not listened to for a full queue is heard again when there is room.
    fn release_if_room(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.get_mut(&key) {
            release_if_room(&mut self.out, key, peer, self.config.max_requests);
        }
    }

    /// The peer said what it has. If it has little to trade yet, it is told which pieces it gets though it is choked
    /// (BEP 6). Of a seed only those that others have too: first copies go to peers that pass them on, and not each to
    /// everybody who comes. The set is of IPv4 addresses; other peers get none.
    pub(super) fn greet(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let first = !core::mem::replace(&mut peer.greeted, true);
        let few = usize::try_from(peer.pieces.count()).is_ok_and(|count| count <= ALLOWED_FAST_PIECES);
        let IpAddr::V4(ip) = peer.addr.ip().to_canonical() else { return };
        if !first || !few || !peer.fast || self.super_seed.is_some() {
            return;
        }
        let count = self.lengths.piece_count();
        let set = allowed_fast(ip, &self.config.info_hash, count, ALLOWED_FAST_PIECES);
        let (have, spread) = (self.picker.have(), &self.spread);
        let spare = |piece| spread.as_ref().is_none_or(|spread| spread.copies(piece) > 0);
        for piece in set.into_iter().filter(|&piece| have.contains(piece) && spare(piece)) {
            if !peer.pieces.contains(piece) {
                peer.allowed_to.push(piece);
                send(&mut self.out, self.now, key, peer, Message::AllowedFast(piece.get()));
            }
        }
    }

    /// What the driver is at already is sent nevertheless; with BEP 6 everything else is rejected.
    pub(super) fn on_cancel(&mut self, key: PeerKey, request: Request) {
        let block = self.lengths.block_range(request.index, request.begin, request.length);
        let (Some(block), Some(peer)) = (block, self.peers.get_mut(&key)) else { return };
        let Some(at) = peer.queue.iter().position(|&queued| queued == block) else { return };
        peer.queue.remove(at);
        if peer.fast {
            send(&mut self.out, self.now, key, peer, Message::Reject(request));
        }
        self.release_if_room(key);
    }

    pub(super) fn on_block_sent(&mut self, key: PeerKey, block: BlockRange) {
        self.totals.uploaded += u64::from(block.len);
        self.totals.up.add(self.now, block.len);
        self.note_sent(key, block);
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.last_sent = self.now;
        peer.takes_nothing = false;
        peer.took = self.now;
        if peer.held {
            // That it takes blocks shows that it is there; what it says is not read.
            peer.last_heard = self.now;
        }
        peer.up.add(self.now, block.len);
        let credit = CREDIT_BYTES.max(self.lengths.piece_length().into());
        let used_up =
            peer.freeloads(credit) && peer.up.total <= credit + u64::from(block.len) && !peer.am_choking;
        if finish_serving(peer, block) {
            self.pump(key);
            self.release_if_room(key);
        }
        if used_up && self.spread.is_none() && !self.choker.is_optimistic(key) {
            self.end_turn(key);
        }
    }

    pub(super) fn on_serve_failed(&mut self, key: PeerKey, block: BlockRange) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if !finish_serving(peer, block) {
            return;
        }
        if peer.fast {
            send(&mut self.out, self.now, key, peer, Message::Reject(block.into()));
        }
        self.pump(key);
        self.release_if_room(key);
    }

    /// Hands the driver as many of the peer's requests as it may be at; under a limit, of whoever's turn it is.
    pub(super) fn pump(&mut self, key: PeerKey) {
        if self.up.is_limited() {
            return self.serve_in_turn();
        }
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| !peer.queue.is_empty()) else { return };
        let budget = peer.serve_budget(self.now);
        while peer.serving_bytes < budget && serve(&mut self.out, key, peer) {}
    }

    /// A free slot goes to whoever comes first.
    pub(super) fn on_interested(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if peer.peer_interested {
            return;
        }
        peer.peer_interested = true;
        if peer.wants() {
            self.on_wants(key);
        }
    }

    /// The peer wants something now.
    fn on_wants(&mut self, key: PeerKey) {
        self.wake_by(self.choker.next_round());
        if self.slots_used() > self.choker.slots()
            && let Some(peer) = self.peers.get_mut(&key)
        {
            // It was not choked for not being interested, but its slot was given away.
            choke(&mut self.out, self.now, key, peer);
            note_choked(self.spread.as_mut(), key, peer);
        }
        self.fill_slots();
    }

    pub(super) fn on_not_interested(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.peer_interested = false;
        self.on_wants_nothing(key);
    }

    /// The peer says whether it wants anything of anybody (BEP 21).
    pub(super) fn on_upload_only(&mut self, key: PeerKey, upload_only: bool) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let wanted = peer.wants();
        peer.upload_only = upload_only;
        match (wanted, peer.wants()) {
            (false, true) => self.on_wants(key),
            (true, false) => self.on_wants_nothing(key),
            _ => {}
        }
    }

    /// Its slot, if it has one, is somebody else's.
    fn on_wants_nothing(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get(&key) else { return };
        if !peer.am_choking {
            self.fill_slots();
        }
    }

    pub(super) fn anybody_to_choke(&self) -> bool {
        self.peers.values().any(|peer| peer.wants() || !peer.am_choking)
    }

    /// The choker decides anew.
    pub(super) fn choke_round(&mut self) {
        self.note_idle_slots();
        let candidates = self.candidates(|_| true);
        let chosen =
            self.choker.round(self.now, self.totals.uploaded, self.finished, candidates, &mut self.rng);
        for (&key, peer) in &mut self.peers {
            if !peer.am_choking && !chosen.contains(&key) {
                if let Some(spread) = &self.spread {
                    let_finish(&mut self.out, self.now, &self.lengths, spread, key, peer);
                }
                choke(&mut self.out, self.now, key, peer);
                note_choked(self.spread.as_mut(), key, peer);
            }
        }
        for key in chosen {
            self.unchoke(key);
        }
    }

    /// Who has a slot and asks for nothing comes after all others from here on. With super-seeding (BEP 16), there may be
    /// nothing yet that it could ask for.
    fn note_idle_slots(&mut self) {
        if self.super_seed.is_some() {
            return;
        }
        for peer in self.peers.values_mut() {
            peer.takes_nothing |= peer.lets_its_slot_idle(self.now);
        }
    }

    /// The peer keeps to itself what it gets: others are served, if any wait, without waiting for the next round.
    pub(super) fn end_turn(&mut self, key: PeerKey) {
        let others = self.candidates(|peer| peer.am_choking).iter().any(|candidate| !candidate.freeloads);
        let Some(peer) = self.peers.get_mut(&key).filter(|_| others) else { return };
        choke(&mut self.out, self.now, key, peer);
        note_choked(self.spread.as_mut(), key, peer);
        self.fill_slots();
    }

    /// Who asked for more than it can be sent, and takes nothing of it, keeps nobody waiting.
    pub(super) fn end_turns_of_held(&mut self) {
        let now = self.now;
        let idle = self.peers.iter().filter(|(_, peer)| peer.held_until().is_some_and(|until| until <= now));
        for key in idle.map(|(&key, _)| key).collect::<Vec<_>>() {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.takes_nothing = true;
            }
            self.end_turn(key);
        }
    }

    /// Slots that nobody uses go to peers that wait, without waiting for the next round.
    pub(super) fn fill_slots(&mut self) {
        let free = self.choker.slots().saturating_sub(self.slots_used());
        if free == 0 {
            return;
        }
        let mut waiting = self.candidates(|peer| peer.am_choking);
        if self.slots_used() >= MIN_SERVED {
            waiting.retain(|candidate| !candidate.freeloads);
        }
        self.rng.shuffle(&mut waiting);
        waiting.sort_by_key(|candidate| candidate.snubbed);
        for candidate in waiting.into_iter().take(free) {
            self.unchoke(candidate.peer);
        }
    }

    /// How many slots are in use.
    pub(super) fn slots_used(&self) -> usize {
        self.peers.values().filter(|peer| !peer.am_choking && peer.wants()).count()
    }

    fn candidates(&self, which: impl Fn(&Peer) -> bool) -> Vec<Candidate> {
        let interested = self.peers.iter().filter(|(_, peer)| peer.wants() && which(peer));
        interested.map(|(&key, peer)| self.candidate(key, peer)).collect()
    }

    fn candidate(&self, key: PeerKey, peer: &Peer) -> Candidate {
        let credit = CREDIT_BYTES.max(self.lengths.piece_length().into());
        Candidate {
            peer: key,
            host: host(peer.addr.ip()),
            unchoked: !peer.am_choking,
            since: peer.choke_changed,
            newcomer: !peer.ever_unchoked,
            snubbed: peer.snubbed || peer.takes_nothing,
            freeloads: peer.takes_nothing
                || match &self.spread {
                    Some(spread) => spread.hoards(key),
                    None => peer.freeloads(credit),
                },
            rate: peer.down.rate.per_sec(self.now),
        }
    }

    fn unchoke(&mut self, key: PeerKey) {
        self.suggest_first(key);
        let Some(peer) = self.peers.get_mut(&key).filter(|peer| peer.am_choking) else { return };
        peer.am_choking = false;
        peer.may_finish = None;
        peer.ever_unchoked = true;
        peer.choke_changed = self.now;
        send(&mut self.out, self.now, key, peer, Message::Unchoke);
    }
}

/// Chokes. Without BEP 6 that drops all of the peer's requests; with it those that are not under way are rejected, but
/// for pieces that the peer may have all the same.
fn choke(out: &mut VecDeque<Output>, now: Time, key: PeerKey, peer: &mut Peer) {
    peer.am_choking = true;
    peer.choke_changed = now;
    send(out, now, key, peer, Message::Choke);
    let queue = core::mem::take(&mut peer.queue);
    if peer.fast {
        for block in queue {
            if peer.may_have_fast(block) {
                peer.note_fast(block);
                peer.queue.push_back(block);
            } else {
                send(out, now, key, peer, Message::Reject(block.into()));
            }
        }
    } else {
        peer.serving.clear();
        peer.serving_bytes = 0;
        out.push_back(Output::DropServes { peer: key });
        release_if_room(out, key, peer, usize::MAX);
    }
}

/// Whoever was not listened to is heard again, if it has few enough of the most requests.
pub(super) fn release_if_room(out: &mut VecDeque<Output>, key: PeerKey, peer: &mut Peer, most: usize) {
    if peer.held && peer.requests_in() <= most / 4 {
        peer.held = false;
        out.push_back(Output::Release { peer: key });
    }
}

/// Hands the driver the first of the peer's requests that wait, if any does.
pub(super) fn serve(out: &mut VecDeque<Output>, key: PeerKey, peer: &mut Peer) -> bool {
    let Some(block) = peer.queue.pop_front() else { return false };
    peer.serving_bytes += u64::from(block.len);
    peer.serving.push_back(block);
    out.push_back(Output::Serve { peer: key, block });
    true
}

/// The driver is done with a block; `false` if it was not at it.
fn finish_serving(peer: &mut Peer, block: BlockRange) -> bool {
    let Some(at) = peer.serving.iter().position(|&serving| serving == block) else { return false };
    peer.serving.remove(at);
    peer.serving_bytes -= u64::from(block.len);
    true
}
