//! The brain: every input comes in here, every output leaves from here.
//!
//! This file holds the state, the connections and the deadlines; what peers say is in `messages`, fetching in
//! `download`, web seeds in `web_seeds`, serving in `upload`, what the torrent is in `metadata`, what a seed gives to whom in `seeding`, limits in `pace`.

mod download;
mod exchange;
mod holepunch;
mod invariants;
mod lost;
mod messages;
mod metadata;
mod seeding;
#[cfg(test)]
mod tests;
mod turnover;
mod turns;
mod upload;
mod web_seeds;
mod wishes;

use crate::book::Book;
use crate::buggify::Buggify;
use crate::choker::Choker;
use crate::dial_guard::host;
use crate::limits::{
    HELD_PATIENCE, METADATA_TURNOVER_INTERVAL, NEED_PEERS_INTERVAL, REJECT_PAUSE, REPLACE_AFTER, SHOW_IDLE,
    SNUB_TIMEOUT_END_GAME,
};
use crate::pace::Pace;
use crate::peer::Peer;
use crate::picker::Picker;
use crate::priority::{External, Voter};
use crate::rate::Rate;
use crate::source::Sources;
use crate::spread::Spread;
use crate::super_seed::SuperSeed;
use crate::trust::Trust;
use crate::{
    Config, DisconnectReason, Greeting, Input, Output, PeerKey, PeerSource, PeerView, Stats, Supply,
};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use fastrand::Rng;
use metadata::{Metadata, Unknown};
use turns::Line;
use types::{Bitfield, Lengths, PeerId, PieceIndex, Time};
use wire::{Message, Reserved, ext};

/// The brain of one torrent. See the [crate's page](crate) for how it is driven.
#[derive(Debug)]
pub struct Swarm {
    config: Config,
    lengths: Lengths,
    now: Time,
    rng: Rng,
    out: VecDeque<Output>,
    peers: BTreeMap<PeerKey, Peer>,
    picker: Picker,
    choker: Choker,
    book: Book,
    trust: Trust,
    buggify: Buggify,
    external: External,
    /// While we want nothing and somebody is here: what is given to whom.
    spread: Option<Spread>,
    /// While we super seed (BEP 16).
    super_seed: Option<SuperSeed>,
    /// As long as only the info-hash is known.
    unknown: Option<Unknown>,
    metadata: Metadata,
    totals: Totals,
    down: Line,
    up: Line,
    paused: bool,
    /// Every wanted piece is there, and that was said.
    finished: bool,
    /// The picker was in its end game when peers were last given something to do.
    end_game: bool,
    /// What the picker's `returns` were then.
    returns: u64,
    /// Of the peers that we could ask for something, when that was last looked at.
    pace: Pace,
    /// How many peers had what we want then.
    askable: usize,
    /// When it is to be looked at again.
    pace_at: Time,
    /// When deadlines of peers and of the choker are to be looked at next; never later than the first of them.
    wake: Time,
    next_need: Time,
    /// When a peer is to be told of others next; never later than the first of them.
    exchange_at: Time,
}

/// Sums over the life of the swarm.
#[derive(Debug)]
struct Totals {
    wanted_bytes: u64,
    done_bytes: u64,
    left_bytes: u64,
    downloaded: u64,
    uploaded: u64,
    wasted: u64,
    failed_pieces: u64,
    down: Rate<5>,
    up: Rate<5>,
}

/// The number that `lt_donthave` messages to us carry (BEP 54, 10): libtorrent's.
const DONT_HAVE_ID: u8 = 7;

/// The number that `ut_metadata` messages to us carry (BEP 9, 10): libtorrent's.
const METADATA_ID: u8 = 2;

/// The connections that are worth asking for more addresses.
const ENOUGH_PEERS: usize = 30;

impl Swarm {
    /// A swarm that has the pieces in `have` (an empty set if its length is not the torrent's) and wants them
    /// all. If it has them all, [`Output::Finished`] is its first output.
    pub fn new(config: Config, lengths: Lengths, have: Bitfield, seed: u64, now: Time) -> Swarm {
        let mut rng = Rng::with_seed(seed);
        let buggify = Buggify::new(config.buggify, seed);
        let count = lengths.piece_count();
        let have = if have.len() == count { have } else { Bitfield::new(count) };
        let mut swarm = Swarm {
            choker: Choker::new(config.upload_slots, now),
            picker: Picker::new(lengths, have, rng.fork()),
            book: Book::new(rng.fork()),
            external: External::new(&config.external, config.listen_ports),
            unknown: None,
            metadata: Metadata::new(config.max_up, now),
            down: Line::new(config.max_down, now),
            up: Line::new(config.max_up, now),
            config,
            lengths,
            now,
            rng,
            out: VecDeque::new(),
            peers: BTreeMap::new(),
            trust: Trust::default(),
            buggify,
            spread: None,
            super_seed: None,
            totals: Totals {
                wanted_bytes: 0,
                done_bytes: 0,
                left_bytes: 0,
                downloaded: 0,
                uploaded: 0,
                wasted: 0,
                failed_pieces: 0,
                down: Rate::new(),
                up: Rate::new(),
            },
            paused: false,
            finished: false,
            end_game: false,
            returns: 0,
            pace: Pace::default(),
            askable: 0,
            pace_at: Time::ZERO,
            wake: Time::MAX,
            next_need: now + NEED_PEERS_INTERVAL,
            exchange_at: Time::MAX,
        };
        swarm.book.set_ours(swarm.external.ours());
        #[cfg(feature = "planted")]
        swarm.picker.plant(swarm.config.planted);
        swarm.recount_bytes();
        swarm.check_finished();
        if swarm.config.super_seed {
            swarm.on_set_super_seed(true);
        }
        swarm
    }

    /// Tells what happened at `now`, which must not run backwards.
    pub fn handle(&mut self, now: Time, input: Input<'_>) {
        self.now = self.now.max(now);
        self.note_passed(&input);
        match input {
            Input::Message { peer, message } => self.on_message(peer, message),
            Input::BlockReceived { peer, block } => self.on_block(peer, block),
            Input::BlockRefused { peer, block } => self.on_refused(peer, block),
            Input::BlocksForgotten { piece, blocks } => self.on_forgotten(piece, blocks),
            Input::BlockSent { peer, block } => self.on_block_sent(peer, block),
            Input::ServeFailed { peer, block } => self.on_serve_failed(peer, block),
            Input::Unrequested { peer, block } => self.on_unrequested(peer, block.len),
            Input::PieceVerified { piece, digests } => self.on_piece_verified(piece, digests),
            Input::PieceFailed { piece, from_disk, digests } => {
                self.on_piece_failed(piece, from_disk, digests);
            }
            Input::PieceLost { piece } => self.on_piece_lost(piece),
            Input::PeerConnected { peer, addr, outgoing, peer_id, reserved } => {
                self.on_connected(peer, addr, outgoing, peer_id, reserved);
            }
            Input::WebSeedReady { peer, addr, pieces } => self.on_web_seed(peer, addr, pieces),
            Input::PeerClosed { peer } => self.forget(peer),
            Input::ConnectFailed { addr } => self.book.failed(addr, self.now),
            Input::PeersFound { addrs, source } => self.on_peers_found(addrs, source),
            Input::ExternalAddress { voice, ip } => self.on_external(Voter::Other(voice), ip),
            Input::SetPriorities(priorities) => self.on_set_priorities(priorities),
            Input::SetDeadline { piece, at } => self.on_set_deadline(piece, at),
            Input::SetOrder(order) => self.on_set_order(order),
            Input::SetPartial { piece, blocks } => self.picker.set_partial(piece, blocks),
            Input::SetSuperSeed(on) => self.on_set_super_seed(on),
            Input::SetLimits(limits) => self.on_set_limits(limits),
            Input::Pause => self.on_pause(),
            Input::Resume => self.paused = false,
        }
        self.settle();
    }

    /// Lets deadlines pass. To be called at [`poll_timeout`](Self::poll_timeout); earlier or later is harmless.
    pub fn handle_timeout(&mut self, now: Time) {
        self.now = self.now.max(now);
        self.settle();
    }

    /// The next thing to do. To be asked until `None` after each `handle` and `handle_timeout`.
    pub fn poll_output(&mut self) -> Option<Output> {
        let output = self.out.pop_front();
        match &output {
            Some(output) => self.note_said(output),
            // Most torrents have nobody to say anything to most of the time.
            None if self.peers.is_empty() => self.out = VecDeque::new(),
            None => {}
        }
        output
    }

    /// When to call [`handle_timeout`](Self::handle_timeout) if nothing happens before; `None`: never.
    pub fn poll_timeout(&self) -> Option<Time> {
        let dial = self.may_dial().then(|| self.book.next_due()).flatten();
        let need = self.needs_peers().then_some(self.next_need);
        let pace = self.minds_pace().then_some(self.pace_at);
        let held = [self.down.held(), self.up.held()].into_iter().flatten().min();
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::LostWakeUp) {
            return [dial, need, held, pace].into_iter().flatten().min();
        }
        let metadata = self.metadata_due();
        let exchange = self.exchange_due();
        let wake = [Some(self.wake), dial, need, held, pace, metadata, exchange].into_iter().flatten().min();
        wake.filter(|&at| at != Time::MAX)
    }

    /// Numbers, as of `now`.
    pub fn stats(&self, now: Time) -> Stats {
        let have = self.picker.have();
        let Totals { wanted_bytes, done_bytes, left_bytes, downloaded, uploaded, .. } = self.totals;
        let (interested, served) =
            (self.peers.values().filter(|peer| peer.wants()).count(), self.slots_used());
        Stats {
            have_pieces: have.count_ones(),
            wanted_pieces: self.picker.wanted().count_ones(),
            wanted_bytes,
            done_bytes,
            left_bytes,
            downloaded,
            uploaded,
            wasted: self.totals.wasted,
            rate_down: self.totals.down.per_sec(now),
            rate_up: self.totals.up.per_sec(now),
            line_down: self.down.passed(),
            line_up: self.up.passed(),
            held_down: self.down.held().is_some(),
            held_up: self.up.held().is_some(),
            held_slots: served >= self.choker.slots() && interested > served,
            peers: self.peers.len(),
            interested,
            seeds: self.peers.values().filter(|peer| peer.pieces.is_all()).count(),
            unchoked: self.peers.values().filter(|peer| !peer.am_choking).count(),
            connecting: self.book.dialing(),
            known: self.book.len(),
            banned: self.trust.banned(),
            partial_pieces: self.picker.begun(),
            failed_pieces: self.totals.failed_pieces,
            finished: self.finished,
            super_seeding: self.super_seed.is_some(),
            paused: self.paused,
        }
    }

    /// Every connection, in the order of their keys, as of `now`.
    pub fn peers(&self, now: Time) -> impl Iterator<Item = PeerView<'_>> {
        self.peers.iter().map(move |(&key, peer)| peer.view(key, self.trust.on_parole(peer.suspect), now))
    }

    /// How every connection began, in the order of their keys.
    pub fn greetings(&self) -> impl Iterator<Item = Greeting<'_>> {
        self.peers.iter().map(move |(&key, peer)| self.greeting(key, peer))
    }

    fn greeting<'a>(&self, key: PeerKey, peer: &'a Peer) -> Greeting<'a> {
        let its = [
            (ext::LT_DONTHAVE, peer.dont_have),
            (ext::UT_METADATA, peer.metadata_id),
            (ext::UT_PEX, peer.exchange.id()),
            (ext::UT_HOLEPUNCH, peer.holepunch),
        ];
        let numbers = |of: [(&'static str, Option<u8>); 4]| {
            let known = of.into_iter().filter(|_| peer.extended);
            known.filter_map(|(name, id)| Some((name, id?))).collect()
        };
        Greeting {
            peer: key,
            addr: peer.addr,
            outgoing: peer.outgoing,
            is_web_seed: peer.is_web_seed,
            peer_id: peer.peer_id,
            reserved: peer.reserved,
            client: peer.client.as_deref(),
            to_us: numbers(self.offers(peer)),
            to_it: numbers(its),
        }
    }

    /// What a peer may send us messages of (BEP 10), and the numbers that they have.
    fn offers(&self, peer: &Peer) -> [(&'static str, Option<u8>); 4] {
        [
            (ext::LT_DONTHAVE, Some(DONT_HAVE_ID)),
            (ext::UT_METADATA, self.offers_metadata().then_some(METADATA_ID)),
            (ext::UT_PEX, peer.exchange.is_offered.then_some(exchange::PEX_ID)),
            (ext::UT_HOLEPUNCH, self.tells_of_peers().then_some(holepunch::HOLEPUNCH_ID)),
        ]
    }

    fn offers_metadata(&self) -> bool {
        self.config.metadata_size.is_some() || self.unknown.is_some()
    }

    /// The pieces that are begun and not verified.
    pub fn begun(&self) -> impl Iterator<Item = PieceIndex> + '_ {
        self.picker.begun_pieces()
    }

    /// What becomes of what is missing. Looks at every piece.
    pub fn supply(&self) -> Supply {
        self.picker.supply()
    }

    /// Up to so many addresses to begin with when the torrent comes again: peers were there when they were dialed.
    pub fn worth_trying(&self, most: usize) -> Vec<SocketAddr> {
        self.book.worth_trying(most)
    }

    /// Every peer of which it is known where it is.
    pub fn known(&self) -> impl Iterator<Item = SocketAddr> + '_ {
        self.book.addrs()
    }

    /// The pieces that are verified.
    pub fn have(&self) -> &Bitfield {
        self.picker.have()
    }

    /// Whether everything that can be asked for is asked for, so that blocks are asked for more than once.
    pub fn in_end_game(&self) -> bool {
        self.picker.in_end_game()
    }

    /// What follows from any input: deadlines, idle peers, free connections.
    fn settle(&mut self) {
        if self.now >= self.wake {
            self.on_deadline();
        }
        self.go_on_if_due();
        self.look_at_pace();
        self.fill_idle();
        self.show_pieces();
        self.ask_for_metadata();
        self.serve_metadata();
        self.tell_of_peers();
        while self.may_dial()
            && let Some(addr) = self.book.next(self.now)
        {
            if self.trust.is_banned(addr) {
                self.book.never(addr);
            } else {
                self.out.push_back(Output::Connect { addr });
            }
        }
        if self.needs_peers() && self.now >= self.next_need {
            self.next_need = self.now + NEED_PEERS_INTERVAL;
            self.out.push_back(Output::NeedPeers);
        }
    }

    fn may_dial(&self) -> bool {
        let dialing = self.book.dialing();
        self.config.dial
            && !self.paused
            && dialing < self.config.max_half_open
            && self.peers.len() + dialing < self.config.max_peers
    }

    fn needs_peers(&self) -> bool {
        let enough = self.config.max_peers.min(ENOUGH_PEERS);
        !self.finished
            && self.peers.len() < enough
            && self.may_dial()
            && self.book.next_due().is_none_or(|due| due > self.now)
    }

    /// Looks at every deadline, and finds the next.
    fn on_deadline(&mut self) {
        self.close_idle();
        self.turn_over();
        self.say_haves(self.now);
        self.send_keepalives();
        self.snub_silent();
        self.release_slow();
        self.withdraw_stale();
        self.end_turns_of_held();
        if self.now >= self.choker.next_round() && self.anybody_to_choke() {
            self.choke_round();
        }
        self.fill_everybody();
        self.wake = Time::MAX;
        let end_game = self.picker.in_end_game();
        for peer in self.peers.values() {
            let mut first = peer.idle_at().min(peer.keepalive_at()).min(peer.unsaid_at);
            if let Some(snub) = peer.snub_at(end_game) {
                // One that has passed is so because the end game began only now: patience is shorter from here on.
                let passed = snub <= self.now;
                first = first.min(if passed { self.now + SNUB_TIMEOUT_END_GAME } else { snub });
            }
            if peer.hold_until > self.now {
                first = first.min(peer.hold_until);
            }
            if let Some(until) = peer.held_until() {
                // One that has passed is looked at again: others may come.
                first = first.min(if until > self.now { until } else { self.now + HELD_PATIENCE });
            }
            self.wake = self.wake.min(first);
        }
        if let Some(at) = self.turnover_at() {
            self.wake_by(at);
        }
        if self.super_seed.is_some() && !self.peers.is_empty() {
            self.wake = self.wake.min(self.now + SHOW_IDLE);
        }
        if self.anybody_to_choke() {
            self.wake = self.wake.min(self.choker.next_round());
        }
    }

    fn wake_by(&mut self, at: Time) {
        self.wake = self.wake.min(at);
    }

    fn close_idle(&mut self) {
        let now = self.now;
        let idle = self.peers.iter().filter(|(_, peer)| now >= peer.idle_at()).map(|(&key, _)| key);
        for key in idle.collect::<Vec<_>>() {
            self.disconnect(key, DisconnectReason::Idle);
        }
    }

    fn send_keepalives(&mut self) {
        for (&key, peer) in &mut self.peers {
            if self.now >= peer.keepalive_at() {
                send(&mut self.out, self.now, key, peer, Message::KeepAlive);
            }
        }
    }
}

/// Connections.
impl Swarm {
    fn on_connected(
        &mut self,
        key: PeerKey,
        addr: SocketAddr,
        outgoing: bool,
        peer_id: PeerId,
        reserved: Reserved,
    ) {
        if self.peers.contains_key(&key) {
            return;
        }
        if outgoing {
            self.book.answered(addr);
        }
        let mut listens = outgoing.then_some(addr);
        if let Err(reason) = self.admit(addr, outgoing, peer_id, &mut listens) {
            self.out.push_back(Output::Disconnect { peer: key, reason });
            match reason {
                DisconnectReason::Duplicate if self.peers.values().any(|peer| peer.listens == Some(addr)) => {
                }
                DisconnectReason::Ourselves | DisconnectReason::Banned => self.book.never(addr),
                _ => self.book.closed(addr, self.now, false),
            }
            return;
        }
        let mut peer = Peer::new(self.now, addr, peer_id, self.lengths.piece_count());
        peer.outgoing = outgoing;
        peer.reserved = reserved;
        peer.fast = reserved.fast();
        peer.listens = listens;
        if self.buggify.hits(8) {
            self.trust.forget_one();
        }
        peer.suspect = self.trust.connected(addr);
        self.picker.peer_came(&peer.pieces);
        self.note_came(&mut peer);
        self.introduce(key, &mut peer, reserved);
        self.wake_by(peer.keepalive_at());
        if self.unknown.is_some() {
            self.wake_by(self.now + METADATA_TURNOVER_INTERVAL);
        }
        self.peers.insert(key, peer);
        self.note_peers_changed();
    }

    /// Whether one more connection with this peer is wanted. Another with the same peer, at the same host, may be closed for
    /// it, and leaves it the address at which the peer `listens`.
    fn admit(
        &mut self,
        addr: SocketAddr,
        outgoing: bool,
        peer_id: PeerId,
        listens: &mut Option<SocketAddr>,
    ) -> Result<(), DisconnectReason> {
        #[cfg(feature = "planted")]
        match self.config.planted {
            Some(crate::Planted::OwnFriend) if peer_id == self.config.peer_id => return Ok(()),
            Some(crate::Planted::Twins) if self.peers.values().any(|peer| peer.peer_id == peer_id) => {
                return Ok(());
            }
            _ => {}
        }
        if peer_id == self.config.peer_id {
            return Err(DisconnectReason::Ourselves);
        }
        if self.trust.is_banned(addr) {
            return Err(DisconnectReason::Banned);
        }
        if self.paused {
            return Err(DisconnectReason::Paused);
        }
        if outgoing && self.config.private && !self.book.knows(addr) {
            return Err(DisconnectReason::Private);
        }
        // Ids are no secret: who has the id of somebody at another host may be anybody.
        let is_twin = |peer: &Peer| {
            peer.peer_id == peer_id && !peer.is_web_seed && host(peer.addr.ip()) == host(addr.ip())
        };
        let twin = self.peers.iter_mut().find(|(_, peer)| is_twin(peer));
        if let Some((&key, twin)) = twin {
            // When both sides dialed at once, both keep the connection that the greater id dialed.
            let keep_new = twin.outgoing != outgoing && outgoing == (self.config.peer_id > peer_id);
            let known = twin.listens.or(*listens);
            (*listens, twin.listens) = if keep_new { (known, None) } else { (None, known) };
            if !keep_new {
                return Err(DisconnectReason::Duplicate);
            }
            self.disconnect(key, DisconnectReason::Duplicate);
        }
        if self.peers.len() >= self.config.max_peers {
            let (goes, reason) = match self.spare_of_crowd(addr) {
                Some(spare) => (spare, DisconnectReason::Crowd),
                None => {
                    let worse = self.outranked(listens.unwrap_or(addr));
                    (worse.ok_or(DisconnectReason::TooManyPeers)?, DisconnectReason::Outranked)
                }
            };
            self.disconnect(goes, reason);
        }
        Ok(())
    }

    /// The connection of lowest priority (BEP 40), if one with `addr` has a higher one: of those that have lasted for a
    /// while, are of no use, and are not the user's wish.
    fn outranked(&self, addr: SocketAddr) -> Option<PeerKey> {
        let ours = self.external.ours();
        let mine = ours.priority(addr)?;
        let idle = self.peers.iter().filter(|(_, peer)| {
            self.now.since(peer.came) >= REPLACE_AFTER
                && !peer.is_web_seed
                && !peer.is_in_use(self.now)
                && !peer.listens.is_some_and(|addr| self.book.is_users(addr))
        });
        let ranked =
            idle.filter_map(|(&key, peer)| Some((ours.priority(peer.listens.unwrap_or(peer.addr))?, key)));
        ranked.min().filter(|&(lowest, _)| lowest < mine).map(|(_, key)| key)
    }

    /// What we have, before anything else (BEP 3, 6), then the extension handshake (BEP 10).
    fn introduce(&mut self, key: PeerKey, peer: &mut Peer, reserved: Reserved) {
        let nothing = Bitfield::new(self.lengths.piece_count());
        let have = if self.super_seed.is_some() { &nothing } else { self.picker.have() };
        let message = if peer.fast && have.is_full() {
            Some(Message::HaveAll)
        } else if peer.fast && have.count_ones() == 0 {
            Some(Message::HaveNone)
        } else if have.count_ones() > 0 {
            Some(Message::Bitfield(have.as_bytes().to_vec().into()))
        } else {
            None
        };
        if let Some(message) = message {
            send(&mut self.out, self.now, key, peer, message);
        }
        if reserved.extended() {
            peer.extended = true;
            self.send_extension_handshake(key, peer);
        }
        peer.dht = reserved.dht();
        self.send_dht_port(key, peer);
    }

    /// Tells a peer that has a DHT node where ours is (BEP 5).
    fn send_dht_port(&mut self, key: PeerKey, peer: &mut Peer) {
        let port = of_its_family(self.config.dht_ports, peer);
        if peer.dht && port != 0 {
            send(&mut self.out, self.now, key, peer, Message::Port(port));
        }
    }

    fn send_extension_handshake(&mut self, key: PeerKey, peer: &mut Peer) {
        let client = Some(&self.config.client).filter(|name| !name.is_empty()).cloned();
        let hears = self.hears_of_peers();
        // Who was told before that we want to hear of peers is told if we do not.
        let withdrawn = core::mem::replace(&mut peer.exchange.is_offered, hears) && !hears;
        let offered = self.offers(peer).into_iter().filter_map(|(name, id)| Some((name, id?)));
        let m = offered.chain(withdrawn.then_some((ext::UT_PEX, 0)));
        let m = m.map(|(name, id)| (name.into(), id)).collect();
        let handshake = ext::Handshake {
            m,
            client,
            metadata_size: self.config.metadata_size,
            port: Some(of_its_family(self.config.listen_ports, peer)).filter(|&port| port != 0),
            reqq: Some(self.config.reqq),
            yourip: Some(peer.addr.ip().to_canonical()),
            upload_only: self.finished && self.super_seed.is_none(),
            ..ext::Handshake::default()
        };
        let message = Message::Extended { id: 0, payload: handshake.encode().into() };
        send(&mut self.out, self.now, key, peer, message);
    }

    fn on_peers_found(&mut self, addrs: &[SocketAddr], source: PeerSource) {
        if self.buggify.hits(4) {
            self.book.make_room(PeerSource::Pex);
        }
        let is_public = Sources::of(source).are_within(Sources::PUBLIC);
        if self.config.private && is_public {
            return;
        }
        for &addr in addrs {
            if !self.trust.is_banned(addr) {
                self.book.add(addr, source, self.now);
            }
        }
    }

    /// Somebody says under which address it sees us.
    fn on_external(&mut self, voter: Voter, seen: IpAddr) {
        if self.external.vote(voter, seen) {
            self.book.set_ours(self.external.ours());
        }
    }

    fn on_pause(&mut self) {
        self.paused = true;
        for key in self.peers.keys().copied().collect::<Vec<_>>() {
            self.disconnect(key, DisconnectReason::Paused);
        }
    }

    fn disconnect(&mut self, key: PeerKey, reason: DisconnectReason) {
        if !self.peers.contains_key(&key) {
            return;
        }
        self.out.push_back(Output::Disconnect { peer: key, reason });
        let listens = self.peers.get(&key).and_then(|peer| peer.listens);
        self.forget(key);
        match (reason, listens) {
            (DisconnectReason::BothSeeds, Some(addr)) => self.book.park(addr),
            (DisconnectReason::Banned, Some(addr)) => self.book.never(addr),
            _ => {}
        }
    }

    /// The connection is no more: what was asked of it goes to others, its slot too.
    fn forget(&mut self, key: PeerKey) {
        let Some(peer) = self.peers.remove(&key) else { return };
        self.forget_kept(key);
        for asked in &peer.requests {
            self.picker.put_back(asked.block);
        }
        self.picker.peer_went(key, &peer.pieces);
        self.note_went(key, &peer.pieces);
        self.trust.closed(key, peer.suspect);
        if let Some(addr) = peer.listens {
            let useful = self.paused || peer.down.total + peer.up.total > 0;
            self.book.closed(addr, self.now, useful);
        }
        if !peer.am_choking {
            self.fill_slots();
        }
        self.note_peers_changed();
        if self.peers.is_empty() {
            self.rest();
        }
    }

    /// Nobody is here: what is kept for peers alone goes.
    fn rest(&mut self) {
        self.peers = BTreeMap::new();
        // Every deadline was one of theirs.
        self.wake = Time::MAX;
        if self.finished {
            // No block of theirs can be on its way any more.
            self.trust.forget_innocent(self.now);
        }
    }

    /// Whether the owner may dial the address even if it was dialed in vain of late: the user gave it, or a peer of this
    /// torrent was there. See [`DialGuard`](crate::DialGuard).
    pub fn may_dial_again(&self, addr: SocketAddr) -> bool {
        self.book.is_free(addr)
    }

    /// Neither side wants anything of the other: make room for somebody who does.
    fn is_useless(&self, peer: &Peer) -> bool {
        self.finished && (peer.pieces.is_all() || peer.upload_only || peer.is_web_seed)
    }

    fn close_if_useless(&mut self, key: PeerKey) {
        if self.peers.get(&key).is_some_and(|peer| self.is_useless(peer)) {
            self.disconnect(key, DisconnectReason::BothSeeds);
        }
    }

    /// After a `reject`, the peer is left alone for a moment.
    fn hold(&mut self, key: PeerKey) {
        #[cfg(feature = "planted")]
        if self.config.planted == Some(crate::Planted::EagerAgain) {
            return self.fill(key);
        }
        let until = self.now + REJECT_PAUSE;
        if let Some(peer) = self.peers.get_mut(&key) {
            peer.hold_until = until;
        }
        self.wake_by(until);
    }
}

/// Tells the driver to send a message, and remembers that the connection is in use. A web seed gets none.
/// Of what is one thing over IPv4 and another over IPv6, that of the peer's family.
fn of_its_family(ports: [u16; 2], peer: &Peer) -> u16 {
    ports[usize::from(peer.addr.ip().to_canonical().is_ipv6())]
}

fn send(out: &mut VecDeque<Output>, now: Time, key: PeerKey, peer: &mut Peer, message: Message<'static>) {
    if peer.is_web_seed {
        return;
    }
    say_unsaid(out, now, key, peer);
    peer.last_sent = now;
    out.push_back(Output::Send { peer: key, message });
}

/// Tells a peer of the pieces of which it was not told when they came.
fn say_unsaid(out: &mut VecDeque<Output>, now: Time, key: PeerKey, peer: &mut Peer) {
    peer.unsaid_at = Time::MAX;
    for piece in peer.unsaid.drain(..) {
        peer.last_sent = now;
        out.push_back(Output::Send { peer: key, message: Message::Have(piece.get()) });
    }
}
