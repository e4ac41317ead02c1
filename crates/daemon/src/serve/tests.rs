//! Limits of connections and requests, over pipes and with a clock of their own.
#![allow(clippy::unwrap_used, reason = "tests")]
use super::*;
use crate::routes::list::MAX_SEARCH;
use crate::routes::orders::{SMALL_TORRENT, UPLOAD_TIMEOUT};
use crate::routes::{MAX_ADDS_EACH, MAX_LOOKS_EACH, MAX_ORDERS_EACH, UnderWay};
use engine::Settings;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::time::Instant;

struct Served {
    front: Arc<Front>,
    close: watch::Sender<bool>,
    state: Arc<State>,
    _home: TempDir,
}

impl Served {
    fn new() -> Served {
        let home = tempfile::tempdir().unwrap();
        let mut settings = Settings::new(home.path());
        settings.listen = vec!["127.0.0.1:0".parse().unwrap()];
        settings.lsd = false;
        let (session, _) = pollster::block_on(Session::open(settings)).unwrap();
        let (close, closing) = watch::channel(false);
        let state = Arc::new(State {
            board: Board::new(&session, crate::hooks::Bell::default()),
            session: Arc::new(session),
            access: Arc::new(Access::new(Tokens::default(), &[])),
            audit: Audit::start(home.path()).unwrap(),
            roots: Arc::new(RwLock::new(vec![home.path().into()])),
            usual: Choices::new(""),
            orders: Semaphore::new(MAX_ORDERS),
            under_way: Shares::default(),
            looks: Shares::default(),
            uploads: Semaphore::new(MAX_UPLOADS),
            listeners: Room::new(MAX_LISTENERS, MAX_LISTENERS_EACH),
            streams: Room::new(MAX_STREAMS, MAX_STREAMS_EACH),
            traces: Room::new(MAX_TRACES, MAX_TRACES_EACH),
            closing: closing.clone(),
        });
        let front = Arc::new(Front::of_daemon(state.clone(), closing));
        Served { front, state, close, _home: home }
    }

    async fn connect(&self) -> DuplexStream {
        self.connect_from(From::Unix).await
    }

    async fn connect_from(&self, from: From) -> DuplexStream {
        let (ours, theirs) = duplex(1024 * 1024);
        let permit = self.front.clients.clone().acquire_owned().await.unwrap();
        tokio::spawn(self.front.clone().connection(theirs, from, permit));
        ours
    }

    /// What is answered until the connection ends.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        String::from_utf8(answer).unwrap()
    }
}

fn get(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}connection: close\r\n\r\n")
}

fn post(path: &str) -> String {
    format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 100\r\n\
         content-type: application/x-bittorrent\r\n\r\n"
    )
}

fn status(answer: &str) -> &str {
    answer.split(' ').nth(1).unwrap_or_default()
}

#[tokio::test(start_paused = true)]
async fn who_is_slow_to_ask_is_hung_up_on() {
    let served = Served::new();
    let mut stream = served.connect().await;
    stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: local").await.unwrap();
    let asked = Instant::now();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert!(asked.elapsed() >= HEAD_TIMEOUT && asked.elapsed() < 2 * HEAD_TIMEOUT, "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let served = Served::new();
    let asked = Instant::now();
    let answer = served.ask(&post("/api/v1/torrents")).await;
    assert_eq!(status(&answer), "408", "{answer}");
    assert!(asked.elapsed() >= UPLOAD_TIMEOUT && asked.elapsed() < 2 * UPLOAD_TIMEOUT);
}

#[tokio::test]
async fn heads_are_bounded() {
    let served = Served::new();
    // Two of them are ours.
    for (more, expected) in [(MAX_HEADERS - 2, "200"), (MAX_HEADERS - 1, "431")] {
        let headers: String = (0..more).map(|n| format!("x-{n}: y\r\n")).collect();
        assert_eq!(status(&served.ask(&get("/healthz", &headers)).await), expected, "{more}");
    }
    // One read may go beyond.
    for (long, expected) in [(MAX_HEAD / 2, "200"), (4 * MAX_HEAD, "431")] {
        let headers = format!("x: {}\r\n", "y".repeat(long));
        assert_eq!(status(&served.ask(&get("/healthz", &headers)).await), expected, "{long}");
    }
    for (long, expected) in [(MAX_SEARCH, "200"), (MAX_SEARCH + 1, "400")] {
        let path = format!("/api/v1/torrents?search={}", "x".repeat(long));
        assert_eq!(status(&served.ask(&get(&path, "")).await), expected, "{long}");
    }
}

#[tokio::test]
async fn what_has_no_room_is_told_so() {
    let served = Served::new();
    let state = served.state.clone();
    let all = |room: &Arc<Semaphore>, most: usize| {
        let held = room.clone().try_acquire_many_owned(u32::try_from(most).unwrap()).unwrap();
        assert_eq!(room.available_permits(), 0);
        held
    };
    let orders = state.orders.try_acquire_many(u32::try_from(MAX_ORDERS).unwrap()).unwrap();
    let pause = format!("/api/v1/torrents/{}/pause", "0".repeat(40));
    let pause = post(&pause).replace("content-length: 100", "content-length: 0");
    assert_eq!(status(&served.ask(&pause).await), "503");
    drop(orders);
    assert_eq!(status(&served.ask(&pause).await), "404");
    let listeners = all(&state.listeners.owner, MAX_LISTENERS);
    assert_eq!(status(&served.ask(&get("/api/v1/events", "")).await), "503");
    drop(listeners);
    let streams = all(&state.streams.owner, MAX_STREAMS);
    let file = format!("/api/v1/torrents/{}/files/0", "0".repeat(40));
    assert_eq!(status(&served.ask(&get(&file, "")).await), "503");
    drop(streams);
    assert_eq!(status(&served.ask(&get(&file, "")).await), "404");
    assert_eq!(state.uploads.available_permits(), MAX_UPLOADS);
    let traces = all(&state.traces.owner, MAX_TRACES);
    assert_eq!(status(&served.ask(&get("/api/v1/trace", "")).await), "503");
    drop(traces);
    // Streams of events end with the daemon.
    let mut streams = Vec::new();
    for path in ["/api/v1/events", "/api/v1/trace"] {
        let mut stream = served.connect().await;
        stream.write_all(get(path, "").as_bytes()).await.unwrap();
        let mut answer = vec![0; 15];
        stream.read_exact(&mut answer).await.unwrap();
        assert_eq!(answer, b"HTTP/1.1 200 OK");
        streams.push((stream, answer));
    }
    served.close.send_replace(true);
    for (mut stream, mut answer) in streams {
        stream.read_to_end(&mut answer).await.unwrap();
    }
}

#[tokio::test]
async fn nobody_has_all_streams() {
    let served = Served::new();
    let ask = async |from: From, path: &str| {
        let mut stream = served.connect_from(from).await;
        stream.write_all(get(path, "").as_bytes()).await.unwrap();
        let mut answer = vec![0; "HTTP/1.1 200".len()];
        stream.read_exact(&mut answer).await.unwrap();
        (String::from_utf8(answer).unwrap().split_off("HTTP/1.1 ".len()), stream)
    };
    let [one, other] = ["127.0.0.1:1", "[::1]:1"].map(|addr| From::Tcp(addr.parse().unwrap()));
    for (path, each) in [("/api/v1/events", MAX_LISTENERS_EACH), ("/api/v1/trace", MAX_TRACES_EACH)] {
        let mut held = Vec::new();
        for _ in 0..each {
            held.push(ask(one, path).await);
        }
        assert!(held.iter().all(|(status, _)| status == "200"), "{path}");
        assert_eq!(ask(one, path).await.0, "503", "{path}");
        for from in [other, From::Unix] {
            assert_eq!(ask(from, path).await.0, "200", "{path}");
        }
    }
    // Of a file that there is none of, nothing is held.
    let who = crate::access::Who { name: String::new(), scope: tokens::Scope::Admin, token: None };
    let _held: Vec<_> =
        (0..MAX_STREAMS_EACH).map(|_| served.state.streams.take(one, &who).unwrap()).collect();
    let file = format!("/api/v1/torrents/{}/files/0", "0".repeat(40));
    for (from, expected) in [(one, "503"), (other, "404"), (From::Unix, "404")] {
        assert_eq!(ask(from, &file).await.0, expected);
    }
}

#[tokio::test]
async fn clients_beyond_the_limit_wait_their_turn() {
    let served = Served::new();
    let most = u32::try_from(MAX_CLIENTS).unwrap();
    let held = served.front.clients.clone().try_acquire_many_owned(most).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let accepting = tokio::spawn(accept_tcp(listener, served.front.clone()));
    let mut stream = tokio::net::TcpStream::connect(addr).await.unwrap();
    stream.write_all(get("/healthz", "").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    let early = timeout(Duration::from_millis(50), stream.read_to_end(&mut answer)).await;
    assert!(early.is_err() && answer.is_empty());
    drop(held);
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(status(&String::from_utf8(answer).unwrap()), "200");
    accepting.abort();
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_is_hung_up_on() {
    let served = Served::new();
    let mut stream = served.connect().await;
    let (request, times) = ("GET /api/v1/openapi.json HTTP/1.1\r\nhost: localhost\r\n\r\n", 100);
    stream.write_all(request.repeat(times).as_bytes()).await.unwrap();
    sleep(WRITE_TIMEOUT + HEAD_TIMEOUT).await;
    let mut answers = Vec::new();
    stream.read_to_end(&mut answers).await.unwrap();
    let one = crate::routes::document().len();
    assert!(answers.len() > one && answers.len() < times * one, "{} bytes", answers.len());
}

#[test]
fn no_address_has_all_connections() {
    let front = Front::new(|_| Router::new(), watch::channel(false).1);
    for (addr, same, other, most) in [
        ("192.0.2.1", "192.0.2.1", "192.0.2.2", MAX_CLIENTS_EACH),
        ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1", MAX_CLIENTS_EACH),
        ("127.0.0.1", "127.0.0.1", "::1", MAX_CLIENTS_HERE),
    ] {
        let [addr, same, other] = [addr, same, other].map(|addr| addr.parse::<IpAddr>().unwrap());
        let mut held: Vec<_> = (0..most).map(|_| front.share(addr).unwrap()).collect();
        assert!(front.share(same).is_none() && front.share(other).is_some());
        held.pop();
        assert!(front.share(same).is_some());
    }
}

#[tokio::test]
async fn the_owner_s_socket_has_room_of_its_own() {
    let served = Served::new();
    let all = |room: &Arc<Semaphore>, most: usize| {
        room.clone().try_acquire_many_owned(u32::try_from(most).unwrap()).unwrap()
    };
    let _clients = all(&served.front.clients, MAX_CLIENTS);
    let path = served._home.path().join("socket");
    let accepting = tokio::spawn(accept_unix(UnixListener::bind(&path).unwrap(), served.front.clone()));
    let ask = async || {
        let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
        stream.write_all(get("/healthz", "").as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert_eq!(status(&ask().await), "200");
    // One of them is taken by whoever comes next.
    let owners = all(&served.front.owners, MAX_OWNERS - 1);
    assert_eq!(status(&ask().await), "200");
    drop(owners);
    accepting.abort();
}

#[tokio::test]
async fn what_hangs_takes_no_room_of_others() {
    let served = Served::new();
    let (state, home) = (&served.state, served._home.path().to_path_buf());
    let id = "0".repeat(40);
    let order = |id: &str| post(&format!("/api/v1/torrents/{id}/pause")).replace("length: 100", "length: 0");
    let hung = UnderWay::Torrent(crate::routes::info_hash(&id).unwrap());
    let held: Vec<_> =
        (0..MAX_ORDERS_EACH).map(|_| state.under_way.take(hung.clone(), MAX_ORDERS_EACH).unwrap()).collect();
    assert_eq!(status(&served.ask(&order(&id)).await), "503");
    assert_eq!(status(&served.ask(&order(&"1".repeat(40))).await), "404");
    drop(held);
    assert_eq!(status(&served.ask(&order(&id)).await), "404");

    let add = |query: &str| {
        let body = format!("{{\"source\":\"magnet:?xt=urn:btih:{}\"}}", "2".repeat(40));
        let head = post(&format!("/api/v1/torrents{query}")).replace("x-bittorrent", "json");
        head.replace("length: 100", &format!("length: {}", body.len())) + &body
    };
    let adding = UnderWay::Add(home.clone());
    let held: Vec<_> =
        (0..MAX_ADDS_EACH).map(|_| state.under_way.take(adding.clone(), MAX_ADDS_EACH).unwrap()).collect();
    assert_eq!(status(&served.ask(&add("?paused=true")).await), "503");
    drop(held);
    let held: Vec<_> =
        (0..MAX_LOOKS_EACH).map(|_| state.looks.take(home.clone(), MAX_LOOKS_EACH).unwrap()).collect();
    let into = format!("?paused=true&dir={}", home.display());
    assert_eq!(status(&served.ask(&add(&into)).await), "503");
    drop(held);
    assert_eq!(status(&served.ask(&add(&into)).await), "201");
}

#[tokio::test(start_paused = true)]
async fn small_torrents_wait_for_no_long_one() {
    let served = Served::new();
    let long = |length: usize| {
        post("/api/v1/torrents").replace("length: 100", &format!("length: {length}")) + &"x".repeat(length)
    };
    let held = served.state.uploads.acquire_many(u32::try_from(MAX_UPLOADS).unwrap()).await.unwrap();
    assert_eq!(status(&served.ask(&long(SMALL_TORRENT)).await), "422");
    assert_eq!(status(&served.ask(&long(SMALL_TORRENT + 1)).await), "503");
    drop(held);
    assert_eq!(status(&served.ask(&long(SMALL_TORRENT + 1)).await), "422");
}

#[tokio::test]
async fn what_is_outside_of_the_roots_is_neither_taken_nor_removed() {
    let served = Served::new();
    let outside = tempfile::tempdir().unwrap();
    let link = format!("magnet:?xt=urn:btih:{}", "3".repeat(40));
    let choices = Choices { paused: true, ..Choices::new(outside.path()) };
    let id = served.state.session.add_magnet(&link, choices).await.unwrap().wire().to_string();
    served.state.board.look(&served.state.session);
    let ask = async |method: &str, path: &str, body: &str| {
        let head = post(&format!("/api/v1/torrents/{id}/{path}")).replace("POST", method);
        let head = head.replace("x-bittorrent", "json");
        let answer =
            served.ask(&(head.replace("length: 100", &format!("length: {}", body.len())) + body)).await;
        status(&answer).to_owned()
    };
    assert_eq!(ask("PATCH", "settings", r#"{"goal_action":"remove_data"}"#).await, "403");
    assert_eq!(ask("PATCH", "settings", r#"{"goal_action":"remove"}"#).await, "200");
    let dir = served._home.path().join("in");
    assert_eq!(ask("POST", "move", &format!(r#"{{"dir":"{}"}}"#, dir.display())).await, "403");
}

#[tokio::test]
async fn who_follows_a_choice_of_torrents_hears_of_those_that_leave_it() {
    let served = Served::new();
    let state = &served.state;
    let link = format!("magnet:?xt=urn:btih:{}", "4".repeat(40));
    let choices = Choices { paused: true, ..Choices::new(served._home.path()) };
    let revision = state.board.revision();
    let id = state.session.add_magnet(&link, choices).await.unwrap().wire().to_string();
    state.board.look(&state.session);
    let ask =
        async |query: &str| served.ask(&get(&format!("/api/v1/torrents?since={revision}&{query}"), "")).await;
    let removed = format!("\"removed\":[\"{id}\"]");
    assert!(ask("state=seeding").await.contains(&removed));
    assert!(ask("state=paused").await.contains("\"removed\":[]"));
    assert_eq!(status(&ask("limit=1").await), "400");
}
