//! The half of a connection that listens.

use super::chunks::{LEAST_CHUNK, Place, Share};
use super::{
    Between, BlockSink, CloseReason, Context, EVENT_BATCH, Event, IDLE_BUFFER, Outbox, READ_CHUNK, REST,
};
use bytes::{Bytes, BytesMut};
use std::future;
use std::io;
use std::mem;
use std::pin::pin;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::time::{Instant, timeout};
use types::{BlockRange, PieceIndex};
use wire::{Decoded, Message};

/// The least room for which a socket read is worth its system call while blocks are expected.
const LEAST_ROOM: usize = 32 * 1024;

pub(super) struct Reader<'a, R, D, K> {
    stream: R,
    context: &'a Context<D>,
    between: &'a Between,
    outbox: &'a Outbox<K>,
    buf: BytesMut,
    /// How many bytes at the start of `buf` are done with and in no block: room, if what follows is moved.
    done: usize,
    /// The buffer came from the chunks that are shared, with this leave.
    place: Option<Place>,
    /// A chunk was given back since the last read.
    gave_chunk: bool,
    /// How many bytes the message behind those needs in all, as far as is known.
    needed: usize,
    /// What it holds of the memory for messages.
    share: Share,
    events: Vec<Event>,
    /// Bytes of blocks that were copied or moved.
    #[cfg(test)]
    copied: usize,
}

impl<'a, R, D, K> Reader<'a, R, D, K>
where
    R: AsyncRead + Unpin,
    D: BlockSink,
    K: Copy,
{
    pub(super) fn new(
        stream: R,
        context: &'a Context<D>,
        between: &'a Between,
        outbox: &'a Outbox<K>,
    ) -> Self {
        Reader {
            stream,
            context,
            between,
            outbox,
            buf: BytesMut::new(),
            done: 0,
            place: None,
            gave_chunk: false,
            needed: 0,
            share: context.chunks.share(&between.of_messages),
            events: Vec::new(),
            #[cfg(test)]
            copied: 0,
        }
    }

    pub(super) async fn run(mut self) -> CloseReason {
        // Room for the longest message, whatever comes.
        #[cfg(feature = "planted")]
        let _room = crate::planted::is("long-buffers").then(|| vec![1_u8; 16 * READ_CHUNK]);
        loop {
            self.between.released().await;
            self.make_room();
            // What is in chunks is bounded by itself.
            let held = if self.place.is_some() { 0 } else { self.buf.capacity() };
            if !self.share.set(held) && !self.make_do() {
                return CloseReason::OverBudget;
            }
            match self.read().await {
                Ok(Some(0)) => return CloseReason::Theirs,
                Ok(Some(_)) => {}
                Ok(None) => continue,
                Err(err) => return err.into(),
            }
            let parsed = self.take_messages().await;
            self.context.disk.tell();
            let told = self.tell().await;
            if let Err(reason) = parsed.and(told) {
                return reason;
            }
        }
    }

    /// Reads; `None` if nothing has come for a while, and a chunk is at hand.
    async fn read(&mut self) -> io::Result<Option<usize>> {
        let gave_chunk = mem::take(&mut self.gave_chunk);
        if !gave_chunk && self.place.is_none() {
            return self.stream.read_buf(&mut self.buf).await.map(Some);
        }
        match timeout(REST, self.stream.read_buf(&mut self.buf)).await {
            Ok(read) => return read.map(Some),
            Err(_) if gave_chunk => self.context.chunks.release_unused(REST),
            // What was asked for was taken back, and nobody has said anything since.
            Err(_) if self.between.expected().is_empty() => {
                self.go_on_in(BytesMut::with_capacity(self.buf.len() - self.done + IDLE_BUFFER), None);
                self.gave_chunk = true;
            }
            Err(_) => {}
        }
        Ok(None)
    }

    /// Whether a connection that reads blocks into a buffer of its own can do with less, which it does then.
    fn make_do(&mut self) -> bool {
        if self.place.is_some() || self.between.expected().is_empty() {
            return false;
        }
        let len = self.buf.len() - self.done;
        let missing = self.needed.saturating_sub(len).clamp(1, LEAST_ROOM);
        self.go_on_in(BytesMut::with_capacity(len + missing), None);
        self.share.set(self.buf.capacity())
    }

    /// A connection that expects blocks reads in large portions; one that does not keeps next to nothing.
    fn make_room(&mut self) {
        let idle = self.between.expected().is_empty();
        if idle && self.buf.is_empty() && self.buf.capacity() > IDLE_BUFFER {
            let buf = mem::take(&mut self.buf);
            if self.place.take().is_some() {
                self.context.chunks.give(buf);
                self.gave_chunk = true;
            }
        }
        // A long message is made room for as it arrives: its length alone is no reason to believe in it.
        let missing = self.needed.saturating_sub(self.buf.len() - self.done).min(READ_CHUNK);
        let wanted = if idle { missing.max(1) } else { missing.max(LEAST_ROOM) };
        if self.room() < wanted && self.room() + self.done >= wanted {
            self.move_up();
        }
        // What a long message needed is not for blocks: whoever holds one would hold all of it.
        let is_outgrown = self.place.is_none() && self.needed <= LEAST_CHUNK - LEAST_ROOM;
        let len = self.buf.len() - self.done;
        if idle && self.room() < wanted {
            self.go_on_in(BytesMut::with_capacity(len + IDLE_BUFFER.max(missing)), None);
        } else if !idle && (self.room() < LEAST_ROOM || is_outgrown) {
            let fits = len + wanted <= LEAST_CHUNK;
            // One that is full is given back for another.
            let gives = self.place.is_some();
            match if fits { self.context.chunks.place(gives) } else { None } {
                Some(place) => self.go_on_in(self.context.chunks.take(), Some(place)),
                None if !fits => self.go_on_in(BytesMut::with_capacity(len + READ_CHUNK), None),
                None if self.room() < wanted => self.go_on_in(BytesMut::with_capacity(len + wanted), None),
                None => {}
            }
        }
    }

    fn room(&self) -> usize {
        self.buf.capacity() - self.buf.len()
    }

    /// Moves what is not done with to the start of the buffer.
    fn move_up(&mut self) {
        let done = mem::take(&mut self.done);
        self.buf.copy_within(done.., 0);
        self.buf.truncate(self.buf.len() - done);
    }

    fn go_on_in(&mut self, mut buf: BytesMut, place: Option<Place>) {
        buf.extend_from_slice(&self.buf[mem::take(&mut self.done)..]);
        let old = mem::replace(&mut self.buf, buf);
        if mem::replace(&mut self.place, place).is_some() {
            self.context.chunks.give(old);
        }
    }

    /// Takes every whole message from the buffer.
    async fn take_messages(&mut self) -> Result<(), CloseReason> {
        loop {
            let decoded = wire::decode(&self.buf[self.done..], &self.context.limits);
            #[cfg(feature = "planted")]
            let decoded = match decoded {
                Err(wire::Error::TooLong { .. }) if crate::planted::is("any-length") => return Ok(()),
                Err(wire::Error::UnknownId { .. }) if crate::planted::is("any-id") => return Ok(()),
                other => other,
            };
            let (block, consumed) = match decoded? {
                Decoded::Incomplete { need_at_least } => {
                    self.needed = need_at_least;
                    if self.done == self.buf.len() {
                        self.move_up();
                    }
                    return Ok(());
                }
                Decoded::Message { message: Message::Piece { index, begin, data }, consumed } => {
                    // The limits keep a block far below 4 GiB.
                    let len = u32::try_from(data.len()).unwrap_or(u32::MAX);
                    (BlockRange { piece: PieceIndex::new(index), offset: begin, len }, consumed)
                }
                Decoded::Message { message, consumed } => {
                    self.events.push(Event::Message(message.into_owned()));
                    self.done += consumed;
                    if self.events.len() >= EVENT_BATCH {
                        self.tell().await?;
                        self.between.released().await;
                    }
                    continue;
                }
            };
            self.take_block(block, consumed).await?;
        }
    }

    /// Takes a block out of the buffer, in a frame of so many bytes.
    async fn take_block(&mut self, block: BlockRange, frame: usize) -> Result<(), CloseReason> {
        #[cfg(feature = "planted")]
        let block = match crate::planted::is("any-block") {
            true => self.like(block).unwrap_or(block),
            false => block,
        };
        if !self.between.expected().remove(&block) {
            self.done += frame;
            self.events.push(Event::Unrequested(block));
            return Ok(());
        }
        let header = frame - block.len as usize;
        let data = self.cut(frame).slice(header..);
        let mut write = pin!(self.context.disk.write(block, data));
        let accepted = tokio::select! {
            biased;
            accepted = &mut write => accepted,
            () = future::ready(()) => {
                // The disk is behind. What the peer said before this block must not wait for it.
                let since = Instant::now();
                let told = self.tell().await;
                let accepted = write.await;
                told?;
                self.events.extend(Event::waited(since));
                accepted
            }
        };
        if !accepted {
            self.events.push(Event::Refused(block));
        }
        Ok(())
    }

    /// Cuts the next frame from the buffer, as a rule where it lies. Whoever keeps it keeps the chunk: of what is used
    /// of that, no more than a third is to be anything but blocks, whatever a peer puts between them.
    fn cut(&mut self, frame: usize) -> Bytes {
        let copies = self.place.is_none();
        #[cfg(test)]
        if copies || self.done > frame / 2 {
            self.copied += frame;
        }
        if copies {
            let copy = Bytes::copy_from_slice(&self.buf[self.done..self.done + frame]);
            self.done += frame;
            return copy;
        }
        if self.done > frame / 2 {
            self.buf.copy_within(self.done..self.done + frame, 0);
        } else {
            let _ = self.buf.split_to(mem::take(&mut self.done));
        }
        self.buf.split_to(frame).freeze()
    }

    /// A block that was asked for, of the same piece and length.
    #[cfg(feature = "planted")]
    fn like(&self, block: BlockRange) -> Option<BlockRange> {
        let like = |other: &&BlockRange| other.piece == block.piece && other.len == block.len;
        self.between.expected().iter().find(like).copied()
    }

    async fn tell(&mut self) -> Result<(), CloseReason> {
        let bytes = self.events.iter().map(Event::heap_bytes).sum();
        if bytes > IDLE_BUFFER && self.place.is_none() {
            // It may wait long for its turn, and need not lie there twice.
            self.go_on_in(BytesMut::with_capacity(self.buf.len() - self.done + IDLE_BUFFER), None);
            self.share.set(self.buf.capacity());
        }
        let mut share = self.context.chunks.share(&self.between.of_messages);
        if !share.set(bytes) {
            return Err(CloseReason::OverBudget);
        }
        self.outbox.tell_in_turn(&mut self.events, share).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conn::{Chunks, Pipes, READ_BUDGET, TURNS};
    use std::pin::Pin;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::{Arc, Mutex};
    use std::task::{self, Poll};
    use tokio::io::{AsyncWriteExt, ReadBuf};
    use wire::Limits;

    /// Keeps blocks, or drops them.
    #[derive(Default)]
    struct Sink {
        keeps: bool,
        kept: Mutex<Vec<Bytes>>,
    }

    impl BlockSink for Sink {
        async fn write(&self, _: BlockRange, data: Bytes) -> bool {
            assert!(data.iter().all(|&byte| byte == 7));
            if self.keeps {
                self.kept.lock().unwrap().push(data);
            }
            true
        }

        fn tell(&self) {}
    }

    fn context(keeps: bool) -> Context<Sink> {
        Context {
            disk: Sink { keeps, ..Sink::default() },
            limits: Limits::for_pieces(100),
            chunks: Chunks::default(),
            pipes: Pipes::default(),
        }
    }

    const BLOCK: BlockRange = BlockRange { piece: PieceIndex::new(0), offset: 0, len: 16_384 };

    /// Calls `with` with the reader of a connection that expects a block.
    fn busy(with: impl FnOnce(&mut Reader<'_, tokio::io::Empty, Sink, ()>)) {
        let (context, between) = (context(false), Between::default());
        between.expected().insert(BLOCK);
        let (events, _told) = tokio::sync::mpsc::channel(1);
        with(&mut Reader::new(tokio::io::empty(), &context, &between, &Outbox::new((), events)));
    }

    /// Has so many blocks come, each behind `before` and in front of `after`. If the peer `chokes`, each is asked for when the
    /// one before it has come. How many bytes of them were copied, and how many are in chunks.
    async fn download(blocks: u32, around: [&[u8]; 2], keeps: bool, chokes: bool) -> [usize; 2] {
        download_by(&context(keeps), blocks, around, chokes).await
    }

    async fn download_by(
        context: &Context<Sink>,
        blocks: u32,
        [before, after]: [&[u8]; 2],
        chokes: bool,
    ) -> [usize; 2] {
        let between = Between::default();
        let (events, mut told) = tokio::sync::mpsc::channel(1);
        tokio::spawn(async move { while told.recv().await.is_some() {} });
        let (ours, mut peer) = tokio::io::duplex(100_000);
        let outbox = Outbox::new((), events);
        let mut reader = Reader::new(ours, context, &between, &outbox);
        let block = |number| BlockRange { offset: number * BLOCK.len, ..BLOCK };
        let says = async {
            for block in (0..blocks).map(block) {
                if chokes {
                    while !between.expected().is_empty() {
                        tokio::task::yield_now().await;
                    }
                    // It is seen that nothing is expected.
                    peer.write_all(&[0; 4]).await.unwrap();
                    tokio::task::yield_now().await;
                }
                between.expected().insert(block);
                let data = vec![7; block.len as usize].into();
                let mut frame = before.to_vec();
                Message::Piece { index: 0, begin: block.offset, data }.encode(&mut frame);
                peer.write_all(&[&frame, after].concat()).await.unwrap();
            }
            drop(peer);
        };
        let reads = async {
            loop {
                reader.make_room();
                if reader.read().await.unwrap() == Some(0) {
                    return reader.copied;
                }
                reader.take_messages().await.unwrap();
                reader.tell().await.unwrap();
            }
        };
        let (copied, ()) = tokio::join!(reads, says);
        assert!(between.expected().is_empty());
        [copied, context.chunks.made() * READ_CHUNK]
    }

    /// Haves without end. Whoever hears of them is done with all that was told before more can be read.
    struct Endless {
        told: tokio::sync::mpsc::Receiver<crate::conn::Batch<()>>,
        heard: Arc<AtomicUsize>,
    }

    impl AsyncRead for Endless {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut task::Context<'_>,
            buf: &mut ReadBuf<'_>,
        ) -> Poll<io::Result<()>> {
            while self.told.try_recv().is_ok() {
                self.heard.fetch_add(1, Ordering::Relaxed);
            }
            assert!(self.heard.load(Ordering::Relaxed) < 100, "it is not obeyed");
            let mut have = Vec::new();
            Message::Have(3).encode(&mut have);
            buf.put_slice(&have.repeat(buf.remaining() / have.len()));
            Poll::Ready(Ok(()))
        }
    }

    #[tokio::test]
    async fn who_is_heard_at_once_is_held_as_fast() {
        let (context, between, heard) = (context(false), Between::default(), Arc::default());
        let (events, told) = tokio::sync::mpsc::channel(TURNS);
        let outbox = Outbox::new((), events);
        let peer = Endless { told, heard: Arc::clone(&heard) };
        let reads = Reader::new(peer, &context, &between, &outbox).run();
        tokio::select! {
            biased;
            _ = reads => unreachable!("it has no end"),
            () = async { between.hold(true) } => {}
        }
        assert!(heard.load(Ordering::Relaxed) <= TURNS, "{heard:?}");
    }

    #[tokio::test]
    async fn a_download_copies_no_block() {
        let mut have = Vec::new();
        Message::Have(PieceIndex::new(3).get()).encode(&mut have);
        for around in [[&[][..], &[]], [&have, &[0; 4]], [&[], &have.repeat(800)]] {
            let [copied, _] = download(300, around, false, false).await;
            assert_eq!(copied, 0);
        }
    }

    /// The leave to read into chunks that is left.
    fn all_places(chunks: &Chunks) -> Vec<Place> {
        std::iter::from_fn(|| chunks.place(false)).collect()
    }

    #[tokio::test]
    async fn without_a_chunk_blocks_come_all_the_same() {
        let context = context(false);
        let others = all_places(&context.chunks);
        assert_eq!(others.len(), READ_BUDGET / READ_CHUNK);
        for chokes in [false, true] {
            let [copied, in_chunks] = download_by(&context, 300, [&[], &[0; 4]], chokes).await;
            assert_eq!((copied, in_chunks), (300 * (BLOCK.len as usize + 13), 0));
        }
        drop(others);
        assert_eq!(download_by(&context, 300, [&[], &[]], false).await[0], 0, "there is room again");
        assert_eq!(
            all_places(&context.chunks).len(),
            READ_BUDGET / READ_CHUNK,
            "a connection that ends gives its own"
        );
    }

    #[test]
    fn without_a_chunk_there_is_room_for_little_more_than_a_block() {
        busy(|reader| {
            let _others = all_places(&reader.context.chunks);
            for round in 0..200 {
                reader.make_room();
                let held = reader.buf.capacity();
                assert!(reader.room() > 0 && held <= 2 * LEAST_ROOM + BLOCK.len as usize, "{held}");
                assert!(reader.share.set(held), "it counts as messages do");
                reader.buf.extend_from_slice(&[7; 9_000]);
                // A block is there now and then.
                if round % 2 == 1 {
                    reader.done += 18_000;
                }
            }
        });
    }

    #[tokio::test(start_paused = true)]
    async fn a_chunk_is_given_back_when_nothing_more_comes_of_what_was_asked_for() {
        let (context, between) = (context(false), Between::default());
        let (ours, mut peer) = tokio::io::duplex(100);
        let (events, _told) = tokio::sync::mpsc::channel(1);
        let outbox = Outbox::new((), events);
        let mut reader = Reader::new(ours, &context, &between, &outbox);
        between.expected().insert(BLOCK);
        reader.make_room();
        peer.write_all(&[0, 0, 0]).await.unwrap();
        assert_eq!(reader.read().await.unwrap(), Some(3));
        assert_eq!(reader.read().await.unwrap(), None);
        assert!(reader.place.is_some(), "a block may still come");
        between.expected().clear();
        assert_eq!(reader.read().await.unwrap(), None);
        assert!(reader.place.is_none() && reader.buf.capacity() <= IDLE_BUFFER + 3);
        assert_eq!(reader.buf, [0, 0, 0][..]);
    }

    #[test]
    fn who_has_no_chunk_makes_do_with_room_for_a_block() {
        busy(|reader| {
            let _others = all_places(&reader.context.chunks);
            // Somebody has all that is beyond the shares.
            let chunks = Chunks::new(64 << 20, 1000);
            let mut other = chunks.share(&std::sync::Arc::default());
            other.set((64 << 20) - 999 * ((32 << 20) / 1000));
            reader.share = chunks.share(&reader.between.of_messages);
            reader.buf.extend_from_slice(&[7; 2_000]);
            reader.needed = BLOCK.len as usize + 13;
            reader.make_room();
            assert!(!reader.share.set(reader.buf.capacity()));
            assert!(reader.make_do());
            assert!(reader.buf.len() == 2_000 && reader.room() >= reader.needed - 2_000);
            reader.between.expected().clear();
            assert!(!reader.make_do(), "what is no block may not");
        });
    }

    #[tokio::test]
    async fn what_lies_between_blocks_takes_no_memory_beside_them() {
        const BLOCKS: u32 = 100;
        let junk = |len: usize| {
            let mut frame = Vec::new();
            Message::Extended { id: 99, payload: vec![1; len].into() }.encode(&mut frame);
            frame
        };
        let (alive, bits) = ([0; 4].repeat(5_000), junk(9_000));
        for (junk, chokes) in [
            (junk(8_000), false),
            (junk(236_000), false),
            (junk(236_000), true),
            (junk(900_000), false),
            (junk(900_000), true),
            (alive, false),
            (bits, true),
            (Vec::new(), true),
        ] {
            for around in [[&junk[..], &[]], [&[], &junk]] {
                let [_, held] = download(BLOCKS, around, true, chokes).await;
                let limit = 2 * BLOCKS as usize * BLOCK.len as usize + 2 * READ_CHUNK;
                assert!(held <= limit, "{held} of {limit} bytes, {} in between, {chokes}", junk.len());
            }
        }
    }

    #[test]
    fn a_long_message_in_small_bits_is_copied_now_and_then() {
        busy(|reader| {
            reader.needed = 1 << 20;
            let mut moves = 0;
            while reader.buf.len() < reader.needed {
                let before = reader.buf.as_ptr();
                reader.make_room();
                moves += u32::from(reader.buf.as_ptr() != before);
                let room = reader.buf.capacity() - reader.buf.len();
                assert!(room > 0 && room <= 2 * READ_CHUNK, "{room}");
                reader.buf.extend_from_slice(&[7; 1000]);
            }
            assert!(moves <= 6, "{moves} times");
            assert!(reader.context.chunks.kept().capacities().all(|capacity| capacity <= READ_CHUNK));
        });
    }

    #[test]
    fn only_what_can_be_used_again_is_kept() {
        busy(|reader| {
            let block = *reader.between.expected().iter().next().unwrap();
            for _ in 0..10 {
                reader.between.expected().clear();
                reader.make_room();
                reader.buf.extend_from_slice(&[7]);
                reader.between.expected().insert(block);
                reader.make_room();
                reader.buf.clear();
            }
            assert_eq!(reader.context.chunks.kept().len(), 0, "buffers of an idle connection are no chunks");
        });
    }
}
