//! What `import` is told.

use super::{default_state_dir, switch};
use clap::{Args, ValueEnum};
use std::path::PathBuf;

/// Take over the torrents of another client's session, with what they have
///
/// Neither that client nor 'rawtorrent session' may run meanwhile. Files stay where they are. What the other client has
/// written down as complete is not checked again where the sizes and times of its files agree; all else is, when the session
/// begins. A torrent that cannot be taken over is told on a line of standard error, and makes the exit code 1.
#[derive(Debug, Args)]
pub(crate) struct Import {
    /// The folder of the other client's session, such as ~/.local/share/qBittorrent
    #[arg(value_name = "DIR")]
    pub(crate) source: PathBuf,
    /// Whose session it is
    #[arg(long, value_name = "CLIENT", env = "RAWTORRENT_FROM")]
    pub(crate) from: Client,
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

impl Import {
    pub(crate) fn state_dir(&self) -> Option<PathBuf> {
        self.state_dir.clone().or_else(|| default_state_dir(|name| std::env::var_os(name)))
    }
}
