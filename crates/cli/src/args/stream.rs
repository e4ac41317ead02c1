//! The command line of `stream`.

use super::Session;
use clap::Args;
use std::path::PathBuf;

/// Play a file of a torrent while it is being downloaded
///
/// A daemon that is there does the work; without one, the file is downloaded as long as it is played. The file's URL is printed,
/// or given to the player; it is good on this machine, as long as this command runs.
#[derive(Debug, Args)]
pub(crate) struct Stream {
    /// A .torrent file, its http(s) URL, a magnet link, or the id or name of a torrent of the daemon
    #[arg(value_name = "SOURCE")]
    pub(crate) source: String,
    /// The file's number, as 'files' and 'show' tell it [default: that of the largest film or music]
    #[arg(long, value_name = "N", env = "RAWTORRENT_FILE")]
    pub(crate) file: Option<usize>,
    /// Run this with the URL, such as mpv, until it ends
    #[arg(long, value_name = "PROGRAM", env = "RAWTORRENT_PLAYER")]
    pub(crate) player: Option<PathBuf>,
    /// What the player is told before the URL
    #[arg(value_name = "ARGS", last = true, requires = "player")]
    pub(crate) player_args: Vec<std::ffi::OsString>,
    /// The folder that the file goes into if there is no daemon
    #[arg(short = 'o', long, value_name = "DIR", default_value = ".", env = "RAWTORRENT_DIR")]
    pub(crate) dir: PathBuf,
    /// The daemon: http://HOST:PORT, https://HOST, or unix:PATH [default: its unix socket, else http://127.0.0.1:6880]
    #[arg(long, value_name = "URL", env = "RAWTORRENT_HOST")]
    pub(crate) host: Option<String>,
    /// A file that holds the token to show to the daemon
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) session: Session,
}
