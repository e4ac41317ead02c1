//! A web server on 127.0.0.1 that has the files of a folder.

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

/// Serves parts of files until the test ends.
pub(crate) struct WebServer {
    scheme: &'static str,
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
        WebServer::start_over(None, dir)
    }

    /// Speaks TLS; who issued its certificate is written to `authority`.
    pub(crate) fn start_tls(dir: PathBuf, authority: &Path) -> WebServer {
        WebServer::start_over(Some(Arc::new(certified(authority))), dir)
    }

    fn start_over(tls: Option<Arc<ServerConfig>>, dir: PathBuf) -> WebServer {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (addr, state) = (listener.local_addr().unwrap(), Arc::<(Mutex<State>, Condvar)>::default());
        let (shared, scheme) = (state.clone(), if tls.is_some() { "https" } else { "http" });
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (dir, shared, tls) = (dir.clone(), shared.clone(), tls.clone());
                // What ends a connection is the client's to judge.
                thread::spawn(move || match tls {
                    Some(tls) => {
                        let tls = ServerConnection::new(tls).unwrap();
                        serve(StreamOwned::new(tls, stream), &dir, &shared)
                    }
                    None => serve(stream, &dir, &shared),
                });
            }
        });
        WebServer { scheme, addr, state }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}/{path}", self.scheme, self.addr)
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

/// A certificate for 127.0.0.1.
fn certified(authority: &Path) -> ServerConfig {
    let keys = [(); 2].map(|()| KeyPair::generate().unwrap());
    let mut root = CertificateParams::new([]).unwrap();
    root.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(authority, root.self_signed(&keys[0]).unwrap().pem()).unwrap();
    let own = CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
    let own = own.signed_by(&keys[1], &Issuer::from_params(&root, &keys[0])).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], keys[1].serialize_der().try_into().unwrap())
        .unwrap()
}

fn serve(stream: impl Read + Write, dir: &Path, shared: &(Mutex<State>, Condvar)) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    loop {
        let Some(first) = stream.by_ref().lines().next().transpose()? else { return Ok(()) };
        let path = first.split(' ').nth(1).unwrap_or_default().trim_start_matches('/').to_owned();
        let mut range = None;
        while let Some(line) = stream.by_ref().lines().next().transpose()?
            && !line.is_empty()
        {
            if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("range: bytes=") {
                let (first, last) = bytes.split_once('-').unwrap();
                range = Some((first.parse::<usize>().unwrap(), last.parse::<usize>().unwrap()));
            }
        }
        shared.0.lock().unwrap().paths.push(path.clone());
        let (Ok(bytes), Some((first, last))) = (fs::read(dir.join(path.replace("%20", " "))), range) else {
            stream.get_mut().write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")?;
            continue;
        };
        let (total, len) = (bytes.len(), last - first + 1);
        let head = "HTTP/1.1 206 Partial Content\r\n";
        write!(
            stream.get_mut(),
            "{head}Content-Range: bytes {first}-{last}/{total}\r\nContent-Length: {len}\r\n\r\n"
        )?;
        for chunk in bytes[first..=last].chunks(16 * 1024) {
            send(stream.get_mut(), chunk, shared)?;
        }
    }
}

fn send(
    stream: &mut (impl Read + Write),
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
        stream.read_exact(&mut [0])?;
    }
    Ok(())
}
