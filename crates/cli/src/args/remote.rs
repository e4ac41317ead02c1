//! The command line of the daemon, and of the commands that ask one.

use super::config::Said;
use super::{Session, switch};
use clap::{Args, Subcommand, ValueEnum};
use daemon::{Hooks, Scope};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Where the API is by default.
const USUAL_API: &str = "127.0.0.1:6880";

/// Keep torrents and serve an API by which programs, here or elsewhere, order them about
///
/// Who has the unix socket may do everything; so may everybody on this machine until there is a token. The API says what it
/// can do at /api/v1/openapi.json. On SIGHUP the configuration is read again. Sockets that systemd passes (LISTEN_FDS) take the
/// place of --api and --socket.
#[derive(Debug, Args)]
pub(crate) struct Daemon {
    /// Where to serve the API; may be repeated. Other addresses than loopback need a token ('rawtorrent token add')
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ' ', env = "RAWTORRENT_API", default_value = USUAL_API)]
    pub(crate) api: Vec<SocketAddr>,
    /// The unix socket to serve the API at as well [default: $XDG_RUNTIME_DIR/rawtorrent/api.sock]
    #[arg(long, value_name = "PATH", env = "RAWTORRENT_SOCKET")]
    pub(crate) socket: Option<PathBuf>,
    /// A folder that torrents may go into; the first is where they go unless they say otherwise [default: ~/Downloads]
    #[arg(long, value_name = "DIR", value_delimiter = ':', env = "RAWTORRENT_ROOT")]
    pub(crate) root: Vec<PathBuf>,
    /// A name by which the API may be called, beside localhost and addresses; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = ' ', env = "RAWTORRENT_ALLOW_HOST")]
    pub(crate) allow_host: Vec<String>,
    /// The file that says what no flag and no variable says [default: $XDG_CONFIG_HOME/rawtorrent/config.toml]
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_CONFIG")]
    pub(crate) config: Option<PathBuf>,
    /// Print such a file, with every setting in it and what it is for, and do nothing else
    #[arg(long, env = "RAWTORRENT_PRINT_CONFIG", value_parser = switch)]
    pub(crate) print_config: bool,
    #[command(flatten)]
    pub(crate) session: Session,
    /// Every option as it was given, by its key in the configuration.
    #[arg(skip)]
    pub(crate) said: Said,
    /// What is called when something happens: in the configuration alone.
    #[arg(skip)]
    pub(crate) hooks: Hooks,
}

/// Where the daemon is, and how it is asked.
#[derive(Clone, Debug, Args)]
pub(crate) struct Remote {
    /// The daemon: http://HOST:PORT, https://HOST, or unix:PATH [default: its unix socket, else http://127.0.0.1:6880]
    #[arg(long, value_name = "URL", env = "RAWTORRENT_HOST")]
    pub(crate) host: Option<String>,
    /// A file that holds the token to show
    #[arg(long, value_name = "FILE", env = "RAWTORRENT_TOKEN_FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// What the daemon answers as JSON, one object per line
    #[arg(long, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
}

/// Add torrents to the daemon
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// A .torrent file, a folder of such files, - for standard input, a magnet link, or the http(s) URL of a .torrent file,
    /// which the daemon fetches
    #[arg(required = true, value_name = "SOURCE")]
    pub(crate) sources: Vec<String>,
    /// The folder on the daemon's machine that the torrents' files and folders go into; below one of its roots
    #[arg(short = 'o', long, value_name = "DIR", env = "RAWTORRENT_DIR")]
    pub(crate) dir: Option<String>,
    /// One word to sort them by; without --dir they go into the folder of that category, if there is one
    #[arg(long, value_name = "NAME", env = "RAWTORRENT_CATEGORY")]
    pub(crate) category: Option<String>,
    /// Let them rest until they are resumed
    #[arg(long, env = "RAWTORRENT_PAUSED", value_parser = switch)]
    pub(crate) paused: bool,
    /// Fetch each torrent from its beginning to its end
    #[arg(long, env = "RAWTORRENT_SEQUENTIAL", value_parser = switch)]
    pub(crate) sequential: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// List the torrents of the daemon
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those that are doing this
    #[arg(long, value_name = "STATE", env = "RAWTORRENT_STATE", value_parser = state)]
    pub(crate) state: Option<api::State>,
    /// Only those whose name has this in it
    #[arg(long, value_name = "TEXT", env = "RAWTORRENT_SEARCH")]
    pub(crate) search: Option<String>,
    /// Only those of this category
    #[arg(long, value_name = "NAME", env = "RAWTORRENT_CATEGORY")]
    pub(crate) category: Option<String>,
    /// Only those with this tag
    #[arg(long, value_name = "NAME", env = "RAWTORRENT_TAG")]
    pub(crate) tag: Option<String>,
    /// In which order
    #[arg(long, value_name = "BY", env = "RAWTORRENT_SORT")]
    pub(crate) sort: Option<Sort>,
    /// The other way round
    #[arg(long, env = "RAWTORRENT_REVERSE", value_parser = switch)]
    pub(crate) reverse: bool,
    /// Go on with what changes, as it happens, until interrupted
    #[arg(long, env = "RAWTORRENT_FOLLOW", value_parser = switch)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// What torrents are sorted by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Sort {
    Added,
    Name,
    Size,
    State,
    RateDown,
    RateUp,
}

/// One torrent.
#[derive(Debug, Args)]
pub(crate) struct Id {
    /// Its id or its name, or the beginning of one
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: String,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Some torrents.
#[derive(Debug, Args)]
pub(crate) struct Ids {
    /// Their ids, or the beginnings of them, or their names
    #[arg(required = true, value_name = "TORRENT")]
    pub(crate) torrents: Vec<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Remove torrents from the daemon; their files stay, unless --data is given
#[derive(Debug, clap::Args)]
pub(crate) struct Remove {
    #[command(flatten)]
    pub(crate) which: Ids,
    /// Remove their files too: those that are known to be the torrent's, and the folders that are empty then
    #[arg(long, env = "RAWTORRENT_REMOVE_DATA", value_parser = switch)]
    pub(crate) data: bool,
}

/// List the trackers of a torrent of the daemon, or change them
#[derive(Debug, Args)]
pub(crate) struct Trackers {
    /// Its id or its name, or the beginning of one
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: String,
    /// The URL of a tracker to be asked too; may be repeated
    #[arg(long, value_name = "URL", value_delimiter = ' ', env = "RAWTORRENT_ADD")]
    pub(crate) add: Vec<String>,
    /// The URL of a tracker to be asked no more; may be repeated
    #[arg(long, value_name = "URL", value_delimiter = ' ', env = "RAWTORRENT_REMOVE")]
    pub(crate) remove: Vec<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Give torrents of the daemon another place among those that wait for their turn
#[derive(Debug, Args)]
pub(crate) struct Queue {
    /// Which way they go
    #[arg(value_name = "WAY")]
    pub(crate) to: Turn,
    /// Their ids, or the beginnings of them, or their names
    #[arg(required = true, value_name = "TORRENT")]
    pub(crate) torrents: Vec<String>,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Which way a torrent goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Turn {
    Top,
    Bottom,
    Up,
    Down,
}

/// Have the daemon add torrents that appear in a folder; without DIR, list such folders
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// The folder on the daemon's machine to be watched; below one of its roots
    #[arg(value_name = "DIR")]
    pub(crate) dir: Option<String>,
    /// Watch it no more
    #[arg(long, env = "RAWTORRENT_STOP", value_parser = switch, requires = "dir")]
    pub(crate) stop: bool,
    /// The folder that the torrents' files and folders go into [default: that of the category, or the first root]
    #[arg(long, value_name = "DIR", env = "RAWTORRENT_TO", requires = "dir")]
    pub(crate) to: Option<String>,
    /// The category that they get
    #[arg(long, value_name = "NAME", env = "RAWTORRENT_CATEGORY", requires = "dir")]
    pub(crate) category: Option<String>,
    /// A tag that they get; may be repeated
    #[arg(long, value_name = "NAME", value_delimiter = '\n', env = "RAWTORRENT_TAG", requires = "dir")]
    pub(crate) tag: Vec<String>,
    /// Let them rest until they are resumed
    #[arg(long, env = "RAWTORRENT_PAUSED", value_parser = switch, requires = "dir")]
    pub(crate) paused: bool,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Move the files of a torrent of the daemon, while it goes on
#[derive(Debug, Args)]
pub(crate) struct Move {
    /// Its id or its name, or the beginning of one
    #[arg(value_name = "TORRENT")]
    pub(crate) torrent: String,
    /// The folder on the daemon's machine that they go into; below one of its roots
    #[arg(value_name = "DIR")]
    pub(crate) dir: String,
    #[command(flatten)]
    pub(crate) remote: Remote,
}

/// Tokens, by which programs elsewhere may use the daemon's API
#[derive(Debug, Args)]
pub(crate) struct Token {
    #[command(subcommand)]
    pub(crate) action: TokenAction,
    /// The daemon's state [default: $XDG_STATE_HOME/rawtorrent or ~/.local/state/rawtorrent]
    #[arg(long, global = true, value_name = "DIR", env = "RAWTORRENT_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// JSON, one object per line
    #[arg(long, global = true, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TokenAction {
    /// Make a token and print it, this once; the daemon keeps its hash
    Add {
        /// What to call it
        #[arg(value_name = "NAME")]
        name: String,
        /// What it allows: read, manage (torrents too), admin (everything)
        #[arg(long, value_name = "SCOPE", default_value = "manage", env = "RAWTORRENT_SCOPE")]
        scope: Scope,
    },
    /// List tokens by name and scope
    List,
    /// Forget a token: whoever has it is let in no more
    Remove {
        /// What it is called
        #[arg(value_name = "NAME")]
        name: String,
    },
}

impl From<Turn> for api::Direction {
    fn from(to: Turn) -> api::Direction {
        match to {
            Turn::Top => api::Direction::Top,
            Turn::Bottom => api::Direction::Bottom,
            Turn::Up => api::Direction::Up,
            Turn::Down => api::Direction::Down,
        }
    }
}

impl From<Sort> for api::Order {
    fn from(sort: Sort) -> api::Order {
        match sort {
            Sort::Added => api::Order::Added,
            Sort::Name => api::Order::Name,
            Sort::Size => api::Order::Size,
            Sort::State => api::Order::State,
            Sort::RateDown => api::Order::RateDown,
            Sort::RateUp => api::Order::RateUp,
        }
    }
}

impl Daemon {
    /// The socket to serve at, if there is anywhere to put it.
    pub(crate) fn socket(&self) -> Option<PathBuf> {
        self.socket.clone().or_else(|| usual_socket(|name| std::env::var_os(name)))
    }

    /// The folders that torrents may go into.
    pub(crate) fn roots(&self) -> Vec<PathBuf> {
        let usual = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join("Downloads"));
        if self.root.is_empty() { usual().into_iter().collect() } else { self.root.clone() }
    }
}

impl Remote {
    /// Where the daemon is: said, or at its socket, or at its usual address.
    pub(crate) fn host(&self) -> String {
        let socket = || {
            std::env::var_os("RAWTORRENT_SOCKET")
                .map(PathBuf::from)
                .filter(|path| !path.as_os_str().is_empty())
        };
        let socket =
            || socket().or_else(|| usual_socket(|name| std::env::var_os(name))).filter(|path| path.exists());
        self.host.clone().unwrap_or_else(|| match socket() {
            Some(path) => format!("unix:{}", path.display()),
            None => format!("http://{USUAL_API}"),
        })
    }
}

/// The socket's place when none is given.
fn usual_socket(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let dir = env("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|dir| dir.is_absolute())?;
    Some(dir.join("rawtorrent/api.sock"))
}

fn state(text: &str) -> Result<api::State, String> {
    let found = api::State::ALL.into_iter().find(|state| state.name() == text);
    found.ok_or_else(|| format!("there are {}", api::State::ALL.map(api::State::name).join(", ")))
}
