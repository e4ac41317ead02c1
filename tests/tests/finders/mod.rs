//! Who says where peers are, and lies.
//!
//! - [`nodes`]: of the DHT
//! - [`neighbours`]: on the local network (BEP 14)

mod neighbours;
mod nodes;

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{Home, LIMIT};
use rawtorrent_tests::content::Sample;
use rawtorrent_tests::metafile::PIECE_LEN;

const SMALL: Sample = Sample { name: "small.bin", layout: &[("", 5 * PIECE_LEN + 17)] };
/// Within this, whoever is there must be found and give everything.
const FOUND_WITHIN: Duration = Duration::from_secs(15);

/// How much of something: in CI, and in the longer run.
fn sized(sample: usize, all: usize) -> usize {
    if std::env::var_os("RAWTORRENT_HOSTILE").is_some_and(|mode| mode == "full") { all } else { sample }
}

/// A download that has nobody to ask but who is found.
fn download(home: &Home, at: SocketAddr, without: &str) -> Command {
    let mut command = home.command();
    command.arg("download").arg(&home.torrent).arg("-o").arg(home.out());
    command.args(["--json", "--no-trackers", "--no-pex", without, "--listen", &at.to_string()]);
    command
}

fn wait_until_listening(at: SocketAddr) {
    let listens = rawtorrent_tests::poll(Instant::now() + LIMIT, || TcpStream::connect(at).ok());
    assert!(listens.is_some(), "nobody listens");
}

/// Where nobody is to come to, and who came.
struct Trap {
    addr: SocketAddr,
    came: Arc<AtomicUsize>,
}

impl Trap {
    fn set(host: [u8; 4]) -> Trap {
        let listener = TcpListener::bind((Ipv4Addr::from(host), 0)).unwrap();
        let (addr, came) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
        let count = Arc::clone(&came);
        thread::spawn(move || {
            for _ in listener.incoming() {
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Trap { addr, came }
    }

    fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }
}
