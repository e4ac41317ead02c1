//! While only the info-hash is known: one task looks for the metadata (BEP 9), then passes on whom it met.

use super::company::{Company, Done};
use super::farewell::{END_DEADLINE, Farewell};
use super::outside::Outside;
use super::scouts::Privacy;
use super::{Calls, GUEST_QUEUE, blocking};
use crate::announcer::Named;
use crate::events::EventKind;
use crate::magnet::{AddMagnet, Fetch, FetchStats, Fetched, tiers_of};
use crate::mailbox::{self, mailbox};
use crate::saved;
use crate::shared::{OpenDoor, Shared, Visit};
use crate::stats::Counters;
use crate::tape::{Brain, Tape};
use crate::torrent::Request;
use crate::{Error, Metainfo, TorrentError};
use metainfo::Magnet;
use metainfo::magnet::{Host, HostPort};
use net::conn::Command;
use session::{Torrent, Wants};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use swarm::{Config, Input, Output, PeerSource};
use tokio::sync::{oneshot, watch};
use trace::why::{Doing, Facts};
use types::{PeerId, Time};

/// How often numbers are published at most.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);
/// How long one look-up may take.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);
/// What trackers are told to be missing while nobody knows: not nothing, or they would take us for a seed.
const UNKNOWN_LEFT: u64 = 16 * 1024;
const TOLD_TO_TRACKERS: (Counters, u64) = (Counters { downloaded: 0, uploaded: 0 }, UNKNOWN_LEFT);

/// A torrent of which only the info-hash is known.
pub(crate) struct Fetching {
    add: AddMagnet,
    door: OpenDoor,
    calls: Calls,
    company: Company,
    status: watch::Sender<FetchStats>,
    publish_at: Time,
    found: oneshot::Sender<Result<Fetched, TorrentError>>,
}

/// What passes to the driver of the whole torrent.
pub(crate) struct Handover {
    pub(super) door: OpenDoor,
    pub(super) visits: mailbox::Receiver<Visit>,
    /// Everybody who was met, and what they said.
    pub(super) met: Met,
}

/// Who was met, until a torrent takes them over. If none does, they are taken leave of.
pub(super) struct Met(Option<Box<Company>>);

impl Met {
    pub(super) fn take(mut self) -> Option<Box<Company>> {
        self.0.take()
    }
}

impl Drop for Met {
    fn drop(&mut self) {
        if let Some(company) = self.0.take() {
            let shared = company.shared.clone();
            shared.spawn(company.end());
        }
    }
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
        let (request_sender, requests) = mailbox(1);
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
        let (visitor, visits) = mailbox(GUEST_QUEUE);
        let door = shared.open_door(info_hash, peer_id, visitor)?;
        let calls = Calls { requests, visits, closed: shared.closing(), held: None };
        let publish_at = shared.now();
        let company = company(shared, &add, peer_id);
        let fetching = Fetching { add, door, calls, company, status, publish_at, found };
        Ok((Some(fetching), fetch))
    }

    /// Runs until the metadata is there or nobody wants it any more.
    pub(crate) async fn run(mut self) {
        self.follow_orders();
        loop {
            self.carry_out();
            if let Some(info) = self.company.swarm.take_metadata() {
                return self.conclude(info).await;
            }
            let deadline = self.company.swarm.poll_timeout().into_iter().chain([self.publish_at]);
            let wake = self
                .company
                .shared
                .instant(deadline.fold(self.company.outside.announcer.deadline(), Time::min));
            tokio::select! {
                batch = self.company.peers.hear() => batch.into_iter().for_each(|batch| self.company.hear(batch)),
                visit = self.calls.visits.recv(), if self.company.outside.known => self.company.on_visit(visit),
                // Nothing is saved here.
                Some(Ok(done)) = self.company.jobs.join_next() => drop(self.company.on_done(done)),
                Some(announced) = self.company.outside.announces.next() => self.company.on_announced(announced),
                (addrs, source) = self.company.outside.scouts.found() => self.company.on_found(&addrs, source),
                request = self.calls.requests.next() => match request {
                    Some(Request::Trackers(reply)) => {
                        let now = self.company.now();
                        drop(reply.send(self.company.outside.announcer.trackers(now)));
                    }
                    // Who asked and does not listen any more misses nothing.
                    Some(Request::Facts(reply)) => drop(reply.send(self.facts())),
                    // Asked to stop, or nobody waits for it any more.
                    _ => return self.end().await,
                },
                _ = self.calls.closed.wait_for(|&closing| closing) => return self.end().await,
                () = self.company.outside.seat.changed() => self.follow_orders(),
                () = tokio::time::sleep_until(wake) => {
                    let now = self.company.now();
                    self.company.swarm.handle_timeout(now);
                }
            }
        }
    }

    /// Gives away what was found, and whom it was found with.
    async fn conclude(self, info: Vec<u8>) {
        let bytes = info.len();
        self.company.tell(|| EventKind::MetadataFound { bytes });
        let magnet = self.add.magnet.clone();
        let parsed = tokio::task::spawn_blocking(move || parse(&magnet, &info)).await;
        let metainfo = match parsed.unwrap_or(Err(TorrentError::Internal)) {
            Ok(metainfo) => Arc::new(metainfo),
            Err(error) => {
                let text = error.to_string();
                self.company.tell(|| EventKind::Stopped { error: Some(text) });
                return self.end_with(Err(error)).await;
            }
        };
        if self.add.metadata_only {
            let fetched = Fetched { add: self.add.clone(), metainfo, handover: None };
            return self.end_with(Ok(fetched)).await;
        }
        let (state_dir, hash) =
            (self.company.shared.settings.state_dir.clone(), self.add.magnet.info_hash.wire());
        let (add, torrent) = (self.add.clone(), metainfo.clone());
        // Under another name on the wire other peers are met, for whom the door and the trackers are others. And of a
        // private torrent nobody is kept who may have been found elsewhere than at its trackers (BEP 27).
        if hash == metainfo.info_hash().wire() && !metainfo.is_private() {
            let Fetching { door, calls: Calls { visits, .. }, mut company, found, .. } = self;
            door.set_torrent(metainfo.info_hash());
            // A link may have told one hash of two.
            company.torrent = metainfo.info_hash();
            let handover = Some(Handover { door, visits, met: Met(Some(Box::new(company))) });
            // If nobody waits for it any more, all of it is dropped here.
            let _ = found.send(Ok(Fetched { add, metainfo, handover }));
        } else {
            self.end_with(Ok(Fetched { add, metainfo, handover: None })).await;
        }
        // A hint for the next run: without it, metadata is fetched again.
        let save = move || match torrent.info_bytes() {
            Ok(info) => saved::save(&state_dir, hash, &info),
            Err(err) => Err(io::Error::other(err)),
        };
        if let Ok(Err(err)) = tokio::task::spawn_blocking(save).await {
            tracing::warn!("cannot keep metadata: {err}");
        }
    }

    /// What is observed of it.
    fn facts(&self) -> Facts {
        let doing = if self.company.outside.awake { Doing::FetchingMetadata } else { Doing::Queued };
        self.company.facts(Facts { doing, ..Facts::default() })
    }

    async fn end_with(self, outcome: Result<Fetched, TorrentError>) {
        let Fetching { door, company, found, .. } = self;
        drop(door);
        let _ = found.send(outcome);
        company.end().await;
    }

    async fn end(self) {
        self.end_with(Err(TorrentError::Stopped)).await;
    }

    fn follow_orders(&mut self) {
        if self.company.follow_orders() {
            self.publish_at = self.company.now();
        }
    }

    fn carry_out(&mut self) {
        let now = self.company.now();
        loop {
            while let Some(output) = self.company.swarm.poll_output() {
                self.obey(now, output);
            }
            if !self.company.flush(now) {
                break;
            }
        }
        self.company.announce(|_| TOLD_TO_TRACKERS);
        if now >= self.publish_at {
            self.publish(now);
        }
    }

    fn obey(&mut self, now: Time, output: Output) {
        match output {
            Output::Send { peer, message } => {
                self.company.peers.command(peer, Command::Send(message));
            }
            // There are no blocks, and no metadata, to be asked for or served.
            other => self.company.obey(now, &other),
        }
    }

    fn publish(&mut self, now: Time) {
        self.publish_at = now + PUBLISH_INTERVAL;
        let brain = self.company.report(now);
        let (sources, bytes) = self.company.swarm.metadata_progress();
        let (peers, known_peers, queued) = (brain.peers, brain.known, !self.company.outside.awake);
        self.status.send_replace(FetchStats { queued, peers, sources, bytes, known_peers });
    }
}

/// Nobody yet; whom the link names is dialed as soon as it is the torrent's turn.
fn company(shared: Arc<Shared>, add: &AddMagnet, peer_id: PeerId) -> Company {
    let now = shared.now();
    let info_hash = add.magnet.info_hash;
    let config = Config {
        peer_id,
        info_hash: info_hash.wire(),
        client: shared.settings.client.clone(),
        listen_ports: shared.ports,
        pex: shared.settings.pex,
        #[cfg(feature = "planted")]
        planted: net::planted::fault().and_then(swarm::Planted::named),
        ..Config::default()
    };
    if let Some(dht) = &shared.dht {
        let named = add.magnet.dht_nodes.iter().map(|HostPort { host, port }| match host {
            Host::Name(name) => (name.clone(), *port),
            Host::Ip(ip) => (ip.to_string(), *port),
        });
        dht.offer_named(&named.collect::<Vec<_>>());
    }
    let tape = add.tape.as_ref().and_then(Tape::thread);
    let mut swarm = Brain::of_unknown(tape, config, info_hash, !add.metadata_only, now);
    // Until it is its turn.
    swarm.handle(now, Input::Pause);
    swarm.handle(now, Input::PeersFound { addrs: &add.peers, source: PeerSource::User });
    swarm.handle(now, Input::PeersFound { addrs: &add.addrs_of_link(), source: PeerSource::Link });
    let of_link = tiers_of(&add.magnet);
    let tiers = match &add.tiers {
        _ if !add.trackers || !shared.settings.trackers => &[],
        Some(tiers) => tiers.as_slice(),
        None => of_link.as_slice(),
    };
    let (limits, wants) = (wire::Limits::unknown_pieces(), Torrent::new(Wants::Download));
    let named = Named { tiers, of_link: &of_link };
    let outside = Outside::take(&shared, info_hash, peer_id, named, wants);
    let mut company = Company::nobody(shared, info_hash, peer_id, swarm, limits, outside);
    company.outside.scouts.set_privacy(Privacy::Unknown);
    company.look_up(add.names_of_link());
    company
}

impl Company {
    /// Hangs up and tells trackers, within [`END_DEADLINE`], while nothing is known of the torrent.
    pub(super) async fn end(mut self) {
        self.part();
        let Company { shared, torrent, peers, outside, .. } = self;
        let tell = |kind| shared.hub.tell(torrent, || kind);
        let farewell = Farewell { web: &shared.web, outside, run: TOLD_TO_TRACKERS };
        let deadline = tokio::time::Instant::now() + END_DEADLINE;
        let _ = tokio::join!(
            tokio::time::timeout_at(deadline, farewell.say(|| shared.now(), tell)),
            tokio::time::timeout_at(deadline, peers.end()),
        );
    }
}

impl Company {
    /// Peers that are given by name are dialed when it is known where they are.
    pub(super) fn look_up(&mut self, names: impl IntoIterator<Item = (String, u16)>) {
        for (name, port) in names {
            self.jobs.spawn(async move { Done::LookedUp(in_time(net::bind::look_up((&*name, port))).await) });
        }
    }
}

/// What a look-up finds, unless it takes too long.
async fn in_time(look_up: impl Future<Output = io::Result<Vec<SocketAddr>>>) -> Vec<SocketAddr> {
    let found = tokio::time::timeout(LOOKUP_TIMEOUT, look_up).await;
    found.ok().and_then(Result::ok).unwrap_or_default()
}

/// The torrent that the metadata, whose hash is right, and the link make.
fn parse(magnet: &Magnet, info: &[u8]) -> Result<Metainfo, TorrentError> {
    Metainfo::parse(&magnet.torrent_file(info)).map_err(TorrentError::Metadata)
}

#[cfg(test)]
mod tests;
