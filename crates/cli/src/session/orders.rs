//! The orders that a session takes, and what comes of them.

use super::add::given;
use crate::failure::{Failure, OrFail, kind};
use engine::{Choices, Error, Given, InfoHash, Listed, Priority, Session, SessionSettings, TorrentState};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Debug, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum What {
    Add {
        /// A path, a URL or a magnet link.
        torrent: String,
        dir: PathBuf,
        #[serde(default)]
        paused: bool,
        #[serde(flatten)]
        change: Box<Change>,
    },
    Remove {
        info_hash: String,
        /// Whether its files go too.
        #[serde(default)]
        data: bool,
    },
    Pause {
        info_hash: String,
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
    Set {
        info_hash: String,
        #[serde(flatten)]
        change: Box<Change>,
    },
    /// Changes what all torrents share, and says what that is.
    Session(SessionChange),
    /// Answers once all of it is verified and safely on disk.
    Wait {
        info_hash: String,
    },
    List,
}

/// What is to be otherwise; `null` takes a limit, goal or category away.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Change {
    priorities: Option<Vec<Wanted>>,
    sequential: Option<bool>,
    #[serde(default, deserialize_with = "given_or_null")]
    max_down: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given_or_null")]
    max_up: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given_or_null")]
    seed_ratio: Option<Option<f64>>,
    #[serde(default, deserialize_with = "given_or_null")]
    seed_seconds: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given_or_null")]
    idle_seconds: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given_or_null")]
    category: Option<Option<String>>,
    tags: Option<BTreeSet<String>>,
    peers: Option<Vec<SocketAddr>>,
}

/// What all torrents share; likewise.
#[derive(Debug, Default, Deserialize)]
pub(super) struct SessionChange {
    #[serde(default, deserialize_with = "given_or_null")]
    max_down: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given_or_null")]
    max_up: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given_or_null")]
    max_active_downloads: Option<Option<usize>>,
    #[serde(default, deserialize_with = "given_or_null")]
    max_active_seeds: Option<Option<usize>>,
    #[serde(default, deserialize_with = "given_or_null")]
    max_active: Option<Option<usize>>,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Wanted {
    Skip,
    Low,
    Normal,
    High,
}

/// What is there is given, even if it is `null`.
fn given_or_null<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

fn put<T>(change: Option<T>, to: &mut T) {
    if let Some(change) = change {
        *to = change;
    }
}

impl Change {
    fn apply(self, choices: &mut Choices) {
        put(
            self.priorities.map(|wanted| wanted.into_iter().map(Wanted::priority).collect()),
            &mut choices.priorities,
        );
        put(self.sequential, &mut choices.sequential);
        put(self.max_down, &mut choices.max_down);
        put(self.max_up, &mut choices.max_up);
        put(self.seed_ratio, &mut choices.seed_goal.ratio);
        put(self.seed_seconds.map(|time| time.map(Duration::from_secs)), &mut choices.seed_goal.time);
        put(self.idle_seconds.map(|time| time.map(Duration::from_secs)), &mut choices.seed_goal.idle);
        put(self.category, &mut choices.category);
        put(self.tags, &mut choices.tags);
        put(self.peers, &mut choices.peers);
    }
}

impl SessionChange {
    fn apply(self, settings: &mut SessionSettings) {
        put(self.max_down, &mut settings.max_down);
        put(self.max_up, &mut settings.max_up);
        put(self.max_active_downloads, &mut settings.max_active_downloads);
        put(self.max_active_seeds, &mut settings.max_active_seeds);
        put(self.max_active, &mut settings.max_active);
    }
}

impl Wanted {
    fn priority(self) -> Priority {
        match self {
            Wanted::Skip => Priority::Skip,
            Wanted::Low => Priority::Low,
            Wanted::Normal => Priority::Normal,
            Wanted::High => Priority::High,
        }
    }
}

/// `usual`: what is done with every torrent that is added.
pub(super) async fn carry_out(session: &Session, usual: &Choices, what: What) -> Result<Value, Failure> {
    let done = |info_hash: InfoHash| json!({"info_hash": info_hash.wire().to_string()});
    match what {
        What::Add { torrent, dir, paused, change } => {
            let dir = std::path::absolute(&dir).or_fail(kind::STORAGE, dir.display())?;
            let mut choices = Choices { dir, paused, ..usual.clone() };
            change.apply(&mut choices);
            let added = match given(&torrent).await? {
                Given::Torrent(bytes) => session.add(bytes, choices).await,
                Given::Magnet(link) => session.add_magnet(&link, choices).await,
                Given::Url(url) => session.add_url(&url, choices).await,
            };
            added.map(done).map_err(failed)
        }
        What::Remove { info_hash, data } => {
            let info_hash = parse(&info_hash)?;
            session.remove(info_hash, data).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Pause { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.pause(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Resume { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.resume(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Recheck { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.recheck(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Reannounce { info_hash } => {
            let info_hash = parse(&info_hash)?;
            session.reannounce(info_hash).await.map(|()| done(info_hash)).map_err(failed)
        }
        What::Set { info_hash, change } => {
            let info_hash = parse(&info_hash)?;
            let edited = session.edit(info_hash, |choices| change.apply(choices)).await;
            edited.map(|_| done(info_hash)).map_err(failed)
        }
        What::Session(change) => {
            let settings = session.edit_settings(|settings| change.apply(settings)).await;
            settings.map(|settings| shared(&settings)).map_err(failed)
        }
        What::Wait { info_hash } => {
            let info_hash = parse(&info_hash)?;
            let Some(torrent) = session.torrent(info_hash).await.map_err(failed)? else {
                return Err(Failure::new("paused", "the torrent does not run; resume it first"));
            };
            let finished = torrent.wait_finished().await;
            finished.map(|_| done(info_hash)).map_err(|error| Failure::new(error.kind(), error))
        }
        What::List => {
            let torrents: Vec<_> = session.list().await.iter().map(listed).collect();
            Ok(json!({"torrents": torrents}))
        }
    }
}

fn failed(error: Error) -> Failure {
    Failure::new(error.kind(), error)
}

fn parse(info_hash: &str) -> Result<InfoHash, Failure> {
    let parsed = info_hash.parse().map(InfoHash::V1);
    parsed.or_fail("order", "the info-hash is 40 digits, 0 to 9 and a to f")
}

fn shared(settings: &SessionSettings) -> Value {
    json!({
        "max_down": settings.max_down,
        "max_up": settings.max_up,
        "max_active_downloads": settings.max_active_downloads,
        "max_active_seeds": settings.max_active_seeds,
        "max_active": settings.max_active,
    })
}

fn listed(listed: &Listed) -> Value {
    let choices = &listed.choices;
    let stats = listed.stats.unwrap_or_default();
    let seconds = |time: Option<Duration>| time.map(|time| time.as_secs());
    json!({
        "info_hash": listed.info_hash.wire().to_string(),
        "name": listed.name,
        "metadata": listed.metainfo.is_some(),
        "dir": choices.dir.to_string_lossy(),
        "paused": choices.paused,
        "state": listed.state.map(state),
        "error": listed.error,
        "priorities": choices.priorities.iter().copied().map(priority).collect::<Vec<_>>(),
        "sequential": choices.sequential,
        "max_down": choices.max_down,
        "max_up": choices.max_up,
        "seed_ratio": choices.seed_goal.ratio,
        "seed_seconds": seconds(choices.seed_goal.time),
        "idle_seconds": seconds(choices.seed_goal.idle),
        "category": choices.category,
        "tags": choices.tags,
        "done": stats.done,
        "total": stats.total,
        "rate_down": stats.rate_down,
        "rate_up": stats.rate_up,
        "downloaded": stats.downloaded,
        "uploaded": stats.uploaded,
        "peers": stats.peers,
    })
}

fn priority(priority: Priority) -> &'static str {
    match priority {
        Priority::Skip => "skip",
        Priority::Low => "low",
        Priority::Normal => "normal",
        Priority::High => "high",
    }
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
        TorrentState::Stopped => "stopped",
        TorrentState::Failed => "failed",
    }
}
