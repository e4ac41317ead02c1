//! An HTTP server on loopback that is a tracker, or hosts a torrent, and misbehaves as told.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// What the server answers to every request.
#[derive(Clone, Debug)]
pub enum Answer {
    /// 200 with this body.
    Body(Vec<u8>),
    /// A tracker's answer with these peers.
    Peers(Vec<SocketAddr>),
    /// This status, without a body.
    Status(u16),
    /// A redirect to itself.
    Redirect,
    /// 200 and bytes without an end.
    Endless,
    /// Nothing, while the connection stays open.
    Silence,
}

/// A server that answers all requests alike and remembers them.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub addr: SocketAddr,
    seen: Arc<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    targets: Mutex<Vec<String>>,
    changed: Condvar,
}

impl Server {
    /// Starts it; it answers until the test ends.
    ///
    /// # Errors
    /// No port is free.
    pub fn start(answer: Answer) -> io::Result<Server> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let addr = listener.local_addr()?;
        let seen = Arc::new(Seen::default());
        let of_thread = Arc::clone(&seen);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (answer, seen) = (answer.clone(), Arc::clone(&of_thread));
                // An error is the end of this connection; the test looks at the requests.
                thread::spawn(move || serve(stream, &answer, &seen));
            }
        });
        Ok(Server { addr, seen })
    }

    /// The URL of something on it.
    #[must_use]
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.addr)
    }

    /// Path and query of every request so far.
    #[must_use]
    pub fn requests(&self) -> Vec<String> {
        self.seen.targets().clone()
    }

    /// Waits for a request that contains `part`; false if none comes within `limit`.
    #[must_use]
    pub fn wait_for(&self, part: &str, limit: Duration) -> bool {
        let absent = |targets: &mut Vec<String>| !targets.iter().any(|target| target.contains(part));
        let waited = self.seen.changed.wait_timeout_while(self.seen.targets(), limit, absent);
        waited.is_ok_and(|(_, timeout)| !timeout.timed_out())
    }
}

impl Seen {
    fn targets(&self) -> MutexGuard<'_, Vec<String>> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn serve(mut stream: TcpStream, answer: &Answer, seen: &Seen) -> io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let first = lines.next().unwrap_or_else(|| Ok(String::new()))?;
    while lines.next().transpose()?.is_some_and(|line| !line.is_empty()) {}
    let target = first.split(' ').nth(1).unwrap_or_default().to_owned();
    seen.targets().push(target.clone());
    seen.changed.notify_all();
    match answer {
        Answer::Body(body) => respond(&mut stream, "200 OK", "", body),
        Answer::Peers(peers) => respond(&mut stream, "200 OK", "", &announce_response(peers)),
        Answer::Status(status) => respond(&mut stream, &format!("{status} Told So"), "", b""),
        Answer::Redirect => respond(&mut stream, "302 Found", &format!("Location: {target}\r\n"), b""),
        Answer::Endless => {
            stream
                .write_all(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\nd8:intervali1800e5:peers")?;
            stream.write_all(b"1073741824:")?;
            loop {
                stream.write_all(&[b'x'; 65_536])?;
            }
        }
        Answer::Silence => lines.next().transpose().map(drop),
    }
}

fn respond(stream: &mut TcpStream, status: &str, header: &str, body: &[u8]) -> io::Result<()> {
    let head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{header}\r\n", body.len());
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)
}

fn announce_response(peers: &[SocketAddr]) -> Vec<u8> {
    let compact: Vec<u8> = peers
        .iter()
        .filter_map(|peer| match peer {
            SocketAddr::V4(peer) => Some([&peer.ip().octets()[..], &peer.port().to_be_bytes()].concat()),
            SocketAddr::V6(_) => None,
        })
        .flatten()
        .collect();
    [format!("d8:intervali1800e5:peers{}:", compact.len()).as_bytes(), &compact, b"e"].concat()
}

/// How long tests wait for a request that must come.
pub const SOON: Duration = Duration::from_secs(10);
