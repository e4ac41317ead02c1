//! What is known of one connection.

use crate::exchange::Exchange;
use crate::limits::{ALLOWED_FAST_PIECES, CHOKE_INTERVAL, GIVES_ONE_IN, MAX_FAST_BYTES};
use crate::limits::{DEADLINE_REQUESTS, HELD_PATIENCE, INITIAL_WINDOW_URGENT, MIN_WINDOW};
use crate::limits::{IDLE_TIMEOUT, KEEPALIVE_INTERVAL, SERVE_BYTES, SERVE_TIME};
use crate::limits::{SNUB_TIMEOUT, SNUB_TIMEOUT_END_GAME, SNUB_TIMEOUT_KNOWN};
use crate::pieces::Pieces;
use crate::quota::Quota;
use crate::rate::Rate;
use crate::trust::Suspect;
use crate::window::{Ticket, Window};
use crate::{PeerKey, PeerView};
use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;
use core::time::Duration;
use types::{Bitfield, BlockRange, PeerId, PieceIndex, Time};
use wire::Reserved;

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) addr: SocketAddr,
    pub(crate) outgoing: bool,
    /// It is a web seed: it hears nothing but what is asked of it.
    pub(crate) is_web_seed: bool,
    pub(crate) peer_id: PeerId,
    /// What its handshake says that it can do.
    pub(crate) reserved: Reserved,
    /// Both sides speak BEP 6.
    pub(crate) fast: bool,
    /// Both sides speak BEP 10.
    pub(crate) extended: bool,
    /// It has a DHT node (BEP 5).
    pub(crate) dht: bool,
    /// What it is told of other peers, and tells (BEP 11).
    pub(crate) exchange: Exchange,
    /// The number of its `ut_holepunch` messages, if it knows them (BEP 55).
    pub(crate) holepunch: Option<u8>,
    /// How often it may be brought together with others.
    pub(crate) rendezvous: Quota,
    /// The number of its `lt_donthave` messages, if it knows them (BEP 54).
    pub(crate) dont_have: Option<u8>,
    /// The number of its `ut_metadata` messages, if it knows them (BEP 9).
    pub(crate) metadata_id: Option<u8>,
    /// Pieces of metadata that it asked for and has not got.
    pub(crate) metadata_queue: VecDeque<u32>,
    /// How many it has asked for and will get or has got.
    pub(crate) metadata_asked: u32,
    /// Its address in the book, if it is known where it listens.
    pub(crate) listens: Option<SocketAddr>,
    /// Under which name its blocks are attributed.
    pub(crate) suspect: Option<Suspect>,
    pub(crate) client: Option<String>,
    /// It wants nothing, though it may not have everything (BEP 21).
    pub(crate) upload_only: bool,
    pub(crate) came: Time,
    pub(crate) last_heard: Time,
    pub(crate) last_sent: Time,
    /// Pieces that we have and it was not told of: it is a seed.
    pub(crate) unsaid: Vec<PieceIndex>,
    /// When it is told of them unless something else is said to it before; [`Time::MAX`] if there are none.
    pub(crate) unsaid_at: Time,
    /// When its last block came; when it came itself, if none did.
    pub(crate) gave: Time,

    pub(crate) pieces: Pieces,
    /// How many of its pieces are wanted and not there.
    pub(crate) useful: u32,
    pub(crate) am_interested: bool,
    pub(crate) peer_choking: bool,
    /// What it lets us ask for though it chokes us (BEP 6).
    pub(crate) allowed_fast: Vec<PieceIndex>,
    /// What it suggested since it last choked us (BEP 6), the latest last.
    pub(crate) suggested: Vec<PieceIndex>,
    pub(crate) snubbed: bool,
    pub(crate) window: Window,
    /// Our requests, about in the order in which they were sent.
    pub(crate) requests: VecDeque<Asked>,
    /// When the last block came, or the first request was sent after there was none.
    pub(crate) progress: Time,
    /// How long a request of it had waited, at most, when the block came from somebody else; zero once a block came.
    pub(crate) outrun: Duration,
    /// The piece that it is busy with.
    pub(crate) current: Option<PieceIndex>,
    /// The picker had nothing for it when its `returns` were this.
    pub(crate) dry: Option<u64>,
    /// Not to be asked for anything before.
    pub(crate) hold_until: Time,
    pub(crate) unrequested: u64,
    pub(crate) down: Flow,

    pub(crate) am_choking: bool,
    pub(crate) peer_interested: bool,
    /// When we last choked or unchoked it; when it came, if never.
    pub(crate) choke_changed: Time,
    pub(crate) ever_unchoked: bool,
    /// Its requests that the driver does not know yet.
    pub(crate) queue: VecDeque<BlockRange>,
    /// Its requests that the driver is at.
    pub(crate) serving: VecDeque<BlockRange>,
    pub(crate) serving_bytes: u64,
    pub(crate) bad_requests: u32,
    /// It has asked for so much that nothing is read of it.
    pub(crate) held: bool,
    /// When it last took a block, or was held.
    pub(crate) took: Time,
    /// It took nothing for so long, held or with nothing asked for, that its slot is better used by others.
    pub(crate) takes_nothing: bool,
    /// It said what it has, if only that it has nothing.
    pub(crate) greeted: bool,
    /// What it may have while we choke it (BEP 6).
    pub(crate) allowed_to: Vec<PieceIndex>,
    /// A piece that it may have to the end though its turn is over, and how many bytes of it are left.
    pub(crate) may_finish: Option<(PieceIndex, u64)>,
    /// Bytes that it asked for and got while we choked it.
    pub(crate) fast_bytes: u64,
    /// What we suggested and it has not asked for yet (BEP 6).
    pub(crate) suggested_to: Vec<PieceIndex>,
    /// What we showed it (BEP 16); `None`: everything that we have.
    pub(crate) shown: Option<Bitfield>,
    pub(crate) shown_at: Time,
    pub(crate) up: Flow,
}

/// A request of ours that is not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asked {
    pub(crate) block: BlockRange,
    pub(crate) ticket: Ticket,
}

/// Payload bytes in one direction.
#[derive(Debug)]
pub(crate) struct Flow {
    pub(crate) total: u64,
    pub(crate) rate: Rate<20>,
}

impl Flow {
    pub(crate) fn add(&mut self, now: Time, bytes: u32) {
        self.total += u64::from(bytes);
        self.rate.add(now, bytes);
    }
}

impl Peer {
    /// Both sides choke and nobody is interested (BEP 3).
    pub(crate) fn new(now: Time, addr: SocketAddr, peer_id: PeerId, piece_count: u32) -> Peer {
        Peer {
            addr,
            outgoing: false,
            is_web_seed: false,
            peer_id,
            reserved: Reserved::NONE,
            fast: false,
            extended: false,
            dht: false,
            exchange: Exchange::default(),
            holepunch: None,
            rendezvous: Quota::default(),
            dont_have: None,
            metadata_id: None,
            metadata_queue: VecDeque::new(),
            metadata_asked: 0,
            listens: None,
            suspect: None,
            client: None,
            upload_only: false,
            came: now,
            last_heard: now,
            last_sent: now,
            unsaid: Vec::new(),
            unsaid_at: Time::MAX,
            gave: now,
            pieces: Pieces::none(piece_count),
            useful: 0,
            am_interested: false,
            peer_choking: true,
            allowed_fast: Vec::new(),
            suggested: Vec::new(),
            snubbed: false,
            window: Window::new(),
            requests: VecDeque::new(),
            progress: now,
            outrun: Duration::ZERO,
            current: None,
            dry: None,
            hold_until: now,
            unrequested: 0,
            down: Flow { total: 0, rate: Rate::new() },
            am_choking: true,
            peer_interested: false,
            choke_changed: now,
            ever_unchoked: false,
            queue: VecDeque::new(),
            serving: VecDeque::new(),
            serving_bytes: 0,
            bad_requests: 0,
            held: false,
            took: now,
            takes_nothing: false,
            greeted: false,
            allowed_to: Vec::new(),
            may_finish: None,
            fast_bytes: 0,
            suggested_to: Vec::new(),
            shown: None,
            shown_at: now,
            up: Flow { total: 0, rate: Rate::new() },
        }
    }

    /// A web seed that has these pieces.
    pub(crate) fn web_seed(now: Time, addr: SocketAddr, pieces: Pieces) -> Peer {
        let mut peer = Peer::new(now, addr, PeerId([0; 20]), pieces.len());
        peer.window.set_reqq(u32::MAX);
        Peer { outgoing: true, is_web_seed: true, fast: true, peer_choking: false, pieces, ..peer }
    }

    /// How many requests it may have at once now.
    pub(crate) fn window(&self) -> usize {
        if self.snubbed { 1 } else { self.window.target() }
    }

    /// Whether it has so much to do that requests wait for each other. A web seed has a measure of its own.
    pub(crate) fn is_asked_enough(&self) -> bool {
        !self.is_web_seed && !self.snubbed && self.window.is_full_enough(self.requests.len())
    }

    pub(crate) fn is_asked(&self, block: BlockRange) -> bool {
        self.requests.iter().any(|asked| asked.block == block)
    }

    /// Takes a request of ours off the list. Peers answer in order, so it is near the front.
    pub(crate) fn take_request(&mut self, block: BlockRange) -> Option<Asked> {
        let at = self.requests.iter().position(|asked| asked.block == block)?;
        // Not `remove`: who answers in any order, with thousands asked for, would move half of them each time.
        self.requests.swap_remove_front(at)
    }

    /// The same while pieces have a deadline, for one of so many peers.
    pub(crate) fn short_window(&self, peers: usize, first: usize) -> usize {
        let fair = |requests: usize| requests.div_ceil(peers.max(1));
        if self.snubbed || self.window.rate() == 0 && !self.outrun.is_zero() {
            return 1;
        }
        self.window
            .short_target(fair(first).min(INITIAL_WINDOW_URGENT), fair(DEADLINE_REQUESTS).min(MIN_WINDOW))
    }

    /// Whether it can be asked for what it has, and is worth it.
    pub(crate) fn is_of_use(&self, now: Time) -> bool {
        self.am_interested && !self.peer_choking && !self.snubbed && self.hold_until <= now
    }

    /// How long the next block that it is asked for should take; `None` until one came. A peer that is silent for longer
    /// than that, or was when others were faster, is expected to be so once more.
    pub(crate) fn eta(&self, now: Time) -> Option<Duration> {
        let expected = self.window.expected(self.requests.len() + 1)?;
        let silent = if self.requests.is_empty() { Duration::ZERO } else { now.since(self.progress) };
        Some(expected.max(silent).max(self.outrun))
    }

    /// How many requests of it wait or are being served.
    pub(crate) fn requests_in(&self) -> usize {
        self.queue.len() + self.serving.len()
    }

    /// When a slot of it that nothing is read of may be somebody else's, as far as it takes nothing.
    pub(crate) fn held_until(&self) -> Option<Time> {
        (self.held && !self.am_choking).then(|| self.took + HELD_PATIENCE)
    }

    /// Whether it has had a slot for a whole round, says that it wants something, and neither asked for anything nor took it.
    pub(crate) fn lets_its_slot_idle(&self, now: Time) -> bool {
        let since = self.took.max(self.choke_changed);
        !self.am_choking && self.wants() && self.requests_in() == 0 && now.since(since) >= CHOKE_INTERVAL
    }

    /// Whether it wants something of us: it says so, and does not say that it wants nothing of anybody (BEP 21).
    pub(crate) fn wants(&self) -> bool {
        self.peer_interested && !self.upload_only
    }

    /// Whether it took more than the `credit` and gave next to nothing, though it has something that we want.
    pub(crate) fn freeloads(&self, credit: u64) -> bool {
        self.up.total > credit && self.down.total < self.up.total / GIVES_ONE_IN
    }

    /// Whether the connection is of use to one of us, or both let the other ask.
    pub(crate) fn is_in_use(&self, now: Time) -> bool {
        let asked = !self.requests.is_empty() || !self.queue.is_empty() || !self.serving.is_empty();
        let moves = self.down.rate.per_sec(now) > 0 || self.up.rate.per_sec(now) > 0;
        asked || moves || !(self.am_choking || self.peer_choking)
    }

    /// Whether a request is met though we choke the peer (BEP 6): it completes a piece, or the peer is new here and has
    /// not had too much already.
    pub(crate) fn may_have_fast(&self, block: BlockRange) -> bool {
        !self.pieces.contains(block.piece) && (self.may_finish(block) || self.is_allowed_to(block))
    }

    fn may_finish(&self, block: BlockRange) -> bool {
        self.may_finish.is_some_and(|(piece, left)| piece == block.piece && u64::from(block.len) <= left)
    }

    /// A request was met though we choke the peer.
    pub(crate) fn note_fast(&mut self, block: BlockRange) {
        let len = u64::from(block.len);
        match self.may_finish(block) {
            true => self.may_finish = self.may_finish.map(|(piece, left)| (piece, left - len)),
            false => self.fast_bytes += len,
        }
    }

    fn is_allowed_to(&self, block: BlockRange) -> bool {
        self.allowed_to.contains(&block.piece)
            && usize::try_from(self.pieces.count()).is_ok_and(|count| count <= ALLOWED_FAST_PIECES)
            && self.fast_bytes + u64::from(block.len) <= MAX_FAST_BYTES
    }

    /// Whether we told it that we have the piece, if we have it.
    pub(crate) fn knows_of(&self, piece: PieceIndex) -> bool {
        self.shown.as_ref().is_none_or(|shown| shown.contains(piece))
    }

    /// How many bytes the driver may be given to send to it at once.
    pub(crate) fn serve_budget(&self, now: Time) -> u64 {
        let millis = u64::try_from(SERVE_TIME.as_millis()).unwrap_or(u64::MAX);
        let bytes = self.up.rate.per_sec(now).saturating_mul(millis) / 1000;
        bytes.clamp(SERVE_BYTES.0, SERVE_BYTES.1)
    }

    /// Whether it sends so many bytes within this time.
    pub(crate) fn delivers(&self, bytes: u32, within: Duration) -> bool {
        u128::from(self.window.rate()) * within.as_millis() / 1000 >= u128::from(bytes)
    }

    /// When it is closed unless it says something.
    pub(crate) fn idle_at(&self) -> Time {
        if self.is_web_seed { Time::MAX } else { self.last_heard + IDLE_TIMEOUT }
    }

    /// When it gets a keep-alive unless it gets something else.
    pub(crate) fn keepalive_at(&self) -> Time {
        if self.is_web_seed { Time::MAX } else { self.last_sent + KEEPALIVE_INTERVAL }
    }

    /// When it is snubbed unless a block comes; `None` while nothing is asked of it.
    pub(crate) fn snub_at(&self, end_game: bool) -> Option<Time> {
        let least = if end_game { SNUB_TIMEOUT_END_GAME } else { SNUB_TIMEOUT_KNOWN };
        let patience = match self.window.expected(self.requests.len()) {
            Some(expected) => (expected * 4).clamp(least, SNUB_TIMEOUT),
            None => SNUB_TIMEOUT,
        };
        (!self.requests.is_empty()).then(|| self.progress + patience)
    }

    pub(crate) fn view(&self, peer: PeerKey, on_parole: bool, now: Time) -> PeerView<'_> {
        PeerView {
            peer,
            addr: self.addr,
            outgoing: self.outgoing,
            peer_id: self.peer_id,
            client: self.client.as_deref(),
            am_choking: self.am_choking,
            am_interested: self.am_interested,
            peer_choking: self.peer_choking,
            peer_interested: self.peer_interested,
            snubbed: self.snubbed,
            on_parole,
            pieces: self.pieces.count(),
            is_seed: self.pieces.is_all(),
            rate_down: self.down.rate.per_sec(now),
            rate_up: self.up.rate.per_sec(now),
            downloaded: self.down.total,
            uploaded: self.up.total,
            requests_out: self.requests.len(),
            window: self.window(),
            requests_in: self.requests_in(),
        }
    }
}
