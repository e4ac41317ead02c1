//! What `replay` takes, and what shows events.

use super::{seconds, switch};
use clap::Args;
use engine::events::Filter;
use std::path::PathBuf;
use std::time::Duration;

/// Go through a recorded download again: all that peers said, and what was decided, which is checked to be the same
#[derive(Debug, Args)]
pub(crate) struct Replay {
    /// What 'rawtorrent download --record' wrote
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    /// Only what happened in so many seconds from the beginning, as 2.5
    #[arg(long, value_name = "SECONDS", env = "RAWTORRENT_UNTIL", value_parser = seconds)]
    pub(crate) until: Option<Duration>,
    /// Wait for the Enter key after each line; the end of input (Ctrl-D) ends it
    #[arg(long, env = "RAWTORRENT_STEP", value_parser = switch, conflicts_with = "json")]
    pub(crate) step: bool,
    /// Write the recording into a new file with other addresses, peer ids, info-hash and metadata in it, and print nothing
    ///
    /// It replays like the first one, and can be shown to others. Names of clients stay.
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_REDACT", conflicts_with_all = ["until", "step", "filter", "pcap"])]
    pub(crate) redact: Option<PathBuf>,
    /// Only some of it, as --trace of 'rawtorrent download' has it
    #[arg(long, value_name = "FILTER", env = "RAWTORRENT_FILTER", value_parser = filter)]
    pub(crate) filter: Option<Filter>,
    /// Print one JSON object a line
    #[arg(long, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) shown: Shown,
}

/// How events are shown.
#[derive(Debug, Args)]
pub(crate) struct Shown {
    /// Say of each kind of message what it is for, when the first one comes
    #[arg(long, env = "RAWTORRENT_EXPLAIN", value_parser = switch)]
    pub(crate) explain: bool,
    /// Call peers by their addresses; else by numbers, so that what is printed can be shown to others
    #[arg(long, env = "RAWTORRENT_ADDRESSES", value_parser = switch)]
    pub(crate) addresses: bool,
    /// Write what was said into a new file, or a named pipe that is read already, as plain TCP that Wireshark reads (pcapng);
    /// blocks are zeros in it
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_PCAP")]
    pub(crate) pcap: Option<PathBuf>,
}

/// Which events are shown.
pub(super) fn filter(text: &str) -> Result<Filter, String> {
    text.parse().map_err(|error: engine::events::FilterError| error.to_string())
}
