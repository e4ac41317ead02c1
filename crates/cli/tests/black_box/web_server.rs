//! A web server on 127.0.0.1 that has the files of a folder.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Serves parts of files until the test ends.
pub(crate) struct WebServer {
    addr: SocketAddr,
    state: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    /// Bytes that may still be sent; then nothing is, while connections stay open. `None`: all.
    limit: Option<usize>,
    /// Every byte is sent as another one.
    spoils: bool,
    served: usize,
    paths: Vec<String>,
}

impl WebServer {
    pub(crate) fn start(dir: PathBuf) -> WebServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, state) = (listener.local_addr().unwrap(), Arc::<(Mutex<State>, Condvar)>::default());
        let shared = state.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, shared) = (dir.clone(), shared.clone());
                // What ends a connection is the client's to judge.
                thread::spawn(move || serve(&stream, &dir, &shared));
            }
        });
        WebServer { addr, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.addr)
    }

    pub(crate) fn spoiling(self) -> WebServer {
        self.state.0.lock().unwrap().spoils = true;
        self
    }

    /// From now on it sends so many bytes more.
    pub(crate) fn set_limit(&self, limit: Option<usize>) {
        self.state.0.lock().unwrap().limit = limit;
    }

    /// Bytes of files that were sent.
    pub(crate) fn served(&self) -> usize {
        self.state.0.lock().unwrap().served
    }

    /// Waits until so many bytes were sent.
    pub(crate) fn wait_served(&self, bytes: usize) {
        let (state, changed) = &*self.state;
        drop(changed.wait_while(state.lock().unwrap(), |state| state.served < bytes).unwrap());
    }

    /// The paths that were asked for, each once.
    pub(crate) fn paths(&self) -> Vec<String> {
        let mut paths = self.state.0.lock().unwrap().paths.clone();
        paths.sort();
        paths.dedup();
        paths
    }
}

fn serve(
    mut stream: &TcpStream,
    dir: &std::path::Path,
    shared: &(Mutex<State>, Condvar),
) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    loop {
        let Some(first) = lines.next().transpose()? else { return Ok(()) };
        let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let mut range = None;
        while let Some(line) = lines.next().transpose()?
            && !line.is_empty()
        {
            if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                let (first, last) = bytes.split_once('-').unwrap();
                range = Some((first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap()));
            }
        }
        shared.0.lock().unwrap().paths.push(path.clone());
        let (Ok(bytes), Some((first, last))) = (fs::read(dir.join(path.replace("%20", " "))), range) else {
            stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let (total, len) = (bytes.len(), last - first + 1);
        let head = "HTTP/1.1 206 Partial Content\r\n";
        write!(stream, "{head}Content-Range: bytes {first}-{last}/{total}\r\nContent-Length: {len}\r\n\r\n")?;
        for chunk in bytes[first..=last].chunks(16 * 1024) {
            send(stream, chunk, shared)?;
        }
    }
}

fn send(
    mut stream: &TcpStream,
    chunk: &[u8],
    (state, changed): &(Mutex<State>, Condvar),
) -> std::io::Result<()> {
    let chunk = {
        let mut state = state.lock().unwrap();
        let sent = state.limit.map_or(chunk.len(), |limit| limit.min(chunk.len()));
        state.limit = state.limit.map(|limit| limit - sent);
        state.served += sent;
        changed.notify_all();
        let mut chunk = chunk[..sent].to_vec();
        if state.spoils {
            chunk.iter_mut().for_each(|byte| *byte ^= 0xff);
        }
        chunk
    };
    stream.write_all(&chunk)?;
    if chunk.is_empty() {
        // Until the client has enough of it.
        std::io::Read::read(&mut &*stream, &mut [0])?;
    }
    Ok(())
}
