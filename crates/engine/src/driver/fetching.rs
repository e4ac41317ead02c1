//! While only the info-hash is known: one task looks for the metadata (BEP 9), then passes on whom it met.

use super::farewell::{END_DEADLINE, Farewell};
use super::peers::Peers;
use super::running::report;
use super::{Calls, Company, Done, GUEST_QUEUE, blocking};
use crate::announcer::{Announced, Announcer};
use crate::events::{Direction, EventKind};
use crate::magnet::{AddMagnet, Fetch, FetchStats, Fetched};
use crate::saved;
use crate::shared::{Guest, OpenDoor, Shared};
use crate::stats::Counters;
use crate::steward::Seat;
use crate::{Error, Metainfo, TorrentError, meet};
use metainfo::Magnet;
use metainfo::magnet::{Host, HostPort};
use net::conn::{Batch, Command, Event};
use session::{Torrent, Wants};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use swarm::{Config, Input, Output, PeerKey, PeerSource, Swarm};
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};
use types::{InfoHash, PeerId, Time};

/// How often numbers are published at most.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);
/// How many of a link's peers are looked up that it gives by name; further ones are passed over.
const MAX_NAMED_PEERS: usize = 16;
/// How long one look-up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// What trackers are told to be missing while nobody knows: not nothing, or they would take us for a seed.
const UNKNOWN_LEFT: u64 = 16 * 1024;

/// A torrent of which only the info-hash is known.
pub(crate) struct Fetching {
    shared: Arc<Shared>,
    add: AddMagnet,
    peer_id: PeerId,
    door: OpenDoor,
    calls: Calls,
    swarm: Swarm,
    company: Company,
    awake: bool,
    status: watch::Sender<FetchStats>,
    publish_at: Time,
    found: oneshot::Sender<Result<Fetched, TorrentError>>,
}

/// Everybody who was met, and what they said.
pub(crate) struct Met {
    pub(super) swarm: Swarm,
    pub(super) company: Company,
}

/// What passes to the driver of the whole torrent.
pub(crate) struct Handover {
    pub(super) peer_id: PeerId,
    pub(super) door: OpenDoor,
    pub(super) guests: mpsc::Receiver<Guest>,
    pub(super) met: Met,
}

impl std::fmt::Debug for Handover {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handover").finish_non_exhaustive()
    }
}

impl Fetching {
    /// Looks whether an earlier run found the metadata; if not, makes ready to look for it.
    pub(crate) async fn open(
        shared: Arc<Shared>,
        add: AddMagnet,
    ) -> Result<(Option<Fetching>, Fetch), Error> {
        let info_hash = add.magnet.info_hash;
        let (state_dir, magnet) = (shared.settings.state_dir.clone(), add.magnet.clone());
        let saved = blocking(move || Ok(saved::load(&state_dir, &magnet))).await?;
        let (request_sender, requests) = mpsc::channel(1);
        let (status, status_receiver) = watch::channel(FetchStats::default());
        let (found, found_receiver) = oneshot::channel();
        let fetch =
            Fetch { info_hash, requests: request_sender, status: status_receiver, found: found_receiver };
        if let Some(metainfo) = saved {
            // Nobody can have dropped the other end yet.
            let _ = found.send(Ok(Fetched { add, metainfo: metainfo.into(), handover: None }));
            return Ok((None, fetch));
        }
        let peer_id = PeerId::ours(std::array::from_fn(|_| fastrand::u8(..)));
        let (guest_sender, guests) = mpsc::channel(GUEST_QUEUE);
        let door = shared.open_door(info_hash, peer_id, guest_sender)?;
        let calls = Calls { requests, guests, closed: Box::pin(shared.closed()) };
        let Met { swarm, company } = Met::nobody(&shared, &add, peer_id);
        let (awake, publish_at) = (false, shared.now());
        let fetching =
            Fetching { shared, add, peer_id, door, calls, swarm, company, awake, status, publish_at, found };
        Ok((Some(fetching), fetch))
    }

    /// Runs until the metadata is there or nobody wants it any more.
    pub(crate) async fn run(mut self) {
        self.follow_orders();
        loop {
            self.carry_out();
            if let Some(info) = self.swarm.take_metadata() {
                return self.conclude(info).await;
            }
            let deadline = self.swarm.poll_timeout().into_iter().chain([self.publish_at]);
            let wake = self.shared.instant(deadline.fold(self.company.announcer.deadline(), Time::min));
            tokio::select! {
                batch = self.company.peers.hear() => self.hear(batch),
                Some(guest) = self.calls.guests.recv() => self.welcome(guest),
                Some(done) = self.company.jobs.join_next() => self.on_done(done),
                Some(Ok(announced)) = self.company.announces.join_next() => self.on_announced(announced),
                // Asked to stop, or nobody waits for it any more.
                _ = self.calls.requests.recv() => return self.end().await,
                () = &mut self.calls.closed => return self.end().await,
                () = self.company.seat.changed() => self.follow_orders(),
                () = tokio::time::sleep_until(wake) => {
                    let now = self.shared.now();
                    self.swarm.handle_timeout(now);
                }
            }
        }
    }

    /// Gives away what was found, and whom it was found with.
    async fn conclude(self, info: Vec<u8>) {
        let bytes = info.len();
        self.tell(|| EventKind::MetadataFound { bytes });
        let magnet = self.add.magnet.clone();
        let parsed = tokio::task::spawn_blocking(move || parse(&magnet, &info)).await;
        let metainfo = match parsed.unwrap_or(Err(TorrentError::Internal)) {
            Ok(metainfo) => Arc::new(metainfo),
            Err(error) => {
                let text = error.to_string();
                self.tell(|| EventKind::Stopped { error: Some(text) });
                return self.end_with(Err(error)).await;
            }
        };
        if self.add.metadata_only {
            let fetched = Fetched { add: self.add.clone(), metainfo, handover: None };
            return self.end_with(Ok(fetched)).await;
        }
        let (state_dir, hash) = (self.shared.settings.state_dir.clone(), self.add.magnet.info_hash.wire());
        let (add, torrent) = (self.add.clone(), metainfo.clone());
        // Under another name on the wire other peers are met, for whom the door and the trackers are others.
        if hash == metainfo.info_hash().wire() {
            let Fetching { peer_id, door, calls: Calls { guests, .. }, swarm, company, found, .. } = self;
            let met = Met { swarm, company };
            door.set_torrent(metainfo.info_hash());
            let handover = Some(Handover { peer_id, door, guests, met });
            // If nobody waits for it any more, all of it is dropped here.
            let _ = found.send(Ok(Fetched { add, metainfo, handover }));
        } else {
            self.end_with(Ok(Fetched { add, metainfo, handover: None })).await;
        }
        // A hint for the next run: without it, metadata is fetched again.
        let save = move || saved::save(&state_dir, hash, torrent.info_bytes());
        if let Ok(Err(err)) = tokio::task::spawn_blocking(save).await {
            tracing::warn!("cannot keep metadata: {err}");
        }
    }

    async fn end_with(self, outcome: Result<Fetched, TorrentError>) {
        let Fetching { shared, add, door, swarm, company, found, .. } = self;
        drop(door);
        let _ = found.send(outcome);
        Met { swarm, company }.end(&shared, add.magnet.info_hash).await;
    }

    async fn end(self) {
        self.end_with(Err(TorrentError::Stopped)).await;
    }

    fn tell(&self, kind: impl FnOnce() -> EventKind) {
        self.shared.hub.tell(self.add.magnet.info_hash, kind);
    }
}

/// What is heard of.
impl Fetching {
    fn hear(&mut self, batch: Batch<PeerKey>) {
        let now = self.shared.now();
        let Batch { from: peer, events } = batch;
        for event in events {
            let addr = self.company.peers.addr(peer);
            let input = match event {
                Event::Message(message) => {
                    if let Some(peer) = addr {
                        self.tell_message(peer, Direction::In, &message);
                    }
                    Input::Message { peer, message }
                }
                Event::Closed(reason) => {
                    if let Some(peer) = addr {
                        self.tell(|| EventKind::Disconnected { peer, reason: reason.to_string() });
                    }
                    self.company.peers.hang_up(peer);
                    Input::PeerClosed { peer }
                }
                Event::Unrequested(len) => Input::Unrequested { peer, len },
                // No block is asked for or served.
                Event::Refused(_) | Event::Sent(_) | Event::SendFailed(_) => continue,
            };
            self.swarm.handle(now, input);
        }
    }

    fn tell_message(&self, peer: SocketAddr, direction: Direction, message: &wire::Message<'_>) {
        let name = message.name();
        self.tell(|| EventKind::Message { peer, direction, name, text: message.to_string() });
    }

    fn welcome(&mut self, guest: Guest) {
        let now = self.shared.now();
        let (addr, outgoing) = (guest.addr, guest.outgoing);
        let (peer_id, reserved) = (guest.theirs.peer_id, guest.theirs.reserved);
        let peer = self.company.peers.welcome(guest);
        self.swarm.handle(now, Input::PeerConnected { peer, addr, outgoing, peer_id, reserved });
    }

    fn on_done(&mut self, done: Result<Done, JoinError>) {
        let now = self.shared.now();
        match done {
            Ok(Done::Dialed(_, Some(guest))) => self.welcome(*guest),
            Ok(Done::Dialed(addr, None)) => self.swarm.handle(now, Input::ConnectFailed { addr }),
            Ok(Done::LookedUp(addrs)) => {
                self.swarm.handle(now, Input::PeersFound { addrs: &addrs, source: PeerSource::User });
            }
            Ok(Done::Saved(_)) | Err(_) => {}
        }
    }

    fn on_announced(&mut self, announced: Announced) {
        let now = self.shared.now();
        self.tell(|| announced.event());
        let peers = self.company.announcer.note(now, announced);
        self.swarm.handle(now, Input::PeersFound { addrs: &peers, source: PeerSource::Tracker });
    }

    fn follow_orders(&mut self) {
        let (now, orders) = (self.shared.now(), self.company.seat.orders());
        if orders.run {
            self.swarm.handle(now, Input::SetLimits(orders.limits));
        }
        if orders.run == self.awake {
            return;
        }
        self.awake = orders.run;
        self.company.announces = JoinSet::new();
        if self.awake {
            self.swarm.handle(now, Input::Resume);
            self.company.announcer.start(now);
        } else {
            self.swarm.handle(now, Input::Pause);
            self.company.announcer.stop(now);
        }
        self.publish_at = now;
    }
}

/// What follows from it.
impl Fetching {
    fn carry_out(&mut self) {
        let now = self.shared.now();
        loop {
            while let Some(output) = self.swarm.poll_output() {
                self.obey(now, output);
            }
            let stuck = self.company.peers.flush();
            if stuck.is_empty() {
                break;
            }
            for (peer, addr) in stuck {
                self.tell(|| EventKind::Disconnected { peer: addr, reason: "it does not keep up".into() });
                self.swarm.handle(now, Input::PeerClosed { peer });
            }
        }
        while let Some(announce) = self.company.announcer.poll(now, || (Counters::default(), UNKNOWN_LEFT)) {
            self.tell(|| announce.event());
            let shared = self.shared.clone();
            self.company.announces.spawn(async move { announce.make(&shared.web).await });
        }
        if now >= self.publish_at {
            self.publish(now);
        }
    }

    fn obey(&mut self, now: Time, output: Output) {
        match output {
            Output::Send { peer, message } => {
                if let Some(addr) = self.company.peers.addr(peer) {
                    self.tell_message(addr, Direction::Out, &message);
                }
                self.company.peers.command(peer, Command::Send(message));
            }
            Output::Connect { addr } => {
                let (shared, torrent) = (self.shared.clone(), self.add.magnet.info_hash);
                let peer_id = self.peer_id;
                self.company.jobs.spawn(async move {
                    Done::Dialed(addr, meet::dial(&shared, addr, torrent, peer_id).await.map(Box::new))
                });
            }
            Output::Disconnect { peer, reason } => {
                if let Some(peer) = self.company.peers.hang_up(peer) {
                    self.tell(|| EventKind::Disconnected { peer, reason: reason.to_string() });
                }
            }
            Output::NeedPeers => self.company.announcer.need_peers(now),
            Output::Banned { addr, reason } => {
                self.tell(|| EventKind::Banned { peer: addr, reason: reason.to_string() });
            }
            // There are no blocks, and no metadata, to be asked for or served.
            Output::Request { .. }
            | Output::Cancel { .. }
            | Output::Serve { .. }
            | Output::ServeMetadata { .. }
            | Output::DropServes { .. }
            | Output::Finished => {}
        }
    }

    fn publish(&mut self, now: Time) {
        self.publish_at = now + PUBLISH_INTERVAL;
        let brain = self.swarm.stats(now);
        self.company.seat.report(now, report(&brain));
        let (sources, bytes) = self.swarm.metadata_progress();
        let (peers, known_peers, queued) = (brain.peers, brain.known, !self.awake);
        self.status.send_replace(FetchStats { queued, peers, sources, bytes, known_peers });
    }
}

impl Met {
    /// Nobody yet; whom the link names is dialed as soon as it is the torrent's turn.
    fn nobody(shared: &Arc<Shared>, add: &AddMagnet, peer_id: PeerId) -> Met {
        let now = shared.now();
        let info_hash = add.magnet.info_hash;
        let config = Config {
            peer_id,
            info_hash: info_hash.wire(),
            client: shared.settings.client.clone(),
            listen_port: Some(shared.port).filter(|&port| port != 0),
            ..Config::default()
        };
        let mut swarm = Swarm::of_unknown(config, info_hash, !add.metadata_only, fastrand::u64(..), now);
        // Until it is its turn.
        swarm.handle(now, Input::Pause);
        swarm.handle(now, Input::PeersFound { addrs: &add.addrs(), source: PeerSource::User });
        let tiers: Vec<Vec<String>> = match add.trackers {
            true => add.magnet.trackers.iter().map(|tracker| vec![tracker.clone()]).collect(),
            false => Vec::new(),
        };
        let announcer = Announcer::new(&tiers, info_hash.wire(), peer_id, shared.port, |refused| {
            shared.hub.tell(info_hash, || refused);
        });
        let mut jobs = JoinSet::new();
        for HostPort { host, port } in &add.magnet.peers {
            if let Host::Name(name) = host
                && jobs.len() < MAX_NAMED_PEERS
            {
                jobs.spawn(look_up(name.clone(), *port));
            }
        }
        let (chunks, pipes) = (shared.chunks.clone(), shared.pipes.clone());
        let peers = Peers::new(wire::Limits::unknown_pieces(), chunks, pipes);
        let seat = Seat::take(shared.clone(), Torrent::new(Wants::Download));
        Met { swarm, company: Company { peers, announcer, announces: JoinSet::new(), jobs, seat } }
    }

    /// Hangs up and tells trackers, within [`END_DEADLINE`].
    pub(super) async fn end(self, shared: &Shared, torrent: InfoHash) {
        let Met { mut swarm, company: Company { mut peers, announcer, announces, .. } } = self;
        swarm.handle(shared.now(), Input::Pause);
        while let Some(output) = swarm.poll_output() {
            if let Output::Disconnect { peer, .. } = output {
                peers.hang_up(peer);
            }
        }
        let tell = |kind| shared.hub.tell(torrent, || kind);
        let run = (Counters::default(), UNKNOWN_LEFT);
        let farewell = Farewell { web: &shared.web, announcer, announces, run };
        let deadline = tokio::time::Instant::now() + END_DEADLINE;
        let _ = tokio::join!(
            tokio::time::timeout_at(deadline, farewell.say(|| shared.now(), tell)),
            tokio::time::timeout_at(deadline, peers.end()),
        );
    }
}

/// The addresses of a peer that is given by name; none if it has none.
async fn look_up(name: String, port: u16) -> Done {
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, net::bind::look_up((&*name, port))).await;
    Done::LookedUp(found.ok().and_then(Result::ok).unwrap_or_default())
}

/// The torrent that the metadata, whose hash is right, and the link make.
fn parse(magnet: &Magnet, info: &[u8]) -> Result<Metainfo, TorrentError> {
    Metainfo::parse(&magnet.torrent_file(info)).map_err(TorrentError::Metadata)
}
