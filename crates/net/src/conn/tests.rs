//! The connection against a peer whose every byte the test writes, and a disk in memory.

use super::*;
use std::collections::HashMap;
use std::io::Write;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::io::{DuplexStream, duplex};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use types::{Lengths, PieceIndex};
use wire::Request;

/// Takes and gives blocks; takes one per permit of `room`.
struct Disk {
    room: Semaphore,
    /// Blocks that it was given, with room or without.
    given: AtomicUsize,
    blocks: Mutex<HashMap<BlockRange, Bytes>>,
    /// All pieces, if they lie in a file.
    file: Mutex<Option<std::fs::File>>,
    /// Blocks that were read.
    reads: AtomicUsize,
}

impl BlockSink for Arc<Disk> {
    async fn write(&self, block: BlockRange, data: Bytes) -> bool {
        self.given.fetch_add(1, Ordering::Relaxed);
        self.room.acquire().await.unwrap().forget();
        self.blocks.lock().unwrap().insert(block, data).is_none()
    }

    fn tell(&self) {}
}

impl BlockSource for Arc<Disk> {
    async fn read(&self, block: BlockRange) -> io::Result<Bytes> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        let blocks = self.blocks.lock().unwrap();
        blocks.get(&block).cloned().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    async fn with_file<T: Send + 'static>(
        &self,
        run: BlockRange,
        work: impl FnOnce(Option<(BorrowedFd<'_>, u64)>) -> T + Send + 'static,
    ) -> io::Result<T> {
        let file = self.file.lock().unwrap();
        let offset = u64::from(run.piece.get()) * (1 << 20) + u64::from(run.offset);
        Ok(work(file.as_ref().map(|file| (file.as_fd(), offset))))
    }
}

struct Scene<S = DuplexStream> {
    peer: S,
    disk: Arc<Disk>,
    commands: mpsc::Sender<Vec<Command>>,
    batches: mpsc::Receiver<Batch<u8>>,
    waiting: std::collections::VecDeque<Event>,
    chunks: Chunks,
}

fn scene(room: usize) -> Scene {
    let (ours, peer) = duplex(1 << 20);
    scene_over(ours, peer, room)
}

fn scene_over<S: Transport + 'static, P>(ours: S, peer: P, room: usize) -> Scene<P> {
    scene_sharing(Chunks::default(), ours, peer, room)
}

fn scene_sharing<S: Transport + 'static, P>(chunks: Chunks, ours: S, peer: P, room: usize) -> Scene<P> {
    let disk = Disk {
        room: Semaphore::new(room),
        given: AtomicUsize::new(0),
        blocks: Mutex::default(),
        file: Mutex::default(),
        reads: AtomicUsize::new(0),
    };
    let disk = Arc::new(disk);
    let (commands, commands_rx) = mpsc::channel(COMMAND_QUEUE);
    let (events, batches) = mpsc::channel(256);
    let pipes = Pipes::default();
    let context =
        Context { disk: disk.clone(), limits: Limits::for_pieces(100), chunks: chunks.clone(), pipes };
    tokio::spawn(run(ours, context, 7u8, commands_rx, events));
    Scene { peer, disk, commands, batches, waiting: Default::default(), chunks }
}

/// The same over a socket, with pieces in a file, of which every byte depends on where it is.
async fn scene_with_file(pieces: usize) -> Scene<TcpStream> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let scene = scene_over(ours, listener.accept().await.unwrap().0, 0);
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&content(0, pieces << 20)).unwrap();
    *scene.disk.file.lock().unwrap() = Some(file);
    scene
}

fn content(from: usize, len: usize) -> Vec<u8> {
    (from..from + len).map(|at| (at ^ at >> 8 ^ at >> 16).to_le_bytes()[0]).collect()
}

fn content_of(block: BlockRange) -> Message<'static> {
    let from = block.piece.get() as usize * (1 << 20) + block.offset as usize;
    let data = content(from, block.len as usize).into();
    Message::Piece { index: block.piece.get(), begin: block.offset, data }
}

impl<P: AsyncRead + AsyncWrite + Unpin> Scene<P> {
    async fn command(&self, commands: Vec<Command>) {
        self.commands.send(commands).await.unwrap();
    }

    async fn event(&mut self) -> Event {
        while self.waiting.is_empty() {
            let batch = self.batches.recv().await.expect("the connection tells of its end");
            assert_eq!(batch.from, 7);
            self.waiting.extend(batch.events);
        }
        self.waiting.pop_front().unwrap()
    }

    async fn peer_sends(&mut self, message: &Message<'_>) {
        let mut bytes = Vec::new();
        message.encode(&mut bytes);
        self.peer.write_all(&bytes).await.unwrap();
    }

    async fn peer_hears(&mut self) -> Message<'static> {
        let mut frame = vec![0; 4];
        self.peer.read_exact(&mut frame).await.unwrap();
        let len = u32::from_be_bytes(frame[..4].try_into().unwrap()) as usize;
        frame.resize(4 + len, 0);
        self.peer.read_exact(&mut frame[4..]).await.unwrap();
        match wire::decode(&frame, &Limits::for_pieces(100)).unwrap() {
            wire::Decoded::Message { message, .. } => message.into_owned(),
            wire::Decoded::Incomplete { .. } => panic!("a whole frame was read"),
        }
    }
}

fn block(piece: u32, number: u32) -> BlockRange {
    Lengths::new(100 << 20, 1 << 20).unwrap().block(PieceIndex::new(piece), number).unwrap()
}

fn piece_message(block: BlockRange, byte: u8) -> Message<'static> {
    let data = vec![byte; block.len as usize].into();
    Message::Piece { index: block.piece.get(), begin: block.offset, data }
}

#[tokio::test]
async fn an_asked_block_goes_to_the_sink_once() {
    let mut s = scene(10);
    let wanted = block(3, 1);
    s.command(vec![Command::Request(wanted)]).await;
    assert_eq!(s.peer_hears().await, Message::Request(Request::from(wanted)));
    s.peer_sends(&piece_message(wanted, 9)).await;
    s.peer_sends(&piece_message(wanted, 9)).await;
    assert!(matches!(s.event().await, Event::Unrequested(block) if block == wanted), "the second copy");
    assert_eq!(s.disk.blocks.lock().unwrap()[&wanted], vec![9; 16384]);
}

#[tokio::test]
async fn a_cancelled_or_unasked_block_never_reaches_the_sink() {
    let mut s = scene(10);
    s.command(vec![
        Command::Request(block(0, 0)),
        Command::Cancel(block(0, 0)),
        Command::Cancel(block(5, 5)),
    ])
    .await;
    s.peer_hears().await;
    assert!(matches!(s.peer_hears().await, Message::Cancel(_)));
    let nowhere = BlockRange { piece: PieceIndex::new(u32::MAX), offset: u32::MAX, len: 5 };
    for unasked in [block(0, 0), block(1, 1), nowhere] {
        s.peer_sends(&piece_message(unasked, 1)).await;
        assert!(matches!(s.event().await, Event::Unrequested(block) if block == unasked));
    }
    assert!(s.disk.blocks.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_full_disk_queue_holds_back_payload_but_not_what_was_said_before() {
    let mut s = scene(0);
    s.command(vec![Command::Request(block(0, 0))]).await;
    s.peer_hears().await;
    s.peer_sends(&Message::Unchoke).await;
    s.peer_sends(&piece_message(block(0, 0), 1)).await;
    s.peer_sends(&Message::Choke).await;
    assert!(matches!(s.event().await, Event::Message(Message::Unchoke)));
    assert!(s.waiting.is_empty() && s.batches.is_empty(), "nothing passes while the disk has no room");
    s.disk.room.add_permits(1);
    assert!(matches!(s.event().await, Event::Message(Message::Choke)));
    assert_eq!(s.disk.blocks.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_block_that_waits_long_for_the_disk_is_told_and_others_are_not() {
    let mut s = scene(0);
    let short = LONG_WAIT - Duration::from_millis(1);
    for (number, wait) in [short, LONG_WAIT].into_iter().enumerate() {
        let wanted = block(0, u32::try_from(number).unwrap());
        s.command(vec![Command::Request(wanted)]).await;
        s.peer_hears().await;
        s.peer_sends(&Message::Unchoke).await;
        s.peer_sends(&piece_message(wanted, 1)).await;
        s.peer_sends(&Message::Choke).await;
        // What was said before it is told once the disk is known to be behind.
        assert!(matches!(s.event().await, Event::Message(Message::Unchoke)));
        while s.disk.given.load(Ordering::Relaxed) <= number {
            tokio::task::yield_now().await;
        }
        tokio::time::advance(wait).await;
        s.disk.room.add_permits(1);
        if wait >= LONG_WAIT {
            assert!(matches!(s.event().await, Event::Waited(took) if took == wait));
        }
        assert!(matches!(s.event().await, Event::Message(Message::Choke)));
    }
}

#[tokio::test]
async fn served_blocks_leave_in_order_and_are_reported() {
    let mut s = scene(0);
    let blocks: Vec<_> = (0..40).map(|n| block(2, n)).collect();
    for b in &blocks {
        s.disk.blocks.lock().unwrap().insert(*b, vec![3; 16384].into());
    }
    s.command(blocks.iter().map(|&b| Command::Serve(b)).collect()).await;
    for b in &blocks {
        assert_eq!(s.peer_hears().await, piece_message(*b, 3));
    }
    for b in &blocks {
        assert!(matches!(s.event().await, Event::Sent(sent) if sent == *b));
    }
}

#[tokio::test]
async fn so_much_is_read_for_a_peer_that_takes_nothing() {
    let (ours, peer) = duplex(1000);
    let mut s = scene_over(ours, peer, 0);
    let blocks: Vec<_> = (0..200).map(|n| block(n / 16, n % 16)).collect();
    for b in &blocks {
        s.disk.blocks.lock().unwrap().insert(*b, vec![3; 16384].into());
    }
    s.command(blocks.iter().map(|&b| Command::Serve(b)).collect()).await;
    let (mut read, mut idle) = (0, 0);
    while idle < 1000 {
        tokio::task::yield_now().await;
        let now = s.disk.reads.load(Ordering::Relaxed);
        (read, idle) = (now, if now == read { idle + 1 } else { 0 });
    }
    let ahead = READ_AHEAD * RUN_BLOCKS * 16384;
    assert!(read * 16384 <= SEND_WATERMARK + RUN_BLOCKS * 16384 + ahead, "{read} blocks");
    assert!(read > 0 && read < blocks.len());
    for b in &blocks {
        assert_eq!(s.peer_hears().await, piece_message(*b, 3), "in the end it gets all");
    }
}

#[tokio::test]
async fn blocks_in_a_file_leave_in_order_between_messages_and_are_reported() {
    let mut s = scene_with_file(4).await;
    let odd = |offset, len| BlockRange { piece: PieceIndex::new(3), offset, len };
    let mut blocks: Vec<_> = (0..3).flat_map(|piece| (0..64).map(move |n| block(piece, n))).collect();
    blocks.extend([odd(5, 1), odd(6, 131_072), odd(1_000_000, 4096), odd((1 << 20) - 1, 1)]);
    let mut events = 0;
    for some in blocks.chunks(50) {
        s.command(some.iter().map(|&b| Command::Serve(b)).collect()).await;
        s.command(vec![Command::Send(Message::Have(1))]).await;
        let mut expected = some.iter().map(|&b| content_of(b)).peekable();
        let mut messages = 0;
        while expected.peek().is_some() || messages == 0 {
            match s.peer_hears().await {
                Message::Have(_) => messages += 1,
                block => assert!(Some(&block) == expected.next().as_ref(), "out of order"),
            }
        }
        assert_eq!(messages, 1);
        for b in some {
            assert!(matches!(s.event().await, Event::Sent(sent) if sent == *b));
            events += 1;
        }
    }
    assert_eq!(events, blocks.len());
}

#[tokio::test]
async fn what_a_file_is_too_short_for_is_not_begun() {
    let mut s = scene_with_file(1).await;
    s.command((0..64).map(|n| Command::Serve(block(0, n))).collect()).await;
    s.command(vec![Command::Serve(block(1, 0)), Command::Send(Message::Have(9))]).await;
    for n in 0..64 {
        let said = match s.peer_hears().await {
            Message::Have(_) => s.peer_hears().await,
            said => said,
        };
        assert!(said == content_of(block(0, n)));
    }
    // That it cannot be read may be known before all that came before it was sent.
    let (mut sent, mut failed) = (0, 0);
    while (sent, failed) != (64, 1) {
        match s.event().await {
            Event::Sent(b) if b.piece == block(0, 0).piece => sent += 1,
            Event::SendFailed(b) if b == block(1, 0) => failed += 1,
            other => panic!("{other:?}"),
        }
    }
    s.command(vec![Command::Send(Message::Choke)]).await;
    while s.peer_hears().await != Message::Choke {}
}

#[tokio::test]
async fn what_cannot_be_read_or_is_dropped_is_reported() {
    let mut s = scene(0);
    s.command(vec![Command::Serve(block(1, 0))]).await;
    assert!(matches!(s.event().await, Event::SendFailed(b) if b == block(1, 0)));
    let mut commands: Vec<_> = (0..30).map(|n| Command::Serve(block(2, n))).collect();
    commands.push(Command::DropServes);
    s.command(commands).await;
    for _ in 0..30 {
        assert!(matches!(s.event().await, Event::SendFailed(_)));
    }
    s.command(vec![Command::Send(Message::Have(1))]).await;
    assert_eq!(s.peer_hears().await, Message::Have(1), "none of the dropped blocks went out");
}

#[tokio::test]
async fn each_end_is_told_with_its_reason() {
    let mut s = scene(0);
    drop(s.commands);
    let closed = s.batches.recv().await.unwrap().events.pop();
    assert!(matches!(closed, Some(Event::Closed(CloseReason::Ours))));

    let mut s = scene(0);
    s.peer.write_all(&[0xff; 4]).await.unwrap();
    assert!(matches!(s.event().await, Event::Closed(CloseReason::Protocol(_))));

    let mut s = scene(0);
    s.peer.shutdown().await.unwrap();
    assert!(matches!(s.event().await, Event::Closed(CloseReason::Theirs)));
}

#[tokio::test]
async fn a_peer_that_never_reads_is_given_up() {
    let mut s = scene(0);
    let big = || Command::Send(Message::Bitfield(vec![0; 64 * 1024].into()));
    for _ in 0..COMMAND_QUEUE {
        if s.commands.send(vec![big()]).await.is_err() {
            break;
        }
    }
    assert!(matches!(s.event().await, Event::Closed(CloseReason::NotReading)));
}

#[tokio::test]
async fn a_block_that_the_sink_has_already_is_reported() {
    let mut s = scene(10);
    s.disk.blocks.lock().unwrap().insert(block(3, 1), vec![9; 16384].into());
    s.command(vec![Command::Request(block(3, 1))]).await;
    s.peer_hears().await;
    s.peer_sends(&piece_message(block(3, 1), 9)).await;
    assert!(matches!(s.event().await, Event::Refused(b) if b == block(3, 1)));
}

/// A socket that is closed with something unread resets the connection, and the peer loses what it has not read yet.
#[tokio::test(start_paused = true)]
async fn who_hangs_up_lets_the_peer_finish() {
    let scene = scene(1);
    scene.command(vec![Command::Send(Message::Have(5))]).await;
    let Scene { mut peer, commands, mut batches, .. } = scene;
    drop(commands);
    let mut rest = Vec::new();
    peer.read_to_end(&mut rest).await.unwrap();
    assert_eq!(rest.len(), 9, "the message, then the end");
    peer.write_all(&[0; 400]).await.expect("it is still listened to");
    let waits = timeout(LAST_WORDS / 2, batches.recv()).await;
    assert!(waits.is_err(), "as long as the peer has not hung up");
    drop(peer);
    let last = batches.recv().await.unwrap().events;
    assert!(matches!(last[..], [Event::Closed(CloseReason::Ours)]), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn who_talks_on_is_not_listened_to_for_ever() {
    let Scene { mut peer, commands, mut batches, .. } = scene(1);
    drop(commands);
    assert_eq!(peer.read_to_end(&mut Vec::new()).await.unwrap(), 0, "it has hung up");
    let mut sent = 0;
    while peer.write_all(&[0; 4096]).await.is_ok() {
        sent += 4096;
        assert!(sent < 2 * LAST_READ, "it still listens");
    }
    assert!(sent >= LAST_READ, "it stopped after {sent} bytes");
    let last = batches.recv().await.unwrap().events;
    assert!(matches!(last[..], [Event::Closed(CloseReason::Ours)]), "{last:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_waited_for_for_long() {
    let Scene { peer, commands, mut batches, .. } = scene(1);
    drop(commands);
    let start = tokio::time::Instant::now();
    let last = batches.recv().await.unwrap().events;
    assert!(matches!(last[..], [Event::Closed(CloseReason::Ours)]), "{last:?}");
    assert!(start.elapsed() <= LAST_WORDS + Duration::from_millis(1), "{:?}", start.elapsed());
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn the_memory_of_the_last_connection_is_given_back() {
    let mut scene = scene(9);
    scene.command(vec![Command::Request(block(3, 1))]).await;
    scene.peer_hears().await;
    scene.peer_sends(&piece_message(block(3, 1), 9)).await;
    while scene.chunks.kept().len() == 0 {
        tokio::task::yield_now().await;
    }
    drop(scene.peer);
    assert!(matches!(scene.batches.recv().await.unwrap().events[..], [Event::Closed(_)]));
    assert_ne!(scene.chunks.kept().len(), 0, "another one may need it at once");
    tokio::time::sleep(REST * 2).await;
    assert_eq!(scene.chunks.kept().len(), 0);
}

#[tokio::test(start_paused = true)]
async fn who_is_held_is_not_read_until_it_is_released() {
    let mut s = scene(0);
    s.command(vec![Command::Hold, Command::Send(Message::Choke)]).await;
    assert_eq!(s.peer_hears().await, Message::Choke);
    // It may be about to read once.
    s.peer_sends(&Message::Have(1)).await;
    let read = tokio::time::timeout(Duration::from_millis(50), s.event()).await.is_ok();
    for have in 2..1000 {
        s.peer_sends(&Message::Have(have)).await;
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), s.event()).await.is_err(), "it is read");
    s.command(vec![Command::Release]).await;
    for have in 1 + u32::from(read)..1000 {
        assert!(matches!(s.event().await, Event::Message(Message::Have(piece)) if piece == have));
    }
}

#[tokio::test(start_paused = true)]
async fn whoever_says_much_has_so_many_turns_before_somebody_is_done_with_them() {
    let mut s = scene(0);
    let flood = TURNS * EVENT_BATCH * 4;
    let mut bytes = Vec::new();
    (0..flood).for_each(|_| Message::Have(1).encode(&mut bytes));
    s.peer.write_all(&bytes).await.unwrap();
    let mut taken = Vec::new();
    while taken.len() < TURNS {
        taken.push(s.batches.recv().await.unwrap());
    }
    assert!(
        tokio::time::timeout(Duration::from_millis(50), s.batches.recv()).await.is_err(),
        "no turn is free"
    );
    // The other half waits for no turn.
    s.command(vec![Command::Serve(block(0, 0))]).await;
    assert!(matches!(s.event().await, Event::SendFailed(_)));
    let mut heard: usize = taken.drain(..).map(|batch| batch.events.len()).sum();
    while heard < flood {
        heard += s.batches.recv().await.unwrap().events.len();
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_brain_that_is_busy_has_not_heard_is_in_the_budget() {
    const BUDGET: usize = 1 << 20;
    const LONG: usize = 100_000;
    let chunks = Chunks::new(BUDGET, 20);
    let new_scene = || {
        let (ours, peer) = duplex(1 << 20);
        scene_sharing(chunks.clone(), ours, peer, 0)
    };
    let long = Message::Extended { id: 99, payload: vec![1; LONG].into() };
    // Those that are said and not done with; one connection after the other, so that none is given up while it is read.
    let (mut unheard, mut open, mut given_up) = (Vec::new(), Vec::new(), 0);
    for _ in 0..20 {
        let mut scene = new_scene();
        for _ in 0..=TURNS {
            scene.peer_sends(&long).await;
        }
        while let Ok(Some(batch)) =
            tokio::time::timeout(Duration::from_millis(50), scene.batches.recv()).await
        {
            let is_over = |event: &Event| matches!(event, Event::Closed(CloseReason::OverBudget));
            given_up += usize::from(batch.events.iter().any(is_over));
            unheard.push(batch);
        }
        open.push(scene);
    }
    let held: usize = unheard.iter().flat_map(|batch| &batch.events).map(Event::heap_bytes).sum();
    assert!((BUDGET / 4..=BUDGET).contains(&held), "{held} of {BUDGET} bytes wait");
    assert!(given_up > 0 && given_up < 20, "{given_up}");
    // Who says little is heard all the same.
    let mut modest = new_scene();
    modest.peer_sends(&Message::Have(1)).await;
    assert!(matches!(modest.event().await, Event::Message(Message::Have(1))));
    drop((unheard, open));
    tokio::time::sleep(LAST_WORDS * 2).await;
    modest.peer_sends(&long).await;
    assert!(matches!(modest.event().await, Event::Message(Message::Extended { .. })), "there is room again");
}

#[tokio::test]
async fn so_much_may_wait_for_a_peer_to_read_and_no_more() {
    let message = |len: usize| Command::Send(Message::Bitfield(vec![0; len - 5].into()));
    let part = SEND_LIMIT / 32;
    let mut s = scene(0);
    s.command((0..32).map(|_| message(part)).collect()).await;
    s.peer.read_exact(&mut vec![0; SEND_LIMIT]).await.unwrap();
    let mut s = scene(0);
    s.command((0..31).map(|_| message(part)).chain([message(part + 1)]).collect()).await;
    assert!(s.peer.read_exact(&mut vec![0; SEND_LIMIT + 1]).await.is_err());
    assert!(matches!(s.event().await, Event::Closed(CloseReason::NotReading)));
}
