//! Whom a torrent deals with, and the brain that says how: the same whether all of the torrent is known or its info-hash
//! alone.

use super::keeper::Saved;
use super::peers::Peers;
use crate::announcer::{Announced, Announcer};
use crate::events::{Direction, EventKind};
use crate::meet;
use crate::shared::{Guest, Shared};
use crate::stats::Counters;
use crate::steward::Seat;
use net::conn::{Batch, Event};
use session::{Report, Torrent};
use std::net::SocketAddr;
use std::sync::Arc;
use swarm::{Input, Output, PeerKey, PeerSource, Stats, Swarm};
use tokio::task::JoinSet;
use types::{BlockRange, InfoHash, PeerId, Time};

/// How many batches are heard before the brain's answer to them is carried out.
const HEAR_AT_ONCE: usize = 32;

/// A brain, its peers, its trackers, and its place among other torrents.
pub(crate) struct Company {
    pub(super) shared: Arc<Shared>,
    pub(super) torrent: InfoHash,
    pub(super) peer_id: PeerId,
    pub(super) swarm: Swarm,
    pub(super) peers: Peers,
    pub(super) announcer: Announcer,
    /// Announces under way.
    pub(super) announces: JoinSet<Announced>,
    /// Dials, look-ups and saves under way.
    pub(super) jobs: JoinSet<Done>,
    /// Where it says whether it is this torrent's turn, and what it may take.
    pub(super) seat: Seat,
    /// It is its turn.
    pub(super) awake: bool,
}

/// What a job of its own came to.
pub(super) enum Done {
    Dialed(SocketAddr, Option<Box<Guest>>),
    /// Peers that a magnet link gives by name.
    LookedUp(Vec<SocketAddr>),
    Saved(Saved),
}

impl Company {
    /// Nobody yet: whom to connect to, the brain knows from trackers and the user.
    pub(super) fn nobody(
        shared: Arc<Shared>,
        torrent: InfoHash,
        peer_id: PeerId,
        swarm: Swarm,
        limits: wire::Limits,
        tiers: &[Vec<String>],
        wants: Torrent,
    ) -> Company {
        let peers = Peers::new(limits, shared.chunks.clone(), shared.pipes.clone());
        let announcer = Announcer::new(tiers, torrent.wire(), peer_id, shared.port, |refused| {
            shared.hub.tell(torrent, || refused);
        });
        let seat = Seat::take(shared.clone(), wants);
        Company {
            shared,
            torrent,
            peer_id,
            swarm,
            peers,
            announcer,
            announces: JoinSet::new(),
            jobs: JoinSet::new(),
            seat,
            awake: false,
        }
    }

    pub(super) fn now(&self) -> Time {
        self.shared.now()
    }

    pub(super) fn tell(&self, kind: impl FnOnce() -> EventKind) {
        self.shared.hub.tell(self.torrent, kind);
    }

    /// Whether it is its turn, and what it may take; says whether its turn has begun or ended.
    pub(super) fn follow_orders(&mut self) -> bool {
        let (now, orders) = (self.now(), self.seat.orders());
        if orders.run {
            self.swarm.handle(now, Input::SetLimits(orders.limits));
        }
        if orders.run == self.awake {
            return false;
        }
        self.awake = orders.run;
        // What trackers still answer to what was said before is of no interest.
        self.announces = JoinSet::new();
        if self.awake {
            self.swarm.handle(now, Input::Resume);
            self.announcer.start(now);
        } else {
            self.swarm.handle(now, Input::Pause);
            self.announcer.stop(now);
        }
        true
    }

    /// Tells the brain above what is used; the numbers it was told.
    pub(super) fn report(&self, now: Time) -> Stats {
        let stats = self.swarm.stats(now);
        let report = Report {
            line_down: stats.line_down,
            line_up: stats.line_up,
            held_down: stats.held_down,
            held_up: stats.held_up,
            peers: stats.peers + stats.connecting,
            interested: stats.interested,
        };
        self.seat.report(now, report);
        stats
    }

    /// Hangs up on everybody.
    pub(super) fn part(&mut self) {
        self.swarm.handle(self.shared.now(), Input::Pause);
        while let Some(output) = self.swarm.poll_output() {
            if let Output::Disconnect { peer, .. } = output {
                self.peers.hang_up(peer);
            }
        }
    }
}

/// What is heard of.
impl Company {
    pub(super) fn hear(&mut self, batch: Batch<PeerKey>) {
        let now = self.now();
        self.hear_batch(now, batch);
        for _ in 1..HEAR_AT_ONCE {
            let Some(batch) = self.peers.hear_more() else { break };
            self.hear_batch(now, batch);
        }
    }

    fn hear_batch(&mut self, now: Time, batch: Batch<PeerKey>) {
        let peer = batch.from;
        let addr = self.peers.addr(peer);
        for event in batch.events {
            if let Some(addr) = addr {
                self.tell_heard(addr, &event);
            }
            // A connection that we gave up may still have something to say: the brain knows what of it counts.
            let input = match event {
                Event::Message(message) => Input::Message { peer, message },
                Event::Refused(block) => Input::BlockRefused { peer, block },
                Event::Unrequested(len) => Input::Unrequested { peer, len },
                Event::Sent(block) => Input::BlockSent { peer, block },
                Event::SendFailed(block) => Input::ServeFailed { peer, block },
                Event::Closed(_) => {
                    self.peers.hang_up(peer);
                    Input::PeerClosed { peer }
                }
            };
            self.swarm.handle(now, input);
        }
    }

    fn tell_heard(&self, peer: SocketAddr, event: &Event) {
        let message = |direction, name, text| EventKind::Message { peer, direction, name, text };
        match event {
            Event::Message(said) => self.tell(|| message(Direction::In, said.name(), said.to_string())),
            Event::Sent(block) => self.tell(|| message(Direction::Out, "piece", piece_text(*block))),
            Event::Closed(reason) => {
                self.tell(|| EventKind::Disconnected { peer, reason: reason.to_string() });
            }
            Event::Refused(_) | Event::Unrequested(_) | Event::SendFailed(_) => {}
        }
    }

    pub(super) fn welcome(&mut self, guest: Guest) {
        let now = self.now();
        let (addr, outgoing) = (guest.addr, guest.outgoing);
        let (peer_id, reserved) = (guest.theirs.peer_id, guest.theirs.reserved);
        let peer = self.peers.welcome(guest);
        self.swarm.handle(now, Input::PeerConnected { peer, addr, outgoing, peer_id, reserved });
    }

    /// Takes in what a job came to, and gives back what is its owner's to judge.
    pub(super) fn on_done(&mut self, done: Done) -> Option<Saved> {
        let now = self.now();
        match done {
            Done::Dialed(_, Some(guest)) => self.welcome(*guest),
            Done::Dialed(addr, None) => self.swarm.handle(now, Input::ConnectFailed { addr }),
            Done::LookedUp(addrs) => {
                self.swarm.handle(now, Input::PeersFound { addrs: &addrs, source: PeerSource::User });
            }
            Done::Saved(saved) => return Some(saved),
        }
        None
    }

    pub(super) fn on_announced(&mut self, announced: Announced) {
        let now = self.now();
        self.tell(|| announced.event());
        let peers = self.announcer.note(now, announced);
        self.swarm.handle(now, Input::PeersFound { addrs: &peers, source: PeerSource::Tracker });
    }
}

/// What follows from it.
impl Company {
    /// Hands over what the brain said, and gives up the peers that do not keep up; says whether the brain may have more
    /// to say to that.
    pub(super) fn flush(&mut self, now: Time) -> bool {
        let stuck = self.peers.flush();
        for &(peer, addr) in &stuck {
            self.tell(|| EventKind::Disconnected { peer: addr, reason: "it does not keep up".into() });
            self.swarm.handle(now, Input::PeerClosed { peer });
        }
        !stuck.is_empty()
    }

    /// Does what the brain says of who is met.
    pub(super) fn obey(&mut self, now: Time, output: &Output) {
        match *output {
            Output::Connect { addr } => self.dial(addr),
            Output::Disconnect { peer, reason } => {
                if let Some(peer) = self.peers.hang_up(peer) {
                    self.tell(|| EventKind::Disconnected { peer, reason: reason.to_string() });
                }
            }
            Output::NeedPeers => self.announcer.need_peers(now),
            Output::Banned { addr, ref reason } => {
                self.tell(|| EventKind::Banned { peer: addr, reason: reason.to_string() });
            }
            // What is said to them, and what of the torrent they get, is its owner's to do.
            Output::Send { .. }
            | Output::Request { .. }
            | Output::Cancel { .. }
            | Output::Serve { .. }
            | Output::ServeMetadata { .. }
            | Output::DropServes { .. }
            | Output::Finished => {}
        }
    }

    fn dial(&mut self, addr: SocketAddr) {
        let (shared, torrent, peer_id) = (self.shared.clone(), self.torrent, self.peer_id);
        self.jobs.spawn(async move {
            Done::Dialed(addr, meet::dial(&shared, addr, torrent, peer_id).await.map(Box::new))
        });
    }

    /// Makes the announces that are due; `run` is what trackers are told of this run, and how much is missing.
    pub(super) fn announce(&mut self, now: Time, run: impl Fn(&Swarm) -> (Counters, u64)) {
        while let Some(announce) = self.announcer.poll(now, || run(&self.swarm)) {
            self.tell(|| announce.event());
            let shared = self.shared.clone();
            self.announces.spawn(async move { announce.make(&shared.web).await });
        }
    }
}

pub(super) fn piece_text(block: BlockRange) -> String {
    format!("piece {} at {}, {} bytes", block.piece, block.offset, block.len)
}
