//! Whom a torrent deals with, and the brain that says how: the same whether all of the torrent is known or its info-hash
//! alone.

#[cfg(test)]
mod tests;

use super::keeper::Saved;
use super::outside::Outside;
use super::peers::Peers;
use super::web_seeds::{Failed, WebSeeds};
use crate::announcer::Announced;
use crate::events::EventKind;
use crate::meet;
use crate::shared::{Guest, Shared, Visit};
use crate::stats::Counters;
use crate::tape::{Brain, Ears};
use net::conn::{Batch, CloseReason, Event};
use net::web_seed::{Found, MAX_CONNECTIONS, WebSeedError};
use session::Report;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use swarm::{DisconnectReason, Input, Output, PeerKey, PeerSource, Stats};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use trace::why::Facts;
use types::{InfoHash, PeerId, Time};
use wire::Message;

/// How many batches are heard before the brain's answer to them is carried out.
const HEAR_AT_ONCE: usize = 32;

/// A brain, its peers, its trackers, and its place among other torrents.
pub(crate) struct Company {
    pub(super) shared: Arc<Shared>,
    pub(super) torrent: InfoHash,
    pub(super) peer_id: PeerId,
    pub(super) swarm: Brain,
    pub(super) peers: Peers,
    pub(super) outside: Outside,
    pub(super) web_seeds: WebSeeds,
    /// Dials, look-ups and saves under way.
    pub(super) jobs: JoinSet<Done>,
    /// How many dials and web seeds wait until there may be one more connection.
    waiting: Arc<AtomicUsize>,
}

/// What a job of its own came to.
pub(super) enum Done {
    Dialed(SocketAddr, Option<Box<Guest>>),
    /// Peers that a magnet link gives by name.
    LookedUp(Vec<SocketAddr>),
    /// Where a web seed is, and leave for so many connections.
    WebSeedFound(usize, Result<(Found, Vec<OwnedSemaphorePermit>), WebSeedError>),
    Saved(Saved),
    /// What could not be written was tried once more; the disk tells what came of it.
    Retried,
    /// What a liar sent is to be forgotten: the disk had too much to do to be told at once, and knows now.
    Forgotten,
    /// A piece of the metadata, for a peer.
    MetadataRead(PeerKey, Message<'static>),
}

impl Company {
    /// Nobody yet: whom to connect to, the brain knows from trackers and the user, until it is said who else may hear.
    pub(super) fn nobody(
        shared: Arc<Shared>,
        torrent: InfoHash,
        peer_id: PeerId,
        mut swarm: Brain,
        limits: wire::Limits,
        outside: Outside,
    ) -> Company {
        let peers = Peers::new(limits, shared.chunks.clone(), shared.pipes.clone());
        swarm.set_ears(Ears::new(shared.clone(), torrent, peer_id));
        Company {
            shared,
            torrent,
            peer_id,
            swarm,
            peers,
            outside,
            web_seeds: WebSeeds::default(),
            jobs: JoinSet::new(),
            waiting: Arc::default(),
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
        let now = self.now();
        let swarm = &self.swarm;
        let followed =
            self.outside.follow_orders(&self.shared, self.torrent, || swarm.stats(now).left_bytes == 0);
        if let Some(limits) = followed.limits {
            self.swarm.handle(now, Input::SetLimits(limits));
        }
        if let Some(begun) = followed.turn {
            self.swarm.handle(now, if begun { Input::Resume } else { Input::Pause });
        }
        followed.turn.is_some()
    }

    /// All of the torrent is there; others are to know.
    pub(super) fn completed(&mut self, now: Time) {
        self.outside.announcer.completed(now);
        self.outside.scouts.completed();
    }

    pub(super) fn send_out_scouts(&mut self) {
        let complete = self.swarm.stats(self.now()).left_bytes == 0;
        self.outside.scouts.send_out(&self.shared, self.torrent, complete);
    }

    /// Tells the brain above what is used; the numbers it was told.
    pub(super) fn report(&mut self, now: Time) -> Stats {
        let stats = self.swarm.stats(now);
        let waits = self.waiting.load(Ordering::Relaxed) > 0;
        self.swarm.held([stats.held_down, stats.held_up, stats.held_slots, waits]);
        let report = Report {
            line_down: stats.line_down,
            line_up: stats.line_up,
            held_down: stats.held_down,
            held_up: stats.held_up,
            peers: stats.peers + stats.connecting,
            interested: stats.interested,
        };
        self.outside.report(now, report);
        stats
    }

    /// What is observed of it, beside what is known already.
    pub(super) fn facts(&self, mut facts: Facts) -> Facts {
        facts.called = self.shared.called.load(Ordering::Relaxed);
        facts.waiting_for_disk = self.peers.waiting_for_disk();
        facts.trackers = self.outside.announcer.facts();
        facts.see(&self.swarm, self.outside.seat.limits(), self.now());
        facts
    }

    /// Hangs up on everybody, and looks for nobody any more.
    pub(super) fn part(&mut self) {
        self.outside.scouts.call_back();
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
            if let Event::Closed(reason) = &event
                && let Some(index) = self.web_seeds.find(peer)
            {
                self.on_web_seed_closed(now, peer, index, reason);
            } else if let (Some(addr), Event::Message(Message::Port(port))) = (addr, &event)
                && self.peers.may_name_node(peer)
            {
                self.outside.scouts.hear_of_node(SocketAddr::new(addr.ip(), *port));
            }
            // A connection that we gave up may still have something to say: the brain knows what of it counts.
            let input = match event {
                Event::Message(message) => Input::Message { peer, message },
                Event::Refused(block) => Input::BlockRefused { peer, block },
                Event::Unrequested(block) => Input::Unrequested { peer, block },
                Event::Sent(block) => Input::BlockSent { peer, block },
                Event::SendFailed(block) => Input::ServeFailed { peer, block },
                Event::Waited(took) => {
                    self.swarm.waited(peer, took);
                    continue;
                }
                Event::Closed(reason) => {
                    // Of whom we hung up on before, all was told.
                    if matches!(reason, CloseReason::OverBudget) && addr.is_some() {
                        self.swarm.reached(peer, "message memory");
                    }
                    self.peers.hang_up(peer);
                    self.swarm.closed(now, peer, &reason);
                    continue;
                }
            };
            self.swarm.handle(now, input);
        }
    }

    pub(super) fn on_visit(&mut self, visit: Visit) {
        match visit {
            Visit::Guest(guest) => self.welcome(*guest),
            // Its disk is looked after while it is open.
            Visit::Look => {}
            Visit::MakeRoom(host) => {
                if let Some(peer) = self.swarm.spare_of(host) {
                    self.peers.hang_up(peer);
                    self.swarm.closed(self.now(), peer, &DisconnectReason::Crowd);
                }
            }
        }
    }

    fn welcome(&mut self, guest: Guest) {
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
                self.on_found(&addrs, PeerSource::Link);
            }
            Done::WebSeedFound(index, Ok((found, permits))) => self.welcome_web_seed(index, found, permits),
            Done::WebSeedFound(index, Err(error)) => {
                let failed = self.web_seeds.failed(now, index, &error);
                self.tell_failed(failed);
            }
            Done::Saved(saved) => return Some(saved),
            Done::Retried | Done::Forgotten | Done::MetadataRead(..) => {}
        }
        None
    }

    pub(super) fn on_announced(&mut self, announced: Announced) {
        let now = self.now();
        self.tell(|| announced.event());
        let (voice, external) = announced.external();
        for ip in external {
            self.swarm.handle(now, Input::ExternalAddress { voice, ip });
        }
        let peers = self.outside.announcer.note(now, announced);
        self.on_found(&peers, PeerSource::Tracker);
    }

    pub(super) fn on_found(&mut self, addrs: &[SocketAddr], source: PeerSource) {
        self.swarm.handle(self.now(), Input::PeersFound { addrs, source });
    }
}

/// What follows from it.
impl Company {
    /// Hands over what the brain said, and gives up the peers that do not keep up; says whether the brain may have more
    /// to say to that.
    pub(super) fn flush(&mut self, now: Time) -> bool {
        let stuck = self.peers.flush();
        for &peer in &stuck {
            self.dismiss_web_seed(now, peer, DisconnectReason::Useless);
            self.swarm.closed(now, peer, &"it does not keep up");
        }
        !stuck.is_empty()
    }

    /// Hangs up on those whom the user bans.
    pub(super) fn turn_away_banned(&mut self, now: Time) {
        let is_banned = |addr: SocketAddr| self.shared.bans.has(addr.ip());
        let banned: Vec<_> =
            self.swarm.peers(now).filter(|view| is_banned(view.addr)).map(|view| view.peer).collect();
        for peer in banned {
            self.dismiss_web_seed(now, peer, DisconnectReason::Banned);
            self.peers.hang_up(peer);
            self.swarm.closed(now, peer, &"banned by hand");
        }
    }

    /// Does what the brain says of who is met.
    pub(super) fn obey(&mut self, now: Time, output: &Output) {
        match *output {
            Output::Connect { addr } => self.dial(addr),
            Output::Disconnect { peer, reason } => {
                self.dismiss_web_seed(now, peer, reason);
                self.peers.hang_up(peer);
            }
            Output::NeedPeers => self.outside.announcer.need_peers(now),
            // What is said to them, and what of the torrent they get, is its owner's to do.
            Output::Send { .. }
            | Output::Request { .. }
            | Output::Cancel { .. }
            | Output::Serve { .. }
            | Output::ServeMetadata { .. }
            | Output::DropServes { .. }
            | Output::Hold { .. }
            | Output::Release { .. }
            | Output::Forget { .. }
            | Output::Finished
            // Nothing to be done: whoever listens hears of it.
            | Output::PeersTold { .. }
            | Output::Banned { .. } => {}
        }
    }

    fn dial(&mut self, addr: SocketAddr) {
        let (shared, torrent, peer_id) = (self.shared.clone(), self.torrent, self.peer_id);
        let (waiting, is_wanted) = (self.waiting.clone(), self.swarm.may_dial_again(addr));
        self.jobs.spawn(async move {
            let guest = match is_wanted {
                true => meet::dial(&shared, addr, torrent, peer_id, &waiting).await,
                false => meet::dial_by_hearsay(&shared, addr, torrent, peer_id, &waiting).await,
            };
            Done::Dialed(addr, guest.map(Box::new))
        });
    }

    /// Makes the announces that are due; `run` is what trackers are told of this run, and how much is missing.
    pub(super) fn announce(&mut self, run: impl Fn(&Brain) -> (Counters, u64)) {
        let swarm = &self.swarm;
        self.outside.announce(&self.shared, self.torrent, || run(swarm));
    }
}

/// Web seeds.
impl Company {
    /// Begins to ask those that are due.
    pub(super) fn ask_web_seeds(&mut self, now: Time) {
        while let Some((index, url)) = self.web_seeds.poll(now) {
            let (shared, waiting) = (self.shared.clone(), self.waiting.clone());
            self.jobs.spawn(async move {
                Done::WebSeedFound(index, find_web_seed(&shared, &waiting, &url).await)
            });
        }
    }

    fn welcome_web_seed(&mut self, index: usize, found: Found, permits: Vec<OwnedSemaphorePermit>) {
        let (now, addr) = (self.now(), found.addr);
        let Some(files) = self.web_seeds.files(index) else { return };
        let peer = self.peers.welcome_web_seed(found, files, permits);
        let Some(pieces) = self.web_seeds.open(index, peer) else { return };
        self.tell(|| EventKind::WebSeedOpened { web_seed: self.web_seeds.name(index) });
        self.swarm.handle(now, Input::WebSeedReady { peer, addr, pieces: &pieces });
    }

    fn on_web_seed_closed(&mut self, now: Time, peer: PeerKey, index: usize, reason: &CloseReason) {
        let gave = self.swarm.peers(now).any(|view| view.peer == peer && view.downloaded > 0);
        let failed = self.web_seeds.closed(now, index, reason, gave);
        self.tell_failed(failed);
    }

    fn dismiss_web_seed(&mut self, now: Time, peer: PeerKey, reason: DisconnectReason) {
        if let Some(index) = self.web_seeds.find(peer) {
            let failed = self.web_seeds.dismissed(now, index, reason);
            self.tell_failed(failed);
        }
    }

    fn tell_failed(&self, failed: Option<Failed>) {
        if let Some(Failed { web_seed, error, again }) = failed {
            self.tell(|| EventKind::WebSeedFailed { web_seed, error, again });
        }
    }
}

/// Finds out where a web seed is, and waits for leave for a connection of all torrents' together; for more of them if
/// there is leave.
async fn find_web_seed(
    shared: &Shared,
    waiting: &AtomicUsize,
    url: &str,
) -> Result<(Found, Vec<OwnedSemaphorePermit>), WebSeedError> {
    let found = shared.web_seeds.find(url).await?;
    let mut permits: Vec<_> = meet::permit(shared, waiting).await.into_iter().collect();
    let more = std::iter::from_fn(|| shared.connections.clone().try_acquire_owned().ok());
    permits.extend(more.take(MAX_CONNECTIONS - 1));
    Ok((found, permits))
}
