//! How each client is told to seed or download one torrent, with everything else of it switched off.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustix::process::Signal;
use serde_json::json;

use super::cell::{Partner, Tracker};
use super::{Party, Programs};
use crate::process::{self, Proc};

/// What a client is to do.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// Where it is.
    pub party: &'a Party,
    /// The torrent.
    pub torrent: &'a Path,
    /// A magnet link that names it, which is all that the client gets.
    pub link: Option<&'a str>,
    /// Whether the content is already there.
    pub seeding: bool,
    /// How its tracker is spoken to.
    pub tracker: Tracker,
    /// Whether it keeps a log that explains what it does; that costs it time.
    pub talkative: bool,
    /// The most bytes per second that it sends. Transmission, aria2 and rTorrent can be held to that here.
    pub max_up: Option<u64>,
}

impl Job<'_> {
    /// What the client is given: a file's path, or a link.
    fn source(&self) -> &OsStr {
        self.link.map_or(self.torrent.as_os_str(), OsStr::new)
    }
}

/// A client that runs.
#[derive(Debug)]
pub struct Running {
    /// Its process.
    pub process: Proc,
    done: Done,
    stop: Signal,
}

/// How a client tells that a download is complete.
#[derive(Clone, Copy, Debug)]
enum Done {
    /// It exits with 0.
    Exit,
    /// It makes [`Party::done_marker`].
    Marker,
}

impl Running {
    /// Whether the download is complete.
    ///
    /// # Errors
    /// The program has ended although it was not to, or not well.
    pub fn is_done(&mut self, party: &Party) -> Result<bool> {
        let running = self.process.is_running();
        match self.done {
            Done::Exit if running => Ok(false),
            Done::Exit => {
                let status = self.process.wait(Duration::ZERO)?;
                ensure!(status.success(), "the downloader ended with {status}");
                Ok(true)
            }
            Done::Marker => {
                ensure!(running, "the downloader ended by itself");
                Ok(party.done_marker().exists())
            }
        }
    }

    /// Whether the end of its process is how it tells that the download is complete.
    #[must_use]
    pub fn ends_when_done(&self) -> bool {
        matches!(self.done, Done::Exit)
    }

    /// Ends it as its user would, so that it writes what it still holds.
    ///
    /// # Errors
    /// As the system says.
    pub fn stop(&mut self, grace: Duration) -> Result<Option<std::process::ExitStatus>> {
        Ok(self.process.stop(self.stop, grace)?)
    }
}

/// Starts rawtorrent, or what stands in for it.
///
/// # Errors
/// It cannot be started.
pub fn start_ours(programs: &Programs, job: Job<'_>) -> Result<Running> {
    let mut command = programs.ours(job.party);
    rawtorrent_arguments(&mut command, job);
    command.arg("--state-dir").arg(job.party.dir.join("state"));
    if job.link.is_some() {
        command.env("RAWTORRENT_ALLOW_PRIVATE", "1"); // The tracker is on this machine.
    }
    start(command, job, Done::Exit, Signal::INT)
}

/// Starts other people's client.
///
/// # Errors
/// It is missing or cannot be started; its settings cannot be written.
pub fn start_partner(partner: Partner, programs: &Programs, job: Job<'_>) -> Result<Running> {
    let has_limit = matches!(partner, Partner::Transmission | Partner::Aria2 | Partner::Rtorrent);
    ensure!(has_limit || job.max_up.is_none(), "{partner} is not started with a limit");
    match partner {
        Partner::Libtorrent => {
            let mut command = programs.libtorrent(job.party);
            rawtorrent_arguments(&mut command, job);
            start(command, job, Done::Exit, Signal::INT)
        }
        Partner::Transmission => start(transmission(job)?, job, Done::Marker, Signal::TERM),
        Partner::Aria2 => start(aria2(job), job, Done::Exit, Signal::INT),
        Partner::Qbittorrent => start(qbittorrent(job)?, job, Done::Marker, Signal::TERM),
        Partner::Rtorrent => start(rtorrent(job)?, job, Done::Marker, Signal::INT),
    }
}

fn start(mut command: Command, job: Job<'_>, done: Done, stop: Signal) -> Result<Running> {
    Ok(Running { process: Proc::spawn(&mut command, &job.party.dir.join("log"))?, done, stop })
}

fn rawtorrent_arguments(command: &mut Command, job: Job<'_>) {
    if job.seeding {
        command.arg("seed").arg(job.source()).arg("--data");
    } else {
        command.arg("download").arg(job.source()).arg("-o");
    }
    command.arg(job.party.data()).args(["--listen", &job.party.addr.to_string(), "--json"]);
}

/// Once it has the metadata of a link, `transmission-cli` stops the torrent for a moment to verify it. If it looks at it just then,
/// it takes that for its user's wish and ends, and has to be started again.
const AGAIN: &str = r#""$@" & child=$!; trap 'kill $child; wait $child; exit' TERM; wait $child; exec "$@""#;

fn transmission(job: Job<'_>) -> Result<Command> {
    let Job { party, .. } = job;
    let config = party.dir.join("transmission");
    let watch = party.dir.join("watch");
    fs::create_dir_all(&config)?;
    fs::create_dir_all(&watch)?;
    fs::copy(job.torrent, watch.join("a.torrent"))?;
    // The address of the other family stays at its default: set, it would become the source of tracker requests.
    let (bind, ip) = if party.addr.is_ipv4() {
        ("bind-address-ipv4", party.ip().to_string())
    } else {
        ("bind-address-ipv6", party.ip().to_string())
    };
    let mut settings = json!({
        "dht-enabled": false,
        "lpd-enabled": false,
        "pex-enabled": false,
        "utp-enabled": false,
        "port-forwarding-enabled": false,
        "rpc-enabled": false,
        "encryption": 0,
        "peer-port": party.addr.port(),
        "download-dir": party.data(),
        "watch-dir": watch,
        "watch-dir-enabled": true,
        "script-torrent-done-enabled": true,
        "script-torrent-done-filename": done_script(party)?,
        "message-level": if job.talkative { 3 } else { 1 },
    });
    settings[bind] = ip.into();
    if let Some(limit) = job.max_up {
        settings["speed-limit-up-enabled"] = true.into();
        settings["speed-limit-up"] = (limit / 1000).into();
    }
    if let Some(link) = job.link {
        // The daemon takes links through its remote control alone; the client without one takes them by itself.
        settings["watch-dir-enabled"] = false.into();
        fs::write(config.join("settings.json"), settings.to_string())?;
        let mut command = party.command("sh");
        command.args(["-c", AGAIN, "sh", "transmission-cli"]);
        command.arg("-g").arg(config).arg("-w").arg(party.data()).arg("-f").arg(done_script(party)?);
        command.args(["-p", &party.addr.port().to_string(), link]);
        return Ok(command);
    }
    fs::write(config.join("settings.json"), settings.to_string())?;
    let mut command = party.command("transmission-daemon");
    command.args(["--foreground", if job.talkative { "--log-debug" } else { "--log-error" }]);
    command.arg("--config-dir").arg(config);
    Ok(command)
}

/// For clients that start a program when a download is complete.
fn done_script(party: &Party) -> Result<std::path::PathBuf> {
    let path = party.dir.join("done.sh");
    let mut script = fs::File::create(&path)?;
    writeln!(script, "#!/bin/sh\ntouch '{}'", party.done_marker().display())?;
    script.set_permissions(fs::Permissions::from_mode(0o755))?;
    Ok(path)
}

fn aria2(job: Job<'_>) -> Command {
    let Job { party, .. } = job;
    let mut command = party.command("aria2c");
    // Its UDP trackers are part of its DHT, which knows no node here.
    let dht = job.tracker == Tracker::Udp;
    command
        .args(["--no-conf", "--file-allocation=none", "--seed-ratio=0", "--bt-enable-lpd=false"])
        .args(["--enable-peer-exchange=false", "--bt-min-crypto-level=plain", "--bt-require-crypto=false"])
        .args(["--async-dns=false", "--enable-dht6=false", "--show-console-readout=false"])
        .arg(if job.talkative { "--log-level=info" } else { "--log-level=error" })
        .arg(format!("--enable-dht={dht}"))
        .arg(format!("--dht-file-path={}", party.dir.join("dht.dat").display()))
        .arg(format!("--dht-listen-port={}", party.addr.port()))
        .arg(format!("--listen-port={}", party.addr.port()))
        .arg(format!("--interface={}", party.ip()))
        .arg(format!("--dir={}", party.data().display()))
        .arg(format!("--log={}", party.dir.join("log.aria2").display()))
        .arg(if job.seeding { "--check-integrity=true" } else { "--seed-time=0" })
        .arg(format!("--max-upload-limit={}", job.max_up.unwrap_or(0)))
        .arg(job.source());
    command
}

fn qbittorrent(job: Job<'_>) -> Result<Command> {
    let Job { party, .. } = job;
    let mut command = qbittorrent_command(party, "")?;
    command.arg(format!("--save-path={}", party.data().display())).arg(job.source());
    Ok(command)
}

/// qBittorrent without a torrent, as a tracker at `party`'s address.
///
/// # Errors
/// Its settings cannot be written.
pub fn qbittorrent_tracker(party: &Party) -> Result<Command> {
    // Its own peer port is none of any cell's: its tracker listens on all addresses, and would meet it there.
    let peer = Party { addr: (party.ip(), party.addr.port() + 2_500).into(), dir: party.dir.clone() };
    let tracker =
        format!("TrackerEnabled=true\n\n[Preferences]\nAdvanced\\trackerPort={}", party.addr.port());
    qbittorrent_command(&peer, &tracker)
}

fn qbittorrent_command(party: &Party, more: &str) -> Result<Command> {
    let config = party.dir.join("qBittorrent/config");
    fs::create_dir_all(&config)?;
    let (ip, port, marker) = (party.ip(), party.addr.port(), party.done_marker());
    let settings = format!(
        "[LegalNotice]\nAccepted=true\n\n\
         [Network]\nPortForwardingEnabled=false\n\n\
         [AutoRun]\nenabled=true\nprogram=touch {marker}\n\n\
         [BitTorrent]\n\
         Session\\Interface=lo\nSession\\InterfaceName=lo\nSession\\InterfaceAddress={ip}\nSession\\Port={port}\n\
         Session\\DHTEnabled=false\nSession\\LSDEnabled=false\nSession\\PeXEnabled=false\n\
         Session\\BTProtocol=TCP\nSession\\Encryption=0\nSession\\RefreshInterval=200\n\
         Session\\MultiConnectionsPerIp=true\nSession\\AddTrackersEnabled=false\nSession\\Preallocation=false\n\
         {more}\n\n\
         [Preferences]\nWebUI\\Enabled=true\nWebUI\\Address={ip}\nWebUI\\Port={web}\nWebUI\\UseUPnP=false\n",
        marker = marker.display(),
        web = port + 5_000,
    );
    fs::write(config.join("qBittorrent.conf"), settings)?;
    let mut command = party.command("qbittorrent-nox");
    command.arg(format!("--profile={}", party.dir.display()));
    Ok(command)
}

fn rtorrent(job: Job<'_>) -> Result<Command> {
    let Job { party, .. } = job;
    let session = party.dir.join("session");
    fs::create_dir_all(&session)?;
    // It takes no IPv6 address to bind to. Unbound, it listens everywhere, and is seen at the address it talks to.
    let bind = match party.ip() {
        IpAddr::V4(ip) => format!("network.bind_address.set = {ip}"),
        IpAddr::V6(_) => String::new(),
    };
    let settings = format!(
        "system.daemon.set = true\n\
         session.path.set = {session}\n\
         directory.default.set = {data}\n\
         network.port_range.set = {port}-{port}\n\
         network.port_random.set = no\n\
         {bind}\n\
         dht.mode.set = disable\n\
         protocol.pex.set = no\n\
         trackers.use_udp.set = yes\n\
         protocol.encryption.set = allow_incoming,enable_retry\n\
         throttle.global_up.max_rate.set_kb = {limit}\n\
         {log}\n\
         method.set_key = event.download.finished, mark, \"execute.nothrow=touch,{marker}\"\n\
         load.start = \"{torrent}\"\n",
        session = session.display(),
        data = party.data().display(),
        port = party.addr.port(),
        limit = job.max_up.unwrap_or(0) / 1024,
        log = if job.talkative { rtorrent_log(party) } else { String::new() },
        marker = party.done_marker().display(),
        torrent = job.source().display(),
    );
    let path = party.dir.join("rtorrent.rc");
    fs::write(&path, settings)?;
    let mut command = party.command("rtorrent");
    command.arg("-n").arg("-o").arg(format!("import={}", path.display()));
    Ok(command)
}

fn rtorrent_log(party: &Party) -> String {
    let mut log = format!("log.open_file = \"all\", {}\n", party.dir.join("log.rtorrent").display());
    for topic in ["info", "tracker_debug", "peer_debug"] {
        log.push_str(&format!("log.add_output = \"{topic}\", \"all\"\n"));
    }
    log
}

/// What a client calls itself, for the report.
///
/// # Errors
/// It is missing.
pub fn version(partner: Partner, programs: &Programs, party: &Party) -> Result<String> {
    let mut command = match partner {
        Partner::Libtorrent => programs.libtorrent(party),
        Partner::Transmission => party.command("transmission-daemon"),
        Partner::Aria2 => party.command("aria2c"),
        Partner::Qbittorrent => party.command("qbittorrent-nox"),
        Partner::Rtorrent => party.command("rtorrent"),
    };
    command.arg(match partner {
        Partner::Libtorrent => "version",
        Partner::Rtorrent => "-h",
        _ => "--version",
    });
    let done =
        process::run(&mut command, Duration::from_secs(20)).with_context(|| format!("missing: {partner}"))?;
    let text = format!("{}{}", done.stdout, done.stderr);
    let digits = text.split_whitespace().map(|word| word.trim_start_matches('v').trim_end_matches('.'));
    let number =
        digits.into_iter().find(|word| word.contains('.') && word.starts_with(|c: char| c.is_ascii_digit()));
    Ok(number.with_context(|| format!("{partner} doesn't work: {text}"))?.to_owned())
}
