//! A web server that answers with any head and body: what is fetched is bounded, errors fit on a line, and neither depends
//! on how the bytes arrive. It listens on loopback; no redirect leads elsewhere.
#![no_main]

use common::{Parts, plant};
use core::time::Duration;
use libfuzzer_sys::fuzz_target;
use net::bind::LocalAddrs;
use net::http::{Bounds, HttpClient};
use std::sync::LazyLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::{Builder, Runtime};

const BOUNDS: Bounds = Bounds { body: 600, idle: Duration::from_secs(5), total: Duration::from_secs(8) };
/// Of one header each, with a value from the input behind it.
const HEADERS: [&str; 8] = [
    "Content-Length",
    "Transfer-Encoding",
    "Content-Encoding",
    "Connection",
    "Trailer",
    "Content-Type",
    "Upgrade",
    "X",
];

struct Bench {
    runtime: Runtime,
    client: HttpClient,
    listener: TcpListener,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let _guard = runtime.enter();
    let client = HttpClient::new("fuzz", LocalAddrs::default()).expect("a client");
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a port of loopback");
    drop(_guard);
    Bench { runtime, client, listener }
});

/// Reads a request and answers it.
async fn answer(mut stream: TcpStream, bytes: &[u8], cut: usize) -> std::io::Result<()> {
    let (mut head, mut buf) = (Vec::new(), [0; 1024]);
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut buf).await? {
            0 => return Ok(()),
            read => head.extend_from_slice(&buf[..read]),
        }
    }
    stream.set_nodelay(true)?;
    for chunk in bytes.chunks(cut) {
        stream.write_all(chunk).await?;
        tokio::task::yield_now().await;
    }
    stream.shutdown().await
}

/// What the client makes of it; whoever follows a redirect gets a short file.
async fn fetch(bench: &Bench, bytes: &[u8], cut: usize) -> Result<Vec<u8>, String> {
    let url = format!("http://{}/file", bench.listener.local_addr().expect("its address"));
    let serve = async {
        let mut bytes = bytes;
        loop {
            let (stream, _) = bench.listener.accept().await.expect("a connection");
            // A client that hangs up has read enough.
            answer(stream, bytes, cut).await.ok();
            bytes = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        }
    };
    tokio::select! {
        fetched = bench.client.fetch(&url, BOUNDS) => fetched.map_err(|error| error.to_string()),
        () = serve => unreachable!("it serves on"),
    }
}

/// A response with headers of meaning; a redirect leads to another path of the same server.
fn response(parts: &mut Parts<'_>) -> Vec<u8> {
    let status = [200, 206, 301, 302, 307, 404, 503, 100][usize::from(parts.byte() % 8)];
    let mut out = format!("HTTP/1.1 {status} Text\r\n").into_bytes();
    for _ in 0..parts.byte() % 5 {
        let name = HEADERS[usize::from(parts.byte()) % HEADERS.len()];
        out.extend_from_slice(&[name.as_bytes(), b": ", parts.bytes(), b"\r\n"].concat());
    }
    if parts.bit() {
        let path = parts.bytes().iter().filter(|byte| byte.is_ascii_alphanumeric());
        out.extend_from_slice(b"Location: /");
        out.extend(path);
        out.extend_from_slice(b"\r\n");
    }
    [&out, &b"\r\n"[..], parts.0].concat()
}

fuzz_target!(|data: &[u8]| {
    // Whoever writes a whole head could send the client out into the world.
    if data.to_ascii_lowercase().windows(4).any(|word| word == b"loca") {
        return;
    }
    let mut parts = Parts(data);
    let (cut, is_raw) = (usize::from(parts.byte()) + 1, parts.bit());
    let bytes = if is_raw { parts.0.to_vec() } else { response(&mut parts) };
    let bench = &*BENCH;
    let whole = bench.runtime.block_on(fetch(bench, &bytes, bytes.len().max(1)));
    match &whole {
        Ok(body) => assert!(body.len() <= BOUNDS.body),
        Err(error) => assert!(!error.contains(char::is_control) && error.len() < 400, "{error}"),
    }
    let in_parts = bench.runtime.block_on(fetch(bench, &bytes, cut));
    assert_eq!(whole.is_ok(), in_parts.is_ok(), "{whole:?} {in_parts:?}");
    if let (Ok(whole), Ok(in_parts)) = (&whole, &in_parts) {
        assert_eq!(whole, in_parts);
    }
    plant(|| whole.is_ok_and(|body| body.len() >= 4));
});
