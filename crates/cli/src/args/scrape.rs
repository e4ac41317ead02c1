//! The command line of `scrape`.

use super::switch;
use clap::Args;
use tracker::{PrivatePaths, TrackerUrl, UrlRules};

/// Ask trackers how many seeds, leechers and finished downloads torrents have (BEP 48)
///
/// Exit code 0 when every torrent was counted by a tracker, else 1. A hybrid torrent is two: its v1 and its v2 peers.
#[derive(Debug, Args)]
pub(crate) struct Scrape {
    /// A .torrent file, its http(s) URL, - for standard input, or a magnet link
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// The announce URL of a tracker to ask, and not the torrents' own; may be repeated
    #[arg(long, value_name = "URL", value_delimiter = ' ', env = "RAWTORRENT_TRACKER")]
    #[arg(value_parser = tracker)]
    pub(crate) tracker: Vec<TrackerUrl>,
    /// Ask trackers on this machine or in a private network whatever the path of their URL is
    ///
    /// Whoever made the torrent chose them. Without it, they are asked if their path ends in /announce and they need
    /// no password (those of a magnet link: not at all), and so is whatever --tracker names.
    #[arg(long, env = "RAWTORRENT_ALLOW_PRIVATE", value_parser = switch)]
    pub(crate) allow_private: bool,
    /// What each tracker says of each torrent as JSON, one object per line
    #[arg(long, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
}

fn tracker(text: &str) -> Result<TrackerUrl, String> {
    let url = TrackerUrl::parse(text).map_err(|error| error.to_string())?;
    let rules = UrlRules { private: PrivatePaths::Any, ..UrlRules::default() };
    url.check(rules).map_err(|error| error.to_string())?;
    Ok(url)
}
