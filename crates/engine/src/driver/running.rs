//! The main loop: hear of one thing, tell the brain, do what it says.

mod answers;
mod full;
mod rest;
mod wishes;

use super::asleep::{Before, News, Next, Past, finished};
use super::company::{Company, Done};
use super::farewell::{END_DEADLINE, Farewell};
use super::keeper::{Failure, Said, Saved};
use super::outside::Outside;
use super::scouts::Privacy;
use super::web_seeds::WebSeeds;
use super::{Base, Calls, Driver, Met};
use crate::announcer::Named;
use crate::events::EventKind;
use crate::presence::Present;
use crate::resume::MAX_PEERS;
use crate::scrub::Scrubbed;
use crate::stats::Counters;
use crate::steward::Seat;
use crate::tape::{Brain, Ears, Tape};
use crate::{AddTorrent, Metainfo, TorrentError, TorrentState, TorrentStats};
use full::Full;
use net::conn::Command;
use session::{Torrent, Wants};
use std::collections::VecDeque;
use std::time::Duration;
use storage::{DiskEvent, Watched};
use swarm::{Config, Input, Order, Output, PeerKey, PeerSource, Priority, Stats};
use tokio::task::JoinError;
use types::{PieceIndex, Time};
use wire::ext::METADATA_PIECE_LEN;
pub(super) use wishes::idle_deadline;

/// How often numbers are published at most.
const PUBLISH_INTERVAL: Duration = Duration::from_millis(250);

/// A torrent whose brain is awake.
pub(super) struct Running {
    driver: Driver,
    calls: Calls,
    company: Company,
    /// Trackers were told that it was completed, or need not be, since the brain had all it wants from the start.
    completion_told: bool,
    /// The brain has all it wants; [`Finished`] follows with the commit that makes it durable.
    complete: bool,
    finished_at: Option<Time>,
    /// Since when it is counted how long it is seeded, once it is finished.
    seeding_since: Time,
    /// How long all of it was there before something was lost again, in this run.
    seeded_before: Duration,
    _scrubbed: Option<Scrubbed>,
    present: Option<Present>,
    /// What was transferred in this run before the torrent was asleep.
    run: Counters,
    /// When it goes to sleep, since it has nothing to do.
    sleeps_at: Option<Time>,
    /// It was woken by a caller, and by nothing else.
    is_only_called: bool,
    /// There is no room on the disk.
    full: Option<Full>,
    publish_at: Time,
    /// Connections, as was published last.
    shown_peers: usize,
    /// What was uploaded when that was looked at last, and since when it is as much.
    uploaded: (u64, Time),
    /// Nobody holds a [`crate::Torrent`] any more: no request will come.
    unattended: bool,
}

/// Why the loop ends.
type End = Result<(), TorrentError>;

impl Running {
    pub(super) fn new(mut driver: Box<Driver>, calls: Calls) -> Box<Running> {
        let mut met = driver.met.take().and_then(Met::take);
        let before = driver.before.take();
        let shared = driver.base.shared.clone();
        let now = shared.now();
        let config = Config {
            peer_id: driver.base.peer_id,
            info_hash: driver.base.torrent.wire(),
            super_seed: driver.base.add.super_seed,
            client: shared.settings.client.clone(),
            listen_ports: shared.ports,
            dht_ports: dht_ports(&driver),
            private: driver.base.add.metainfo.is_private(),
            pex: shared.settings.pex,
            metadata_size: public_metadata(&driver.base.add.metainfo),
            #[cfg(feature = "planted")]
            planted: net::planted::fault().and_then(swarm::Planted::named),
            ..Config::default()
        };
        let verified = driver.disk.verified();
        let tape = met.as_mut().and_then(|met| met.swarm.take_tape());
        let tape = tape.or_else(|| driver.base.add.tape.as_ref().and_then(Tape::thread));
        let mut swarm = Brain::new(tape, config, driver.base.lengths, verified, now);
        // Until it is its turn.
        swarm.handle(now, Input::Pause);
        if driver.base.add.seed_only {
            swarm.handle(now, Input::SetPriorities(&only_what_is_there(&driver)));
        } else if let Some(priorities) = driver.base.add.piece_priorities() {
            swarm.handle(now, Input::SetPriorities(&priorities));
        }
        if driver.base.add.sequential {
            swarm.handle(now, Input::SetOrder(Order::Sequential));
        }
        for (piece, blocks) in driver.disk.partial() {
            swarm.handle(now, Input::SetPartial { piece, blocks: &blocks });
        }
        let complete_at_start = swarm.stats(now).finished;
        let limits = wire::Limits::for_pieces(driver.base.lengths.piece_count());
        let (mut past, mut news) = (Past::new(now), None);
        let company = match (met, before) {
            (Some(met), _) => meet_again(now, &driver, swarm, *met, complete_at_start),
            (None, Some(before)) => {
                let Before { outside, next_peer, .. } = *before;
                (past, news) = (before.past, before.news);
                go_on(now, &driver, swarm, outside, next_peer)
            }
            (None, None) => company(&driver, swarm, complete_at_start),
        };
        let scrubbed = Scrubbed::join(&shared, &driver.disk);
        let is_kept = driver.base.add.kept_in.is_some();
        let present = is_kept.then(|| Present::join(&shared, Watched::Open(driver.disk.clone())));
        // What a check lost is missing.
        let finished_at = past.finished_at.filter(|_| complete_at_start);
        let mut running = Box::new(Running {
            driver: *driver,
            calls,
            company,
            completion_told: complete_at_start || past.finished_at.is_some(),
            complete: finished_at.is_some(),
            finished_at,
            seeding_since: past.seeding_since,
            seeded_before: Duration::ZERO,
            _scrubbed: scrubbed,
            present,
            run: past.run,
            sleeps_at: None,
            is_only_called: news.as_ref().is_some_and(|news| news.is_call()),
            full: None,
            publish_at: now,
            shown_peers: 0,
            uploaded: (0, past.uploaded_at),
            unattended: false,
        });
        running.company.peers.set_disk(running.driver.disk.clone(), limits);
        let asks_web_seeds =
            running.driver.base.add.web_seeds && running.driver.base.shared.settings.web_seeds;
        if asks_web_seeds && !running.driver.base.add.seed_only {
            running.company.web_seeds = WebSeeds::new(&running.driver.base.add.metainfo, now);
        }
        running.call_whom_it_knows(now);
        running.driver.keeper.forget_earlier();
        running.follow_orders();
        running.hear_news(news.map(|news| *news).unwrap_or_default());
        running
    }

    /// Tells the brain of the peers that are known from elsewhere.
    fn call_whom_it_knows(&mut self, now: Time) {
        let add = &mut self.driver.base.add;
        let addrs = std::mem::take(&mut add.peers);
        self.company.swarm.handle(now, Input::PeersFound { addrs: &addrs, source: PeerSource::User });
        let addrs = std::mem::take(&mut add.peers_of_link);
        self.company.swarm.handle(now, Input::PeersFound { addrs: &addrs, source: PeerSource::Link });
        let names = std::mem::take(&mut add.names_of_link);
        let is_public = add.kept_in.is_some() && !add.metainfo.is_private();
        self.company.look_up(names);
        if is_public {
            let addrs = self.driver.keeper.earlier_peers();
            self.company.swarm.handle(now, Input::PeersFound { addrs, source: PeerSource::Earlier });
        }
    }

    /// Runs until something ends the torrent, then ends it; or until it has nothing to do.
    pub(super) async fn run(mut self: Box<Self>) -> Next {
        let end = loop {
            if let Some(end) = self.carry_out() {
                break end;
            }
            if self.is_rested() {
                return self.lie_down();
            }
            let wake = self.driver.base.shared.instant(self.deadline());
            tokio::select! {
                batch = self.company.peers.hear() => batch.into_iter().for_each(|batch| self.company.hear(batch)),
                events = self.driver.inbox.take() => {
                    if let Some(end) = self.on_disk_events(events) {
                        break end;
                    }
                }
                visit = self.calls.visits.recv(), if self.company.outside.known => self.company.on_visit(visit),
                Some(done) = self.company.jobs.join_next() => {
                    if let Some(end) = self.on_done(done) {
                        break end;
                    }
                }
                Some(announced) = self.company.outside.announces.next() => self.company.on_announced(announced),
                (addrs, source) = self.company.outside.scouts.found() => self.company.on_found(&addrs, source),
                request = self.calls.requests.next(), if !self.unattended => match request {
                    Some(request) => {
                        if let Some(end) = self.on_request(request) {
                            break end;
                        }
                    }
                    None => self.unattended = true,
                },
                _ = self.calls.closed.wait_for(|&closing| closing) => break Ok(()),
                () = self.company.outside.seat.changed() => self.follow_orders(),
                Ok(()) = self.driver.base.wishes.changed() => self.follow_wishes(),
                () = tokio::time::sleep_until(wake) => {
                    let now = self.now();
                    self.company.swarm.handle_timeout(now);
                }
            }
        };
        Next::Ended(Box::pin(self.end(end)).await)
    }

    pub(super) fn now(&self) -> Time {
        self.company.now()
    }

    /// What the last save of its brain holds.
    pub(super) fn last_words(&self) -> Said {
        let now = self.now();
        said(&self.company.swarm, self.seeded(now), now)
    }

    fn tell(&self, kind: impl FnOnce() -> EventKind) {
        self.company.tell(kind);
    }

    /// When to wake up if nothing is heard of.
    fn deadline(&self) -> Time {
        let goal = self.goal_deadline();
        // A torrent to which nothing happens is looked at again only when something does.
        let publish = Some(self.publish_at).filter(|_| !self.is_quiet());
        let web_seed = self.company.web_seeds.deadline().filter(|_| self.wants_web_seeds());
        let full = self.full.as_ref().and_then(|full| full.deadline(self.company.outside.barred));
        let sleep = self.look_to_rest_at();
        [
            self.company.swarm.poll_timeout(),
            self.driver.keeper.deadline(),
            goal,
            publish,
            web_seed,
            full,
            sleep,
        ]
        .into_iter()
        .flatten()
        .fold(self.company.outside.announcer.deadline(), Time::min)
    }
}

/// What is heard of.
impl Running {
    /// Hears of what it was woken by.
    fn hear_news(&mut self, news: News) {
        let News { visit, requests, found, wished } = news;
        if let Some((addrs, source)) = found {
            self.company.on_found(&addrs, source);
        }
        if let Some(visit) = visit {
            self.company.on_visit(visit);
        }
        if wished {
            self.follow_wishes();
        }
        for request in requests.into_iter().chain(self.calls.held.take().into_iter().flatten()) {
            // It is none that ends the torrent.
            let _ = self.on_request(request);
        }
    }

    fn on_disk_events(&mut self, events: VecDeque<DiskEvent>) -> Option<End> {
        let some_lost = events.iter().any(|event| matches!(event, DiskEvent::PieceLost { .. }));
        // Once for all of them: a whole file may be lost.
        if self.driver.base.add.seed_only && some_lost {
            let priorities = only_what_is_there(&self.driver);
            self.company.swarm.handle(self.now(), Input::SetPriorities(&priorities));
        }
        events.into_iter().find_map(|event| self.on_disk(event))
    }

    fn on_disk(&mut self, event: DiskEvent) -> Option<End> {
        let now = self.now();
        match event {
            DiskEvent::BlockTaken { block, from } => {
                let peer = PeerKey(from);
                self.driver.keeper.note_block(block.len, now);
                self.company.swarm.handle(now, Input::BlockReceived { peer, block });
            }
            DiskEvent::PieceVerified { piece, digests } => {
                self.company.swarm.handle(now, Input::PieceVerified { piece, digests: &digests });
            }
            DiskEvent::PieceFailed { piece, from_disk, digests } => {
                self.company.swarm.handle(now, Input::PieceFailed { piece, from_disk, digests: &digests });
            }
            DiskEvent::PieceLost { piece } => self.lose(now, piece),
            DiskEvent::BlocksForgotten { piece, blocks } => {
                self.company.swarm.handle(now, Input::BlocksForgotten { piece, blocks: &blocks });
            }
            DiskEvent::Full(err) => self.on_full(now, err),
            DiskEvent::Room => self.on_room(),
            DiskEvent::Failed(err) => return Some(Err(err.into())),
        }
        None
    }

    /// A piece cannot be read any more. It is fetched again, unless nothing is to be written; peers hear that it is gone.
    fn lose(&mut self, now: Time, piece: PieceIndex) {
        self.driver.keeper.note_lost(now);
        self.driver.hashes.expect_checks(true);
        self.company.swarm.handle(now, Input::PieceLost { piece });
        if self.complete && !self.company.swarm.stats(now).finished {
            self.complete = false;
            self.seeded_before = self.seeded(now);
            self.finished_at = None;
            self.company.outside.seat.wants(now, Wants::Download);
        }
    }

    fn on_done(&mut self, done: Result<Done, JoinError>) -> Option<End> {
        match done {
            Ok(Done::Retried) => {
                self.on_retried();
                None
            }
            Ok(Done::Forgotten) => None,
            Ok(Done::MetadataRead(peer, message)) => {
                self.company.peers.command(peer, Command::Send(message));
                None
            }
            Ok(done) => self.company.on_done(done).and_then(|saved| self.on_saved(saved)),
            Err(_) => Some(Err(TorrentError::Internal)),
        }
    }

    fn on_saved(&mut self, saved: Saved) -> Option<End> {
        let is_all_durable = self.driver.keeper.note_saved(&saved);
        if is_all_durable && self.complete {
            self.finish(self.now());
        }
        saved.failure.map(|failure| Err(failure.into()))
    }

    fn follow_orders(&mut self) {
        if self.company.follow_orders() {
            self.publish(self.now());
        }
    }

    /// All wanted bytes are durable.
    fn finish(&mut self, now: Time) {
        (self.finished_at, self.seeding_since) = (Some(now), now);
        self.tell(|| EventKind::Finished);
        let finished = finished(&self.driver.base, now);
        self.publish(now);
        self.driver.base.status.send_modify(|status| status.finished = Some(finished));
        self.driver.hashes.expect_checks(false);
    }
}

/// What follows from it.
impl Running {
    /// Does what the brain says until it says nothing more, then what else is due.
    fn carry_out(&mut self) -> Option<End> {
        let now = self.now();
        loop {
            while let Some(output) = self.company.swarm.poll_output() {
                self.obey(now, output);
            }
            if !self.company.flush(now) {
                break;
            }
        }
        let run = self.run;
        self.company.announce(|swarm| told_to_trackers(run, &swarm.stats(now)));
        if self.wants_web_seeds() {
            self.company.ask_web_seeds(now);
        }
        self.save(now);
        self.wait_for_room(now);
        // The last one to leave is told of, though nothing more is before something happens.
        if now >= self.publish_at || self.is_quiet() && self.shown_peers > 0 {
            self.publish(now);
        }
        self.goal_reached(now).then_some(Ok(()))
    }

    fn obey(&mut self, now: Time, output: Output) {
        match output {
            Output::Send { peer, message } => {
                self.company.peers.command(peer, Command::Send(message));
            }
            Output::Request { peer, block } => {
                self.company.peers.command(peer, Command::Request(block));
            }
            Output::Cancel { peer, block } => {
                self.company.peers.command(peer, Command::Cancel(block));
            }
            Output::ServeMetadata { peer, id, piece, total_size } => {
                self.serve_metadata(peer, id, piece, total_size);
            }
            Output::Serve { peer, block } => self.company.peers.command(peer, Command::Serve(block)),
            Output::DropServes { peer } => self.company.peers.command(peer, Command::DropServes),
            Output::Hold { peer } => self.company.peers.command(peer, Command::Hold),
            Output::Release { peer } => self.company.peers.command(peer, Command::Release),
            Output::Forget { piece, blocks } => {
                if let Some(later) = self.driver.disk.forget_blocks(piece, blocks) {
                    self.company.jobs.spawn(async move {
                        later.await;
                        Done::Forgotten
                    });
                }
            }
            Output::Finished => self.complete(now),
            other => self.company.obey(now, &other),
        }
    }

    /// Sends a piece of the metadata, copied from where it is kept; a job of its own if that is on a disk.
    fn serve_metadata(&mut self, peer: PeerKey, id: u8, piece: u32, total_size: u32) {
        let metainfo = self.driver.base.add.metainfo.clone();
        let is_here = metainfo.shelf().is_none();
        let read = move || metadata_piece(&metainfo, id, piece, total_size);
        if is_here {
            self.company.peers.command(peer, Command::Send(read()));
        } else {
            self.company.jobs.spawn_blocking(move || Done::MetadataRead(peer, read()));
        }
    }

    /// The brain has all it wants. It is durable, and finished, after the next commit.
    fn complete(&mut self, now: Time) {
        if std::mem::replace(&mut self.complete, true) {
            // It was before it slept, and still is.
            return;
        }
        self.company.outside.seat.wants(now, Wants::Seed);
        let everything = self.company.swarm.stats(now).left_bytes == 0;
        if everything && !std::mem::replace(&mut self.completion_told, true) {
            self.company.completed(now);
        }
        if self.driver.base.add.seed_only {
            self.finish(now);
        }
    }

    fn save(&mut self, now: Time) {
        let finishing = self.complete && self.finished_at.is_none();
        let (swarm, seeded) = (&self.company.swarm, self.seeded(now));
        if let Some(goal) = self.driver.base.add.seed_goal.time.filter(|_| self.finished_at.is_some()) {
            self.driver.keeper.note_seeding(goal, now);
        }
        if let Some(save) = self.driver.keeper.due(now, finishing, || said(swarm, seeded, now)) {
            let disk = self.driver.disk.clone();
            self.company.jobs.spawn(async move { Done::Saved(save.make(disk).await) });
        }
    }

    fn wants_web_seeds(&self) -> bool {
        self.company.outside.awake && !self.complete
    }

    /// Whether nobody is there, and nothing is missing or it is another's turn.
    fn is_quiet(&self) -> bool {
        self.company.peers.is_empty() && (self.finished_at.is_some() || !self.company.outside.awake)
    }

    fn state(&self) -> TorrentState {
        match (self.company.outside.awake, self.finished_at) {
            _ if self.full.is_some() => TorrentState::DiskFull,
            (false, _) => TorrentState::Queued,
            (true, None) => TorrentState::Downloading,
            (true, Some(_)) => TorrentState::Seeding,
        }
    }

    fn publish(&mut self, now: Time) {
        self.publish_at = now + PUBLISH_INTERVAL;
        let brain = self.company.report(now);
        self.shown_peers = brain.peers;
        if self.uploaded.0 != brain.uploaded {
            self.uploaded = (brain.uploaded, now);
            self.driver.keeper.note_sent(now);
        }
        let totals = self.driver.keeper.totals(counters(&brain));
        let state = self.state();
        self.driver.base.status.send_modify(|status| {
            status.stats = TorrentStats {
                state,
                done: brain.done_bytes,
                total: brain.wanted_bytes,
                have_pieces: brain.have_pieces,
                rate_down: brain.rate_down,
                rate_up: brain.rate_up,
                downloaded: totals.downloaded,
                uploaded: totals.uploaded,
                wasted: brain.wasted,
                peers: brain.peers,
                seeds: brain.seeds,
                known_peers: brain.known,
                active: now - self.driver.base.added,
                ..status.stats
            };
        });
    }

    fn goal_reached(&self, now: Time) -> bool {
        if self.finished_at.is_none() {
            return false;
        }
        let goal = self.driver.base.add.seed_goal;
        let long_enough = self.goal_deadline().is_some_and(|deadline| now >= deadline);
        let enough = || {
            let stats = self.company.swarm.stats(now);
            goal.is_met_by(self.driver.keeper.totals(counters(&stats)).uploaded, stats.wanted_bytes)
        };
        self.driver.base.add.stop_when_finished || long_enough || goal.ratio.is_some() && enough()
    }
}

/// The end.
impl Running {
    /// Hangs up, tells trackers, saves: all within [`END_DEADLINE`].
    async fn end(mut self: Box<Self>, end: End) -> End {
        let now = self.now();
        self.publish(now);
        let (last, said) = (self.company.swarm.stats(now), self.last_words());
        let run = told_to_trackers(self.run, &last);
        self.company.part();
        let Running { driver: Driver { mut keeper, disk, inbox, .. }, company, .. } = *self;
        let Company { shared, torrent, peers, outside, mut jobs, .. } = company;
        let tell = |kind| shared.hub.tell(torrent, || kind);
        let save = async {
            // One that is under way comes first: two must not overlap. Dials are of no use any more.
            while keeper.is_busy()
                && let Some(done) = jobs.join_next().await
            {
                if let Ok(Done::Saved(saved)) = done {
                    keeper.note_saved(&saved);
                }
            }
            keeper.last(said, inbox).make(disk).await.failure
        };
        let farewell = Farewell { web: &shared.web, outside, run };
        let deadline = tokio::time::Instant::now() + END_DEADLINE;
        let (saved, _, _) = tokio::join!(
            tokio::time::timeout_at(deadline, save),
            tokio::time::timeout_at(deadline, farewell.say(|| shared.now(), tell)),
            tokio::time::timeout_at(deadline, peers.end()),
        );
        end?;
        match saved {
            Ok(Some(failure)) => Err(failure.into()),
            // A disk that hangs is left to the next start, which hashes what was not committed.
            Ok(None) | Err(_) => Ok(()),
        }
    }
}

impl From<Failure> for TorrentError {
    fn from(failure: Failure) -> TorrentError {
        match failure {
            Failure::Sync(err) => TorrentError::Disk(err.error),
            Failure::State(err) => TorrentError::State(err),
        }
    }
}

/// Nobody yet.
fn company(driver: &Driver, swarm: Brain, complete: bool) -> Company {
    let Base { shared, torrent, peer_id, lengths, .. } = &*driver.base;
    let limits = wire::Limits::for_pieces(lengths.piece_count());
    let outside = outside(&driver.base, complete);
    Company::nobody(shared.clone(), *torrent, *peer_id, swarm, limits, outside)
}

/// A new place among other torrents, and its trackers.
pub(super) fn outside(base: &Base, complete: bool) -> Outside {
    let Base { shared, add, torrent: info_hash, peer_id, .. } = base;
    let tiers = match &add.tiers {
        _ if !add.trackers || !shared.settings.trackers => &[],
        Some(tiers) => tiers.as_slice(),
        None => add.metainfo.trackers(),
    };
    let named = Named { tiers, of_link: if add.by_link { add.metainfo.trackers() } else { &[] } };
    offer_nodes(base);
    let mut outside = Outside::take(shared, *info_hash, *peer_id, named, torrent(add, complete));
    outside.scouts.set_privacy(Privacy::of(&add.metainfo));
    outside.seat.set_rank(shared.now(), add.rank);
    outside
}

/// Goes on where the torrent fell asleep, with nobody connected.
fn go_on(now: Time, driver: &Driver, mut swarm: Brain, mut outside: Outside, next_peer: u64) -> Company {
    let Base { shared, torrent, peer_id, lengths, .. } = &*driver.base;
    let limits = wire::Limits::for_pieces(lengths.piece_count());
    if !swarm.stats(now).finished {
        // Something was lost.
        outside.seat.wants(now, Wants::Download);
    }
    if outside.awake {
        swarm.handle(now, Input::SetLimits(outside.seat.orders().limits));
        swarm.handle(now, Input::Resume);
    }
    let mut company = Company::nobody(shared.clone(), *torrent, *peer_id, swarm, limits, outside);
    company.peers.set_next_key(next_peer);
    company
}

/// Goes on with those that were met while only the info-hash was known. The torrent has its turn already, and what
/// trackers were told holds.
fn meet_again(now: Time, driver: &Driver, swarm: Brain, mut met: Company, complete: bool) -> Company {
    if driver.base.add.max_up.is_some() || driver.base.add.max_down.is_some() {
        met.outside.seat = Seat::take(driver.base.shared.clone(), torrent(&driver.base.add, complete));
        met.outside.seat.hurry(now);
    }
    met.outside.seat.set_rank(now, driver.base.add.rank);
    met.outside.awake = true;
    let mut swarm = swarm;
    swarm.set_ears(Ears::new(driver.base.shared.clone(), driver.base.torrent, driver.base.peer_id));
    let before = std::mem::replace(&mut met.swarm, swarm);
    met.swarm.handle(now, Input::SetLimits(met.outside.seat.orders().limits));
    met.swarm.take_over(now, before);
    met.swarm.handle(now, Input::Resume);
    met.outside.scouts.set_privacy(Privacy::of(&driver.base.add.metainfo));
    met.send_out_scouts();
    met
}

/// The nodes that the torrent file names, for ours to begin with.
fn offer_nodes(base: &Base) {
    let Base { shared, add, .. } = base;
    if let Some(dht) = shared.dht.as_ref().filter(|_| !add.metainfo.is_private()) {
        dht.offer_named(add.metainfo.dht_nodes());
    }
}

/// Where our DHT node is, if there is one and the torrent's peers may hear of it (BEP 27).
fn dht_ports(driver: &Driver) -> [u16; 2] {
    let dht = driver.base.shared.dht.as_ref().filter(|_| !driver.base.add.metainfo.is_private());
    dht.map_or([0; 2], |dht| dht.ports())
}

/// The length of the metadata, if others may have it: that of a private torrent (BEP 27) is for its own trackers' users.
fn public_metadata(metainfo: &Metainfo) -> Option<u32> {
    u32::try_from(metainfo.info_len()).ok().filter(|_| !metainfo.is_private())
}

/// A piece of the metadata, or that there is none.
fn metadata_piece(metainfo: &Metainfo, id: u8, piece: u32, total_size: u32) -> wire::Message<'static> {
    let start = piece.saturating_mul(METADATA_PIECE_LEN) as usize;
    let said = match metainfo.info_part(start..start.saturating_add(METADATA_PIECE_LEN as usize)) {
        Ok(data) => wire::ext::Metadata::Data { piece, total_size, data }.encode(),
        Err(err) => {
            tracing::warn!("cannot serve metadata: {err}");
            wire::ext::Metadata::Reject { piece }.encode()
        }
    };
    wire::Message::Extended { id, payload: said.into() }
}

/// Payload of this run.
pub(super) fn counters(stats: &Stats) -> Counters {
    Counters { downloaded: stats.downloaded, uploaded: stats.uploaded }
}

/// What is kept of the brain.
fn said(swarm: &Brain, seeded: Duration, now: Time) -> Said {
    Said { counters: counters(&swarm.stats(now)), seeded, peers: swarm.worth_trying(MAX_PEERS) }
}

/// Payload of this run, given what there was before this brain, and how many bytes are missing.
fn told_to_trackers(before: Counters, stats: &Stats) -> (Counters, u64) {
    (before + counters(stats), stats.left_bytes)
}

/// A torrent as the brain above knows it.
fn torrent(add: &AddTorrent, complete: bool) -> Torrent {
    let wants = if complete { Wants::Seed } else { Wants::Download };
    Torrent { max_up: add.max_up, max_down: add.max_down, ..Torrent::new(wants) }
}

/// What is missing stays missing: pieces that are not there are not wanted.
fn only_what_is_there(driver: &Driver) -> Vec<Priority> {
    let verified = driver.disk.verified();
    let there = |piece| if verified.contains(piece) { Priority::Normal } else { Priority::Skip };
    driver.base.lengths.pieces().map(there).collect()
}
