//! Other people's clients and trackers, and the table of who can talk to whom.
//!
//! A [`Cell`](cell::Cell) of the table is one torrent that goes from one client to another through a tracker that
//! tells them about each other; one of the two is ours. It is green when the receiver's tree has, byte for byte, what
//! was sent, after both have ended cleanly. All of it runs in a [network namespace](netns) that has only loopback.

pub mod cell;
pub mod lab;
pub mod netns;
pub mod partner;
pub mod report;
pub mod trackers;

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::binary;

/// The script that has libtorrent behind rawtorrent's command line.
const LIBTORRENT_PEER: &str = include_str!("../../py/libtorrent_peer.py");

/// One of the programs in a cell: where it is on the network, and where its files are.
#[derive(Clone, Debug)]
pub struct Party {
    /// Its own address and the port it listens on.
    pub addr: SocketAddr,
    /// A folder of its own; [`data`](Party::data) and its settings are in it.
    pub dir: PathBuf,
}

impl Party {
    /// Where its content is or will be.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.dir.join("data")
    }

    /// What exists once it has told that its download is complete.
    #[must_use]
    pub fn done_marker(&self) -> PathBuf {
        self.dir.join("done")
    }

    /// Its address without the port.
    #[must_use]
    pub fn ip(&self) -> IpAddr {
        self.addr.ip()
    }

    /// A command with this party's folder as home.
    fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        binary::isolate(&mut command, &self.dir);
        command.current_dir(&self.dir);
        command
    }
}

/// Programs that are not found by name alone.
#[derive(Clone, Debug)]
pub struct Programs {
    /// The binary under test; `None` in a self-check, where libtorrent stands in for it.
    pub ours: Option<PathBuf>,
    script: PathBuf,
    python_path: Option<std::ffi::OsString>,
}

impl Programs {
    /// Writes the helper script to `dir`. `RAWTORRENT_PYTHONPATH` is where Python finds libtorrent, if not by itself.
    ///
    /// # Errors
    /// The script cannot be written.
    pub fn new(ours: Option<PathBuf>, dir: &Path) -> std::io::Result<Programs> {
        let script = dir.join("libtorrent_peer.py");
        std::fs::write(&script, LIBTORRENT_PEER)?;
        Ok(Programs { ours, script, python_path: std::env::var_os("RAWTORRENT_PYTHONPATH") })
    }

    /// rawtorrent, or what stands in for it.
    fn ours(&self, party: &Party) -> Command {
        match &self.ours {
            Some(path) => party.command(path),
            None => self.libtorrent(party),
        }
    }

    /// libtorrent behind rawtorrent's command line.
    fn libtorrent(&self, party: &Party) -> Command {
        let mut command = party.command("python3");
        command.arg(&self.script).env("PYTHONDONTWRITEBYTECODE", "1");
        if let Some(path) = &self.python_path {
            command.env("PYTHONPATH", path);
        }
        command
    }
}
