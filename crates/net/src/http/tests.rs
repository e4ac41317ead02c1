use super::*;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;

/// What a misbehaving server does with a request.
pub(crate) enum Reply {
    /// Sends this and closes.
    Bytes(Vec<u8>),
    /// Sends the first part, then the second until nobody listens.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends this, then a byte every ten seconds until nobody listens.
    Drip(Vec<u8>),
    /// Sends this, then nothing more, and keeps the connection open.
    Stall(Vec<u8>),
}

/// A server that answers each request as told, by its path and query.
pub(crate) struct RawServer {
    pub(crate) addr: SocketAddr,
    /// The requests as they came.
    pub(crate) requests: Arc<Mutex<Vec<String>>>,
    /// How many bytes were sent.
    pub(crate) sent: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl RawServer {
    pub(crate) async fn start(reply: impl Fn(&str) -> Reply + Send + Sync + 'static) -> RawServer {
        RawServer::start_at("127.0.0.1", reply).await
    }

    pub(crate) async fn start_at(
        ip: &str,
        reply: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> RawServer {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let (requests, sent) = (Arc::default(), Arc::default());
        let (log, count, reply) = (Arc::clone(&requests), Arc::clone(&sent), Arc::new(reply));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(answer(stream, reply.clone(), Arc::clone(&log), Arc::clone(&count)));
            }
        });
        RawServer { addr, requests, sent, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

impl Drop for RawServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    reply: Arc<impl Fn(&str) -> Reply>,
    log: Arc<Mutex<Vec<String>>>,
    sent: Arc<AtomicUsize>,
) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    log.lock().unwrap().push(head);
    let mut send = async |bytes: &[u8]| {
        sent.fetch_add(bytes.len(), Ordering::Relaxed);
        stream.write_all(bytes).await
    };
    match reply(&target) {
        Reply::Bytes(bytes) => {
            let _ = send(&bytes).await;
        }
        Reply::Endless(first, again) => {
            let _ = send(&first).await;
            while send(&again).await.is_ok() {}
        }
        Reply::Drip(first) => {
            let _ = send(&first).await;
            drip(&mut stream).await;
        }
        Reply::Stall(first) => {
            let _ = send(&first).await;
            std::future::pending::<()>().await;
        }
    }
    let _ = stream.shutdown().await;
}

/// Sends a byte every ten seconds until nobody listens.
pub(crate) async fn drip(stream: &mut (impl AsyncWrite + Unpin)) {
    while stream.write_all(b"x").await.is_ok() {
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
}

/// A line for the scoreboard of hostile tests, past the capture of output.
pub(crate) fn score(name: &str, injected: &str, count: usize, happened: &str, bar: &str) {
    let line = format!("SCORE\t{name}\t{injected}\t{count}\t{happened}\t{bar}\n");
    std::io::stdout().lock().write_all(line.as_bytes()).unwrap();
}

pub(crate) fn ok(body: impl AsRef<[u8]>) -> Reply {
    with_head("HTTP/1.1 200 OK\r\n", body)
}

pub(crate) fn with_head(head: &str, body: impl AsRef<[u8]>) -> Reply {
    let body = body.as_ref();
    let head = format!("{head}Content-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    Reply::Bytes([head.as_bytes(), body].concat())
}

pub(crate) fn redirect(to: &str) -> Reply {
    with_head(&format!("HTTP/1.1 302 Found\r\nLocation: {to}\r\n"), "")
}

pub(crate) fn gzip(plain: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(plain).unwrap();
    encoder.finish().unwrap()
}

pub(crate) const QUICK: Bounds =
    Bounds { body: 1024 * 1024, idle: Duration::from_secs(10), total: Duration::from_secs(10) };

fn client() -> HttpClient {
    HttpClient::new("rawtorrent-test/1", LocalAddrs::default()).unwrap()
}

async fn fetch(server: &RawServer, path: &str) -> Result<Vec<u8>, HttpError> {
    let outcome = client().fetch(&server.url(path), QUICK).await;
    if let Err(error) = &outcome {
        let line = error.to_string();
        assert!(!line.contains("hunter2") && !line.contains('\n'), "{line}");
    }
    outcome
}

async fn error_line(server: &RawServer, path: &str) -> String {
    fetch(server, path).await.unwrap_err().to_string()
}

#[tokio::test]
async fn gets_a_body() {
    let server = RawServer::start(|_| ok("hello")).await;
    assert_eq!(fetch(&server, "/a?q=%12%00%FF").await.unwrap(), b"hello");
    let request = server.requests.lock().unwrap()[0].to_lowercase();
    assert!(request.starts_with("get /a?q=%12%00%ff http/1.1\r\n"), "{request}");
    assert!(request.contains("user-agent: rawtorrent-test/1\r\n"));
    assert!(request.contains("accept-encoding: gzip\r\n"));
}

#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up() {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let addr = socket.local_addr().unwrap();
    // One connection that nobody accepts fills its queue: whoever calls then hears nothing.
    let _listener = socket.listen(0).unwrap();
    let _fills = tokio::net::TcpStream::connect(addr).await.unwrap();
    tokio::time::pause();
    for idle in [CONNECT_TIMEOUT / 10, CONNECT_TIMEOUT * 10] {
        let bounds = Bounds { idle, total: CONNECT_TIMEOUT * 20, ..QUICK };
        let begun = tokio::time::Instant::now();
        let error = client().fetch(&format!("http://{addr}/"), bounds).await.unwrap_err();
        assert!(matches!(error, HttpError::Timeout), "{error}");
        let took = begun.elapsed();
        assert!(took >= CONNECT_TIMEOUT && took < CONNECT_TIMEOUT + CONNECT_TIMEOUT / 10, "{took:?}");
    }
}

#[tokio::test]
async fn follows_redirects_but_not_for_ever() {
    let server = RawServer::start(|target| match target.trim_start_matches('/') {
        "end" => ok("arrived"),
        "circle?hunter2" => redirect("/back"),
        "back" => redirect("circle?hunter2"),
        "ftp" => redirect("ftp://x/hunter2"),
        "nowhere" => redirect("http://127.0.0.1:1/hunter2"),
        "missing" => with_head("HTTP/1.1 404 Not Found\r\n", "hunter2"),
        n => match n.parse::<u32>() {
            Ok(0) | Err(_) => redirect("/end"),
            Ok(n) => redirect(&format!("/{}", n - 1)),
        },
    })
    .await;
    let redirects = |count: usize| format!("/{}", count - 1);
    assert_eq!(fetch(&server, &redirects(MAX_REDIRECTS)).await.unwrap(), b"arrived");
    assert_eq!(error_line(&server, &redirects(MAX_REDIRECTS + 1)).await, "it redirects more than 5 times");
    assert_eq!(error_line(&server, "/circle?hunter2").await, "it redirects in a circle");
    assert_eq!(error_line(&server, "/ftp").await, "redirected to ftp://x:21: not an http or https URL");
    assert_eq!(
        error_line(&server, "/nowhere").await,
        "redirected to http://127.0.0.1:1: cannot connect: connection refused"
    );
    assert_eq!(error_line(&server, "/missing").await, "the answer is HTTP status 404 Not Found");
    assert_eq!(
        client().fetch("gopher://x/", QUICK).await.unwrap_err().to_string(),
        "not an http or https URL"
    );
}

#[tokio::test]
async fn some_are_led_to_the_public_internet_only() {
    let server = RawServer::start(|_| ok("inside")).await;
    let by_name = server.url("/").replace("127.0.0.1", "localhost");
    for url in [server.url("/"), by_name, "http://10.0.0.1/".into(), "http://[::1]:1/".into()] {
        let told = client().fetch_public(&url, QUICK).await.unwrap_err();
        assert!(matches!(told, HttpError::Inside), "{url}: {told}");
    }
    assert_eq!(fetch(&server, "/").await.unwrap(), b"inside");
}

#[tokio::test]
async fn stops_reading_at_the_bound() {
    let server = RawServer::start(|target| match target {
        "/length" => with_head("HTTP/1.1 200 OK\r\n", vec![b'x'; QUICK.body]),
        "/gibibyte" => Reply::Endless(
            b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\n".to_vec(),
            vec![b'x'; 65536],
        ),
        "/endless" => {
            Reply::Endless(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n".to_vec(), vec![b'x'; 65536])
        }
        "/endless-head" => Reply::Endless(b"HTTP/1.1 200 OK\r\n".to_vec(), b"X: y\r\n".repeat(10_000)),
        "/bomb" => {
            with_head("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n", gzip(&vec![0; 64 * QUICK.body]))
        }
        _ => Reply::Stall(Vec::new()),
    })
    .await;
    assert_eq!(fetch(&server, "/length").await.unwrap().len(), QUICK.body, "exactly at the bound");
    for path in ["/gibibyte", "/endless", "/bomb"] {
        server.sent.store(0, Ordering::Relaxed);
        assert_eq!(error_line(&server, path).await, "the answer is larger than 1 MiB", "{path}");
        assert!(server.sent.load(Ordering::Relaxed) < 32 * QUICK.body, "{path}: what buffers hold, not more");
    }
    let line = error_line(&server, "/endless-head").await;
    assert!(line.starts_with("the answer broke off: "), "{line}");
}

#[tokio::test]
async fn inflates() {
    let server = RawServer::start(|target| {
        let body = gzip(&b"hello ".repeat(1000));
        let end = if target == "/torn" { body.len() / 2 } else { body.len() };
        with_head("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n", &body[..end])
    })
    .await;
    assert_eq!(fetch(&server, "/whole").await.unwrap(), b"hello ".repeat(1000));
    let line = error_line(&server, "/torn").await;
    assert!(line.starts_with("the answer broke off: "), "{line}");
}

#[tokio::test]
async fn gives_up_on_silence() {
    let server = RawServer::start(|target| match target {
        "/half" => Reply::Stall(b"HTTP/1.1 200 OK\r\n\r\nx".to_vec()),
        _ => Reply::Stall(Vec::new()),
    })
    .await;
    let bounds = Bounds { total: Duration::from_millis(100), ..QUICK };
    for path in ["/", "/half"] {
        let error = client().fetch(&server.url(path), bounds).await.unwrap_err();
        assert_eq!(error.to_string(), "no complete answer in time", "{path}");
    }
}

#[tokio::test]
async fn says_what_broke() {
    let server = RawServer::start(|target| match target {
        "/nothing" => Reply::Bytes(Vec::new()),
        "/garbage" => Reply::Bytes(b"\x16\x03 not HTTP at all\r\n\r\n".to_vec()),
        _ => Reply::Bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc".to_vec()),
    })
    .await;
    for path in ["/nothing", "/garbage", "/short"] {
        let line = error_line(&server, path).await;
        assert!(line.starts_with("the answer broke off: "), "{path}: {line}");
    }
}

#[tokio::test]
async fn names_are_guarded_by_where_they_lead() {
    let server = RawServer::start(|_| ok("hello")).await;
    // `TrackerUrl` would refuse this name by itself; the look-up must not need that.
    let url = format!("http://localhost:{}/stats", server.addr.port());
    let client = client();
    assert!(client.v4.private.get(&url).send().await.is_ok());
    let error = explain(client.v4.public.get(&url).send().await.unwrap_err());
    assert_eq!(error.to_string(), "the host is at a private address");
}

#[test]
fn there_are_roots_without_a_system() {
    assert!(!roots().is_empty());
}

pub(crate) mod hostile;
