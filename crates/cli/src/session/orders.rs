//! The orders that a session takes, and what comes of them.

use super::add::given;
use super::files::read_torrent;
use super::turns::Turn;
use crate::console::joined;
use crate::failure::{Failure, OrFail, kind};
use crate::source::Source;
use api::{SettingsChange, TorrentChange};
use daemon::change::{change_settings, change_torrent, torrent_settings};
use engine::{
    Choices, Error, Given, InfoHash, Listed, Magnet, Metainfo, QueueMove, QueuePlace, Session, Stayed,
    Torrent, TorrentError, TorrentState, TorrentStats, WatchFolder, WatchedFolder,
};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often a torrent that cannot be complete yet is looked at by who waits for that.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);
/// How long a disk may be full until who waits for a torrent on it is told so.
const FULL_PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum What {
    Add(Box<Add>),
    Remove {
        info_hash: String,
        /// Whether its files go too.
        #[serde(default)]
        data: bool,
    },
    Pause {
        info_hash: String,
    },
    /// Gives a file or a folder of it another path.
    Rename {
        info_hash: String,
        path: String,
        to: String,
    },
    /// Has its files go to another folder.
    Move {
        info_hash: String,
        dir: PathBuf,
    },
    Resume {
        info_hash: String,
    },
    Recheck {
        info_hash: String,
    },
    Reannounce {
        info_hash: String,
    },
    /// Changes what is wanted of a torrent.
    Set(Box<Set>),
    /// Gives it another place among those that wait for their turn.
    Queue {
        info_hash: String,
        to: Direction,
    },
    /// Its trackers, as tiers: those that are named go, new ones come as a tier behind the others; or all are others, or its
    /// own again (`null`).
    Trackers {
        info_hash: String,
        #[serde(default)]
        remove: BTreeSet<String>,
        #[serde(default)]
        add: Vec<String>,
        #[serde(default, deserialize_with = "given_or_null")]
        replace: Option<Option<Vec<Vec<String>>>>,
    },
    /// Nothing is to do with a host any more, in any torrent.
    Ban {
        addr: IpAddr,
    },
    Unban {
        addr: IpAddr,
    },
    /// The hosts that are banned by hand.
    Bans {},
    /// Torrents that appear in a folder are added.
    Watch {
        dir: PathBuf,
        to: Option<PathBuf>,
        category: Option<String>,
        #[serde(default)]
        tags: BTreeSet<String>,
        #[serde(default)]
        paused: bool,
    },
    Unwatch {
        dir: PathBuf,
    },
    /// The folders that are watched.
    Watched {},
    /// Changes what all torrents share, and says what that is.
    Session(Box<SettingsChange>),
    /// Answers once all of it is verified and safely on disk.
    Wait {
        info_hash: String,
    },
    List {},
}

/// What is not of the torrent's is in the change, where what is not known is an error.
#[derive(Debug, Deserialize)]
pub(super) struct Add {
    /// A path, a URL or a magnet link.
    torrent: String,
    /// That of its category, if there is none.
    dir: Option<PathBuf>,
    #[serde(default)]
    paused: bool,
    #[serde(flatten)]
    change: Change,
}

#[derive(Debug, Deserialize)]
pub(super) struct Set {
    info_hash: String,
    #[serde(flatten)]
    change: Change,
}

/// What is to be otherwise.
#[derive(Debug, Default)]
pub(super) struct Change {
    torrent: TorrentChange,
    peers: Option<Vec<SocketAddr>>,
}

/// What is named and not known is an error.
impl<'de> Deserialize<'de> for Change {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Change, D::Error> {
        let mut named = Map::deserialize(from)?;
        let peers = named.remove("peers").unwrap_or_default();
        let peers = Deserialize::deserialize(peers).map_err(D::Error::custom)?;
        let wrong = |error: serde_json::Error| {
            let told = error.to_string();
            D::Error::custom(match told.starts_with("unknown field") {
                true => told.replacen("expected one of ", "expected one of `peers`, ", 1),
                false => told,
            })
        };
        let torrent = TorrentChange::deserialize(Value::Object(named)).map_err(wrong)?;
        Ok(Change { torrent, peers })
    }
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Direction {
    Top,
    Bottom,
    Up,
    Down,
}

impl What {
    /// The torrent that it is about, as it was named; `None` of what is about none, or about a new one.
    pub(super) fn info_hash(&self) -> Option<&str> {
        match self {
            What::Remove { info_hash, .. }
            | What::Pause { info_hash }
            | What::Rename { info_hash, .. }
            | What::Move { info_hash, .. }
            | What::Resume { info_hash }
            | What::Recheck { info_hash }
            | What::Reannounce { info_hash }
            | What::Queue { info_hash, .. }
            | What::Trackers { info_hash, .. }
            | What::Wait { info_hash } => Some(info_hash),
            What::Set(set) => Some(&set.info_hash),
            What::Add(_)
            | What::Ban { .. }
            | What::Unban { .. }
            | What::Bans {}
            | What::Watch { .. }
            | What::Unwatch { .. }
            | What::Watched {}
            | What::Session(_)
            | What::List {} => None,
        }
    }

    /// Whether it is refused as long as files are on their way.
    pub(super) fn needs_files_in_place(&self) -> bool {
        matches!(self, What::Rename { .. } | What::Move { .. } | What::Recheck { .. })
    }
}

impl From<Direction> for QueueMove {
    fn from(to: Direction) -> QueueMove {
        match to {
            Direction::Top => QueueMove::Top,
            Direction::Bottom => QueueMove::Bottom,
            Direction::Up => QueueMove::Up,
            Direction::Down => QueueMove::Down,
        }
    }
}

/// What is there is given, even if it is `null`.
fn given_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

impl Change {
    fn apply(self, choices: &mut Choices) {
        change_torrent(self.torrent, choices);
        if let Some(peers) = self.peers {
            choices.peers = peers;
        }
    }
}

/// `usual`: what is done with every torrent that is added; `place`: where one that is added goes in the queue.
pub(super) async fn carry_out(
    session: &Session,
    usual: &Choices,
    place: QueuePlace,
    what: What,
    turn: &mut Turn,
) -> Result<Value, Failure> {
    let done = |info_hash: InfoHash| json!({"info_hash": info_hash.wire().to_string()});
    match what {
        What::Add(add) => {
            let Add { torrent, dir, paused, change } = *add;
            let mut choices = Choices { paused, ..usual.clone() };
            change.apply(&mut choices);
            choices.dir = match (dir, &choices.category) {
                (Some(dir), _) => absolute(&dir)?,
                (None, Some(category)) => {
                    session.settings().await.save_paths.remove(category).ok_or_else(no_dir)?
                }
                (None, None) => return Err(no_dir()),
            };
            let given = match Source::new(&torrent) {
                Source::File(path) => Given::Torrent(read_torrent(path).await?),
                _ => given(&torrent).await?,
            };
            let file = match given {
                Given::Magnet(link) => {
                    if let Ok(magnet) = Magnet::parse(&link) {
                        turn.is_about(magnet.info_hash).await;
                    }
                    let added = session.add_at(place, Given::Magnet(link), choices).await;
                    return added.map(done).map_err(failed);
                }
                Given::Torrent(file) => file,
                Given::Url(url) => session.engine().fetch(&url).await.map_err(failed)?,
            };
            // A long one takes a while, and others are to be answered meanwhile.
            let read = tokio::task::spawn_blocking(move || (Metainfo::parse(&file), file)).await;
            let (metainfo, file) = read.or_fail(kind::SOURCE, "cannot read the torrent")?;
            if let Ok(metainfo) = metainfo {
                turn.is_about(metainfo.info_hash()).await;
            }
            session.add_at(place, Given::Torrent(file), choices).await.map(done).map_err(failed)
        }
        What::Remove { info_hash, data } => {
            let info_hash = parse(&info_hash)?;
            let stayed = session.remove(info_hash, data).await.map_err(failed)?;
            Ok(with_stayed(done(info_hash), stayed))
        }
        What::Pause { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.pause(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Resume { info_hash } => {
            let info_hash = parse(&info_hash)?;
            let waits_for = session.resume(info_hash).await.map_err(failed)?;
            let mut told = done(info_hash);
            if let Some(waits_for) = waits_for {
                told["warning"] = waits_for.of_kept().into();
            }
            Ok(told)
        }
        What::Rename { info_hash, path, to } => {
            let info_hash = parse(&info_hash)?;
            let on_the_way = session.begin_rename(info_hash, &path, &to).await.map_err(failed)?;
            turn.has_begun();
            on_the_way.arrived().await.map(|stayed| with_stayed(done(info_hash), stayed)).map_err(failed)
        }
        What::Move { info_hash, dir } => {
            let (info_hash, dir) = (parse(&info_hash)?, absolute(&dir)?);
            let on_the_way = session.begin_move(info_hash, dir).await.map_err(failed)?;
            turn.has_begun();
            on_the_way.arrived().await.map(|stayed| with_stayed(done(info_hash), stayed)).map_err(failed)
        }
        What::Recheck { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.recheck(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Reannounce { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.reannounce(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Set(set) => {
            let Set { info_hash, change } = *set;
            let info_hash = parse(&info_hash)?;
            let edited = session.edit(info_hash, |choices| change.apply(choices)).await;
            edited.map(|_| done(info_hash)).map_err(failed)
        }
        What::Queue { info_hash, to } => {
            let info_hash = parse(&info_hash)?;
            session.queue(info_hash, to.into()).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Trackers { info_hash, remove, add, replace } => {
            let info_hash = parse(&info_hash)?;
            let own = match replace {
                Some(None) => Some(session.own_trackers(info_hash).await.map_err(failed)?),
                Some(replace) => replace,
                None => None,
            };
            let change = move |tiers: &mut Vec<Vec<String>>| {
                if let Some(own) = own {
                    *tiers = own;
                }
                tiers.iter_mut().for_each(|tier| tier.retain(|url| !remove.contains(url)));
                tiers.push(add);
            };
            let tiers = session.edit_trackers(info_hash, change).await.map_err(failed)?;
            Ok(json!({"info_hash": info_hash.wire().to_string(), "trackers": tiers}))
        }
        What::Ban { addr } => session.ban(addr).await.map(|hosts| bans(&hosts)).map_err(failed),
        What::Unban { addr } => session.unban(addr).await.map(|hosts| bans(&hosts)).map_err(failed),
        What::Bans {} => Ok(bans(&session.bans())),
        What::Watch { dir, to, category, tags, paused } => {
            let to = to.as_deref().map(absolute).transpose()?;
            let folder = WatchFolder { dir: absolute(&dir)?, to, category, tags, paused };
            session.watch(folder).await.map_err(failed)?;
            Ok(watched(&session.watched().await))
        }
        What::Unwatch { dir } => {
            session.unwatch(absolute(&dir)?).await.map_err(failed)?;
            Ok(watched(&session.watched().await))
        }
        What::Watched {} => Ok(watched(&session.watched().await)),
        What::Session(change) => {
            let settings = session.edit_settings(move |settings| change_settings(*change, settings));
            let settings = daemon::change::settings(&settings.await.map_err(failed)?);
            Ok(joined(json!({"alternative_holds": session.alternative_holds()}), &settings))
        }
        What::Wait { info_hash } => {
            let info_hash = parse(&info_hash)?;
            until_it_is_complete(session, info_hash).await.map(|()| done(info_hash))
        }
        What::List {} => {
            let torrents: Vec<_> = session.list().await.iter().map(listed).collect();
            Ok(json!({"torrents": torrents}))
        }
    }
}

/// What is told, with the files that stay where they were.
fn with_stayed(mut told: Value, stayed: Option<Stayed>) -> Value {
    if let Some(stayed) = stayed {
        told["warning"] = stayed.to_string().into();
        told["stayed"] = stayed.files.iter().map(|path| path.to_string_lossy()).collect();
    }
    told
}

/// Waits for a torrent as long as it goes on, or may do so by itself before long.
async fn until_it_is_complete(session: &Session, info_hash: InfoHash) -> Result<(), Failure> {
    loop {
        let torrent = until_it_runs(session, info_hash).await?;
        let had_ended = torrent.stats().state == TorrentState::Stopped;
        let finished = tokio::select! {
            finished = torrent.wait_finished() => finished,
            error = torrent.stuck(FULL_PATIENCE) => return Err(Failure::new(error.kind(), error.of_kept())),
        };
        match finished {
            Ok(_) => return Ok(()),
            // What was done to it, and what it does now, is to be seen.
            Err(TorrentError::Stopped) if !had_ended => {}
            Err(error) => return Err(Failure::new(error.kind(), error.of_kept())),
        }
    }
}

/// What a torrent is that has its metadata, has had its turn and whose files are not on their way.
async fn until_it_runs(session: &Session, info_hash: InfoHash) -> Result<Torrent, Failure> {
    loop {
        if let Some(torrent) = session.torrent(info_hash).await.map_err(failed)? {
            return match torrent.waits_for() {
                Some(error) => Err(Failure::new(error.kind(), error.of_kept())),
                None => Ok(torrent),
            };
        }
        if let Some(error) = session.failure(info_hash).await.map_err(failed)? {
            return Err(Failure::new(error.kind(), error.of_kept()));
        }
        // It may have gone on since it was asked for: only of one that is paused that is said.
        let mut is_paused = false;
        session.look_at(info_hash, |_, seen| {
            is_paused = seen.is_some_and(|seen| seen.choices.paused && seen.state.is_none());
        });
        if is_paused {
            return Err(Failure::new("paused", "the torrent is paused; resume it first"));
        }
        tokio::time::sleep(LOOK_INTERVAL).await;
    }
}

#[expect(clippy::needless_pass_by_value, reason = "for `map_err`")]
fn failed(error: Error) -> Failure {
    let told = error.to_string();
    match told.strip_suffix(engine::START_AGAIN) {
        Some(told) => Failure::new(error.kind(), format_args!("{told}, then give the order again")),
        None => Failure::new(error.kind(), told),
    }
}

fn bans(hosts: &[IpAddr]) -> Value {
    json!({"bans": hosts})
}

fn watched(folders: &[WatchedFolder]) -> Value {
    let folder = |WatchedFolder { folder, away }: &WatchedFolder| {
        json!({
            "dir": folder.dir.to_string_lossy(),
            "to": folder.to.as_ref().map(|dir| dir.to_string_lossy()),
            "category": folder.category,
            "tags": folder.tags,
            "paused": folder.paused,
            "error": away,
        })
    };
    json!({"watched": folders.iter().map(folder).collect::<Vec<_>>()})
}

fn no_dir() -> Failure {
    Failure::new("order", "say where it goes (dir), or give a category that has a folder")
}

fn absolute(dir: &Path) -> Result<PathBuf, Failure> {
    if dir.as_os_str().is_empty() {
        return Err(Failure::new("order", "a folder is given without a name; give its path"));
    }
    std::path::absolute(dir).or_fail(kind::STORAGE, dir.display())
}

pub(super) fn parse(info_hash: &str) -> Result<InfoHash, Failure> {
    let parsed = info_hash.parse().map(InfoHash::V1);
    parsed.or_fail("order", "the info-hash is 40 digits, 0 to 9 and a to f")
}

fn listed(listed: &Listed) -> Value {
    let choices = &listed.choices;
    // Of one that has not run since the session was opened they are not known.
    let known = |number: fn(TorrentStats) -> u64| listed.stats.map(number);
    let stats = listed.stats.unwrap_or_default();
    let told = json!({
        "info_hash": listed.info_hash.wire().to_string(),
        "name": listed.name,
        "metadata": listed.metainfo.is_some(),
        "dir": choices.dir.to_string_lossy(),
        "dir_when_complete": choices.dir_when_complete.as_ref().map(|dir| dir.to_string_lossy()),
        "renamed": listed.metainfo.as_ref().map(|metainfo| choices.lasting_names(metainfo)).unwrap_or_default(),
        "moved": stats.moved,
        "to_move": stats.to_move,
        "paused": choices.paused,
        "state": listed.state.map(state),
        "error": listed.error,
        "note": listed.note,
        "done": known(|stats| stats.done),
        "total": known(|stats| stats.total),
        "rate_down": stats.rate_down,
        "rate_up": stats.rate_up,
        "downloaded": known(|stats| stats.downloaded),
        "uploaded": known(|stats| stats.uploaded),
        "peers": stats.peers,
    });
    joined(told, &torrent_settings(choices))
}

fn state(state: TorrentState) -> &'static str {
    match state {
        TorrentState::Checking => "checking",
        TorrentState::FetchingMetadata => "fetching_metadata",
        TorrentState::Queued => "queued",
        TorrentState::Downloading => "downloading",
        TorrentState::Seeding => "seeding",
        TorrentState::DiskFull => "disk_full",
        TorrentState::Unavailable => "unavailable",
        TorrentState::Moving => "moving",
        TorrentState::Stopped => "stopped",
        TorrentState::Failed => "failed",
    }
}
