use super::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

async fn ask(addr: SocketAddr, target: &str) -> String {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let request = format!("GET {target} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).into_owned()
}

fn start() -> (TrackerServer, SocketAddr) {
    let server = TrackerServer::start(&["127.0.0.1:0".parse().unwrap()], 1).unwrap();
    let addr = server.addrs()[0];
    (server, addr)
}

#[tokio::test]
async fn answers_and_closes() {
    let (server, addr) = start();
    assert_eq!(server.announce_urls(), [format!("http://{addr}/announce")]);
    let answer = ask(addr, "/announce").await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("d14:failure reason28:info_hash must have 20 bytese"), "{answer}");
    assert!(ask(addr, "/scrape?info_hash=aaaaaaaaaaaaaaaaaaaa").await.ends_with("d5:filesdee"));
    assert!(ask(addr, "/other").await.starts_with("HTTP/1.1 404"));
}

#[tokio::test]
async fn connections_are_bounded() {
    let (_server, addr) = start();
    let mut idle = Vec::new();
    for _ in 0..MAX_CONNECTIONS {
        idle.push(TcpStream::connect(addr).await.unwrap());
    }
    let mut waiting = tokio::spawn(async move { ask(addr, "/announce").await });
    let early = tokio::time::timeout(Duration::from_millis(200), &mut waiting).await;
    assert!(early.is_err(), "nobody is served beyond the limit");
    idle.pop();
    assert!(waiting.await.unwrap().contains("failure reason"));
}

#[tokio::test(start_paused = true)]
async fn idle_connections_end() {
    let (_server, addr) = start();
    let start = Instant::now();
    let mut stream = TcpStream::connect(addr).await.unwrap();
    let _ = stream.read(&mut [0; 8]).await;
    assert!(start.elapsed() >= CONNECTION_TIME);
}

#[tokio::test]
async fn a_taken_port_is_an_error() {
    let (_server, addr) = start();
    assert_eq!(TrackerServer::start(&[addr], 1).unwrap_err().kind(), io::ErrorKind::AddrInUse);
}

/// What the server says to a packet.
async fn say(socket: &UdpSocket, packet: &[u8]) -> Vec<u8> {
    socket.send(packet).await.unwrap();
    let mut answer = vec![0; 2 * MAX_PACKET];
    let len = socket.recv(&mut answer).await.unwrap();
    answer.truncate(len);
    answer
}

#[tokio::test]
async fn of_a_packet_that_is_too_long_the_beginning_is_answered() {
    let (mut server, _) = start();
    let addr = server.serve_udp("127.0.0.1:0".parse().unwrap()).unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    socket.connect(addr).await.unwrap();
    let connect = [&0x0417_2710_1980_u64.to_be_bytes()[..], &[0; 4], &[7; 4]].concat();
    let connection = &say(&socket, &connect).await[8..];
    let scrape = [connection, &[0, 0, 0, 2], &[7; 4]].concat();
    let entries = [MAX_PACKET - scrape.len(), 3 * MAX_PACKET].map(|len| vec![1; len]);
    for hashes in entries {
        let answer = say(&socket, &[&scrape[..], &hashes].concat()).await;
        assert_eq!(answer.len(), 8 + 12 * tracker::limits::MAX_SCRAPE);
    }
}
