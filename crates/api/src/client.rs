//! A client of the API.

use crate::{
    About, AddQuery, Added, BASE, Destination, Direction, File, ListQuery, Peer, Pieces, Problem,
    RemoveQuery, Resumed, Settings, SettingsChange, Source, Stayed, TORRENT, Torrent, TorrentChange,
    TorrentSettings, Torrents, TraceQuery, Traced, Tracker, TrackersChange, Turn, Watched, WatchedQuery, Why,
};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// Bytes of one answer, or of one event of a stream. A longer one is an error: ten thousand torrents take some 5 MiB.
pub const MAX_ANSWER: usize = 64 * 1024 * 1024;
/// How long the daemon has to answer; an add waits for its store.
const ANSWER_WAIT: Duration = Duration::from_secs(30);
/// How long a connection may take.
const CONNECT_WAIT: Duration = Duration::from_secs(10);
/// How long a daemon may say nothing within a stream, in which it says every 15 s that it is there. Then it is taken for gone.
pub const SILENCE: Duration = Duration::from_secs(60);

/// A daemon that can be asked. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    http: reqwest::Client,
    /// Scheme, host and port.
    base: String,
    shown: String,
    token: Option<String>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The address makes no sense.
    #[error("'{0}' is no address of a daemon; write http://HOST:PORT, https://HOST, or unix:PATH")]
    Host(String),
    /// Nobody answered, or not to the end.
    #[error(
        "cannot reach the daemon at {host}: {reason}; start one with 'rawtorrent daemon', or name another with --host"
    )]
    Unreachable {
        /// Where.
        host: String,
        /// Why.
        reason: String,
    },
    /// The daemon answered with a problem.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// What answered is no daemon, or of another version.
    #[error("what answers at {host} is no rawtorrent of this version: {reason}")]
    Strange {
        /// Where.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl Client {
    /// A client of the daemon at `host`: `http://HOST:PORT`, `https://HOST`, `HOST:PORT`, or `unix:PATH`. Nothing is sent yet.
    ///
    /// # Errors
    /// [`ClientError::Host`].
    pub fn new(host: &str, token: Option<String>) -> Result<Client, ClientError> {
        let wrong = || ClientError::Host(host.to_owned());
        let builder = reqwest::Client::builder()
            .user_agent(concat!("rawtorrent/", env!("CARGO_PKG_VERSION")))
            .tls_backend_preconfigured(tls().ok_or_else(wrong)?)
            .http1_only()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .connect_timeout(CONNECT_WAIT);
        let (builder, base) = match host.strip_prefix("unix:") {
            Some(path) => {
                let path = path.strip_prefix("//").unwrap_or(path);
                (builder.unix_socket(std::path::PathBuf::from(path)), "http://localhost".to_owned())
            }
            None if host.contains("://") => (builder, host.trim_end_matches('/').to_owned()),
            None => (builder, format!("http://{host}")),
        };
        let url = reqwest::Url::parse(&base).map_err(|_| wrong())?;
        // The path of a socket is given with what it is.
        if host.starts_with('/') || !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        let http = builder.build().map_err(|_| wrong())?;
        Ok(Client { http, base, shown: host.to_owned(), token })
    }

    /// The daemon's address, as it was given.
    pub fn host(&self) -> &str {
        &self.shown
    }

    /// Who answers.
    ///
    /// # Errors
    /// Of all methods: [`ClientError::Unreachable`], [`ClientError::Problem`], [`ClientError::Strange`].
    pub async fn about(&self) -> Result<About, ClientError> {
        self.json(self.request(Method::GET, "").timeout(ANSWER_WAIT)).await
    }

    /// The torrents that match.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn torrents(&self, query: &ListQuery) -> Result<Torrents, ClientError> {
        self.json(self.request(Method::GET, "/torrents").query(query).timeout(ANSWER_WAIT)).await
    }

    /// One torrent, by its id.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn torrent(&self, id: &str) -> Result<Torrent, ClientError> {
        self.json(self.on(Method::GET, id, "")).await
    }

    /// The files of a torrent.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn files(&self, id: &str) -> Result<Vec<File>, ClientError> {
        self.json(self.on(Method::GET, id, "/files")).await
    }

    /// The connections of a torrent that runs.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn peers(&self, id: &str) -> Result<Vec<Peer>, ClientError> {
        self.json(self.on(Method::GET, id, "/peers")).await
    }

    /// The trackers of a torrent.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn trackers(&self, id: &str) -> Result<Vec<Tracker>, ClientError> {
        self.json(self.on(Method::GET, id, "/trackers")).await
    }

    /// What is wanted of a torrent.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn torrent_settings(&self, id: &str) -> Result<TorrentSettings, ClientError> {
        self.json(self.on(Method::GET, id, "/settings")).await
    }

    /// Changes what is wanted of a torrent, and says what that is now.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn set_torrent(
        &self,
        id: &str,
        change: &TorrentChange,
    ) -> Result<TorrentSettings, ClientError> {
        self.json(self.on(Method::PATCH, id, "/settings").json(change)).await
    }

    /// What all torrents share.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn settings(&self) -> Result<Settings, ClientError> {
        self.json(self.request(Method::GET, "/settings").timeout(ANSWER_WAIT)).await
    }

    /// Changes what all torrents share, and says what that is now.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn set(&self, change: &SettingsChange) -> Result<Settings, ClientError> {
        self.json(self.request(Method::PATCH, "/settings").timeout(ANSWER_WAIT).json(change)).await
    }

    /// Has a torrent's files moved into another folder of the daemon's machine, while it goes on; says which could not be
    /// removed where they were.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn move_to(&self, id: &str, dir: &str) -> Result<Option<Stayed>, ClientError> {
        self.told(self.on(Method::POST, id, "/move").json(&Destination { dir: dir.to_owned() })).await
    }

    /// Gives a torrent another place among those that wait for their turn.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn queue(&self, id: &str, to: Direction) -> Result<(), ClientError> {
        self.done(self.on(Method::POST, id, "/queue").json(&Turn { to })).await
    }

    /// Changes a torrent's trackers.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn edit_trackers(&self, id: &str, change: &TrackersChange) -> Result<(), ClientError> {
        self.done(self.on(Method::PATCH, id, "/trackers").json(change)).await
    }

    /// The folders that are watched.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn watched(&self) -> Result<Vec<Watched>, ClientError> {
        self.json(self.request(Method::GET, "/watch").timeout(ANSWER_WAIT)).await
    }

    /// Has a folder watched; one that is already, in this way from now on.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn watch(&self, folder: &Watched) -> Result<(), ClientError> {
        self.done(self.request(Method::POST, "/watch").timeout(ANSWER_WAIT).json(folder)).await
    }

    /// Has a folder watched no more.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn unwatch(&self, dir: &str) -> Result<(), ClientError> {
        let query = WatchedQuery { dir: dir.to_owned() };
        self.done(self.request(Method::DELETE, "/watch").timeout(ANSWER_WAIT).query(&query)).await
    }

    /// Has everything of a torrent hashed again.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn recheck(&self, id: &str) -> Result<(), ClientError> {
        self.done(self.on(Method::POST, id, "/recheck")).await
    }

    /// Has a torrent announced out of turn.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn reannounce(&self, id: &str) -> Result<(), ClientError> {
        self.done(self.on(Method::POST, id, "/reannounce")).await
    }

    /// A file's bytes, or a range of them (as the header `Range` has it). Whatever is answered is told, a refusal too.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn file(&self, id: &str, index: usize, range: Option<&str>) -> Result<FileBytes, ClientError> {
        let id: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
        let mut request = self.request(Method::GET, &format!("/torrents/{id}/files/{index}"));
        if let Some(range) = range {
            request = request.header("range", range);
        }
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        Ok(FileBytes { answer, client: self.clone() })
    }

    /// The pieces of a torrent that runs.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn pieces(&self, id: &str) -> Result<Pieces, ClientError> {
        self.json(self.on(Method::GET, id, "/pieces")).await
    }

    /// What holds a torrent back.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn why(&self, id: &str) -> Result<Why, ClientError> {
        self.json(self.on(Method::GET, id, "/why")).await
    }

    /// Adds the torrent whose file holds `torrent`.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn add(&self, torrent: Vec<u8>, query: &AddQuery) -> Result<Added, ClientError> {
        let request = self.request(Method::POST, "/torrents").query(query).timeout(ANSWER_WAIT);
        self.json(request.header("content-type", TORRENT).body(torrent)).await
    }

    /// Adds the torrent that a magnet link, or the http(s) URL of its file, names.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn add_source(&self, source: &str, query: &AddQuery) -> Result<Added, ClientError> {
        let request = self.request(Method::POST, "/torrents").query(query).timeout(ANSWER_WAIT);
        self.json(request.json(&Source { source: source.to_owned() })).await
    }

    /// Stops a torrent and forgets it. Its files stay, unless the query says that they go; then says which could not be
    /// removed.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn remove(&self, id: &str, query: RemoveQuery) -> Result<Option<Stayed>, ClientError> {
        self.told(self.on(Method::DELETE, id, "").query(&query)).await
    }

    /// Stops a torrent until it is resumed.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn pause(&self, id: &str) -> Result<(), ClientError> {
        self.done(self.on(Method::POST, id, "/pause")).await
    }

    /// Goes on with a torrent; says what it waits for, if it cannot go on yet.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn resume(&self, id: &str) -> Result<Option<Resumed>, ClientError> {
        self.told(self.on(Method::POST, id, "/resume")).await
    }

    /// What changes from `since` on, as it happens; all torrents first if `since` is `None` or too long ago.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn changes(&self, since: Option<u64>) -> Result<Changes, ClientError> {
        let mut request = self.request(Method::GET, "/events");
        if let Some(since) = since {
            request = request.header("last-event-id", since.to_string());
        }
        Ok(Changes(self.stream(request).await?))
    }

    /// What torrents and their peers say from now on, as it happens.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn trace(&self, query: &TraceQuery) -> Result<Trace, ClientError> {
        Ok(Trace(self.stream(self.request(Method::GET, "/trace").query(query)).await?))
    }

    async fn stream(&self, request: RequestBuilder) -> Result<Sse, ClientError> {
        // A time of the request's own would be one for all of the stream.
        let answer =
            timeout(ANSWER_WAIT, self.answer(request)).await.unwrap_or_else(|_| Err(self.silent()))?;
        Ok(Sse { answer, held: Vec::new(), read: 0, client: self.clone() })
    }

    fn on(&self, method: Method, id: &str, what: &str) -> RequestBuilder {
        // An id is digits; whatever else it is must not lead elsewhere.
        let id: String = id.chars().filter(char::is_ascii_alphanumeric).collect();
        self.request(method, &format!("/torrents/{id}{what}")).timeout(ANSWER_WAIT)
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{BASE}{path}", self.base));
        match &self.token {
            Some(token) => request.bearer_auth(token),
            None => request,
        }
    }

    async fn json<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<T, ClientError> {
        let answer = self.answer(request).await?;
        let body = self.body(answer).await?;
        serde_json::from_slice(&body).map_err(|error| self.strange(&error))
    }

    /// What is told besides that it is done, if anything is.
    async fn told<T: DeserializeOwned>(&self, request: RequestBuilder) -> Result<Option<T>, ClientError> {
        let answer = self.answer(request).await?;
        let body = self.body(answer).await?;
        if body.is_empty() {
            return Ok(None);
        }
        serde_json::from_slice(&body).map(Some).map_err(|error| self.strange(&error))
    }

    async fn done(&self, request: RequestBuilder) -> Result<(), ClientError> {
        self.answer(request).await.map(drop)
    }

    async fn answer(&self, request: RequestBuilder) -> Result<Response, ClientError> {
        let answer = request.send().await.map_err(|error| self.unreachable(error))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(answer);
        }
        let body = self.body(answer).await?;
        Err(serde_json::from_slice(&body).map_or_else(|_| self.no_problem(status), ClientError::Problem))
    }

    async fn body(&self, mut answer: Response) -> Result<Vec<u8>, ClientError> {
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|error| self.unreachable(error))? {
            self.grow(&mut body, &chunk)?;
        }
        Ok(body)
    }

    fn grow(&self, body: &mut Vec<u8>, chunk: &[u8]) -> Result<(), ClientError> {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(self.strange(&format_args!("it answers with more than {MAX_ANSWER} bytes")));
        }
        body.extend_from_slice(chunk);
        Ok(())
    }

    fn no_problem(&self, status: StatusCode) -> ClientError {
        self.strange(&format_args!("it answers {status}"))
    }

    fn strange(&self, reason: &impl ToString) -> ClientError {
        ClientError::Strange { host: self.shown.clone(), reason: reason.to_string() }
    }

    fn silent(&self) -> ClientError {
        ClientError::Unreachable { host: self.shown.clone(), reason: "it says nothing any more".into() }
    }

    fn unreachable(&self, error: reqwest::Error) -> ClientError {
        let error = error.without_url();
        let mut reason = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            reason = inner.to_string();
            cause = inner.source();
        }
        ClientError::Unreachable { host: self.shown.clone(), reason }
    }
}

/// The answer to who reads a file.
#[derive(Debug)]
pub struct FileBytes {
    answer: Response,
    client: Client,
}

impl FileBytes {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.answer.status().as_u16()
    }

    /// What a header says, if it is there and is text.
    pub fn header(&self, name: &str) -> Option<String> {
        self.answer.headers().get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
    }

    /// The bytes that come next; `None` at the end.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`].
    pub async fn next(&mut self) -> Result<Option<bytes::Bytes>, ClientError> {
        self.answer.chunk().await.map_err(|error| self.client.unreachable(error))
    }
}

/// A stream of changes.
#[derive(Debug)]
pub struct Changes(Sse);

impl Changes {
    /// The next change; `None` once the daemon ends.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn next(&mut self) -> Result<Option<Torrents>, ClientError> {
        self.0.next(|_, data| serde_json::from_slice(data).map(Some)).await
    }
}

/// A stream of what is said.
#[derive(Debug)]
pub struct Trace(Sse);

impl Trace {
    /// What comes next; `None` once the daemon ends.
    ///
    /// # Errors
    /// See [`Client::about`].
    pub async fn next(&mut self) -> Result<Option<Traced>, ClientError> {
        let read = |name: &[u8], data: &[u8]| match name {
            b"trace" => serde_json::from_slice(data).map(Traced::Event).map(Some),
            b"began" => serde_json::from_slice(data).map(Traced::Began).map(Some),
            b"lost" => serde_json::from_slice(data).map(Traced::Lost).map(Some),
            _ => Ok(None),
        };
        self.0.next(read).await
    }
}

/// Server-Sent Events.
#[derive(Debug)]
struct Sse {
    answer: Response,
    /// What came; up to `read` it is done with.
    held: Vec<u8>,
    read: usize,
    client: Client,
}

impl Sse {
    /// What the next event's name and data are, unless `read` has no use for it; `None` once the stream ends.
    async fn next<T>(
        &mut self,
        read: impl Fn(&[u8], &[u8]) -> Result<Option<T>, serde_json::Error>,
    ) -> Result<Option<T>, ClientError> {
        loop {
            while let Some(end) = self.held[self.read..].windows(2).position(|two| two == b"\n\n") {
                let event = &self.held[self.read..self.read + end];
                self.read += end + 2;
                let field =
                    |name: &[u8]| event.split(|&byte| byte == b'\n').find_map(|line| line.strip_prefix(name));
                let Some(data) = field(b"data: ") else { continue };
                match read(field(b"event: ").unwrap_or_default(), data) {
                    Ok(None) => {}
                    read => return read.map_err(|error| self.client.strange(&error)),
                }
            }
            self.held.drain(..std::mem::take(&mut self.read));
            let chunk = timeout(SILENCE, self.answer.chunk()).await.map_err(|_| self.client.silent())?;
            let Some(chunk) = chunk.map_err(|error| self.client.unreachable(error))? else { return Ok(None) };
            self.client.grow(&mut self.held, &chunk)?;
        }
    }
}

/// The system's roots, or the built-in ones where there are none.
fn tls() -> Option<rustls::ClientConfig> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().ok()?;
    Some(builder.with_root_certificates(roots).with_no_client_auth())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use crate::TraceBegan;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[test]
    fn an_address_is_checked_before_anything_is_sent() {
        for good in [
            "127.0.0.1:6880",
            "http://[::1]:6880/",
            "https://seedbox.example",
            "unix:/run/x",
            "unix:///run/x",
        ] {
            assert!(Client::new(good, None).is_ok(), "{good}");
        }
        for bad in ["", "ftp://x", "http://", "a b", "/run/x"] {
            assert!(matches!(Client::new(bad, None), Err(ClientError::Host(_))), "{bad}");
        }
    }

    #[test]
    fn an_answer_has_an_end() {
        let client = Client::new("127.0.0.1:1", None).unwrap();
        let mut body = vec![0; MAX_ANSWER - 1];
        client.grow(&mut body, b"x").unwrap();
        assert!(matches!(client.grow(&mut body, b"x"), Err(ClientError::Strange { .. })));
    }

    #[tokio::test]
    async fn a_stream_in_which_nothing_is_said_any_more_ends() {
        let daemon = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = Client::new(&daemon.local_addr().unwrap().to_string(), None).unwrap();
        let held = tokio::spawn(async move {
            let (mut asked, _) = daemon.accept().await.unwrap();
            assert!(asked.read(&mut [0; 4096]).await.unwrap() > 0);
            let head = b"HTTP/1.1 200 OK\r\n\r\nevent: began\ndata: {\"v\":1,\"began\":1.5}\n\n";
            asked.write_all(head).await.unwrap();
            (asked, daemon.accept().await.unwrap())
        });
        let mut stream = client.trace(&TraceQuery::default()).await.unwrap();
        assert_eq!(stream.next().await.unwrap(), Some(Traced::Began(TraceBegan { v: 1, began: 1.5 })));
        tokio::time::pause();
        let before = tokio::time::Instant::now();
        let told = timeout(10 * SILENCE, stream.next()).await.unwrap().unwrap_err().to_string();
        assert!(told.contains("it says nothing any more"), "{told}");
        assert!(before.elapsed() >= SILENCE);
        // Nor is one waited for that does not even begin to answer.
        assert!(timeout(10 * SILENCE, client.changes(None)).await.unwrap().is_err());
        drop(held);
    }

    #[test]
    fn an_id_leads_nowhere_else() {
        let client = Client::new("127.0.0.1:1", None).unwrap();
        let request = client.on(Method::GET, "../../x?y#z", "/files").build().unwrap();
        assert_eq!(request.url().path(), "/api/v1/torrents/xyz/files");
    }
}
