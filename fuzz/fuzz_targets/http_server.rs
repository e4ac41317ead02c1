//! A client that sends anything to our own tracker: it is answered in HTTP or not at all, the tracker goes on, and what it
//! says is bencode.
#![no_main]

use common::{Parts, plant};
use libfuzzer_sys::fuzz_target;
use net::tracker_server::TrackerServer;
use std::sync::LazyLock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

struct Bench {
    runtime: Runtime,
    server: TrackerServer,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
    let start = async { TrackerServer::start(&["127.0.0.1:0".parse().expect("an address")], 1) };
    let server = runtime.block_on(start).expect("a port of loopback");
    Bench { runtime, server }
});

async fn ask(server: &TrackerServer, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.addrs()[0]).await.expect("it listens on");
    let mut answer = Vec::new();
    // It may refuse to read all, and reset the connection.
    if stream.write_all(request).await.is_ok() && stream.shutdown().await.is_ok() {
        stream.read_to_end(&mut answer).await.ok();
    }
    answer
}

/// An announce or a scrape with a query that is the input's.
fn request(parts: &mut Parts<'_>) -> Vec<u8> {
    let hash = "%01".repeat(20);
    let path = ["announce", "scrape", "", "announce/"][usize::from(parts.byte() % 4)];
    let query = parts.text();
    let known = format!("info_hash={hash}&peer_id=01234567890123456789&port={}&compact=1", parts.byte());
    let query = if parts.bit() { [&known[..], "&", &query].concat() } else { query };
    let mut out = format!("GET /{path}?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n").into_bytes();
    for _ in 0..parts.byte() % 3 {
        out.extend_from_slice(&[parts.bytes(), b": ", parts.bytes(), b"\r\n"].concat());
    }
    out.extend_from_slice(b"\r\n");
    out
}

fuzz_target!(|data: &[u8]| {
    let mut parts = Parts(data);
    let request = if parts.bit() { data[1..].to_vec() } else { request(&mut parts) };
    let bench = &*BENCH;
    let answer = bench.runtime.block_on(ask(&bench.server, &request));
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
    let Some(end) = answer.windows(4).position(|end| end == b"\r\n\r\n") else { return };
    let (head, body) = answer.split_at(end + 4);
    if head.starts_with(b"HTTP/1.1 200") && request.starts_with(b"GET /announce?") && !body.is_empty() {
        let body = bencode::decode_prefix(body, bencode::Limits::DEFAULT).expect("it speaks bencode").0;
        plant(|| body.root().get("interval").is_some());
    }
});
