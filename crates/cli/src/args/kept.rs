//! What commands are told that work on a session while it does not run.

use super::{default_state_dir, switch};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Take over a session: of another client, with what it has, or one that 'rawtorrent export' wrote
///
/// Neither that client nor 'rawtorrent session' may run meanwhile. Files stay where they are. What the other client has
/// written down as complete is not checked again where the sizes and times of its files agree; all else is, when the session
/// begins. A torrent that cannot be taken over is told on a line of standard error, and makes the exit code 1.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The folder of the other client's session, such as ~/.local/share/qBittorrent, or torrents.db or torrents.state of it; without --from, the exported file
    #[arg(value_name = "SOURCE")]
    pub(crate) source: PathBuf,
    /// Whose session it is
    #[arg(long, value_name = "CLIENT", env = "RAWTORRENT_FROM")]
    pub(crate) from: Option<Client>,
    /// The folder that rTorrent was started in: its torrents lie below that where their folder is not given from the root on
    #[arg(long, value_name = "DIR", requires = "from", env = "RAWTORRENT_STARTED_IN")]
    pub(crate) started_in: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) state: State,
}

/// Write a whole session into one file, for 'rawtorrent import': torrents and what is known of them, not their files
#[derive(Debug, Args)]
pub(crate) struct Export {
    /// The file to write; one that is there already is replaced
    #[arg(value_name = "FILE")]
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) state: State,
}

/// Look at a session that does not run: what of its state is damaged, which files are not as they were left
///
/// A line for each thing that is not as it should be, with what follows from it. Exit code 0 if there is none, else 1.
#[derive(Debug, Args)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) state: State,
}

/// Which session, and how it is told.
#[derive(Debug, Args)]
pub(crate) struct State {
    /// Where the session's state is [default: $XDG_STATE_HOME/rawtorrent or ~/.local/state/rawtorrent]
    #[arg(long, value_name = "DIR", env = "RAWTORRENT_STATE_DIR")]
    state_dir: Option<PathBuf>,
    /// One JSON object a line instead of text
    #[arg(long, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
}

/// Clients whose sessions can be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Client {
    Qbittorrent,
    Transmission,
    Rtorrent,
    Deluge,
}

impl State {
    /// The folder, given or default.
    pub(crate) fn dir(&self) -> Option<PathBuf> {
        self.state_dir.clone().or_else(|| default_state_dir(|name| std::env::var_os(name)))
    }
}
