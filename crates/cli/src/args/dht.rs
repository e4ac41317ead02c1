//! The command line of `dht`.

use super::{listen, switch};
use crate::units;
use clap::{Args, Subcommand};
use dht::NodeId;
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::PathBuf;
use std::time::Duration;

/// Ask the DHT: watch a lookup hop by hop, find or announce peers, store and read small items
#[derive(Debug, Args)]
#[command(arg_required_else_help = false)]
pub(crate) struct Dht {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    Lookup(Lookup),
    Announce(Announce),
    Scrape(Scrape),
    Sample(Sample),
    Get(Get),
    Put(Put),
}

/// Look for peers of a torrent and show every step of the way
#[derive(Debug, Args)]
pub(crate) struct Lookup {
    /// An info hash, a magnet link, or a torrent as show takes it
    #[arg(value_name = "HASH|MAGNET|TORRENT")]
    pub(crate) torrent: String,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Tell the nodes closest to a torrent that there is a peer here
#[derive(Debug, Args)]
pub(crate) struct Announce {
    /// An info hash, a magnet link, or a torrent as show takes it
    #[arg(value_name = "HASH|MAGNET|TORRENT")]
    pub(crate) torrent: String,
    /// The port where the peer listens
    #[arg(long, value_name = "N", env = "RAWTORRENT_DHT_PORT")]
    pub(crate) port: NonZeroU16,
    /// Say that the peer has everything (BEP 33)
    #[arg(long, env = "RAWTORRENT_DHT_SEED", value_parser = switch)]
    pub(crate) seed: bool,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Estimate how many seeds and downloaders a torrent has (BEP 33)
#[derive(Debug, Args)]
pub(crate) struct Scrape {
    /// An info hash, a magnet link, or a torrent as show takes it
    #[arg(value_name = "HASH|MAGNET|TORRENT")]
    pub(crate) torrent: String,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// List info hashes that the nodes near a point of the DHT know peers of (BEP 51)
#[derive(Debug, Args)]
pub(crate) struct Sample {
    /// The point, 40 hex digits [default: a random one]
    #[arg(value_parser = target)]
    pub(crate) target: Option<NodeId>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Print an item that is stored in the DHT (BEP 44)
#[derive(Debug, Args)]
pub(crate) struct Get {
    /// The item's name, 40 hex digits, as put prints it
    #[arg(value_name = "HASH", value_parser = target)]
    #[arg(required_unless_present = "key", conflicts_with = "key")]
    pub(crate) target: Option<NodeId>,
    /// The public key of a mutable item, 64 hex digits
    #[arg(long, value_name = "PUBKEY", env = "RAWTORRENT_DHT_KEY", value_parser = hex32)]
    pub(crate) key: Option<[u8; 32]>,
    /// Which of the key's items
    #[arg(
        long,
        value_name = "S",
        default_value = "",
        hide_default_value = true,
        env = "RAWTORRENT_DHT_SALT"
    )]
    pub(crate) salt: String,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// Store an item in the DHT for two hours (BEP 44): text or bytes, at most 996
///
/// Without a secret it is immutable and called by its hash; with one it can be replaced by whoever has the secret.
#[derive(Debug, Args)]
pub(crate) struct Put {
    /// The text to store
    #[arg(required_unless_present = "file", conflicts_with = "file")]
    pub(crate) value: Option<String>,
    /// Store what is in this file instead, - for standard input
    #[arg(long, value_name = "F", env = "RAWTORRENT_DHT_FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Make the item mutable, signed with the secret in this file: 64 hex digits (Ed25519 seed)
    #[arg(long, value_name = "FILE", group = "signer", env = "RAWTORRENT_DHT_SECRET")]
    pub(crate) secret: Option<PathBuf>,
    /// Make a secret, write it into this new file that only you can read, and sign with it
    #[arg(long, value_name = "FILE", group = "signer", env = "RAWTORRENT_DHT_NEW_SECRET")]
    pub(crate) new_secret: Option<PathBuf>,
    /// Which of the key's items
    #[arg(long, value_name = "S", requires = "signer", env = "RAWTORRENT_DHT_SALT")]
    pub(crate) salt: Option<String>,
    /// The number of this version [default: one more than the latest in the DHT]
    #[arg(long, value_name = "N", requires = "signer", env = "RAWTORRENT_DHT_SEQ")]
    #[arg(value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) seq: Option<i64>,
    /// Store only where the version of this number is stored, or none
    #[arg(long, value_name = "N", requires = "signer", env = "RAWTORRENT_DHT_CAS")]
    #[arg(value_parser = clap::value_parser!(i64).range(0..))]
    pub(crate) cas: Option<i64>,
    #[command(flatten)]
    pub(crate) options: Options,
}

/// What all of them have in common.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// A node to begin with, and no well-known ones; may be repeated
    #[arg(long, value_name = "HOST:PORT", env = "RAWTORRENT_DHT_BOOTSTRAP", value_parser = nodes)]
    #[arg(default_values = WELL_KNOWN)]
    pub(crate) bootstrap: Vec<Nodes>,
    /// Where to ask from, one address of each family [default: every address, any port]
    #[arg(long, value_name = "ADDR:PORT", value_delimiter = ',', env = "RAWTORRENT_DHT_LISTEN")]
    #[arg(value_parser = listen)]
    pub(crate) listen: Vec<SocketAddr>,
    /// When to give up, in seconds
    #[arg(long, value_name = "SECS", default_value = "60", env = "RAWTORRENT_DHT_TIMEOUT")]
    #[arg(value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// Every step and the result as JSON, one object per line
    #[arg(long, env = "RAWTORRENT_JSON", value_parser = switch)]
    pub(crate) json: bool,
}

/// Nodes that were named together: commas or spaces lie between those of a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Nodes(Vec<String>);

impl Nodes {
    /// All that are named.
    pub(crate) fn all(named: &[Nodes]) -> Vec<String> {
        named.iter().flat_map(|nodes| nodes.0.clone()).collect()
    }
}

/// Nodes that serve everybody who comes to the DHT without knowing anybody.
pub(super) const WELL_KNOWN: [&str; 3] =
    ["router.bittorrent.com:6881", "dht.transmissionbt.com:6881", "dht.libtorrent.org:25401"];

impl Action {
    pub(crate) fn options(&self) -> &Options {
        match self {
            Action::Lookup(args) => &args.options,
            Action::Announce(args) => &args.options,
            Action::Scrape(args) => &args.options,
            Action::Sample(args) => &args.options,
            Action::Get(args) => &args.options,
            Action::Put(args) => &args.options,
        }
    }
}

fn target(text: &str) -> Result<NodeId, String> {
    text.parse().map_err(|_| format!("'{text}' is not a target of 40 hex digits"))
}

/// 32 bytes as hex; the text is not repeated, since it may be a secret.
pub(crate) fn hex32(text: &str) -> Result<[u8; 32], String> {
    let hash = text.parse::<types::InfoHashV2>();
    hash.map(|hash| hash.0).map_err(|_| "expected 64 hex digits".into())
}

/// One node or several.
pub(super) fn nodes(text: &str) -> Result<Nodes, String> {
    let named = text.split([',', ' ']).filter(|node| !node.trim().is_empty()).map(host_port);
    match named.collect::<Result<Vec<_>, _>>()? {
        none if none.is_empty() => host_port(text).map(|node| Nodes(vec![node])),
        nodes => Ok(Nodes(nodes)),
    }
}

fn host_port(text: &str) -> Result<String, String> {
    let wrong =
        || format!("'{text}' is not HOST:PORT; write router.example:6881, 192.0.2.1:6881 or [::1]:6881");
    let (host, port) = text.trim().rsplit_once(':').ok_or_else(wrong)?;
    let is_host =
        if host.starts_with('[') { host.ends_with(']') } else { !host.is_empty() && !host.contains(':') };
    match port.parse::<NonZeroU16>() {
        Ok(_) if is_host => Ok(text.trim().to_owned()),
        _ => Err(wrong()),
    }
}

/// `30`, and what durations are elsewhere: `30s`, `2m`.
fn seconds(text: &str) -> Result<Duration, String> {
    let duration = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => units::parse_duration(text)?,
    };
    match duration.as_secs() {
        0 => Err("nothing is done in no time; write 1 or more".into()),
        1..=86_400 => Ok(duration),
        _ => Err("more than a day".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_to_begin_with_are_hosts_and_ports() {
        for good in ["router.example:6881", "192.0.2.1:1", "[::1]:65535"] {
            assert_eq!(host_port(good).as_deref(), Ok(good));
        }
        for bad in ["", "host", "host:0", ":6881", "::1:6881", "[::1:6881", "host:65536", "host:x"] {
            assert!(host_port(bad).unwrap_err().contains("HOST:PORT"), "{bad}");
        }
    }

    #[test]
    fn commas_and_spaces_lie_between_nodes() {
        for text in ["a:1,[::1]:2", "a:1 [::1]:2", " a:1, [::1]:2,"] {
            assert_eq!(nodes(text), Ok(Nodes(vec!["a:1".into(), "[::1]:2".into()])), "{text}");
        }
        assert!(nodes("a:1,b").unwrap_err().contains("'b' is not HOST:PORT"));
        for none in ["", " ", ","] {
            assert!(nodes(none).is_err(), "{none:?}");
        }
    }

    #[test]
    fn times_are_seconds_or_have_a_unit() {
        assert_eq!(seconds("90"), Ok(Duration::from_secs(90)));
        assert_eq!(seconds("2m"), Ok(Duration::from_secs(120)));
        for bad in ["0", "", "-1", "soon", "2d", "18446744073709551615"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
