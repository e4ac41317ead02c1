//! The orders that a session takes, and what comes of them.

use super::add::given;
use crate::console::joined;
use crate::failure::{Failure, OrFail, kind};
use api::{SettingsChange, TorrentChange};
use daemon::change::{change_settings, change_torrent, torrent_settings};
use engine::{Choices, Error, Given, InfoHash, Listed, Session, TorrentState};
use serde::Deserialize;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::PathBuf;

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
    Session(SettingsChange),
    /// Answers once all of it is verified and safely on disk.
    Wait {
        info_hash: String,
    },
    List,
}

/// What is to be otherwise.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Change {
    #[serde(flatten)]
    torrent: TorrentChange,
    peers: Option<Vec<SocketAddr>>,
}

impl Change {
    fn apply(self, choices: &mut Choices) {
        change_torrent(self.torrent, choices);
        if let Some(peers) = self.peers {
            choices.peers = peers;
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
            let settings = session.edit_settings(move |settings| change_settings(&change, settings)).await;
            settings.map(|settings| json!(daemon::change::settings(&settings))).map_err(failed)
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

fn listed(listed: &Listed) -> Value {
    let choices = &listed.choices;
    let stats = listed.stats.unwrap_or_default();
    let told = json!({
        "info_hash": listed.info_hash.wire().to_string(),
        "name": listed.name,
        "metadata": listed.metainfo.is_some(),
        "dir": choices.dir.to_string_lossy(),
        "paused": choices.paused,
        "state": listed.state.map(state),
        "error": listed.error,
        "done": stats.done,
        "total": stats.total,
        "rate_down": stats.rate_down,
        "rate_up": stats.rate_up,
        "downloaded": stats.downloaded,
        "uploaded": stats.uploaded,
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
        TorrentState::Stopped => "stopped",
        TorrentState::Failed => "failed",
    }
}
