//! The same on the whole way from the socket to the disk: a download by an engine, from a seed that is a process of its own.
//! `cargo xtask overhead` counts the instructions of all threads of the engine, from beginning to end.

use crate::events::Filter;
use crate::{AddTorrent, Engine, Metainfo, Settings};
use pollster::block_on;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};

/// 32 MiB of zeros in pieces of 256 KiB.
const SIZE: usize = 32 << 20;
const PIECE: usize = 256 << 10;

/// Brains have no ears, as if there were no events.
static DEAF: AtomicBool = AtomicBool::new(false);

pub(crate) fn is_deaf() -> bool {
    DEAF.load(Ordering::Relaxed)
}

fn metainfo() -> Metainfo {
    let pieces = hash::sha1(&vec![0; PIECE]).repeat(SIZE / PIECE);
    let head =
        format!("d4:infod6:lengthi{SIZE}e4:name5:zeros12:piece lengthi{PIECE}e6:pieces{}:", pieces.len());
    Metainfo::parse(&[head.as_bytes(), &pieces, b"ee"].concat()).unwrap()
}

/// A seed for one peer, which ends with what this gives.
struct Seed(Child);

impl Seed {
    fn start() -> (Seed, SocketAddr) {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "tape::overhead::whole::seed", "--ignored", "--nocapture"]);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let at = said.into_iter().find_map(|line| line.split_once("seed at ")?.1.parse().ok());
        (Seed(child), at.unwrap())
    }
}

impl Drop for Seed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn download(listen: bool) {
    let (_seed, addr) = Seed::start();
    let dirs = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let mut settings = Settings::new(dirs[0].path());
    settings.listen = vec![([127, 0, 0, 1], 0).into()];
    (settings.lsd, settings.pex) = (false, false);
    let engine = Engine::start(settings).unwrap();
    let events = listen.then(|| engine.listen(Filter::all()));
    let add = AddTorrent::new(metainfo(), dirs[1].path()).peers(vec![addr]);
    block_on(async {
        let torrent = engine.add(add).await.unwrap();
        assert_eq!(torrent.wait_finished().await.unwrap().bytes, SIZE as u64);
    });
    assert_eq!(events.is_some(), listen);
    block_on(engine.shutdown());
}

#[test]
#[ignore = "counted by cargo xtask overhead"]
fn alone() {
    // It is the only test of its process.
    DEAF.store(true, Ordering::Relaxed);
    download(false);
}

#[test]
#[ignore = "counted by cargo xtask overhead"]
fn off() {
    download(false);
}

#[test]
#[ignore = "counted by cargo xtask overhead"]
fn on() {
    download(true);
}

#[test]
#[ignore = "a process of the other tests"]
fn seed() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    println!("seed at {}", listener.local_addr().unwrap());
    let peer = listener.accept().unwrap().0;
    // It ends when the engine does.
    let _ = serve(peer);
}

fn serve(mut peer: TcpStream) -> std::io::Result<()> {
    let mut hello = [0; 68];
    peer.read_exact(&mut hello)?;
    hello[20..28].copy_from_slice(&[0, 0, 0, 0, 0, 0, 0, 4]);
    hello[48..].copy_from_slice(b"-XX0000-abcdefghijkl");
    peer.write_all(&hello)?;
    // It has everything, and lets others ask.
    peer.write_all(&[0, 0, 0, 1, 14, 0, 0, 0, 1, 1])?;
    let (mut read, mut length) = (BufReader::new(peer.try_clone()?), [0; 4]);
    loop {
        read.read_exact(&mut length)?;
        let mut message = vec![0; u32::from_be_bytes(length) as usize];
        read.read_exact(&mut message)?;
        if message.first() == Some(&6) {
            let block = u32::from_be_bytes([message[9], message[10], message[11], message[12]]);
            let mut answer = (block + 9).to_be_bytes().to_vec();
            answer.push(7);
            answer.extend_from_slice(&message[1..9]);
            answer.resize(answer.len() + block as usize, 0);
            peer.write_all(&answer)?;
        }
    }
}
