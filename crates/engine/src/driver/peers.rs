//! The connections of one torrent: a task each, and a queue of commands to each.

use super::web_seeds::Files;
use crate::meet::Waits;
use crate::shared::Guest;
use net::conn::{self, Batch, Chunks, Command, Context, Pipes, Turn};
use net::web_seed::{self, Found};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::os::fd::BorrowedFd;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use storage::TorrentDisk;
use swarm::PeerKey;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::task::JoinSet;
use types::BlockRange;

/// How many batches of what peers say may wait; a connection that has another one does not read on until there is room.
const PEER_QUEUE: usize = 256;

/// The connections of one torrent.
pub(super) struct Peers {
    /// Where blocks go, once it is known what the torrent is.
    disk: Arc<OnceLock<TorrentDisk>>,
    limits: wire::Limits,
    chunks: Chunks,
    pipes: Pipes,
    open: BTreeMap<PeerKey, Peer>,
    /// Those that have commands waiting.
    touched: Vec<PeerKey>,
    next_key: u64,
    /// What they say; made for the first of them, gone with the last.
    queue: Option<Queue>,
    /// Of the batches that were heard and not answered yet.
    turns: Vec<Turn>,
    tasks: JoinSet<()>,
    /// Connections that wait until the disk has taken a block.
    waiting: Arc<AtomicUsize>,
}

type Queue = (mpsc::Sender<Batch<PeerKey>>, mpsc::Receiver<Batch<PeerKey>>);

struct Peer {
    addr: SocketAddr,
    commands: mpsc::Sender<Vec<Command>>,
    waiting: Vec<Command>,
    has_named_node: bool,
}

impl Peers {
    pub(super) fn new(limits: wire::Limits, chunks: Chunks, pipes: Pipes) -> Peers {
        Peers {
            disk: Arc::default(),
            limits,
            chunks,
            pipes,
            open: BTreeMap::new(),
            touched: Vec::new(),
            next_key: 0,
            queue: None,
            turns: Vec::new(),
            tasks: JoinSet::new(),
            waiting: Arc::default(),
        }
    }

    /// How many connections wait until the disk has taken a block.
    pub(super) fn waiting_for_disk(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// It is known what the torrent is, and where its blocks go; to be said once, before any block is asked for.
    pub(super) fn set_disk(&mut self, disk: TorrentDisk, limits: wire::Limits) {
        self.limits = limits;
        let _ = self.disk.set(disk);
    }

    /// Starts the connection's task.
    pub(super) fn welcome(&mut self, guest: Guest) -> PeerKey {
        let (key, commands) = self.enter(guest.addr);
        let disk = self.disk(key);
        let (chunks, pipes) = (self.chunks.clone(), self.pipes.clone());
        let context = Context { disk, limits: self.limits, chunks, pipes };
        let talk = conn::run(guest.stream, context, key, commands, self.sender());
        let place = guest.place;
        self.tasks.spawn(async move {
            talk.await;
            drop(place);
        });
        key
    }

    /// Starts the task of a web seed. The first of its permits is there; it has as many connections as it has permits.
    pub(super) fn welcome_web_seed(
        &mut self,
        seed: Found,
        files: Files,
        permits: Vec<OwnedSemaphorePermit>,
    ) -> PeerKey {
        let (key, commands) = self.enter(seed.addr);
        let disk = self.disk(key);
        let context = web_seed::Context { disk, chunks: self.chunks.clone(), connections: permits.len() };
        let fetching = web_seed::run(seed, files, context, key, commands, self.sender());
        self.tasks.spawn(async move {
            fetching.await;
            drop(permits);
        });
        key
    }

    /// The torrent's files, as a connection sees them.
    fn disk(&self, key: PeerKey) -> Disk {
        Disk { disk: self.disk.clone(), peer: key, waiting: self.waiting.clone() }
    }

    /// Gives a connection a number and a queue.
    fn enter(&mut self, addr: SocketAddr) -> (PeerKey, mpsc::Receiver<Vec<Command>>) {
        let key = PeerKey(self.next_key);
        self.next_key += 1;
        let (commands, receiver) = mpsc::channel(conn::COMMAND_QUEUE);
        self.open.insert(key, Peer { addr, commands, waiting: Vec::new(), has_named_node: false });
        while self.tasks.try_join_next().is_some() {}
        (key, receiver)
    }

    /// Where a connection says what it hears.
    fn sender(&mut self) -> mpsc::Sender<Batch<PeerKey>> {
        self.queue.get_or_insert_with(|| mpsc::channel(PEER_QUEUE)).0.clone()
    }

    /// The next batch of what peers say; none when nothing is left of those who were here, which is said once. Safe to cancel.
    pub(super) async fn hear(&mut self) -> Option<Batch<PeerKey>> {
        loop {
            let Some((_, said)) = &mut self.queue else { return std::future::pending().await };
            tokio::select! {
                biased;
                Some(batch) = said.recv() => return Some(self.note_turn(batch)),
                // A task that has ended takes its room until it is looked at.
                Some(_) = self.tasks.join_next() => {
                    if self.rests_alone() {
                        return None;
                    }
                }
            }
        }
    }

    /// A further batch, if one waits.
    pub(super) fn hear_more(&mut self) -> Option<Batch<PeerKey>> {
        let batch = self.queue.as_mut()?.1.try_recv().ok()?;
        Some(self.note_turn(batch))
    }

    /// Nothing is kept for peers while there are none: most torrents have none most of the time.
    fn rests_alone(&mut self) -> bool {
        let is_silent = self.queue.as_ref().is_none_or(|(_, said)| said.is_empty());
        let is_alone = is_silent && self.open.is_empty() && self.tasks.is_empty();
        if is_alone {
            self.queue = None;
            (self.open, self.touched, self.turns) = (BTreeMap::new(), Vec::new(), Vec::new());
        }
        is_alone
    }

    /// Whose turn it is has no other before [`Self::flush`].
    fn note_turn(&mut self, mut batch: Batch<PeerKey>) -> Batch<PeerKey> {
        self.turns.extend(batch.turn.take());
        batch
    }

    /// Whether nobody is connected.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// The far end of an open connection.
    pub(super) fn addr(&self, key: PeerKey) -> Option<SocketAddr> {
        self.open.get(&key).map(|peer| peer.addr)
    }

    /// Whether the peer may name a DHT node, which it now does: one for each connection.
    pub(super) fn may_name_node(&mut self, key: PeerKey) -> bool {
        self.open.get_mut(&key).is_some_and(|peer| !std::mem::replace(&mut peer.has_named_node, true))
    }

    /// Whether nobody is connected, and nothing is left of those who were.
    pub(super) fn is_at_rest(&self) -> bool {
        self.open.is_empty() && self.queue.is_none() && self.tasks.is_empty()
    }

    /// What the next connection is called.
    pub(super) fn next_key(&self) -> u64 {
        self.next_key
    }

    /// What the next connection is called, since others had the names before.
    pub(super) fn set_next_key(&mut self, next: u64) {
        self.next_key = next;
    }

    /// Puts a command in front of a connection; [`Self::flush`] hands it over.
    pub(super) fn command(&mut self, key: PeerKey, command: Command) {
        if let Some(peer) = self.open.get_mut(&key) {
            if peer.waiting.is_empty() {
                self.touched.push(key);
            }
            peer.waiting.push(command);
        }
    }

    /// Lets a connection say what it was given, and end.
    pub(super) fn hang_up(&mut self, key: PeerKey) {
        let Some(peer) = self.open.remove(&key) else { return };
        if !peer.waiting.is_empty() {
            // A queue that is full belongs to a peer that does not listen anyway.
            let _ = peer.commands.try_send(peer.waiting);
        }
    }

    /// Hands every waiting command over. Connections that have not taken in what they were given before are given up;
    /// they are returned.
    pub(super) fn flush(&mut self) -> Vec<PeerKey> {
        let mut stuck = Vec::new();
        for key in self.touched.drain(..) {
            let Some(peer) = self.open.get_mut(&key) else { continue };
            let waiting = std::mem::take(&mut peer.waiting);
            // Closed: its last event is on its way here.
            if let Err(mpsc::error::TrySendError::Full(_)) = peer.commands.try_send(waiting) {
                stuck.push(key);
                self.open.remove(&key);
            }
        }
        self.turns.clear();
        stuck
    }

    /// Has a connection that comes to no end.
    #[cfg(test)]
    pub(super) fn never_end(&mut self) {
        self.tasks.spawn(std::future::pending());
    }

    /// Waits until every connection has said its last words. What they still report is dropped.
    pub(super) async fn end(mut self) {
        self.open.clear();
        if let Some((_, said)) = &mut self.queue {
            said.close();
        }
        while self.tasks.join_next().await.is_some() {}
    }
}

/// A torrent's files, as one connection sees them.
#[derive(Clone)]
struct Disk {
    disk: Arc<OnceLock<TorrentDisk>>,
    peer: PeerKey,
    waiting: Arc<AtomicUsize>,
}

impl Disk {
    fn get(&self) -> std::io::Result<&TorrentDisk> {
        // Not reached: before that, no block is asked for or served.
        self.disk.get().ok_or_else(|| std::io::Error::other("it is not known yet what the torrent is"))
    }
}

impl conn::BlockSink for Disk {
    /// What is taken is told by the disk itself, so that it is heard of before what its piece comes to.
    async fn write(&self, block: BlockRange, data: bytes::Bytes) -> bool {
        let Ok(disk) = self.get() else { return false };
        let _waits = Waits::new(&self.waiting);
        disk.write_block(block, data, self.peer.0).await.is_ok()
    }

    fn tell(&self) {
        if let Ok(disk) = self.get() {
            disk.tell();
        }
    }
}

impl conn::BlockSource for Disk {
    async fn read(&self, block: BlockRange) -> std::io::Result<bytes::Bytes> {
        self.get()?.read_block(block).await.map_err(not_served)
    }

    async fn with_file<T: Send + 'static>(
        &self,
        run: BlockRange,
        work: impl FnOnce(Option<(BorrowedFd<'_>, u64)>) -> T + Send + 'static,
    ) -> std::io::Result<T> {
        self.get()?.with_file(run, work).await.map_err(not_served)
    }
}

fn not_served(err: storage::Error) -> std::io::Error {
    tracing::warn!("cannot serve a block: {err}");
    std::io::Error::other(err)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[test]
    fn a_connection_names_one_node() {
        let mut peers = Peers::new(wire::Limits::unknown_pieces(), Chunks::default(), Pipes::default());
        let [one, other] = [1, 2].map(|port| peers.enter(SocketAddr::from(([127, 0, 0, 1], port))).0);
        let may_name = [one, one, other, one, other].map(|key| peers.may_name_node(key));
        assert_eq!(may_name, [true, false, true, false, false]);
        peers.hang_up(one);
        assert!(!peers.may_name_node(one), "it is gone");
    }

    #[test]
    fn so_many_batches_wait_and_then_a_connection_does() {
        let mut peers = Peers::new(wire::Limits::unknown_pieces(), Chunks::default(), Pipes::default());
        let sender = peers.sender();
        let room: Vec<_> = (0..PEER_QUEUE).map(|_| sender.try_reserve().unwrap()).collect();
        assert!(sender.try_reserve().is_err());
        drop(room);
        assert!(sender.try_reserve().is_ok());
    }

    #[tokio::test]
    async fn nothing_is_kept_for_those_that_are_gone() {
        let mut peers = Peers::new(wire::Limits::unknown_pieces(), Chunks::default(), Pipes::default());
        let [one, other] = [1, 2].map(|port| peers.enter(SocketAddr::from(([127, 0, 0, 1], port))).0);
        for key in [one, other] {
            let sender = peers.sender();
            peers.tasks.spawn(async move {
                let batch = Batch { from: key, events: Vec::new(), turn: None };
                sender.send(batch).await.map_err(drop).unwrap();
            });
        }
        // Its last words are heard first.
        assert_eq!([peers.hear().await, peers.hear().await].map(|batch| batch.unwrap().from), [one, other]);
        tokio::task::yield_now().await;
        peers.hang_up(one);
        assert!(peers.hear().now_or_never().is_none());
        assert_eq!((peers.tasks.len(), peers.queue.is_some()), (0, true), "one is still there");
        peers.hang_up(other);
        peers.tasks.spawn(std::future::ready(()));
        tokio::task::yield_now().await;
        assert!(matches!(peers.hear().now_or_never(), Some(None)), "it is looked what follows");
        assert_eq!((peers.tasks.len(), peers.queue.is_some()), (0, false));
        assert!(peers.hear().now_or_never().is_none());
    }
}
