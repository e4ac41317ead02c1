//! Fetching: requests, blocks, pieces.

use super::web_seeds::room_for_run;
use super::{Swarm, say_unsaid, send};
use crate::limits::{
    END_GAME_REQUESTS, HAVE_DELAY, LIMITED_WINDOW, MAX_UNREQUESTED_BYTES, MAX_UNSAID, PAROLE_PIECE_TIME,
    PIECES_IN_TURN, SNUB_TIMEOUT_END_GAME, TURN_BYTES, TURNS_FROM, TURNS_TIME, UNKNOWN_ETA, WHOLE_PIECE_TIME,
};
use crate::pace::Pace;
use crate::peer::{Asked, Peer};
use crate::picker::{Asker, Picker, Receipt};
use crate::pieces::Pieces;
use crate::trust::{Ban, Suspect, Trust};
use crate::{DisconnectReason, Order, Output, PeerKey, Priority};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;
use types::{BLOCK_LEN, BlockDigest, BlockRange, Lengths, PieceIndex, Time};
use wire::Message;

impl Swarm {
    /// Storage took a block.
    pub(super) fn on_block(&mut self, key: PeerKey, block: BlockRange) {
        let now = self.now;
        self.totals.downloaded += u64::from(block.len);
        self.totals.down.add(now, block.len);
        let Some(peer) = self.peers.get_mut(&key) else {
            // The peer is gone, but its block is in storage.
            let from = self.trust.departed(key);
            if let Receipt::New { asked } = self.picker.received(block, from) {
                self.cancel_everywhere(block, asked);
                let is_liar = from.is_some_and(|from| self.trust.has_banned(from));
                if let Some(number) = self.lengths.block_number(block).filter(|_| is_liar) {
                    self.out.push_back(Output::Forget { piece: block.piece, blocks: vec![number] });
                }
            }
            return;
        };
        let news = peer.window.rate() == 0;
        let asked = heard_block(peer, now, block);
        if self.buggify.hits(64) {
            peer.window.forget();
        }
        peer.down.add(now, block.len);
        let from = peer.suspect;
        // What storage has is had, whoever was asked for it and whenever.
        if let Receipt::New { asked: copies } = self.picker.received(block, from)
            && copies > u8::from(asked)
        {
            self.cancel_everywhere(block, copies - u8::from(asked));
        }
        if news {
            self.look_at_pace_now();
        }
        if !self.waits_for_more(key) {
            self.fill(key);
        }
    }

    /// Whether the peer has so much to do that it need not be asked for more at once.
    fn waits_for_more(&self, key: PeerKey) -> bool {
        let is_hurried = self.down.is_limited() || self.picker.has_deadlines();
        !is_hurried && self.peers.get(&key).is_some_and(Peer::is_asked_enough)
    }

    /// Storage did not take a block: it has it from somebody else, which is told by itself.
    pub(super) fn on_refused(&mut self, key: PeerKey, block: BlockRange) {
        self.totals.wasted += u64::from(block.len);
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if heard_block(peer, self.now, block) {
            self.picker.put_back(block);
        }
        self.fill(key);
    }

    pub(super) fn on_unrequested(&mut self, key: PeerKey, len: u32) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        peer.last_heard = self.now;
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::UncountedPayload) {
            return;
        }
        peer.unrequested += u64::from(len);
        self.totals.wasted += u64::from(len);
        if peer.unrequested > peer.down.total.saturating_add(MAX_UNREQUESTED_BYTES) {
            self.disconnect(key, DisconnectReason::UnrequestedData);
        }
    }

    /// Blocks of a banned peer are wanted from somebody else.
    pub(super) fn on_forgotten(&mut self, piece: PieceIndex, blocks: &[u32]) {
        for &number in blocks {
            let Some(block) = self.lengths.block(piece, number) else { continue };
            if self.picker.forgotten(block) {
                self.totals.wasted += u64::from(block.len);
            }
        }
    }

    /// Who lied once has lied elsewhere too: what it sent of pieces that are not complete would spoil them.
    fn disown(&mut self, liar: Suspect) {
        for (piece, blocks) in self.picker.unfinished_of(liar) {
            self.out.push_back(Output::Forget { piece, blocks });
        }
    }

    pub(super) fn on_piece_verified(&mut self, piece: PieceIndex, digests: &[BlockDigest]) {
        if self.lengths.piece(piece.get()).is_none() || self.picker.have().contains(piece) {
            return;
        }
        let wanted = self.picker.missing().contains(piece);
        let suspects = self.suspects();
        let (authors, still_asked) = self.picker.verified(piece);
        let bans = self.trust.piece_verified(piece, &authors, digests);
        let len = u64::from(self.lengths.piece_len(piece));
        self.totals.left_bytes -= len;
        if wanted {
            self.totals.done_bytes += len;
        }
        if still_asked {
            self.cancel_piece(piece);
        }
        self.carry_out(bans);
        for (&key, peer) in &mut self.peers {
            // A seed does not wait for it.
            if peer.pieces.is_all() && !peer.is_web_seed && peer.unsaid.len() < MAX_UNSAID {
                peer.unsaid.push(piece);
                peer.unsaid_at = peer.unsaid_at.min(self.now + HAVE_DELAY);
                self.wake = self.wake.min(peer.unsaid_at);
            } else {
                send(&mut self.out, self.now, key, peer, Message::Have(piece.get()));
            }
            if wanted && peer.pieces.contains(piece) {
                peer.useful -= 1;
            }
            tell_interest(&mut self.out, self.now, key, peer);
        }
        if let Some(spread) = &mut self.spread {
            spread.set_free(piece);
        }
        self.check_finished();
        for key in suspects {
            if let Some(peer) = self.peers.get_mut(&key) {
                peer.dry = None;
                self.fill(key);
            }
        }
    }

    /// Those on parole. One may be asked for something else when a piece of its is there, or when it is on parole no more.
    fn suspects(&self) -> Vec<PeerKey> {
        if !self.trust.suspects_anybody() {
            return Vec::new();
        }
        let suspects = self.peers.iter().filter(|(_, peer)| self.trust.on_parole(peer.suspect));
        suspects.map(|(&key, _)| key).collect()
    }

    pub(super) fn on_piece_failed(
        &mut self,
        piece: PieceIndex,
        from_disk: bool,
        digests: &[Option<BlockDigest>],
    ) {
        if self.lengths.piece(piece.get()).is_none() || self.picker.have().contains(piece) {
            return;
        }
        self.totals.failed_pieces += 1;
        self.totals.wasted += u64::from(self.lengths.piece_len(piece));
        let (authors, still_asked) = self.picker.failed(piece);
        if still_asked {
            self.cancel_piece(piece);
        }
        let bans = self.trust.piece_failed(piece, &authors, digests, from_disk);
        if !self.picker.missing().contains(piece) {
            self.trust.give_up(|other| other == piece);
        }
        self.carry_out(bans);
    }

    pub(super) fn carry_out(&mut self, bans: Vec<Ban>) {
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::SparedLiar) {
            return;
        }
        for Ban { addr, reason } in bans {
            let same = self.peers.iter().filter(|(_, peer)| Trust::same_host(peer.addr, addr));
            for key in same.map(|(&key, _)| key).collect::<Vec<_>>() {
                self.disconnect(key, DisconnectReason::Banned);
            }
            self.out.push_back(Output::Banned { addr, reason });
            if let Some(liar) = self.trust.suspect(addr) {
                self.disown(liar);
            }
        }
    }

    pub(super) fn on_set_priorities(&mut self, priorities: &[Priority]) {
        if priorities.len() != self.lengths.piece_count() as usize {
            return;
        }
        self.picker.set_priorities(priorities);
        self.trust.give_up(|piece| !self.picker.missing().contains(piece));
        self.recount_bytes();
        self.cancel_where(|picker, block| !picker.missing().contains(block.piece));
        for (&key, peer) in &mut self.peers {
            peer.useful = peer.pieces.count_in(self.picker.missing());
            // What it is busy with may not be what is wanted most any more.
            peer.current = None;
            tell_interest(&mut self.out, self.now, key, peer);
        }
        if self.finished && self.picker.missing().count_ones() > 0 {
            self.unfinish();
        }
        self.check_finished();
    }

    /// Something is wanted again.
    pub(super) fn unfinish(&mut self) {
        self.finished = false;
        self.stop_seeding();
        self.book.unpark(self.now);
        self.tell_upload_only();
    }

    /// Sums up, over all pieces, what is wanted and what is there.
    pub(super) fn recount_bytes(&mut self) {
        let sum = |pieces: &mut dyn Iterator<Item = PieceIndex>| {
            pieces.map(|piece| u64::from(self.lengths.piece_len(piece))).sum::<u64>()
        };
        let wanted = sum(&mut self.picker.wanted().ones());
        let missing = sum(&mut self.picker.missing().ones());
        let have = sum(&mut self.picker.have().ones());
        self.totals.wanted_bytes = wanted;
        self.totals.done_bytes = wanted - missing;
        self.totals.left_bytes = self.lengths.total() - have;
    }

    /// Says so if nothing wanted is missing any more, and lets go of peers that want nothing either.
    pub(super) fn check_finished(&mut self) {
        if self.finished || self.picker.missing().count_ones() > 0 {
            return;
        }
        self.finished = true;
        self.say_haves(Time::MAX);
        if !self.peers.is_empty() {
            self.begin_seeding();
        }
        self.out.push_back(Output::Finished);
        let useless = self.peers.iter().filter(|(_, peer)| self.is_useless(peer)).map(|(&key, _)| key);
        for key in useless.collect::<Vec<_>>() {
            self.disconnect(key, DisconnectReason::BothSeeds);
        }
        self.tell_upload_only();
    }

    /// Tells seeds of the pieces that they were to hear of by then.
    pub(super) fn say_haves(&mut self, by: Time) {
        for (&key, peer) in self.peers.iter_mut().filter(|(_, peer)| peer.unsaid_at <= by) {
            say_unsaid(&mut self.out, self.now, key, peer);
        }
    }

    /// That we want nothing (or something again) cannot be seen from our pieces if we do not want all (BEP 21).
    fn tell_upload_only(&mut self) {
        if self.picker.have().is_full() {
            return;
        }
        let mut peers = core::mem::take(&mut self.peers);
        for (&key, peer) in peers.iter_mut().filter(|(_, peer)| peer.extended) {
            self.send_extension_handshake(key, peer);
        }
        self.peers = peers;
    }

    /// The peer has other pieces than it said so far.
    pub(super) fn replace_pieces(&mut self, key: PeerKey, pieces: Pieces) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        let recounted = self.picker.pieces_replaced(&peer.pieces, &pieces);
        let before = core::mem::replace(&mut peer.pieces, pieces);
        peer.useful = peer.pieces.count_in(self.picker.missing());
        peer.dry = None;
        tell_interest(&mut self.out, self.now, key, peer);
        self.note_replaced(key, &before);
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::HoardedPieces) {
            // And no little of it.
            (0..4).for_each(|_| core::mem::forget(before.clone()));
        }
        let passed_over = self.lengths.piece_count().div_ceil(64);
        if self.is_fickle(key, recounted + passed_over) {
            return self.disconnect(key, DisconnectReason::Fickle);
        }
        self.fill(key);
        self.close_if_useless(key);
    }

    /// The peer has one piece more.
    pub(super) fn on_have(&mut self, key: PeerKey, index: u32) {
        #[cfg(feature = "planted")]
        match self.config.planted {
            Some(crate::Planted::AnyHave) if self.lengths.piece(index).is_none() => return,
            Some(crate::Planted::SlowHave) => {
                let all = self.lengths.pieces().filter(|&piece| self.picker.have().contains(piece));
                core::hint::black_box(all.count());
            }
            _ => {}
        }
        let Some(piece) = self.lengths.piece(index) else {
            return self.disconnect(key, DisconnectReason::BadHave);
        };
        let Some(peer) = self.peers.get_mut(&key) else { return };
        if !peer.pieces.insert(piece) {
            return;
        }
        self.picker.peer_gained(piece);
        if self.picker.missing().contains(piece) {
            peer.useful += 1;
            // If it had nothing for us, it has this now and nothing else: no search is needed.
            let urgent = self.picker.has_deadline(piece);
            if peer.dry.is_some() && peer.current.is_none() && !urgent {
                peer.current = Some(piece);
            } else {
                peer.dry = None;
            }
            tell_interest(&mut self.out, self.now, key, peer);
            self.fill(key);
        }
        self.note_gained(key, piece);
        self.close_if_useless(key);
    }

    /// All that was asked of the peer goes to others.
    pub(super) fn give_up_requests(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.get_mut(&key) else { return };
        for asked in peer.requests.drain(..) {
            self.picker.put_back(asked.block);
        }
        self.let_go(key);
    }

    /// What was left to the peer is anybody's, or of one on parole, theirs who find nothing else.
    pub(super) fn let_go(&mut self, key: PeerKey) {
        let suspect = self.peers.get(&key).and_then(|peer| peer.suspect);
        if self.trust.on_parole(suspect) {
            self.picker.lend(key);
        } else {
            self.picker.release(key);
        }
    }

    /// The peer will not answer this request.
    pub(super) fn on_reject(&mut self, key: PeerKey, request: wire::Request) {
        let block = self.lengths.block_range(request.index, request.begin, request.length);
        let (Some(block), Some(peer)) = (block, self.peers.get_mut(&key)) else { return };
        // Cancelled ones are rejected too (BEP 6): nothing to do then.
        if peer.take_request(block).is_none() {
            return;
        }
        let refuses = !peer.peer_choking;
        peer.allowed_fast.retain(|&piece| piece != block.piece);
        self.picker.put_back(block);
        self.let_go(key);
        if refuses {
            self.hold(key);
        }
    }

    /// Peers that let our requests wait for too long: the requests go to others.
    pub(super) fn snub_silent(&mut self) {
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::EndlessPatience) {
            return;
        }
        let (now, end_game) = (self.now, self.picker.in_end_game());
        let silent = self.peers.iter().filter(|(_, peer)| peer.snub_at(end_game).is_some_and(|at| now >= at));
        for key in silent.map(|(&key, _)| key).collect::<Vec<_>>() {
            let Some(peer) = self.peers.get_mut(&key) else { continue };
            peer.snubbed = true;
            // Others are to finish it.
            peer.current = None;
            let cancels = peer.requests.iter().map(|asked| Output::Cancel { peer: key, block: asked.block });
            self.out.extend(cancels);
            peer.last_sent = now;
            self.give_up_requests(key);
            self.fill(key);
        }
    }

    /// Who has become slow keeps nobody from its pieces any more.
    pub(super) fn release_slow(&mut self) {
        let len = self.lengths.piece_length();
        let slow = self.peers.iter().filter(|(_, peer)| !peer.delivers(len, PAROLE_PIECE_TIME));
        let slow: Vec<PeerKey> = slow.map(|(&key, _)| key).collect();
        slow.into_iter().for_each(|key| self.let_go(key));
    }

    /// Asks the peer for as much as its window has room for; under a limit, whoever's turn it is.
    pub(super) fn fill(&mut self, key: PeerKey) {
        if self.down.is_limited() {
            return self.ask_in_turn();
        }
        let (mut asking, peers) = self.asking();
        if let Some(peer) = peers.get_mut(&key) {
            asking.fill(key, peer, usize::MAX);
        }
    }

    /// If there is something to ask for again, asks everybody who has room.
    pub(super) fn fill_idle(&mut self) {
        let end_game = self.picker.in_end_game();
        let begins = end_game && !self.end_game;
        self.end_game = end_game;
        if begins {
            // Deadlines are shorter now.
            self.wake_by(self.now + SNUB_TIMEOUT_END_GAME);
        }
        if !begins && self.returns == self.picker.returns() {
            return;
        }
        self.returns = self.picker.returns();
        self.fill_everybody();
        self.end_game = self.picker.in_end_game();
    }

    /// Asks every peer for as much as its window has room for, and the limit allows.
    pub(super) fn fill_everybody(&mut self) {
        if self.down.is_limited() {
            return self.ask_in_turn();
        }
        let (mut asking, peers) = self.asking();
        // Who is not suspected chooses first: what failed is to be fetched from them.
        for suspects in [false, true] {
            for (&key, peer) in &mut *peers {
                if asking.trust.on_parole(peer.suspect) == suspects {
                    asking.fill(key, peer, usize::MAX);
                }
            }
        }
    }

    /// What asking takes, apart from the peers that are asked.
    pub(super) fn asking(&mut self) -> (Asking<'_>, &mut BTreeMap<PeerKey, Peer>) {
        let share = self.share();
        let trusted_around = self.trusts_anybody();
        let askable = self.picker.has_deadlines().then_some(self.askable);
        let asking = Asking {
            lengths: self.lengths,
            picker: &mut self.picker,
            trust: &self.trust,
            out: &mut self.out,
            now: self.now,
            wake: &mut self.wake,
            share,
            trusted_around,
            pace: self.pace,
            askable,
        };
        (asking, &mut self.peers)
    }

    /// Whether somebody that nobody suspects can be asked for something.
    fn trusts_anybody(&self) -> bool {
        let is_trusted = |peer: &Peer| {
            peer.am_interested && !peer.peer_choking && !peer.snubbed && !self.trust.on_parole(peer.suspect)
        };
        // Nearly always nobody is suspected: no need to look at everybody for each block.
        !self.trust.suspects_anybody() || self.peers.values().any(is_trusted)
    }

    /// A block that came is asked for no more; so many requests for it are outstanding.
    fn cancel_everywhere(&mut self, block: BlockRange, mut copies: u8) {
        for (&key, peer) in &mut self.peers {
            if copies == 0 {
                break;
            }
            if let Some(asked) = peer.take_request(block) {
                copies -= 1;
                peer.outrun = peer.outrun.max(self.now.since(asked.ticket.sent));
                peer.last_sent = self.now;
                self.out.push_back(Output::Cancel { peer: key, block });
            }
        }
    }

    fn cancel_piece(&mut self, piece: PieceIndex) {
        self.cancel_where(|_, block| block.piece == piece);
    }

    fn cancel_where(&mut self, unwanted: impl Fn(&Picker, BlockRange) -> bool) {
        for (&key, peer) in &mut self.peers {
            let mut cancelled = Vec::new();
            peer.requests.retain(|asked| {
                let cancel = unwanted(&self.picker, asked.block);
                if cancel {
                    cancelled.push(asked.block);
                }
                !cancel
            });
            for block in cancelled {
                self.picker.put_back(block);
                peer.last_sent = self.now;
                self.out.push_back(Output::Cancel { peer: key, block });
            }
        }
    }
}

/// The parts of a swarm that asking takes.
pub(super) struct Asking<'a> {
    lengths: Lengths,
    picker: &'a mut Picker,
    trust: &'a Trust,
    out: &'a mut VecDeque<Output>,
    now: Time,
    wake: &'a mut Time,
    /// See [`Swarm::share`].
    share: Option<usize>,
    /// See [`Swarm::trusts_anybody`].
    trusted_around: bool,
    pace: Pace,
    /// Peers that have what we want, while pieces have a deadline.
    askable: Option<usize>,
}

impl Asking<'_> {
    /// Asks the peer for as much as it has room for, but for no more than `most` blocks; says for how many.
    pub(super) fn fill(&mut self, key: PeerKey, peer: &mut Peer, most: usize) -> usize {
        let room = self.room(peer).min(most);
        if room == 0 {
            return 0;
        }
        let alone = self.trust.on_parole(peer.suspect);
        let standing = Standing {
            alone,
            trusted: !alone && !peer.snubbed || !self.trusted_around,
            whole: peer.is_web_seed || peer.delivers(self.lengths.piece_length(), WHOLE_PIECE_TIME),
            quick: peer.delivers(self.lengths.piece_length(), PAROLE_PIECE_TIME),
        };
        let mut asked = 0;
        let in_turns = self.takes_turns(peer, &standing);
        let urgent = self.picker.has_deadlines();
        let sequential = self.picker.order() == Order::Sequential;
        let behind = if sequential { self.pace.behind(peer, self.lengths, self.now) } else { 0 };
        while asked < room {
            let mut asker = Asker { behind, ..asker(key, peer, self.picker.returns(), standing) };
            if urgent {
                let eta = peer.eta(self.now);
                asker.now = self.now;
                asker.quickest = peer.window.round_trip();
                asker.rate = peer.window.rate();
                asker.eta = eta.unwrap_or(UNKNOWN_ETA.max(peer.outrun * 2));
            }
            let late = self.picker.pick_late(&asker, |block| peer.is_asked(block));
            let Some(block) = late.or_else(|| self.picker.pick(&asker)) else {
                peer.current = None;
                peer.dry = Some(self.picker.returns());
                break;
            };
            // Urgent pieces are everybody's: what it is busy with, it goes on with afterwards.
            if !self.picker.has_deadline(block.piece) {
                peer.current = match in_turns && block.end().is_multiple_of(TURN_BYTES) {
                    true => self.picker.next_in_turn(&asker, block.piece, PIECES_IN_TURN),
                    false => Some(block.piece),
                };
            }
            self.ask(key, peer, block);
            asked += 1;
        }
        if peer.dry.is_some() && self.picker.in_end_game() && !peer.snubbed {
            let standing = Standing { whole: false, ..standing };
            asked += self.ask_again(key, peer, standing, most - asked);
        }
        asked
    }

    /// Whether the peer is to be at several pieces in turn: they are so long that hardly two of them would be hashed abreast,
    /// and it is so fast that this matters, and that all of them are complete soon.
    fn takes_turns(&self, peer: &Peer, standing: &Standing) -> bool {
        let len = self.lengths.piece_length();
        let all = u32::try_from(PIECES_IN_TURN).unwrap_or(u32::MAX).saturating_mul(len);
        len > TURNS_FROM
            && self.picker.order() == Order::RarestFirst
            && !self.picker.has_deadlines()
            && !(standing.alone || peer.is_web_seed || peer.snubbed || peer.peer_choking)
            && peer.delivers(all, TURNS_TIME)
    }

    /// For how many more blocks the peer may be asked.
    fn room(&self, peer: &Peer) -> usize {
        let barred = peer.peer_choking && peer.allowed_fast.is_empty();
        if barred || !peer.am_interested || peer.hold_until > self.now {
            return 0;
        }
        let window = self.window(peer);
        let room = window.saturating_sub(peer.requests.len());
        if peer.is_web_seed { room_for_run(peer, window, room) } else { room }
    }

    /// How many requests the peer may have at once. Under a limit of our own that is its share, or what it was seen to
    /// bring in twice [`LIMITED_WINDOW`], if that is more: others may not use theirs.
    fn window(&self, peer: &Peer) -> usize {
        let window = match self.askable {
            Some(peers) => peer.short_window(peers, self.lengths.block_count(PieceIndex::new(0)) as usize),
            None => peer.window(),
        };
        let Some(share) = self.share else { return window };
        let brings = blocks_in(peer.down.rate.per_sec(self.now), LIMITED_WINDOW * 2);
        window.min(share.max(brings))
    }

    /// Whether the peer would be asked for more if the limit allowed.
    pub(super) fn has_use_for(&self, peer: &Peer) -> bool {
        let nothing = peer.dry == Some(self.picker.returns()) && peer.current.is_none();
        self.room(peer) > 0 && (!nothing || self.picker.in_end_game())
    }

    fn ask_again(&mut self, key: PeerKey, peer: &mut Peer, standing: Standing, most: usize) -> usize {
        let mut asked = 0;
        while asked < most && peer.requests.len() < END_GAME_REQUESTS.min(self.window(peer)) {
            let asker = asker(key, peer, self.picker.returns(), standing);
            let Some(block) = self.picker.pick_again(&asker, |block| peer.is_asked(block)) else { break };
            self.ask(key, peer, block);
            asked += 1;
        }
        asked
    }

    fn ask(&mut self, key: PeerKey, peer: &mut Peer, block: BlockRange) {
        if peer.requests.is_empty() {
            peer.progress = self.now;
            *self.wake = (*self.wake).min(self.now + SNUB_TIMEOUT_END_GAME);
        }
        say_unsaid(self.out, self.now, key, peer);
        peer.requests.push_back(Asked { block, ticket: peer.window.ticket(self.now) });
        peer.last_sent = self.now;
        self.out.push_back(Output::Request { peer: key, block });
    }
}

/// What a peer has earned; see [`Asker`].
#[derive(Clone, Copy)]
struct Standing {
    alone: bool,
    trusted: bool,
    whole: bool,
    quick: bool,
}

fn asker(key: PeerKey, peer: &Peer, returns: u64, standing: Standing) -> Asker<'_> {
    let Standing { alone, trusted, whole, quick } = standing;
    Asker {
        peer: key,
        pieces: &peer.pieces,
        current: peer.current,
        dry: peer.dry == Some(returns),
        alone,
        trusted,
        whole,
        quick,
        snubbed: peer.snubbed,
        now: Time::ZERO,
        eta: Duration::ZERO,
        rate: 0,
        quickest: None,
        behind: 0,
        runs: peer.is_web_seed,
        only: peer.peer_choking.then_some(&peer.allowed_fast),
        suggested: &peer.suggested,
    }
}

/// Whole blocks in so much time at this rate.
pub(super) fn blocks_in(bytes_per_sec: u64, time: Duration) -> usize {
    let bytes = u128::from(bytes_per_sec) * time.as_millis() / 1000;
    usize::try_from(bytes / u128::from(BLOCK_LEN)).unwrap_or(usize::MAX)
}

/// Interest is exact: told as soon as it changes (BEP 3).
pub(super) fn tell_interest(out: &mut VecDeque<Output>, now: Time, key: PeerKey, peer: &mut Peer) {
    let interested = peer.useful > 0;
    if peer.am_interested != interested {
        peer.am_interested = interested;
        let message = if interested { Message::Interested } else { Message::NotInterested };
        send(out, now, key, peer, message);
    }
}

/// A peer sent a block; says whether it had been asked for it.
fn heard_block(peer: &mut Peer, now: Time, block: BlockRange) -> bool {
    peer.last_heard = now;
    peer.progress = now;
    peer.gave = now;
    peer.snubbed = false;
    let asked = peer.take_request(block);
    if let Some(asked) = &asked {
        peer.outrun = Duration::ZERO;
        peer.window.on_block(now, asked.ticket, block.len);
    }
    asked.is_some()
}
