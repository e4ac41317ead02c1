//! What `download` and `seed` share: add every torrent to one engine, show how it goes, end when they are done.
//!
//! Each source is a task of its own, so that one that fails or is slow holds up no other, until its torrent is complete: those
//! that are seeded on are [looked after](crate::seeds) together.

use crate::args::{Goal, Session};
use crate::chatter::{self, Roll};
use crate::console::Console;
use crate::failure::{Exit, Failure, OrFail, kind};
use crate::fetch;
use crate::interrupt::{self, Interrupt};
use crate::progress::{Phase, Reporter, Snapshot, TICK};
use crate::seeds::{Seed, Seeds, Shown};
use crate::select::{self, Selection};
use crate::source::Source;
use crate::text::printable;
use crate::{listing, runtime, source, trace};
use engine::{
    AddMagnet, AddTorrent, Allocate, Engine, Error, Fetched, Finished, Magnet, Metainfo, SeedGoal, Settings,
    Tape, Torrent, TorrentError, TorrentState,
};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio::time::{self, MissedTickBehavior};

/// What is to be done with every torrent.
pub(crate) struct Plan {
    /// The folder that holds, or will hold, each torrent's file or folder.
    pub(crate) dir: PathBuf,
    /// Of a magnet link, fetch the torrent and save it in `dir`, a folder or file; nothing else.
    pub(crate) metadata_only: bool,
    pub(crate) select: Vec<Selection>,
    pub(crate) sequential: bool,
    pub(crate) overwrite: bool,
    pub(crate) allocate: Allocate,
    /// Seed what is there, download nothing.
    pub(crate) seed_only: bool,
    /// See [`AddTorrent::super_seed`].
    pub(crate) super_seed: bool,
    /// What follows completion: seeding until the goal is reached, or the end.
    pub(crate) seed: Option<SeedGoal>,
    pub(crate) peers: Vec<SocketAddr>,
    pub(crate) trackers: bool,
    /// Peers of torrents that are not private are found in the DHT as well.
    pub(crate) dht: bool,
    /// What is missing is asked of web seeds too.
    pub(crate) web_seeds: bool,
    /// A new file that the one source is recorded to.
    pub(crate) record: Option<PathBuf>,
    /// How events are shown, and which.
    pub(crate) trace: Option<trace::Manner>,
}

/// How long what is still to be shown may take once everything has ended.
const LAST_EVENTS: Duration = Duration::from_secs(5);

/// How one source ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Done,
    Failed,
    Interrupted,
}

/// How far one came by itself.
enum Reached {
    End(Outcome),
    Seeding(Seed),
}

/// Runs the plan for all sources.
pub(crate) fn run(
    plan: Plan,
    sources: &[String],
    settings: Settings,
    console: &Console,
) -> Result<Exit, Failure> {
    let interrupt = interrupt::graceful(console)?;
    let sources = source::unfold(sources)?;
    let engine = Engine::start(settings).map_err(|error| engine_failure(&error))?;
    let tape = plan.record.as_ref().map(|path| new_tape(path, sources.len())).transpose()?;
    let runtime = runtime()?;
    let seed_only = plan.seed_only;
    if seed_only || console.verbose() > 0 {
        let addrs = engine.listen_addrs().iter().map(ToString::to_string).collect::<Vec<_>>();
        console.note(format_args!("listening on {}", addrs.join(", ")));
    }
    let roll = Arc::new(Roll::new(sources.len()));
    let events = engine.listen(chatter::wanted(console)).with_addresses();
    runtime.spawn(chatter::pass_on(events, console.clone(), roll.clone()));
    let many = sources.len() > 1;
    let traced = match &plan.trace {
        Some(manner) if many && manner.pcap.is_some() => {
            return Err(Failure::new(kind::USAGE, "a capture is of one torrent (--pcap)"));
        }
        Some(manner) => {
            let manner = trace::Manner { many, ..manner.clone() };
            let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
            let events = engine.listen(manner.heard()).with_addresses();
            let printer = trace::Printer::new(console, manner, Some(now.saturating_sub(engine.uptime())))?;
            Some(runtime.spawn(printer.follow(events)))
        }
        None => None,
    };
    let stopping = Once::new();
    let console = console.clone();
    let transfer = Transfer { plan, tape: tape.clone(), engine, console, interrupt, stopping, roll };
    let outcomes = runtime.block_on(Arc::new(transfer).all(sources));
    if let Some(tape) = tape {
        tape.finish().or_fail(kind::OUTPUT, "the recording is not whole")?;
    }
    if let Some(traced) = traced {
        let last = runtime.block_on(async { time::timeout(LAST_EVENTS, traced).await });
        if let Ok(Ok(shown)) = last {
            shown?;
        }
    }
    // Standard input may still be waited for: nobody waits for that.
    runtime.shutdown_background();
    Ok(exit(&outcomes, seed_only))
}

/// A new file to record so many sources to, which must be one.
fn new_tape(path: &Path, sources: usize) -> Result<Tape, Failure> {
    let shown = path.display();
    if sources > 1 {
        return Err(Failure::new(kind::USAGE, format_args!("{shown}: one recording is of one torrent")));
    }
    match Tape::create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let message = format_args!("{shown} is there already; name a new file (--record)");
            Err(Failure::new(kind::OUTPUT, message))
        }
        created => created.or_fail(kind::OUTPUT, shown),
    }
}

/// The engine's settings from the command line; `state_dir` is where to keep state if no option says so.
pub(crate) fn settings(session: &Session, state_dir: PathBuf) -> Settings {
    let mut settings = Settings::new(state_dir);
    settings.listen.clone_from(&session.listen);
    settings.dht = session.dht();
    settings.pex = !session.no_pex;
    settings.peers.clone_from(&session.peer);
    settings.lsd = !session.no_lsd;
    settings.max_peers = session.max_peers.map_or(settings.max_peers, usize::from);
    if let Some(memory) = session.message_memory {
        settings.message_memory = usize::try_from(memory).unwrap_or(usize::MAX);
    }
    settings.max_down = session.max_down;
    settings.max_up = session.max_up;
    settings.scrub = session.scrub;
    settings.upload_slots = session.upload_slots.map(usize::from);
    settings.max_active = session.max_active.map(usize::from);
    settings.allow_private = session.allow_private;
    settings.trackers = !session.no_trackers;
    settings.web_seeds = !session.no_web_seeds;
    settings
}

pub(crate) fn seed_goal(goal: Goal) -> SeedGoal {
    SeedGoal { ratio: goal.seed_ratio, time: goal.seed_time, ..SeedGoal::default() }
}

/// Fetches a torrent for a command that needs the engine for nothing else: no peer can connect.
pub(crate) async fn fetch_alone(url: &str) -> Result<Vec<u8>, Error> {
    let mut settings = Settings::new(std::env::temp_dir());
    settings.listen = vec![(Ipv4Addr::LOCALHOST, 0).into()];
    settings.lsd = false;
    let engine = Engine::start(settings)?;
    let fetched = engine.fetch(url).await;
    engine.shutdown().await;
    fetched
}

/// What the engine could not do, with the option that helps.
pub(crate) fn engine_failure(error: &Error) -> Failure {
    Failure::new(error.kind(), format_args!("{error}{}", option_for(error.kind())))
}

/// The engine speaks of what can be done; here is how it is called on this command line.
fn option_for(kind: &str) -> &'static str {
    match kind {
        "file_in_the_way" => " (--overwrite)",
        "listen" => " (--listen)",
        "state" => " (--state-dir)",
        _ => "",
    }
}

/// One exit code for all: an interrupt is told even if something failed as well; `seed` ends by being interrupted.
fn exit(outcomes: &[Outcome], seed_only: bool) -> Exit {
    if !seed_only && outcomes.contains(&Outcome::Interrupted) {
        Exit::Interrupted
    } else if outcomes.contains(&Outcome::Failed) {
        Exit::Failed
    } else {
        Exit::Done
    }
}

/// A torrent that the engine has.
struct Added {
    torrent: Torrent,
    pieces: u32,
    /// Bytes of the whole torrent.
    total: u64,
}

fn torrent_failure(torrent: &Torrent, error: &TorrentError) -> Failure {
    let (name, option) = (printable(torrent.name()), option_for(error.kind()));
    let failure = Failure::new(error.kind(), format_args!("{name}: {error}{option}"));
    failure.of(&torrent.info_hash().to_string())
}

/// How many torrent files are read and added at a time: more only take memory from each other.
const ADDED_AT_ONCE: usize = 16;

struct Transfer {
    plan: Plan,
    tape: Option<Tape>,
    engine: Engine,
    console: Console,
    interrupt: Interrupt,
    /// That it is stopping is told once, before anything that follows from it.
    stopping: Once,
    roll: Arc<Roll>,
}

/// Waits for the next tick; for ever if there are none.
async fn tick(ticks: &mut Option<time::Interval>) {
    match ticks {
        Some(ticks) => drop(ticks.tick().await),
        None => std::future::pending().await,
    }
}

impl Transfer {
    async fn all(self: Arc<Self>, sources: Vec<String>) -> Vec<Outcome> {
        let (mut tasks, mut outcomes) = (JoinSet::new(), Vec::new());
        let mut seeds = Seeds::new(self.engine.ends());
        let begin = |tasks: &mut JoinSet<_>, source: String, turn| {
            let transfer = self.clone();
            tasks.spawn(async move { transfer.one(&source, turn).await });
        };
        let is_file = |source: &String| matches!(Source::new(source), Source::File(_));
        let (files, others): (Vec<_>, Vec<_>) = sources.into_iter().partition(is_file);
        // They may take long, or for ever.
        others.into_iter().for_each(|source| begin(&mut tasks, source, None));
        let (turns, mut files) = (Arc::new(Semaphore::new(ADDED_AT_ONCE)), files.into_iter());
        let (mut interrupt, mut is_stopping, mut ticks) = (self.interrupt.clone(), false, self.ticks());
        while !(tasks.is_empty() && files.len() == 0 && seeds.is_empty()) {
            tokio::select! {
                biased;
                () = interrupt.asked(), if !is_stopping => {
                    self.tell_of_stopping();
                    is_stopping = true;
                    outcomes.extend(files.by_ref().map(|_| Outcome::Interrupted));
                    outcomes.extend(std::iter::repeat_n(Outcome::Done, seeds.len()));
                    seeds.clear();
                }
                Some(reached) = tasks.join_next() => match reached {
                    Ok(Reached::End(outcome)) => outcomes.push(outcome),
                    Ok(Reached::Seeding(_)) if is_stopping => outcomes.push(Outcome::Done),
                    Ok(Reached::Seeding(seed)) => {
                        if let Some(ended) = seeds.add(seed) {
                            outcomes.push(self.end(&ended).await);
                        }
                    }
                    Err(error) => std::panic::resume_unwind(error.into_panic()),
                },
                Ok(turn) = turns.clone().acquire_owned(), if files.len() > 0 => {
                    if let Some(source) = files.next() {
                        begin(&mut tasks, source, Some(turn));
                    }
                }
                ended = seeds.ended() => {
                    for seed in ended {
                        outcomes.push(self.end(&seed).await);
                    }
                }
                () = tick(&mut ticks), if !seeds.is_empty() => {
                    for (torrent, Shown { reporter, total }) in seeds.shown() {
                        reporter.tick(&self.snapshot(torrent, *total));
                    }
                }
            }
        }
        drop((tasks, seeds));
        let transfer = Arc::into_inner(self).expect("every task that shared it has ended");
        transfer.engine.shutdown().await;
        outcomes
    }

    /// One source, from its text to its end, or until it is only seeded.
    async fn one(&self, source: &str, turn: Option<OwnedSemaphorePermit>) -> Reached {
        let mut interrupt = self.interrupt.clone();
        let added = tokio::select! {
            // Boxed: the rest of the task stays for as long as the torrent does.
            added = Box::pin(self.add(source)) => added,
            () = interrupt.asked() => {
                self.tell_of_stopping();
                return Reached::End(Outcome::Interrupted);
            }
        };
        drop(turn);
        if !matches!(added, Ok(Some(_))) {
            self.roll.strike();
        }
        let followed = match added {
            Ok(Some(added)) => self.follow(added).await,
            Ok(None) => Ok(Reached::End(Outcome::Done)),
            Err(failure) => Err(failure),
        };
        followed.unwrap_or_else(|failure| Reached::End(self.fail(&failure)))
    }

    /// One that was seeded, and has ended.
    async fn end(&self, seed: &Seed) -> Outcome {
        match seed.torrent.wait_stopped().await {
            Ok(()) => Outcome::Done,
            Err(error) => self.fail(&torrent_failure(&seed.torrent, &error)),
        }
    }

    fn fail(&self, failure: &Failure) -> Outcome {
        self.console.failure(failure);
        Outcome::Failed
    }

    /// Loads a source and adds it; `None` if its torrent is there already.
    async fn add(&self, source: &str) -> Result<Option<Added>, Failure> {
        let source_of = Source::new(source);
        let fetched = match source_of.magnet()? {
            Some(magnet) => match self.fetch_metadata(magnet).await? {
                Some(fetched) => Some(fetched),
                None => return Ok(None),
            },
            None if self.plan.metadata_only => {
                let message = "--metadata-only is for magnet links; this is a torrent already";
                return Err(Failure::new(kind::UNSUPPORTED, format_args!("{source}: {message}")));
            }
            None => None,
        };
        let torrent = match &fetched {
            Some(fetched) => fetched.metainfo().clone(),
            None => Arc::new(source_of.load(|url| self.engine.fetch(url)).await?),
        };
        let (name, info_hash) = (torrent.name().to_owned(), torrent.info_hash().to_string());
        let in_this = |failure: Failure| {
            let message = format!("{}: {}", printable(&name), failure.message);
            Failure { message, ..failure.of(&info_hash) }
        };
        let (pieces, total) = (torrent.lengths().piece_count(), torrent.lengths().total());
        let trackers = if self.plan.trackers { torrent.trackers().iter().flatten().count() } else { 0 };
        // Of a magnet link that was said before.
        let waits = self.plan.peers.is_empty() && !self.plan.seed_only && fetched.is_none();
        let waits = waits && (torrent.is_private() || !self.plan.dht);
        let waits = waits && (torrent.web_seeds().is_empty() || !self.plan.web_seeds);
        let add = self.order(&torrent, fetched).map_err(in_this)?;
        match self.engine.add(add).await {
            Ok(torrent) => {
                if let Some(complaint) = self.roll.enter(torrent.info_hash(), &name, trackers, waits) {
                    self.console.note(complaint);
                }
                Ok(Some(Added { torrent, pieces, total }))
            }
            Err(Error::AlreadyAdded(_)) => {
                let (name, source) = (printable(&name), printable(source));
                self.console.note(format_args!("{name}: given more than once, {source} is left out"));
                Ok(None)
            }
            Err(error) => Err(in_this(engine_failure(&error))),
        }
    }

    /// Looks for what a magnet link names; `None` if it is here already, or is saved and that was all.
    async fn fetch_metadata(&self, magnet: Magnet) -> Result<Option<Fetched>, Failure> {
        let (plan, began) = (&self.plan, Instant::now());
        let (name, info_hash) = (fetch::name(&magnet), magnet.info_hash);
        let in_this = |kind, error: &dyn std::fmt::Display| {
            let message = format_args!("{}: {error}", printable(&name)).to_string();
            Failure::new(kind, message).of(&info_hash.to_string())
        };
        let trackers = if plan.trackers { magnet.trackers.len() } else { 0 };
        let waits = plan.peers.is_empty() && magnet.peers.is_empty() && !plan.dht;
        let add = AddMagnet::new(magnet).peers(plan.peers.clone());
        let add = add.metadata_only(plan.metadata_only).record(self.tape.clone());
        let mut fetch = match self.engine.fetch_metadata(add).await {
            Ok(fetch) => fetch,
            Err(Error::AlreadyAdded(_)) => {
                self.console.note(format_args!("{}: given more than once", printable(&name)));
                return Ok(None);
            }
            Err(error) => return Err(in_this(error.kind(), &error)),
        };
        if let Some(complaint) = self.roll.await_metadata(info_hash, &name, trackers, waits) {
            self.console.note(complaint);
        }
        let mut reporter = Reporter::new(&self.console, &info_hash.to_string(), &name);
        let mut ticks = time::interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let found = loop {
            tokio::select! {
                biased;
                found = fetch.wait() => break found,
                _ = ticks.tick() => reporter.tick(&fetch::snapshot(fetch.stats())),
            }
        };
        drop(reporter);
        let fetched = found.map_err(|error| in_this(error.kind(), &error))?;
        if plan.metadata_only {
            fetch::save(&fetched, &plan.dir, began.elapsed(), &self.console)?;
            return Ok(None);
        }
        let shown = printable(fetched.metainfo().name());
        self.console.note(format_args!("{shown}: metadata is here: {}", fetch::summary(&fetched)));
        Ok(Some(fetched))
    }

    /// What the engine is asked to do with a torrent.
    fn order(&self, torrent: &Arc<Metainfo>, fetched: Option<Fetched>) -> Result<AddTorrent, Failure> {
        let plan = &self.plan;
        let files = wanted_files(torrent, &plan.select)?;
        let add = match fetched {
            // What is selected here counts, else what the link selects.
            Some(fetched) if plan.select.is_empty() => fetched.into_add(&plan.dir),
            Some(fetched) => fetched.into_add(&plan.dir).files(files),
            None => {
                let add = AddTorrent::new(torrent.clone(), &plan.dir).files(files);
                add.peers(plan.peers.clone()).record(self.tape.clone())
            }
        };
        Ok(add
            .sequential(plan.sequential)
            .allocate(plan.allocate)
            .overwrite(plan.overwrite)
            .seed_only(plan.seed_only)
            .super_seed(plan.super_seed)
            .stop_when_finished(plan.seed.is_none())
            .seed_goal(plan.seed.unwrap_or_default()))
    }

    /// Shows a torrent's progress until it is done, has failed, or is to be interrupted.
    async fn follow(&self, added: Added) -> Result<Reached, Failure> {
        let Added { torrent, pieces, total } = added;
        let mut reporter = Reporter::new(&self.console, &torrent.info_hash().to_string(), torrent.name());
        match self.watch(&torrent, total, &mut reporter).await {
            Some(Ok(done)) if self.is_whole(&torrent, pieces).await => {
                let path = without_dot(&done.path).display().to_string();
                reporter.finished(&self.snapshot(&torrent, total), &path, done.bytes, done.elapsed);
            }
            Some(Ok(_)) => {
                reporter.part(&self.snapshot(&torrent, total), torrent.stats().have_pieces, pieces);
            }
            // What was there was seeded until the goal was reached.
            Some(Err(TorrentError::Stopped)) if self.plan.seed_only => {
                return Ok(Reached::End(Outcome::Done));
            }
            Some(Err(error)) => return Err(torrent_failure(&torrent, &error)),
            None => {
                reporter.interrupted(&self.snapshot(&torrent, total));
                return Ok(Reached::End(Outcome::Interrupted));
            }
        }
        if self.plan.seed.is_none() {
            return Ok(Reached::End(Outcome::Done));
        }
        let shown = self.console.is_followed().then(|| Box::new(Shown { reporter, total }));
        Ok(Reached::Seeding(Seed { torrent, shown }))
    }

    /// Whether nothing is missing; what is only seeded may be a part, which to the engine is as good as all.
    async fn is_whole(&self, torrent: &Torrent, pieces: u32) -> bool {
        if !self.plan.seed_only {
            return true;
        }
        // The numbers follow the news within a moment; a torrent of which nothing is there would have failed.
        while torrent.stats().have_pieces == 0 {
            time::sleep(TICK).await;
        }
        torrent.stats().have_pieces == pieces
    }

    /// Ticks until it is finished; `None` if an interrupt comes first.
    async fn watch(
        &self,
        torrent: &Torrent,
        total: u64,
        reporter: &mut Reporter,
    ) -> Option<Result<Finished, TorrentError>> {
        let (mut interrupt, mut ticks) = (self.interrupt.clone(), self.ticks());
        let mut end = std::pin::pin!(torrent.wait_finished());
        loop {
            tokio::select! {
                biased;
                ended = &mut end => return Some(ended),
                () = interrupt.asked() => {
                    self.tell_of_stopping();
                    return None;
                }
                () = tick(&mut ticks) => reporter.tick(&self.snapshot(torrent, total)),
            }
        }
    }

    /// When to show how things go, if somebody is shown.
    fn ticks(&self) -> Option<time::Interval> {
        let mut ticks = self.console.is_followed().then(|| time::interval(TICK))?;
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(ticks)
    }

    fn tell_of_stopping(&self) {
        self.stopping.call_once(|| self.console.note("stopping; press Ctrl-C again to stop at once"));
    }

    fn snapshot(&self, torrent: &Torrent, total: u64) -> Snapshot {
        let stats = torrent.stats();
        let phase = match stats.state {
            TorrentState::Checking => Phase::Checking { done: stats.checked, total: stats.to_check },
            TorrentState::FetchingMetadata
            | TorrentState::Queued
            | TorrentState::DiskFull
            | TorrentState::Unavailable
            | TorrentState::Moving => Phase::Waiting,
            _ if self.plan.seed_only => Phase::Seeding,
            TorrentState::Downloading => Phase::Downloading,
            TorrentState::Seeding | TorrentState::Stopped | TorrentState::Failed => Phase::Seeding,
        };
        Snapshot {
            phase,
            done: stats.done,
            // To who only seeds, the engine counts what is there as all that is wanted.
            total: if self.plan.seed_only { total } else { stats.total },
            rate_down: stats.rate_down,
            rate_up: stats.rate_up,
            uploaded: stats.uploaded,
            peers: stats.peers,
        }
    }
}

/// A path in the default folder as people write it.
fn without_dot(path: &Path) -> &Path {
    path.strip_prefix(".").unwrap_or(path)
}

/// For each of the torrent's files whether it is wanted, by its index there; nothing selected is everything.
fn wanted_files(torrent: &Metainfo, select: &[Selection]) -> Result<Vec<bool>, Failure> {
    if select.is_empty() {
        return Ok(Vec::new());
    }
    let files = listing::list(torrent);
    let paths: Vec<_> = files.iter().map(|file| file.path.as_str()).collect();
    let selected =
        select::wanted(select, &paths, "--list").map_err(|error| Failure::new(kind::SELECTION, error))?;
    let mut wanted = vec![false; torrent.files().len()];
    for (file, selected) in files.iter().zip(selected) {
        wanted[file.index] = selected;
    }
    Ok(wanted)
}
