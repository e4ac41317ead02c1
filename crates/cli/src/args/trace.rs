//! What `trace` takes.

use super::remote::Remote;
use super::replay::Shown;
use api::TraceQuery;
use clap::Args;

/// Show what torrents of the daemon and their peers say, message by message, until interrupted
///
/// Only what is said from now on. Addresses are shown to who has the daemon's unix socket or a token for 'admin'.
#[derive(Debug, Args)]
pub(crate) struct Trace {
    /// Only of this torrent: its id or its name, or the beginning of one
    #[arg(long, value_name = "TORRENT", env = "RAWTORRENT_TORRENT")]
    pub(crate) torrent: Option<String>,
    /// Only of this peer: the number of its connection, or its address; may be repeated
    #[arg(long, value_name = "PEER", value_delimiter = ' ', env = "RAWTORRENT_PEER")]
    pub(crate) peer: Vec<String>,
    /// Only this kind of event or message, as --trace of 'rawtorrent download' has it; may be repeated
    #[arg(long, value_name = "KIND", value_delimiter = ',', env = "RAWTORRENT_KIND")]
    pub(crate) kind: Vec<String>,
    /// Only what comes in, or what goes out
    #[arg(long, value_name = "WAY", value_parser = ["in", "out"], env = "RAWTORRENT_DIRECTION")]
    pub(crate) direction: Option<String>,
    #[command(flatten)]
    pub(crate) shown: Shown,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

impl Trace {
    /// What to ask for; `torrent` is the id of the one that is named. A capture is of whole connections.
    pub(crate) fn query(&self, torrent: Option<String>, whole: bool) -> TraceQuery {
        let list = |given: &[String]| (!given.is_empty()).then(|| given.join(","));
        TraceQuery {
            torrent,
            peer: list(&self.peer),
            kind: list(&self.kind).filter(|_| !whole),
            direction: self.direction.clone().filter(|_| !whole),
            addresses: self.shown.addresses.then_some(true),
        }
    }
}

/// Watch the daemon's torrents on a screen: peers, pieces, requests and messages of one of them
#[derive(Debug, Args)]
pub(crate) struct Top {
    #[command(flatten)]
    pub(crate) remote: Remote,
}
