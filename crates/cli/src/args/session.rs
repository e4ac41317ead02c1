//! What commands have in common that run an engine.

use super::dht::{Nodes, WELL_KNOWN, nodes};
use super::switch;
use crate::units;
use clap::Args;
use engine::DhtSettings;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What download and seed have in common.
#[derive(Debug, Args)]
pub(crate) struct Session {
    // Not a doc comment: the brackets of IPv6 would be a link.
    #[arg(help = "A peer to connect to, [::1]:6881 for IPv6; may be repeated")]
    #[arg(long, value_name = "IP:PORT", value_delimiter = ' ', env = "RAWTORRENT_PEER", value_parser = peer)]
    pub(crate) peer: Vec<SocketAddr>,
    /// Where to listen for peers; may be repeated [default: every address, port 6881 or another that is free]
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ' ', env = "RAWTORRENT_LISTEN")]
    #[arg(value_parser = listen)]
    pub(crate) listen: Vec<SocketAddr>,
    /// Receive at most this much: 10M, 1.5MiB
    #[arg(long, value_name = "RATE", env = "RAWTORRENT_MAX_DOWN", value_parser = units::parse_rate)]
    pub(crate) max_down: Option<u64>,
    /// Send at most this much: 10M, 1.5MiB
    #[arg(long, value_name = "RATE", env = "RAWTORRENT_MAX_UP", value_parser = units::parse_rate)]
    pub(crate) max_up: Option<u64>,
    /// Read so much per second again of what is there, to find what the disk forgot: 1M
    #[arg(long, value_name = "RATE", env = "RAWTORRENT_SCRUB", value_parser = units::parse_rate)]
    pub(crate) scrub: Option<u64>,
    /// Connect to at most this many peers
    #[arg(long, value_name = "N", env = "RAWTORRENT_MAX_PEERS")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_peers: Option<u16>,
    /// Use at most so much memory for what peers do not read, or do not say to its end [default: 64MiB]
    #[arg(long, value_name = "SIZE", env = "RAWTORRENT_MESSAGE_MEMORY", value_parser = units::parse_size)]
    pub(crate) message_memory: Option<u64>,
    /// Serve at most this many peers at a time [default: as many as fill the line]
    #[arg(long, value_name = "N", env = "RAWTORRENT_UPLOAD_SLOTS")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) upload_slots: Option<u16>,
    /// Run at most this many torrents at a time; the others wait for their turn
    #[arg(long, value_name = "N", env = "RAWTORRENT_MAX_ACTIVE")]
    #[arg(value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) max_active: Option<u16>,
    /// Take no part in the DHT, where peers of torrents that are not private are found without trackers
    #[arg(long, env = "RAWTORRENT_NO_DHT", value_parser = switch)]
    pub(crate) no_dht: bool,
    // Not a doc comment: the brackets of IPv6 would be a link.
    #[arg(help = "A node to enter the DHT by, in place of the well-known ones; may be repeated")]
    #[arg(long, value_name = "HOST:PORT", env = "RAWTORRENT_DHT_BOOTSTRAP", value_parser = nodes)]
    pub(crate) dht_bootstrap: Vec<Nodes>,
    /// Ask in the DHT and answer nobody (BEP 43)
    #[arg(long, env = "RAWTORRENT_DHT_READ_ONLY", value_parser = switch)]
    pub(crate) dht_read_only: bool,
    /// Keep nodes of the DHT out whose ids do not fit their addresses (BEP 42)
    #[arg(long, env = "RAWTORRENT_DHT_ENFORCE_IDS", value_parser = switch)]
    pub(crate) dht_enforce_ids: bool,
    /// Neither tell peers of other peers nor hear of others from them
    #[arg(long, env = "RAWTORRENT_NO_PEX", value_parser = switch)]
    pub(crate) no_pex: bool,
    /// Neither announce torrents that are not private on the local network, nor look for peers there
    #[arg(long, env = "RAWTORRENT_NO_LSD", value_parser = switch)]
    pub(crate) no_lsd: bool,
    /// Ask no trackers
    #[arg(long, env = "RAWTORRENT_NO_TRACKERS", value_parser = switch)]
    pub(crate) no_trackers: bool,
    /// Ask no web seeds (BEP 19)
    #[arg(long, env = "RAWTORRENT_NO_WEB_SEEDS", value_parser = switch)]
    pub(crate) no_web_seeds: bool,
    /// Ask web seeds and trackers on this machine or in a private network, at whatever URL
    ///
    /// Whoever made the torrent chose them: allow this for torrents of your own. Without it, web seeds there are not asked, nor
    /// nodes of the DHT that a torrent names (unless --dht-bootstrap names one there),
    /// and trackers only if their path ends in /announce and they need no password (those of a magnet link: not at all).
    #[arg(long, env = "RAWTORRENT_ALLOW_PRIVATE", value_parser = switch)]
    pub(crate) allow_private: bool,
    /// Events as JSON on stdout, one object per line
    #[arg(long, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
    /// Where to keep what is needed to resume [default: $XDG_STATE_HOME/rawtorrent or ~/.local/state/rawtorrent]
    #[arg(long, value_name = "DIR", env = "RAWTORRENT_STATE_DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

impl Session {
    /// How to take part in the DHT.
    pub(crate) fn dht(&self) -> Option<DhtSettings> {
        let bootstrap = match self.dht_bootstrap.as_slice() {
            [] => WELL_KNOWN.map(String::from).into(),
            given => Nodes::all(given),
        };
        let (read_only, enforce_ids) = (self.dht_read_only, self.dht_enforce_ids);
        (!self.no_dht).then_some(DhtSettings { bootstrap, read_only, enforce_ids })
    }

    /// The folder for resume state, given or default.
    pub(crate) fn state_dir(&self) -> Option<PathBuf> {
        self.state_dir.clone().or_else(|| default_state_dir(|name| std::env::var_os(name)))
    }
}

/// The folder for resume state when none is given, from the environment (XDG base directories: a relative
/// `XDG_STATE_HOME` counts as not set).
pub(crate) fn default_state_dir(env: impl Fn(&str) -> Option<OsString>) -> Option<PathBuf> {
    let dir = |name| env(name).map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = dir("XDG_STATE_HOME").or_else(|| Some(dir("HOME")?.join(".local/state")))?;
    Some(state.join("rawtorrent"))
}

pub(super) fn listen(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("'{text}' is not ADDR:PORT; write 0.0.0.0:6881 or [::]:6881"))
}

fn peer(text: &str) -> Result<SocketAddr, String> {
    let peer: SocketAddr = text
        .parse()
        .map_err(|_| format!("'{text}' is not IP:PORT; write 192.0.2.1:6881 or [2001:db8::1]:6881"))?;
    if peer.port() == 0 { Err(format!("'{text}': no peer listens on port 0")) } else { Ok(peer) }
}
