//! One torrent's brain, and who hears of it: whoever listens to events, and the file that it is recorded to.
//!
//! The driver never waits for it: chunks wait for a thread that writes them, and if too many wait the recording breaks off,
//! which is said at once, and in the file.

use crate::events::{EventKind, Kind};
use crate::shared::Shared;
use record::Recorder;
use std::fmt::Display;
use std::fs::{File, Metadata, TryLockError};
use std::io::{self, Write};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use swarm::{Config, Input, Output, PeerKey, Swarm};
use trace::{Ours, Watch};
use types::{Bitfield, InfoHash, Lengths, PeerId, Time};

/// Chunks of at most about [`CHUNK_LEN`](record::limits::CHUNK_LEN) bytes that may wait to be written. At the limit the disk is
/// too slow, and the recording ends there.
const WAITING_CHUNKS: usize = 256;

/// What is told to a brain after this long is written, though it be no full chunk: what a killed process loses of a recording.
const WRITTEN_AFTER: Duration = Duration::from_secs(1);

/// The program that makes recordings, as they say.
const BY: &str = concat!("rawtorrent ", env!("CARGO_PKG_VERSION"));

/// A file to which one torrent's inputs are recorded: see
/// [`AddTorrent::record`](crate::AddTorrent::record). Clones are the same file.
#[derive(Clone, Debug)]
pub struct Tape(Arc<Mutex<Inner>>);

#[derive(Debug)]
struct Inner {
    /// While no brain has it.
    reel: Option<Reel>,
    writer: Option<JoinHandle<io::Result<u64>>>,
    /// Where the file is, until a brain begins.
    unused: Option<PathBuf>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(path) = &self.unused {
            // Who looks for a recording finds an empty one.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Tape {
    /// A new file, which is gone with the tape if nothing comes to be recorded, or nothing can be written. One that is empty,
    /// and that nobody records to, is taken for it.
    ///
    /// # Errors
    /// There is one already, or none can be made.
    pub fn create(path: &Path) -> io::Result<Tape> {
        let file = match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => empty(path).ok_or(error)?,
            created => created?,
        };
        // Who finds it empty knows that it is taken. File systems without locks have none.
        if let Err(TryLockError::WouldBlock) = file.try_lock() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let (sender, chunks) = sync_channel(WAITING_CHUNKS);
        let reel = Reel::new(sender);
        let broke_off = reel.broke_off.clone();
        let at = path.to_path_buf();
        let write = move || {
            let written = write(file, &at, &chunks, &broke_off);
            if let Err(error) = &written {
                tracing::error!("the recording ends here, and the download goes on: {error}");
            }
            written
        };
        let writer = std::thread::Builder::new().name("rawtorrent-tape".into()).spawn(write)?;
        Ok(Tape(Arc::new(Mutex::new(Inner {
            reel: Some(reel),
            writer: Some(writer),
            unused: Some(path.into()),
        }))))
    }

    /// Ends the recording, and waits until it is on disk: how many bytes it has. To be called once, when the torrent has
    /// stopped.
    ///
    /// # Errors
    /// It could not be written, or not all of it.
    pub fn finish(self) -> io::Result<u64> {
        let (reel, writer) = {
            let mut inner = self.inner();
            (inner.reel.take(), inner.writer.take())
        };
        // As long as a brain has the reel, the file has no end to wait for.
        let (Some(reel), Some(writer)) = (reel, writer) else {
            return Err(io::Error::other("the torrent has not stopped"));
        };
        let is_whole = reel.finish();
        let bytes = writer.join().unwrap_or_else(|_| Err(io::Error::other("its writer panicked")))?;
        if is_whole { Ok(bytes) } else { Err(io::Error::other("the disk was too slow to record all of it")) }
    }

    /// The right to write to it, which only one has at a time.
    pub(crate) fn thread(&self) -> Option<Threaded> {
        let mut inner = self.inner();
        let reel = inner.reel.take()?;
        inner.unused = None;
        Some(Threaded { tape: self.clone(), reel: Some(reel) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file that is there, if there is nothing in it: what a full disk once left of a recording.
fn empty(path: &Path) -> Option<File> {
    let is_empty = |file: &Metadata| file.is_file() && file.len() == 0;
    // A pipe is not opened, nor is a link followed.
    std::fs::symlink_metadata(path).ok().filter(is_empty)?;
    let file = File::options().write(true).open(path).ok()?;
    file.metadata().is_ok_and(|file| is_empty(&file)).then_some(file)
}

/// Writes what comes until nobody sends any more, and why that is if it is too early.
fn write(mut file: File, path: &Path, chunks: &Receiver<Vec<u8>>, broke_off: &AtomicBool) -> io::Result<u64> {
    let mut bytes = 0;
    while let Ok(chunk) = chunks.recv() {
        if let Err(error) = file.write_all(&chunk) {
            if bytes == 0 {
                // It has not begun, and would be in the way of the next one.
                let _ = std::fs::remove_file(path);
            }
            return Err(error);
        }
        bytes += chunk.len() as u64;
    }
    if broke_off.load(Ordering::Acquire) {
        file.write_all(&Recorder::broken_off())?;
    }
    file.sync_all()?;
    Ok(bytes)
}

/// Who writes down what a brain is told.
#[derive(Debug)]
pub(crate) struct Reel {
    recorder: Recorder,
    /// `None` once it has broken off.
    sender: Option<SyncSender<Vec<u8>>>,
    /// Set before there is no sender any more, if the disk is too slow.
    broke_off: Arc<AtomicBool>,
}

impl Reel {
    /// What every recording begins with is passed on.
    fn new(sender: SyncSender<Vec<u8>>) -> Reel {
        let mut reel = Reel { recorder: Recorder::new(BY), sender: Some(sender), broke_off: Arc::default() };
        let head = reel.recorder.chunk();
        reel.send(head);
        reel
    }

    /// The brain has nothing more to do.
    fn pass_on(&mut self) {
        if let Some(chunk) = self.recorder.due_chunk(WRITTEN_AFTER) {
            self.send(chunk);
        }
    }

    fn send(&mut self, chunk: Vec<u8>) {
        match self.sender.as_ref().map(|sender| sender.try_send(chunk)) {
            None | Some(Ok(())) => {}
            Some(Err(TrySendError::Full(_))) => {
                tracing::error!("the recording ends here, and the download goes on: the disk is too slow");
                self.broke_off.store(true, Ordering::Release);
                self.sender = None;
            }
            // The writer has said why.
            Some(Err(TrySendError::Disconnected(_))) => self.sender = None,
        }
    }

    /// Whether all of it was passed on. The last chunk may wait: nothing else is to be done any more.
    fn finish(self) -> bool {
        let Reel { recorder, sender, .. } = self;
        sender.is_some_and(|sender| sender.send(recorder.finish()).is_ok())
    }
}

/// A tape that is being written to; its reel goes back to it in the end.
#[derive(Debug)]
pub(crate) struct Threaded {
    tape: Tape,
    /// `None` only while it is being dropped.
    reel: Option<Reel>,
}

impl Threaded {
    fn reel(&mut self) -> &mut Reel {
        self.reel.as_mut().expect("it is there until this is dropped")
    }
}

impl Drop for Threaded {
    fn drop(&mut self) {
        let reel = self.reel.take();
        self.tape.inner().reel = reel;
    }
}

/// Tells what a brain is told and does, while somebody listens.
#[derive(Debug)]
pub(crate) struct Ears {
    shared: Arc<Shared>,
    torrent: InfoHash,
    ours: Ours,
    watch: Option<Watch>,
    /// The newest listener who knows who is connected, and what holds the torrent back.
    newest: u64,
    /// By which of [`HOLDING`] the torrent was held back when that was last looked at.
    held: [bool; 4],
    /// When the brain was told something last.
    now: Time,
}

/// Limits that hold a torrent back for a while: each is told when it begins to, and to who begins to listen meanwhile.
const HOLDING: [&str; 4] = ["download rate", "upload rate", "upload slots", "connections"];

fn holds(limit: &'static str) -> EventKind {
    EventKind::LimitReached { limit: limit.into(), peer: None }
}

/// What a [`Watch`] tells of.
const WATCHED: u32 = Kind::Connection.bit()
    | Kind::Handshake.bit()
    | Kind::Message.bit()
    | Kind::Piece.bit()
    | Kind::Peers.bit()
    | Kind::Disk.bit()
    | Kind::Ban.bit()
    | Kind::Limit.bit()
    | Kind::Torrent.bit();

impl Ears {
    pub(crate) fn new(shared: Arc<Shared>, torrent: InfoHash, peer_id: PeerId) -> Ears {
        let ours = Ours { info_hash: torrent.wire(), peer_id, reserved: shared.reserved() };
        Ears { shared, torrent, ours, watch: None, newest: 0, held: [false; 4], now: Time::ZERO }
    }

    /// Something happens to the brain; `tell` is called if anybody wants to hear of it.
    fn hear(&mut self, swarm: &Swarm, tell: impl FnOnce(&mut Watch, Time, &mut dyn FnMut(EventKind))) {
        let hub = &self.shared.hub;
        if !hub.is_heard(WATCHED) {
            self.watch = None;
            return;
        }
        let watch = self.watch.get_or_insert_with(|| {
            let mut watch = Watch::new(self.ours);
            watch.join(swarm.greetings());
            watch
        });
        let newest = hub.newest();
        if newest != self.newest {
            let hear = &mut |kind| hub.tell_newcomers(self.torrent, self.newest, kind);
            HOLDING
                .into_iter()
                .zip(self.held)
                .filter(|&(_, held)| held)
                .for_each(|(limit, _)| hear(holds(limit)));
            watch.present(swarm.greetings(), hear);
            self.newest = newest;
        }
        tell(watch, self.now, &mut |kind| hub.tell(self.torrent, || kind));
    }
}

/// A swarm that may be recorded and listened to.
#[derive(Debug)]
pub(crate) struct Brain {
    swarm: Swarm,
    tape: Option<Threaded>,
    ears: Option<Ears>,
}

impl Brain {
    /// See [`Swarm::new`].
    pub(crate) fn new(
        mut tape: Option<Threaded>,
        config: Config,
        lengths: Lengths,
        have: Bitfield,
        now: Time,
    ) -> Brain {
        let seed = fastrand::u64(..);
        if let Some(tape) = &mut tape {
            tape.reel().recorder.begin(&config, &lengths, &have, seed, now);
        }
        Brain { swarm: Swarm::new(config, lengths, have, seed, now), tape, ears: None }
    }

    /// See [`Swarm::of_unknown`].
    pub(crate) fn of_unknown(
        mut tape: Option<Threaded>,
        config: Config,
        info_hash: InfoHash,
        wants_content: bool,
        now: Time,
    ) -> Brain {
        let seed = fastrand::u64(..);
        if let Some(tape) = &mut tape {
            tape.reel().recorder.begin_unknown(&config, info_hash, wants_content, seed, now);
        }
        Brain { swarm: Swarm::of_unknown(config, info_hash, wants_content, seed, now), tape, ears: None }
    }

    /// From now on whoever listens hears of it.
    pub(crate) fn set_ears(&mut self, ears: Ears) {
        #[cfg(test)]
        if overhead::whole::is_deaf() {
            return;
        }
        self.ears = Some(ears);
    }

    /// What it is recorded to, for the brain that comes after it.
    pub(crate) fn take_tape(&mut self) -> Option<Threaded> {
        self.tape.take()
    }

    /// See [`Swarm::handle`].
    pub(crate) fn handle(&mut self, now: Time, input: Input<'_>) {
        if let Some(tape) = &mut self.tape {
            tape.reel().recorder.told(now, &input);
        }
        if let Some(ears) = &mut self.ears {
            ears.now = now;
            ears.hear(&self.swarm, |watch, now, hear| watch.told(now, &input, hear));
        }
        self.swarm.handle(now, input);
    }

    /// A connection is gone, for a reason that the swarm need not know.
    pub(crate) fn closed(&mut self, now: Time, peer: PeerKey, reason: &dyn Display) {
        if let Some(ears) = &mut self.ears {
            ears.now = now;
            ears.hear(&self.swarm, |watch, _, hear| watch.closed(peer, || reason.to_string(), hear));
        }
        self.handle(now, Input::PeerClosed { peer });
    }

    /// A peer has come to a limit that the swarm does not know.
    pub(crate) fn reached(&mut self, peer: PeerKey, limit: &'static str) {
        if let Some(ears) = &mut self.ears {
            ears.hear(&self.swarm, |watch, _, hear| {
                hear(EventKind::LimitReached { limit: limit.into(), peer: Some(watch.peer(peer)) });
            });
        }
    }

    /// By which of [`HOLDING`] the torrent is held back.
    pub(crate) fn held(&mut self, held: [bool; 4]) {
        if let Some(ears) = &mut self.ears {
            let before = ears.held;
            ears.hear(&self.swarm, |_, _, hear| {
                let begins =
                    HOLDING.into_iter().zip(held).zip(before).filter(|((_, held), before)| *held && !before);
                begins.for_each(|((limit, _), _)| hear(holds(limit)));
            });
            ears.held = held;
        }
    }

    /// A block of a peer waited for the disk, which the swarm need not know.
    pub(crate) fn waited(&mut self, peer: PeerKey, took: Duration) {
        if let Some(ears) = &mut self.ears {
            ears.hear(&self.swarm, |watch, _, hear| watch.waited(peer, took, hear));
        }
    }

    /// See [`Swarm::handle_timeout`].
    pub(crate) fn handle_timeout(&mut self, now: Time) {
        if let Some(tape) = &mut self.tape {
            tape.reel().recorder.timeout(now);
        }
        if let Some(ears) = &mut self.ears {
            ears.now = now;
        }
        self.swarm.handle_timeout(now);
    }

    /// See [`Swarm::poll_output`].
    pub(crate) fn poll_output(&mut self) -> Option<Output> {
        let output = self.swarm.poll_output();
        if let Some(tape) = &mut self.tape {
            match &output {
                Some(output) => tape.reel().recorder.did(output),
                None => tape.reel().pass_on(),
            }
        }
        if let (Some(ears), Some(output)) = (&mut self.ears, &output) {
            let swarm = &self.swarm;
            ears.hear(swarm, |watch, now, hear| {
                let view = |key| swarm.peers(now).find(|view| view.peer == key);
                watch.did(now, output, view, hear);
            });
        }
        output
    }

    /// See [`Swarm::take_over`].
    pub(crate) fn take_over(&mut self, now: Time, before: Brain) {
        if let Some(tape) = &mut self.tape {
            tape.reel().recorder.take_over(now);
        }
        if let (Some(ears), Some(mut before)) = (&mut self.ears, before.ears) {
            ears.now = now;
            ears.watch = before.watch.take();
            (ears.newest, ears.held) = (before.newest, before.held);
            if let Some(watch) = &mut ears.watch {
                watch.take_over();
            }
        }
        self.swarm.take_over(now, before.swarm);
    }

    /// See [`Swarm::take_metadata`].
    pub(crate) fn take_metadata(&mut self) -> Option<Vec<u8>> {
        self.swarm.take_metadata()
    }
}

/// What changes nothing needs no recording.
impl Deref for Brain {
    type Target = Swarm;

    fn deref(&self) -> &Swarm {
        &self.swarm
    }
}

#[cfg(test)]
mod overhead;

#[cfg(test)]
mod tests {
    use super::*;
    use swarm::PeerSource;

    #[test]
    fn so_many_chunks_wait_for_a_slow_disk() {
        let (sender, chunks) = sync_channel(WAITING_CHUNKS);
        let mut reel = Reel::new(sender);
        let addrs = [([192, 0, 2, 1], 6881).into(); 1000];
        while reel.sender.is_some() {
            reel.recorder.told(Time::ZERO, &Input::PeersFound { addrs: &addrs, source: PeerSource::Dht });
            reel.pass_on();
        }
        let waiting: Vec<_> = chunks.try_iter().collect();
        assert_eq!(waiting.len(), WAITING_CHUNKS);
        let chunk_len = record::limits::CHUNK_LEN;
        assert!(waiting[1..].iter().all(|chunk| (chunk_len..2 * chunk_len).contains(&chunk.len())));
        let broke_off = reel.broke_off.clone();
        assert!(!reel.finish(), "it is not whole");

        // The file has what the disk took in the end, and says what became of the rest.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rec");
        let (sender, chunks) = sync_channel(WAITING_CHUNKS);
        waiting[..1].iter().for_each(|chunk| sender.send(chunk.clone()).unwrap());
        drop(sender);
        write(File::create(&path).unwrap(), &path, &chunks, &broke_off).unwrap();
        let written = std::fs::read(&path).unwrap();
        let replayed = record::Replay::new(&written).unwrap().run(|_, _| true).unwrap();
        assert!(replayed.broken_off && !replayed.whole);
    }

    #[test]
    fn of_a_slow_download_all_but_the_last_second_is_written() {
        let (sender, chunks) = sync_channel(WAITING_CHUNKS);
        let mut reel = Reel::new(sender);
        let mut written: Vec<u8> = chunks.try_iter().flatten().collect();
        assert_eq!(replayed(&written), Ok((0, 0, false)), "it is a recording from the start");

        let (mut now, config) = (Time::from_millis(1500), Config::default());
        let lengths = Lengths::new(1 << 20, 1 << 18).unwrap();
        let have = Bitfield::new(lengths.piece_count());
        reel.recorder.begin(&config, &lengths, &have, 7, now);
        let mut swarm = Swarm::new(config, lengths, have, 7, now);
        let (mut told, mut did) = (0, 0);
        for number in 0..50 {
            now += WRITTEN_AFTER / 10;
            let addrs = [([192, 0, 2, number], 6881).into()];
            let input = Input::PeersFound { addrs: &addrs, source: PeerSource::Dht };
            reel.recorder.told(now, &input);
            swarm.handle(now, input);
            told += 1;
            while let Some(output) = swarm.poll_output() {
                reel.recorder.did(&output);
                did += 1;
            }
            reel.pass_on();
            let mut news = chunks.try_iter().flatten().peekable();
            if news.peek().is_some() {
                written.extend(news);
                assert_eq!(replayed(&written), Ok((told, did, false)), "it has all up to now");
            }
            assert!(told - replayed(&written).unwrap().0 < 10, "{told}: what is older than a second is lost");
        }
        assert!(did > 0, "it does nothing");
        assert!(reel.finish());
        written.extend(chunks.try_iter().flatten());
        assert_eq!(replayed(&written), Ok((told, did, true)));
    }

    /// How many inputs and outputs a recording tells of, and whether it is whole.
    fn replayed(recording: &[u8]) -> Result<(u64, u64, bool), record::Error> {
        let replayed = record::Replay::new(recording)?.run(|_, _| true)?;
        Ok((replayed.inputs, replayed.outputs, replayed.whole))
    }

    const TORRENT: InfoHash = InfoHash::V1(types::InfoHashV1([1; 20]));

    /// A brain that is heard.
    fn with_ears(home: &Path, now: Time) -> (Brain, Arc<Shared>) {
        let shared = Arc::new(Shared::new(crate::Settings::new(home), &[], None, None).unwrap());
        let lengths = Lengths::new(1 << 20, 1 << 18).unwrap();
        let have = Bitfield::new(lengths.piece_count());
        let config = Config { pex: true, ..Config::default() };
        let mut brain = Brain::new(None, config, lengths, have, now);
        brain.set_ears(Ears::new(shared.clone(), TORRENT, PeerId([9; 20])));
        (brain, shared)
    }

    #[tokio::test]
    async fn what_holds_it_back_is_told_once_to_everybody_whenever_they_begin_to_listen() {
        let (home, now) = (tempfile::tempdir().unwrap(), Time::from_secs(1));
        let (mut brain, shared) = with_ears(home.path(), now);
        let listen = || shared.hub.listen("limit,torrent".parse().unwrap());
        brain.held([true, false, false, true]);
        let mut first = listen();
        brain.handle(now, Input::Pause);
        brain.held([true, true, false, true]);
        let mut second = listen();
        brain.held([false, true, true, true]);
        brain.held([false, true, true, true]);
        drop((brain, shared));
        let heard = |events: &mut crate::Events| {
            let next = || Some(pollster::block_on(events.next())?.kind.to_string());
            std::iter::from_fn(next).collect::<Vec<_>>()
        };
        let of = |limit: &str| format!("limit reached: {limit}");
        let [down, up, slots, connections] = HOLDING.map(of);
        let before = [down.clone(), connections.clone(), "pauses".into(), up.clone(), slots.clone()];
        assert_eq!(heard(&mut first), before);
        assert_eq!(heard(&mut second), [down, up, connections, slots]);
    }

    #[tokio::test]
    async fn who_listens_late_hears_who_is_there_and_what_extensions_say() {
        use crate::events::Filter;
        use wire::{Message, Reserved, ext};
        let (home, now) = (tempfile::tempdir().unwrap(), Time::from_secs(1));
        let (mut brain, shared) = with_ears(home.path(), now);
        let (peer, addr) = (PeerKey(7), "192.0.2.1:6881".parse().unwrap());
        let (peer_id, reserved) =
            (PeerId(*b"-TR4050-abcdefghijkl"), Reserved::NONE.with_fast().with_extended());
        let outgoing = true;
        brain.handle(now, Input::PeerConnected { peer, addr, outgoing, peer_id, reserved });
        let m = [(ext::UT_PEX.to_owned(), 3), (ext::LT_DONTHAVE.to_owned(), 5)].into();
        let hello = ext::Handshake { m, client: Some("other 2".into()), ..ext::Handshake::default() };
        let extended = |id, payload: Vec<u8>| Message::Extended { id, payload: payload.into() };
        let message = extended(0, hello.encode());
        brain.handle(now, Input::Message { peer, message });
        while brain.poll_output().is_some() {}

        // The one joins a swarm that nobody watched, the other one that is watched already.
        let listen = || shared.hub.listen("connection,message".parse::<Filter>().unwrap());
        let mut listeners = vec![listen()];
        let say = |brain: &mut Brain| {
            let message = extended(1, ext::Pex::default().encode());
            brain.handle(now, Input::Message { peer, message });
            while brain.poll_output().is_some() {}
        };
        say(&mut brain);
        listeners.push(listen());
        say(&mut brain);
        let pex = "pex, 0 added, 0 dropped";
        let there =
            "is connected already, it answered: other 2 (-TR4050-abcdefghijkl), can do: fast, extended";
        for (listener, expected) in listeners.iter_mut().zip([&[there, pex, pex][..], &[there, pex]]) {
            for line in expected {
                let event = pollster::block_on(listener.next()).unwrap();
                assert!(event.kind.to_string().starts_with(line), "{}", event.kind);
                assert_eq!(event.kind.peer().unwrap().number, Some(7));
            }
        }
        assert!(brain.greetings().next().unwrap().to_it.contains(&(ext::LT_DONTHAVE, 5)));
    }

    #[test]
    fn what_cannot_begin_leaves_nothing_and_what_has_begun_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rec");
        for (begun, stays) in [(false, false), (true, true)] {
            let file = File::create(&path).unwrap();
            let (sender, chunks) = sync_channel(2);
            // Of which nothing can be written, as on a full disk.
            let broken = File::open(&path).unwrap();
            sender.send(b"recording".to_vec()).unwrap();
            drop(sender);
            let broke_off = AtomicBool::new(false);
            let written = write(if begun { file } else { broken }, &path, &chunks, &broke_off);
            assert_eq!((written.is_ok(), path.exists()), (begun, stays));
        }
    }

    #[test]
    fn an_empty_file_is_taken_for_a_new_one_unless_somebody_records_to_it() {
        let dir = tempfile::tempdir().unwrap();
        let [left, target, link] = ["left", "target", "link"].map(|name| dir.path().join(name));
        for path in [&left, &target] {
            std::fs::write(path, "").unwrap();
        }
        let tape = Tape::create(&left).unwrap();
        let again = Tape::create(&left).unwrap_err();
        assert_eq!(again.kind(), io::ErrorKind::AlreadyExists, "it is taken");
        assert!(left.exists(), "who is refused removes nothing");
        drop(tape.thread());
        let len = tape.finish().unwrap();
        assert!(len > 0 && std::fs::metadata(&left).unwrap().len() == len);
        assert_eq!(
            Tape::create(&left).unwrap_err().kind(),
            io::ErrorKind::AlreadyExists,
            "it has something in it"
        );
        #[cfg(unix)]
        {
            std::os::unix::fs::symlink(&target, &link).unwrap();
            assert_eq!(Tape::create(&link).unwrap_err().kind(), io::ErrorKind::AlreadyExists, "a link");
        }
    }

    #[test]
    fn who_ends_it_too_soon_does_not_wait_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a.rec");
        let tape = Tape::create(&path).unwrap();
        let threaded = tape.thread().unwrap();
        assert!(tape.thread().is_none(), "one writes to it at a time");
        assert!(tape.clone().finish().unwrap_err().to_string().contains("has not stopped"));
        drop(threaded);
        assert!(tape.thread().is_some(), "the reel is back");
        let unused = dir.path().join("c.rec");
        let tape = Tape::create(&unused).unwrap();
        assert!(unused.exists());
        tape.finish().unwrap();
        assert!(!unused.exists(), "there is nothing in it");
        let tape = Tape::create(&dir.path().join("b.rec")).unwrap();
        drop(tape.thread());
        assert_eq!(tape.finish().unwrap(), std::fs::metadata(dir.path().join("b.rec")).unwrap().len());
    }
}
