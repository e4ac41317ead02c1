//! Pages on their way from a file to a socket.
//!
//! A pipe of the system's holds them, with headers between them, without a copy of the payload: the socket is then given
//! many blocks with one system call, where `sendfile` takes two for each.

use super::{PIPE_LEN, PIPES_KEPT, PIPES_MOST};
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use types::{BLOCK_LEN, BlockRange};

#[cfg(target_os = "linux")]
use rustix::{
    fd::OwnedFd,
    io::Errno,
    pipe::{PipeFlags, SpliceFlags},
};
#[cfg(target_os = "linux")]
use wire::encode_piece_header;

/// Pipes that connections share. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Pipes {
    kept: Arc<Mutex<Vec<Pipe>>>,
    count: Arc<Count>,
}

#[derive(Debug)]
struct Count {
    /// Pipes there are, in use or not.
    there: AtomicUsize,
    most: usize,
}

impl Default for Pipes {
    /// As many as [`PIPES_MOST`].
    fn default() -> Pipes {
        Pipes::new(PIPES_MOST)
    }
}

impl Pipes {
    /// None yet, and `most` of them at most, for whoever has few descriptors; never more than [`PIPES_MOST`].
    pub fn new(most: usize) -> Pipes {
        let count = Count { there: AtomicUsize::new(0), most: most.min(PIPES_MOST) };
        Pipes { kept: Arc::default(), count: Arc::new(count) }
    }

    /// An empty pipe; `None` if there are too many already, or the system gives no more.
    pub(super) fn take(&self) -> Option<Pipe> {
        if let Some(pipe) = self.kept().pop() {
            return Some(pipe);
        }
        let counted = Counted::new(&self.count)?;
        Pipe::open(counted, PIPE_LEN).ok()
    }

    /// Takes back a pipe that is empty.
    pub(super) fn give(&self, pipe: Pipe) {
        let mut kept = self.kept();
        if kept.len() < PIPES_KEPT {
            kept.push(pipe);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Pipe>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of so many.
#[derive(Debug)]
struct Counted(Arc<Count>);

impl Counted {
    fn new(count: &Arc<Count>) -> Option<Counted> {
        let counted = Counted(count.clone());
        (count.there.fetch_add(1, Ordering::Relaxed) < count.most).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.there.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A pipe. Nothing waits for room in it.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "never made"))]
pub(super) struct Pipe {
    #[cfg(target_os = "linux")]
    out: OwnedFd,
    #[cfg(target_os = "linux")]
    into: OwnedFd,
    /// How many pages it has room for.
    pages: usize,
    _counted: Counted,
}

/// Bytes of a page, at least.
const PAGE: usize = 4096;

impl Pipe {
    /// How many of the first blocks there is room for, their headers included, each of which takes a page.
    pub(super) fn room_for(&self, blocks: &[BlockRange]) -> usize {
        let mut pages = 0;
        let fits = |block: &&BlockRange| {
            pages += pages_of(block.len);
            pages <= self.pages
        };
        blocks.iter().take_while(fits).count()
    }
}

/// Pages that a block of so many bytes takes at most, with its header.
fn pages_of(len: u32) -> usize {
    1 + len as usize / PAGE + 2
}

#[cfg(target_os = "linux")]
impl Pipe {
    /// A pipe of so many bytes, if it can be had; a shorter one if blocks find room in it.
    fn open(counted: Counted, len: usize) -> io::Result<Pipe> {
        let (out, into) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user may have only so many long ones, and then gets some that hold next to nothing.
        let len = rustix::pipe::fcntl_setpipe_size(&into, len)
            .or_else(|_| rustix::pipe::fcntl_getpipe_size(&into))?;
        let pages = len / rustix::param::page_size();
        if pages < pages_of(BLOCK_LEN) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        Ok(Pipe { out, into, pages, _counted: counted })
    }

    /// Puts in blocks that follow each other in a file, from `offset` on, each behind its header. It waits for the disk.
    ///
    /// # Errors
    ///
    /// The file is shorter, cannot be read, or there is no room; what is in the pipe is then of no use.
    pub(super) fn fill(
        &self,
        blocks: &[BlockRange],
        file: BorrowedFd<'_>,
        mut offset: u64,
    ) -> io::Result<()> {
        for &block in blocks {
            let header = encode_piece_header(block);
            if rustix::io::write(&self.into, &header)? < header.len() {
                return Err(io::ErrorKind::WriteZero.into());
            }
            let mut left = block.len as usize;
            while left > 0 {
                let flags = SpliceFlags::NONBLOCK;
                match rustix::pipe::splice(file, Some(&mut offset), &self.into, None, left, flags) {
                    Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                    Ok(bytes) => left -= bytes,
                    Err(Errno::INTR) => {}
                    Err(errno) => return Err(errno.into()),
                }
            }
        }
        Ok(())
    }

    /// Sends as much of so many bytes as the socket takes; says how much that was.
    pub(super) fn send(&self, socket: impl AsFd, bytes: usize) -> io::Result<usize> {
        Ok(rustix::pipe::splice(&self.out, None, socket, None, bytes, SpliceFlags::NONBLOCK)?)
    }
}

#[cfg(not(target_os = "linux"))]
impl Pipe {
    fn open(_: Counted, _: usize) -> io::Result<Pipe> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn fill(&self, _: &[BlockRange], _: BorrowedFd<'_>, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    pub(super) fn send(&self, _: impl AsFd, _: usize) -> io::Result<usize> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;
    use types::PieceIndex;

    fn block(offset: u32, len: u32) -> BlockRange {
        BlockRange { piece: PieceIndex::new(7), offset, len }
    }

    #[test]
    fn blocks_come_out_behind_their_headers() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let pipe = Pipes::default().take().unwrap();
        let blocks = [block(0, 4), block(4, 3)];
        pipe.fill(&blocks, file.as_fd(), 3).unwrap();
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        let len = 2 * 13 + 7;
        assert_eq!(pipe.send(&ours, len).unwrap(), len);
        drop(ours);
        let mut sent = Vec::new();
        theirs.read_to_end(&mut sent).unwrap();
        let mut expected = encode_piece_header(blocks[0]).to_vec();
        expected.extend(b"3456");
        expected.extend(encode_piece_header(blocks[1]));
        expected.extend(b"789");
        assert_eq!(sent, expected);
        assert!(pipe.fill(&[block(0, 8)], file.as_fd(), 3).is_err(), "the file is shorter");
    }

    #[test]
    fn what_is_said_to_find_room_finds_it() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&[7; 3 << 20]).unwrap();
        for len in [1, 4095, 4096, 16_384, 131_072] {
            let pipe = Pipes::default().take().unwrap();
            let blocks: Vec<_> = (0..300).map(|n| block(n * len, len)).collect();
            let fits = pipe.room_for(&blocks);
            assert!(fits > 0);
            let last_of_a_page = 4095;
            pipe.fill(&blocks[..fits], file.as_fd(), last_of_a_page).unwrap();
        }
    }

    #[test]
    fn one_without_room_for_a_block_is_of_no_use() {
        let pipes = Pipes::default();
        let open = |len| Pipe::open(Counted::new(&pipes.count).unwrap(), len);
        // What the system gives to those who have too many.
        assert!(open(2 * rustix::param::page_size()).is_err());
        assert_eq!(pipes.count.there.load(Ordering::Relaxed), 0);
        let short = open(8 * rustix::param::page_size()).unwrap();
        assert_eq!(short.room_for(&[block(0, BLOCK_LEN), block(BLOCK_LEN, BLOCK_LEN)]), 1);
    }

    #[test]
    fn there_are_no_more_than_may_be() {
        let pipes = Pipes::default();
        let all: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).take(PIPES_MOST + 1).collect();
        let there = all.len();
        assert!(there > 0 && there <= PIPES_MOST);
        all.into_iter().for_each(|pipe| pipes.give(pipe));
        assert_eq!(pipes.kept().len(), PIPES_KEPT.min(there));
        assert!(Pipes::new(0).take().is_none());
    }
}
