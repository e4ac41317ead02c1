//! Real trackers, each in a process of its own.
//!
//! | | IPv4 | IPv6 |
//! |---|---|---|
//! | HTTP | opentracker | the tracker in qBittorrent |
//! | UDP | opentracker | `aquatic_udp` |
//!
//! Debian builds opentracker for IPv4 alone.

use std::env;
use std::fs;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};

use super::cell::{Ip, Tracker};
use super::{Party, partner};
use crate::content::hex;
use crate::process::Proc;

/// How long a tracker may take to answer a question of ours.
const ANSWER_LIMIT: Duration = Duration::from_secs(1);

/// A tracker has this long to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A tracker that runs.
#[derive(Debug)]
pub struct Running {
    kind: Tracker,
    addr: SocketAddr,
    info_hash: [u8; 20],
    process: Proc,
}

/// What torrents say about a tracker.
#[must_use]
pub fn url(kind: Tracker, host: &str, port: u16) -> String {
    let scheme = match kind {
        Tracker::Http => "http",
        Tracker::Udp => "udp",
    };
    format!("{scheme}://{host}:{port}/announce")
}

/// Starts the tracker for `kind` and the family of `party`'s address; it serves `info_hash`. Returns when it answers.
///
/// # Errors
/// Its program is missing, or it doesn't answer until `deadline`.
pub fn start(kind: Tracker, party: &Party, info_hash: [u8; 20], deadline: Instant) -> Result<Running> {
    let ip = if party.addr.is_ipv4() { Ip::V4 } else { Ip::V6 };
    let mut command = match (kind, ip) {
        (_, Ip::V4) => opentracker(party, info_hash)?,
        (Tracker::Http, Ip::V6) => partner::qbittorrent_tracker(party)?,
        (Tracker::Udp, Ip::V6) => aquatic_udp(party)?,
    };
    let process = Proc::spawn(&mut command, &party.dir.join("log"))?;
    let mut tracker = Running { kind, addr: party.addr, info_hash, process };
    let mut answer = Err(anyhow!("not asked"));
    crate::poll(deadline.min(Instant::now() + START_LIMIT), || {
        answer = tracker.seeds();
        (answer.is_ok() || !tracker.process.is_running()).then_some(())
    });
    answer.with_context(|| {
        format!("the tracker doesn't work\n{}{}", tracker.process.stdout(), tracker.process.stderr())
    })?;
    Ok(tracker)
}

fn opentracker(party: &Party, info_hash: [u8; 20]) -> Result<Command> {
    let whitelist = party.dir.join("whitelist");
    fs::write(&whitelist, format!("{}\n", hex(&info_hash)))?;
    let port = party.addr.port().to_string();
    // It refuses to run as root and can't become somebody else in every namespace; without a mapping it is nobody.
    let mut command = party.command("unshare");
    command.args(["-U", "opentracker", "-i", &party.ip().to_string(), "-p", &port, "-P", &port, "-w"]);
    command.arg(whitelist).arg("-d").arg(&party.dir);
    Ok(command)
}

fn aquatic_udp(party: &Party) -> Result<Command> {
    let config = party.dir.join("aquatic.toml");
    fs::write(&config, format!("[network]\naddress = \"{}\"\nonly_ipv6 = true\n", party.addr))?;
    let program = aquatic_path().context(
        "missing: aquatic_udp, the UDP tracker for IPv6\n  get it: cargo install aquatic_udp --root target/tools",
    )?;
    let mut command = party.command(program);
    command.arg("-c").arg(config);
    Ok(command)
}

/// Where `aquatic_udp` is: among this repository's own tools, or on the path.
#[must_use]
pub fn aquatic_path() -> Option<PathBuf> {
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/tools/bin");
    let path = env::var_os("PATH").unwrap_or_default();
    [tools]
        .into_iter()
        .chain(env::split_paths(&path))
        .map(|dir| dir.join("aquatic_udp"))
        .find(|path| path.is_file())
}

impl Running {
    /// How many seeds of the torrent the tracker knows.
    ///
    /// # Errors
    /// No answer, or one that makes no sense.
    pub fn seeds(&self) -> Result<u32> {
        match self.kind {
            Tracker::Http => self.seeds_by_http(),
            Tracker::Udp => self.seeds_by_udp(),
        }
    }

    /// Asks with the announce of somebody who leaves, since not every tracker can scrape: it joins no swarm.
    fn seeds_by_http(&self) -> Result<u32> {
        let hash: String = self.info_hash.iter().map(|byte| format!("%{byte:02x}")).collect();
        let query = format!(
            "info_hash={hash}&peer_id=-XX0000-interopprobe&port=9&uploaded=0&downloaded=0&left=1&compact=1&event=stopped"
        );
        let mut stream = TcpStream::connect_timeout(&self.addr, ANSWER_LIMIT)?;
        stream.set_read_timeout(Some(ANSWER_LIMIT))?;
        let head =
            format!("GET /announce?{query} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.addr);
        stream.write_all(head.as_bytes())?;
        let mut answer = Vec::new();
        // A tracker that keeps the connection has sent all of it by then.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let count = answer.split_once("8:completei").and_then(|(_, rest)| rest.split_once('e'));
        let (count, _) = count.with_context(|| format!("the tracker's answer: {answer}"))?;
        Ok(count.parse()?)
    }

    /// Connect and scrape of BEP 15.
    fn seeds_by_udp(&self) -> Result<u32> {
        const MAGIC: u64 = 0x417_2710_1980;
        const CONNECT: u32 = 0;
        const SCRAPE: u32 = 2;
        let any: IpAddr = if self.addr.is_ipv4() { [0; 4].into() } else { [0_u16; 8].into() };
        let socket = UdpSocket::bind((any, 0))?;
        socket.set_read_timeout(Some(ANSWER_LIMIT))?;
        socket.connect(self.addr)?;
        let connection = exchange(&socket, &MAGIC.to_be_bytes(), CONNECT, &[])?;
        let counts =
            exchange(&socket, connection.get(..8).context("short answer")?, SCRAPE, &self.info_hash)?;
        Ok(u32::from_be_bytes(counts.get(..4).context("short answer")?.try_into()?))
    }
}

/// Sends one packet and returns the body of its answer.
fn exchange(socket: &UdpSocket, connection: &[u8], action: u32, body: &[u8]) -> Result<Vec<u8>> {
    const TRANSACTION: u32 = 0x7261_7754;
    let head = [action.to_be_bytes(), TRANSACTION.to_be_bytes()].concat();
    socket.send(&[connection, &head, body].concat())?;
    let mut answer = vec![0; 2048];
    let len = socket.recv(&mut answer)?;
    answer.truncate(len);
    if answer.get(..8) != Some(&head) {
        bail!("the tracker's answer: {answer:?}");
    }
    Ok(answer.split_off(8))
}
