//! A web seed against a server that does as each test says, and a disk in memory.

use super::*;
use crate::http;
use crate::lookup::world;
use bytes::Bytes;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use types::Zone;
use types::{BlockRange, PieceIndex};

const PIECE: u32 = 64 * 1024;
/// What takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(40);
const TOTAL: u64 = 10 * PIECE as u64 - 100;

/// A request: its path, and the range that it asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    path: String,
    first: u64,
    last: u64,
    head: String,
    /// Which connection it came over.
    connection: usize,
}

/// What a server answers, and what it does then.
struct Reply {
    bytes: Vec<u8>,
    then: Then,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Then {
    GoOn,
    Close,
    Stall,
    /// A byte every ten seconds.
    Drip,
}

struct Server {
    addr: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    async fn start(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        Server::start_at("127.0.0.1", reply).await
    }

    async fn start_at(ip: &str, reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> Server {
        let listener = TcpListener::bind((ip, 0)).await.unwrap();
        let addr = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (log, reply) = (asked.clone(), Arc::new(reply));
        let task = tokio::spawn(async move {
            let mut connection = 0;
            while let Ok((stream, _)) = listener.accept().await {
                connection += 1;
                tokio::spawn(serve(stream, connection, reply.clone(), log.clone()));
            }
        });
        Server { addr, asked, task }
    }

    fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    connection: usize,
    reply: Arc<impl Fn(&Asked) -> Reply>,
    log: Arc<Mutex<Vec<Asked>>>,
) {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let path = head.split(' ').nth(1).unwrap().to_owned();
        let range = head.split("range: bytes=").nth(1).unwrap().lines().next().unwrap();
        let (first, last) = range.split_once('-').unwrap();
        let (first, last) = (first.parse().unwrap(), last.parse().unwrap());
        let asked = Asked { path, first, last, head, connection };
        let Reply { bytes, then } = reply(&asked);
        log.lock().unwrap().push(asked);
        if stream.write_all(&bytes).await.is_err() {
            return;
        }
        match then {
            Then::GoOn => {}
            Then::Close => return,
            Then::Stall => std::future::pending().await,
            Then::Drip => return http::tests::drip(&mut stream).await,
        }
    }
}

fn reply(head: &str, body: &[u8]) -> Reply {
    let head = format!("HTTP/1.1 {head}\r\nContent-Length: {}\r\n\r\n", body.len());
    Reply { bytes: [head.as_bytes(), body].concat(), then: Then::GoOn }
}

fn part_of<'a>(file: &'a [u8], asked: &Asked) -> &'a [u8] {
    &file[usize::try_from(asked.first).unwrap()..=usize::try_from(asked.last).unwrap()]
}

/// What a good server answers.
fn good(file: &[u8], asked: &Asked) -> Reply {
    let Asked { first, last, .. } = asked;
    let head = format!("206 Partial Content\r\nContent-Range: bytes {first}-{last}/{}", file.len());
    reply(&head, part_of(file, asked))
}

fn redirect(to: &str) -> Reply {
    reply(&format!("302 Found\r\nLocation: {to}"), b"")
}

/// The torrent's bytes: no two blocks are alike.
fn content() -> Vec<u8> {
    content_of(TOTAL)
}

fn content_of(len: u64) -> Vec<u8> {
    (0..len).map(|at| (at ^ at >> 8 ^ at >> 16).to_le_bytes()[0]).collect()
}

/// Files of these lengths side by side; those whose name begins with `.pad` are padding.
#[derive(Clone)]
struct Files {
    base: String,
    files: Vec<(&'static str, u64)>,
}

impl Content for Files {
    fn lengths(&self) -> Lengths {
        Lengths::new(self.files.iter().map(|file| file.1).sum(), PIECE).unwrap()
    }

    fn parts(&self, bytes: Range<u64>) -> Vec<Part> {
        let mut offset = 0;
        let mut parts = Vec::new();
        for (file, &(name, file_len)) in self.files.iter().enumerate() {
            let (start, end) = (bytes.start.max(offset), bytes.end.min(offset + file_len));
            if start < end {
                let (offset, len) = (start - offset, end - start);
                parts.push(Part { file, file_len, offset, len, is_pad: name.starts_with(".pad") });
            }
            offset += file_len;
        }
        parts
    }

    fn url(&self, file: usize) -> String {
        format!("{}{}", self.base, self.files[file].0)
    }
}

/// Takes one block per permit.
struct Disk {
    blocks: Mutex<HashMap<BlockRange, Bytes>>,
    room: Semaphore,
    /// Blocks that came, whether there was room for them or not.
    arrived: AtomicUsize,
}

impl BlockSink for Arc<Disk> {
    async fn write(&self, block: BlockRange, data: Bytes) -> bool {
        self.arrived.fetch_add(1, Ordering::Relaxed);
        self.room.acquire().await.unwrap().forget();
        self.blocks.lock().unwrap().insert(block, data).is_none()
    }

    fn tell(&self) {}
}

struct Scene {
    disk: Arc<Disk>,
    commands: mpsc::Sender<Vec<Command>>,
    batches: mpsc::Receiver<Batch<u8>>,
}

fn client(allow_private: bool) -> WebSeedClient {
    WebSeedClient::new("rawtorrent-test/1", Default::default(), allow_private).unwrap()
}

async fn scene(server: &Server, files: &[(&'static str, u64)]) -> Scene {
    let seed = client(true).find(&server.url("/")).await.unwrap();
    scene_with(seed, server, files)
}

fn scene_with(seed: Found, server: &Server, files: &[(&'static str, u64)]) -> Scene {
    scene_at(&server.url("/"), seed, files)
}

fn scene_at(base: &str, seed: Found, files: &[(&'static str, u64)]) -> Scene {
    scene_of(base, seed, files, 1024)
}

/// With room for so many batches of events.
fn scene_of(base: &str, seed: Found, files: &[(&'static str, u64)], queue: usize) -> Scene {
    let (commands, commands_rx) = mpsc::channel(16);
    let (events, batches) = mpsc::channel(queue);
    let disk = Arc::new(Disk {
        blocks: Mutex::default(),
        room: Semaphore::new(10_000),
        arrived: AtomicUsize::new(0),
    });
    let context = Context { disk: disk.clone(), chunks: Chunks::default(), connections: MAX_CONNECTIONS };
    let files = Files { base: base.into(), files: files.to_vec() };
    tokio::spawn(run(seed, files, context, 7, commands_rx, events));
    Scene { disk, commands, batches }
}

fn blocks_of(pieces: Range<u32>) -> Vec<BlockRange> {
    let lengths = Lengths::new(TOTAL, PIECE).unwrap();
    let blocks = pieces.map(PieceIndex::new).flat_map(|piece| {
        (0..lengths.block_count(piece)).map(move |number| lengths.block(piece, number).unwrap())
    });
    blocks.collect()
}

impl Scene {
    async fn command(&self, commands: Vec<Command>) {
        self.commands.send(commands).await.unwrap();
    }

    async fn ask(&self, pieces: Range<u32>) {
        self.command(blocks_of(pieces).into_iter().map(Command::Request).collect()).await;
    }

    /// Waits until so many blocks are on disk. The web seed must not end before.
    async fn until_there(&self, blocks: usize) {
        let all = async {
            while self.disk.blocks.lock().unwrap().len() < blocks {
                assert!(!self.commands.is_closed(), "it has ended");
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, all).await.expect("it hangs");
    }

    /// What it has told when it has ended, and why it did.
    async fn end(mut self) -> (Vec<Event>, CloseReason) {
        let mut told = Vec::new();
        while let Some(batch) = tokio::time::timeout(PATIENCE, self.batches.recv()).await.expect("it hangs") {
            assert_eq!(batch.from, 7);
            told.extend(batch.events);
        }
        match told.pop() {
            Some(Event::Closed(reason)) => (told, reason),
            other => panic!("{other:?}"),
        }
    }

    async fn error(self) -> WebSeedError {
        match self.end().await.1 {
            CloseReason::WebSeed(error) => {
                let line = error.to_string();
                assert!(!line.contains('\n') && !line.contains("secret"), "{line}");
                *error
            }
            other => panic!("{other:?}"),
        }
    }
}

fn assert_right(disk: &Disk, content: &[u8]) {
    for (block, data) in &*disk.blocks.lock().unwrap() {
        let at = (block.piece.get() * PIECE + block.offset) as usize;
        assert!(data[..] == content[at..at + block.len as usize], "{block:?}");
    }
}

/// Lets everybody do what can be done now: all run on one thread, in turn.
async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

const ONE: &[(&str, u64)] = &[("file", TOTAL)];

/// The error that one file at such a server comes to.
async fn error_of(reply: impl Fn(&Asked) -> Reply + Send + Sync + 'static) -> WebSeedError {
    let server = Server::start(reply).await;
    let scene = scene(&server, ONE).await;
    scene.ask(1..3).await;
    scene.error().await
}

#[tokio::test]
async fn a_file_comes_over_in_runs() {
    let content = content();
    let file = content.clone();
    let server = Server::start(move |asked| good(&file, asked)).await;
    let scene = scene(&server, ONE).await;
    scene.ask(0..10).await;
    scene.until_there(blocks_of(0..10).len()).await;
    assert_right(&scene.disk, &content);
    let asked = server.asked();
    assert_eq!((asked.len(), asked[0].first, asked[0].last, &*asked[0].path), (1, 0, TOTAL - 1, "/file"));
    assert!(
        asked[0].head.contains("accept-encoding: identity\r\n")
            && asked[0].head.contains("user-agent: rawtorrent-test/1")
    );
    // What comes next comes over the same connection.
    scene.disk.blocks.lock().unwrap().clear();
    scene.ask(4..5).await;
    scene.until_there(4).await;
    let asked = server.asked();
    assert_eq!((asked[1].first, asked[1].last, asked[1].connection), (4 * 65_536, 5 * 65_536 - 1, 1));
    let Scene { commands, batches, disk } = scene;
    drop(commands);
    let (told, reason) = Scene { commands: mpsc::channel(1).0, batches, disk }.end().await;
    assert!(told.is_empty() && matches!(reason, CloseReason::Ours));
}

#[tokio::test]
async fn blocks_may_lie_in_several_files_and_in_none() {
    let content = {
        let mut content = content();
        content[200_000..250_000].fill(0);
        content
    };
    let whole = content.clone();
    let server = Server::start(move |asked| match &*asked.path {
        "/a" => good(&whole[..100_000], asked),
        "/b/c" => good(&whole[100_000..100_001], asked),
        "/d" => good(&whole[100_001..200_000], asked),
        "/e" => good(&whole[250_000..], asked),
        other => panic!("{other}"),
    })
    .await;
    let files = [("a", 100_000), ("b/c", 1), ("d", 99_999), (".pad/50000", 50_000), ("e", TOTAL - 250_000)];
    let scene = scene(&server, &files).await;
    scene.ask(0..10).await;
    scene.until_there(blocks_of(0..10).len()).await;
    assert_right(&scene.disk, &content);
    assert_eq!(server.asked().len(), 4);
}

#[tokio::test]
async fn what_has_another_length_is_another_file() {
    let error = error_of(|asked| {
        let head = format!("206 x\r\nContent-Range: bytes {}-{}/5000000", asked.first, asked.last);
        reply(&head, part_of(&content(), asked))
    })
    .await;
    assert!(matches!(error, WebSeedError::WrongLength), "{error}");
    let error = error_of(|_| reply("200 OK", b"short")).await;
    assert!(matches!(error, WebSeedError::WrongLength), "{error}");
    let error = error_of(|_| reply("416 Range Not Satisfiable", b"")).await;
    assert!(matches!(error, WebSeedError::WrongLength), "{error}");
    assert_eq!(error.outlook(), Outlook::Hopeless);
}

#[tokio::test]
async fn another_part_than_was_asked_for_is_refused() {
    for (first, last, len) in [(1, 0, 0), (0, 1, 0), (0, 0, 1)] {
        let error = error_of(move |asked| {
            let range = format!("bytes {}-{}/{TOTAL}", asked.first + first, asked.last - last);
            let file = content();
            let part = part_of(&file, asked);
            reply(&format!("206 x\r\nContent-Range: {range}"), &part[..part.len() - len])
        });
        assert!(matches!(error.await, WebSeedError::WrongRange), "{first} {last} {len}");
    }
    let error = error_of(|asked| reply("206 Partial Content", part_of(&content(), asked))).await;
    assert!(matches!(error, WebSeedError::WrongRange) && error.outlook() == Outlook::Hopeless);
}

#[tokio::test]
async fn packed_content_is_refused() {
    let error = error_of(|asked| {
        let range = format!("bytes {}-{}/{TOTAL}", asked.first, asked.last);
        reply(
            &format!("206 x\r\nContent-Encoding: gzip\r\nContent-Range: {range}"),
            part_of(&content(), asked),
        )
    })
    .await;
    assert!(matches!(&error, WebSeedError::Encoded(name) if name == "gzip"), "{error}");
}

#[tokio::test]
async fn what_came_before_the_end_is_kept() {
    let server = Server::start(|asked| {
        let Reply { mut bytes, .. } = good(&content(), asked);
        bytes.truncate(bytes.len() - 20_000);
        Reply { bytes, then: Then::Close }
    })
    .await;
    let scene = scene(&server, ONE).await;
    scene.ask(0..2).await;
    let disk = scene.disk.clone();
    let error = scene.error().await;
    assert!(matches!(error, WebSeedError::Short) && error.outlook() == Outlook::Later(None), "{error}");
    assert_eq!(disk.blocks.lock().unwrap().len(), 6, "two blocks are not whole");
    assert_right(&disk, &content());
}

/// How long a web seed is waited for that sends so much of an answer, and then does this.
async fn stalled_after(sent: usize, then: Then) -> Duration {
    let server = Server::start(move |asked| {
        let Reply { mut bytes, .. } = good(&content(), asked);
        bytes.truncate(sent);
        Reply { bytes, then }
    })
    .await;
    let scene = scene(&server, ONE).await;
    scene.ask(0..1).await;
    while server.asked().is_empty() || scene.disk.blocks.lock().unwrap().len() < sent / 16_384 {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    let began = tokio::time::Instant::now();
    let error = scene.error().await;
    assert!(matches!(error, WebSeedError::Stalled) && error.outlook() == Outlook::Later(None), "{error}");
    let waited = began.elapsed();
    tokio::time::resume();
    waited
}

#[tokio::test]
async fn silence_is_not_waited_out_for_ever() {
    for sent in [0, 20_000] {
        let waited = stalled_after(sent, Then::Stall).await;
        assert!(waited <= STALL_TIMEOUT + Duration::from_secs(1), "{waited:?}");
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_named() {
    let server = Server::start(|asked| match &*asked.path {
        "/a" => good(&content()[..65_536], asked),
        _ => reply("404 Not Found", b"secret"),
    })
    .await;
    let scene = scene(&server, &[("a", 65_536), ("b", TOTAL - 65_536)]).await;
    scene.ask(0..2).await;
    let disk = scene.disk.clone();
    let error = scene.error().await;
    assert_eq!(error.outlook(), Outlook::Without(1), "{error}");
    assert_eq!(disk.blocks.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn who_is_busy_is_asked_later() {
    let after = |seconds: &'static str| async move {
        error_of(move |_| reply(&format!("503 Busy\r\nRetry-After: {seconds}"), b"")).await.outlook()
    };
    assert_eq!(after("7").await, Outlook::Later(Some(Duration::from_secs(7))));
    assert_eq!(after("99999999").await, Outlook::Later(Some(MAX_RETRY_AFTER)));
    assert_eq!(after("Fri, 31 Dec 1999 23:59:59 GMT").await, Outlook::Later(None));
    assert_eq!(error_of(|_| reply("429 x", b"")).await.outlook(), Outlook::Later(None));
    assert_eq!(error_of(|_| reply("502 x", b"")).await.outlook(), Outlook::Later(None));
    assert_eq!(error_of(|_| reply("403 x", b"")).await.outlook(), Outlook::Hopeless);
}

#[tokio::test]
async fn where_a_file_was_found_is_remembered_while_it_is_there() {
    let moved = Arc::new(Mutex::new("/here?secret"));
    let place = moved.clone();
    let server = Server::start(move |asked| match &*asked.path {
        "/file" => redirect(&place.lock().unwrap()[..5]),
        path if path == &place.lock().unwrap()[..5] => good(&content(), asked),
        _ => reply("410 Gone", b""),
    })
    .await;
    let scene = scene(&server, ONE).await;
    for piece in 0..2 {
        scene.ask(piece..piece + 1).await;
        scene.until_there(4 * (piece as usize + 1)).await;
    }
    *moved.lock().unwrap() = "/then";
    scene.ask(2..3).await;
    scene.until_there(12).await;
    assert_right(&scene.disk, &content());
    let paths: Vec<_> = server.asked().into_iter().map(|asked| asked.path).collect();
    assert_eq!(paths, ["/file", "/here", "/here", "/here", "/file", "/then"]);
}

#[tokio::test]
async fn of_so_many_files_it_is_remembered_where_they_were_found() {
    let names: Vec<&'static str> =
        (0..=MAX_TARGETS).map(|n| &*Box::leak(format!("{n}").into_boxed_str())).collect();
    let files: Vec<_> = names.iter().map(|name| (*name, u64::from(PIECE))).collect();
    let server = Server::start(|asked| match asked.path.strip_prefix("/there/") {
        Some(_) => good(&[7; PIECE as usize], asked),
        None => redirect(&format!("/there{}", asked.path)),
    })
    .await;
    let scene = scene(&server, &files).await;
    let lengths = Lengths::new(files.len() as u64 * u64::from(PIECE), PIECE).unwrap();
    // One block of each file, then another one.
    for number in 0..2 {
        for piece in lengths.pieces() {
            scene.command(vec![Command::Request(lengths.block(piece, number).unwrap())]).await;
            scene.until_there(number as usize * files.len() + piece.get() as usize + 1).await;
        }
    }
    let asked = server.asked();
    let times = |name: &str| asked.iter().filter(|asked| asked.path == format!("/{name}")).count();
    let again: Vec<_> = names.iter().filter(|name| times(name) != 1).collect();
    assert_eq!(again, [names.last().unwrap()], "all but one are asked for where they were found");
}

#[tokio::test]
async fn what_is_not_wanted_any_more_is_not_waited_for() {
    let server = Server::start(|asked| {
        let mut reply = good(&content(), asked);
        if asked.first == 0 {
            reply.bytes.truncate(5000);
            reply.then = Then::Stall;
        }
        reply
    })
    .await;
    let scene = scene(&server, ONE).await;
    scene.ask(0..1).await;
    while server.asked().is_empty() {
        tokio::task::yield_now().await;
    }
    // A short run waits for the one that stalls, until nobody wants that any more.
    scene.ask(5..6).await;
    scene.command(blocks_of(0..1).into_iter().map(Command::Cancel).collect()).await;
    scene.until_there(4).await;
    assert_right(&scene.disk, &content());
}

#[tokio::test]
async fn a_block_that_somebody_else_brought_is_told() {
    let content = content();
    let file = content.clone();
    let server = Server::start(move |asked| good(&file, asked)).await;
    let mut scene = scene(&server, ONE).await;
    scene.disk.blocks.lock().unwrap().insert(blocks_of(0..1)[1], Bytes::new());
    scene.ask(0..1).await;
    let told = scene.batches.recv().await.unwrap().events;
    assert!(matches!(told[..], [Event::Refused(block)] if block == blocks_of(0..1)[1]), "{told:?}");
}

/// libtorrent's rules against request forgery, where ours are the same: it asks private web seeds unless they have a
/// query, as ours does if the owner allows. Names are what its simulated world makes of them.
#[tokio::test]
async fn a_block_on_its_way_to_the_disk_gets_there_though_others_are_taken_back() {
    let server = Server::start(|asked| good(&content(), asked)).await;
    let scene = scene(&server, ONE).await;
    let room = scene.disk.room.forget_permits(usize::MAX);
    scene.ask(0..1).await;
    while scene.disk.arrived.load(Ordering::Relaxed) == 0 {
        tokio::task::yield_now().await;
    }
    scene.command(blocks_of(0..1)[1..].iter().copied().map(Command::Cancel).collect()).await;
    scene.ask(3..4).await;
    settle().await;
    scene.disk.room.add_permits(room);
    scene.until_there(5).await;
    assert!(scene.disk.blocks.lock().unwrap().contains_key(&blocks_of(0..1)[0]));
}

#[tokio::test]
async fn a_block_that_is_asked_for_anew_gets_there_though_the_run_before_is_given_up() {
    let server = Server::start(|asked| good(&content(), asked)).await;
    let scene = scene(&server, ONE).await;
    let (room, all) = (scene.disk.room.forget_permits(usize::MAX), blocks_of(0..10));
    let until_arrived = async |blocks: usize| {
        while scene.disk.arrived.load(Ordering::Relaxed) < blocks {
            tokio::task::yield_now().await;
        }
    };
    let ask = |blocks: Range<usize>| all[blocks].iter().copied().map(Command::Request).collect::<Vec<_>>();
    scene.command(ask(19..22)).await;
    until_arrived(1).await;
    // The second run has the second block of the first one, whose bytes come before its own.
    scene.command(vec![Command::Cancel(all[20])]).await;
    scene.command(ask(5..21)).await;
    until_arrived(2).await;
    scene.disk.room.add_permits(1);
    until_arrived(3).await;
    scene.command(vec![Command::Cancel(all[21])]).await;
    settle().await;
    scene.disk.room.add_permits(room);
    let is_there = || scene.disk.blocks.lock().unwrap().contains_key(&all[20]);
    for _ in 0..10_000 {
        tokio::task::yield_now().await;
    }
    assert!(is_there());
}

#[tokio::test]
async fn what_became_of_blocks_is_told_though_others_are_taken_back() {
    let server = Server::start(|asked| {
        let mut reply = good(&content(), asked);
        reply.bytes.truncate(20_000);
        Reply { then: Then::Stall, ..reply }
    })
    .await;
    let seed = client(true).find(&server.url("/")).await.unwrap();
    let mut scene = scene_of(&server.url("/"), seed, ONE, 1);
    let [first, second] = [blocks_of(0..1), blocks_of(4..8)];
    for (n, run) in [&first, &second].into_iter().enumerate() {
        scene.disk.blocks.lock().unwrap().insert(run[0], Bytes::new());
        scene.command(run.iter().copied().map(Command::Request).collect()).await;
        while scene.disk.arrived.load(Ordering::Relaxed) <= n {
            tokio::task::yield_now().await;
        }
        settle().await;
    }
    // The second has to wait until the first is heard.
    scene.command(second[1..].iter().copied().map(Command::Cancel).collect()).await;
    settle().await;
    for run in [&first, &second] {
        let batch = tokio::time::timeout(PATIENCE, scene.batches.recv()).await.expect("it is lost").unwrap();
        assert!(matches!(batch.events[..], [Event::Refused(block)] if block == run[0]), "{batch:?}");
    }
}

#[tokio::test]
async fn so_many_connections_are_made_and_no_more() {
    let server = Server::start(|_| Reply { bytes: Vec::new(), then: Then::Stall }).await;
    let lengths = Lengths::new(64 * u64::from(PIECE), PIECE).unwrap();
    let scene = scene(&server, &[("file", lengths.total())]).await;
    // Each run is as long as it has to be, and a piece lies between two of them.
    let least = u32::try_from(MIN_RUN).unwrap() / PIECE;
    let wanted = lengths.pieces().filter(|piece| piece.get() % (least + 1) != 0);
    let blocks = wanted.flat_map(|piece| (0..4).map(move |number| lengths.block(piece, number).unwrap()));
    scene.command(blocks.map(Command::Request).collect()).await;
    while server.asked().len() < MAX_CONNECTIONS {
        tokio::task::yield_now().await;
    }
    settle().await;
    let asked = server.asked();
    assert_eq!(asked.len(), MAX_CONNECTIONS);
    assert!(asked.iter().all(|asked| asked.last + 1 - asked.first == MIN_RUN), "{asked:?}");
}

pub(crate) mod hostile;
mod places;
mod ranges;
