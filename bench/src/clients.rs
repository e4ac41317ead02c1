//! Who takes part, and how each is told what to do. The best settings that we found are here.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tests::interop::cell::Partner;
use tests::interop::{Party, partner};
use tests::process;

use crate::lab::Lab;
use crate::shelf::Shelf;

/// The script that drives libtorrent, and its name.
pub(crate) const LIBTORRENT: &str = include_str!("../py/libtorrent_bench.py");
pub(crate) const SCRIPT: &str = "libtorrent_bench.py";

/// A program says its version within this time.
const VERSION_LIMIT: Duration = Duration::from_secs(20);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Client {
    Rawtorrent,
    Libtorrent,
    Rqbit,
    /// One that the interop tests know how to drive.
    Partner(Partner),
    Mktorrent,
    TransmissionCreate,
    /// With `tee` and `sha1sum`: what a download takes that is only written and hashed.
    Curl,
}

/// What libtorrent does, for its settings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Work {
    Leech,
    Seed,
    Verify,
}

impl Client {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Client::Rawtorrent => "rawtorrent",
            Client::Libtorrent => "libtorrent",
            Client::Rqbit => "rqbit",
            Client::Partner(Partner::Libtorrent) => "libtorrent (interop)",
            Client::Partner(Partner::Transmission) => "Transmission",
            Client::Partner(Partner::Aria2) => "aria2",
            Client::Partner(Partner::Qbittorrent) => "qBittorrent",
            Client::Partner(Partner::Rtorrent) => "rTorrent",
            Client::Mktorrent => "mktorrent",
            Client::TransmissionCreate => "transmission-create",
            Client::Curl => "curl",
        }
    }

    /// What it says that it is.
    pub(crate) fn version(self, lab: &Lab) -> Result<String> {
        let party = lab.party()?;
        let mut command = match self {
            Client::Partner(partner) => return partner::version(partner, &lab.programs, &party),
            Client::Rawtorrent => lab.command(&party, &lab.setup.binary),
            Client::Libtorrent => lab.python(&party),
            Client::Rqbit => lab.command(&party, rqbit(lab)?),
            Client::Mktorrent => lab.command(&party, "mktorrent"),
            Client::TransmissionCreate => lab.command(&party, "transmission-create"),
            Client::Curl => lab.command(&party, "curl"),
        };
        match self {
            Client::Libtorrent => command.args(["version", "{}"]),
            Client::Mktorrent => command.arg("-h"),
            _ => command.arg("--version"),
        };
        let said = process::run(&mut command, VERSION_LIMIT)?;
        let said = format!("{}{}", said.stdout, said.stderr);
        let is_number =
            |word: &&str| word.contains('.') && word.chars().all(|c| c.is_ascii_digit() || c == '.');
        Ok(said.split_whitespace().find(is_number).context("it says no version")?.to_owned())
    }
}

/// Where rqbit is.
pub(crate) fn rqbit(lab: &Lab) -> Result<&Path> {
    lab.setup.rqbit.as_deref().context("missing: rqbit\n  get it: cargo xtask bench --rqbit")
}

/// libtorrent's settings, as JSON. For downloads, two threads that hash were 12 % faster than one, and took half the
/// memory; one, two or ten threads for the disk, a longer queue of requests and another mode of writing changed nothing.
pub(crate) fn libtorrent_settings(work: Work) -> &'static str {
    match work {
        Work::Leech => {
            r#"{"aio_threads": 4, "hashing_threads": 2, "max_queued_disk_bytes": 67108864, "connections_limit": 250, "connection_speed": 250, "tick_interval": 100}"#
        }
        Work::Seed => {
            r#"{"aio_threads": 2, "send_buffer_low_watermark": 1048576, "send_buffer_watermark": 3145728, "send_buffer_watermark_factor": 150, "send_not_sent_low_watermark": 524288, "unchoke_slots_limit": -1, "max_allowed_in_request_queue": 2000}"#
        }
        Work::Verify => r#"{"aio_threads": 2, "hashing_threads": 2, "checking_mem_usage": 2048}"#,
    }
}

/// rawtorrent, downloading into `data` from `peers`.
pub(crate) fn rawtorrent_leech(
    lab: &Lab,
    party: &Party,
    torrent: &Path,
    data: &Path,
    peers: &[SocketAddr],
) -> Command {
    let mut command = lab.command(party, &lab.setup.binary);
    command.arg("download").arg(torrent).arg("-o").arg(data);
    command.args(["--json", "--no-trackers", "--max-peers", "250", "--listen", &party.addr.to_string()]);
    command.arg("--state-dir").arg(party.dir.join("state"));
    for peer in peers {
        command.args(["--peer", &peer.to_string()]);
    }
    command
}

/// rawtorrent, seeding.
pub(crate) fn rawtorrent_seed(lab: &Lab, party: &Party, torrent: &Path, data: &Path) -> Command {
    let mut command = lab.command(party, &lab.setup.binary);
    command.arg("seed").arg(torrent).arg("--data").arg(data);
    command.args(["--quiet", "--no-trackers", "--listen", &party.addr.to_string()]);
    command.arg("--state-dir").arg(party.dir.join("state"));
    command
}

/// rawtorrent, seeding all of a shelf, with what it has saved if it has done so before.
pub(crate) fn rawtorrent_shelf(lab: &Lab, party: &Party, shelf: &Shelf) -> Command {
    let mut command = lab.command(party, &lab.setup.binary);
    command.arg("download").arg(&shelf.torrents).arg("-o").arg(&shelf.data);
    command.args(["--seed", "--quiet", "--listen", &party.addr.to_string()]);
    command.arg("--state-dir").arg(party.dir.join("state"));
    command
}

/// libtorrent, likewise.
pub(crate) fn libtorrent_shelf(lab: &Lab, party: &Party, shelf: &Shelf) -> Command {
    let mut command = lab.python(party);
    command.args(["shelf", "{}"]).arg(&shelf.torrents).arg(&shelf.data).arg(party.addr.to_string());
    command.arg(party.dir.join("resume"));
    command
}

/// Transmission, which gets the torrents the first time only.
pub(crate) fn transmission_shelf(lab: &Lab, party: &Party, shelf: &Shelf, again: bool) -> Result<Command> {
    let (config, watch) = (party.dir.join("transmission"), party.dir.join("watch"));
    fs::create_dir_all(&config)?;
    if !again {
        // It gives each torrent that it has taken another name.
        fs::create_dir_all(&watch)?;
        for entry in fs::read_dir(&shelf.torrents)? {
            let entry = entry?;
            fs::hard_link(entry.path(), watch.join(entry.file_name()))?;
        }
    }
    let settings = json!({
        "dht-enabled": false,
        "lpd-enabled": false,
        "pex-enabled": false,
        "utp-enabled": false,
        "port-forwarding-enabled": false,
        "rpc-enabled": false,
        "encryption": 0,
        "bind-address-ipv4": party.ip().to_string(),
        "peer-port": party.addr.port(),
        "download-dir": shelf.data,
        "download-queue-enabled": false,
        "watch-dir": watch,
        "watch-dir-enabled": !again,
        "message-level": 1,
    });
    fs::write(config.join("settings.json"), settings.to_string())?;
    let mut command = lab.command(party, "transmission-daemon");
    command.args(["--foreground", "--log-error", "--config-dir"]).arg(config);
    Ok(command)
}

/// libtorrent at `work` in the folder `data`.
pub(crate) fn libtorrent(
    lab: &Lab,
    party: &Party,
    work: Work,
    torrent: &Path,
    data: &Path,
    peers: &[SocketAddr],
) -> Command {
    let mut command = lab.python(party);
    command.arg(match work {
        Work::Leech => "leech",
        Work::Seed => "seed",
        Work::Verify => "verify",
    });
    command.arg(libtorrent_settings(work)).arg(torrent).arg(data).arg(party.addr.to_string());
    command.args(peers.iter().map(ToString::to_string));
    command
}

/// rqbit: downloads from `peers`, or seeds, once it has looked at what is there, if there are none.
pub(crate) fn rqbit_transfer(
    lab: &Lab,
    party: &Party,
    torrent: &Path,
    data: &Path,
    peers: &[SocketAddr],
) -> Result<Command> {
    let program = rqbit(lab)?;
    ensure!(program.is_file(), "no rqbit at {}", program.display());
    let mut command = lab.command(party, program);
    command.args(["-v", "error", "--disable-dht", "--disable-upnp-port-forward", "--disable-lsd"]);
    command.args(["--listen-ip", &party.ip().to_string(), "--listen-port", &party.addr.port().to_string()]);
    command.args(["download", "--disable-http-api", "-o"]).arg(data);
    if peers.is_empty() {
        command.arg("--overwrite");
    } else {
        let peers: Vec<String> = peers.iter().map(ToString::to_string).collect();
        command.args(["--exit-on-finish", "--initial-peers", &peers.join(",")]);
    }
    command.arg(torrent);
    Ok(command)
}
