//! Pages on their way from a file to a socket.
//!
//! A pipe of the system's holds them, with headers between them, without a copy of the payload: the socket is then given
//! many blocks with one system call, where `sendfile` takes two for each.

use super::{PIPE_LEN, PIPES_KEPT, PIPES_MOST};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[cfg(target_os = "linux")]
use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    io::Errno,
    pipe::{PipeFlags, SpliceFlags},
};

/// Pipes that connections share. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Pipes {
    kept: Arc<Mutex<Vec<Pipe>>>,
    /// Pipes there are, in use or not.
    count: Arc<AtomicUsize>,
}

impl Pipes {
    /// An empty pipe; `None` if there are too many already, or the system gives no more.
    pub(super) fn take(&self) -> Option<Pipe> {
        if let Some(pipe) = self.kept().pop() {
            return Some(pipe);
        }
        let counted = Counted::new(&self.count)?;
        Pipe::open(counted).ok()
    }

    /// Takes an empty pipe back; one that something is left in is closed.
    pub(super) fn give(&self, pipe: Pipe) {
        let mut kept = self.kept();
        if pipe.held == 0 && kept.len() < PIPES_KEPT {
            kept.push(pipe);
        }
    }

    fn kept(&self) -> MutexGuard<'_, Vec<Pipe>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One of so many.
#[derive(Debug)]
struct Counted(Arc<AtomicUsize>);

impl Counted {
    fn new(count: &Arc<AtomicUsize>) -> Option<Counted> {
        let counted = Counted(count.clone());
        (count.fetch_add(1, Ordering::Relaxed) < PIPES_MOST).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A pipe. Nothing here waits: what finds no room is left for later.
#[derive(Debug)]
#[cfg_attr(not(target_os = "linux"), expect(dead_code, reason = "never made"))]
pub(super) struct Pipe {
    #[cfg(target_os = "linux")]
    out: OwnedFd,
    #[cfg(target_os = "linux")]
    into: OwnedFd,
    /// Bytes in it.
    held: usize,
    _counted: Counted,
}

impl Pipe {
    /// Bytes in it.
    pub(super) fn held(&self) -> usize {
        self.held
    }
}

#[cfg(target_os = "linux")]
impl Pipe {
    fn open(counted: Counted) -> io::Result<Pipe> {
        let (out, into) = rustix::pipe::pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
        // A user may have only so many long ones; a short one does as well.
        let _ = rustix::pipe::fcntl_setpipe_size(&into, PIPE_LEN);
        Ok(Pipe { out, into, held: 0, _counted: counted })
    }

    /// Copies bytes in; says how many found room.
    pub(super) fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.note_put(rustix::io::write(&self.into, bytes))
    }

    /// Takes in bytes of a file, from `offset` on; says how many found room.
    ///
    /// # Errors
    ///
    /// The file ends there, or what the system reports.
    pub(super) fn put_from(&mut self, file: BorrowedFd<'_>, mut offset: u64, len: usize) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK;
        let put = rustix::pipe::splice(file, Some(&mut offset), &self.into, None, len, flags);
        if put == Ok(0) && len > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.note_put(put)
    }

    fn note_put(&mut self, put: Result<usize, Errno>) -> io::Result<usize> {
        match put {
            Ok(bytes) => {
                self.held += bytes;
                Ok(bytes)
            }
            Err(Errno::AGAIN | Errno::INTR) => Ok(0),
            Err(errno) => Err(errno.into()),
        }
    }

    /// Sends what is in it, as far as the socket takes it; says how many bytes that was.
    pub(super) fn send(&mut self, socket: impl AsFd) -> io::Result<usize> {
        let flags = SpliceFlags::NONBLOCK;
        let sent = rustix::pipe::splice(&self.out, None, socket, None, self.held, flags)?;
        self.held -= sent;
        Ok(sent)
    }
}

#[cfg(not(target_os = "linux"))]
impl Pipe {
    fn open(_: Counted) -> io::Result<Pipe> {
        Err(io::ErrorKind::Unsupported.into())
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    #[test]
    fn what_goes_in_comes_out_in_order() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let mut pipe = Pipes::default().take().unwrap();
        assert_eq!(pipe.put(b"head").unwrap(), 4);
        assert_eq!(pipe.put_from(file.as_fd(), 3, 5).unwrap(), 5);
        assert_eq!(pipe.put(b"tail").unwrap(), 4);
        assert!(pipe.put_from(file.as_fd(), 10, 1).is_err(), "the file has ended");
        let (ours, mut theirs) = UnixStream::pair().unwrap();
        assert_eq!((pipe.held(), pipe.send(&ours).unwrap(), pipe.held()), (13, 13, 0));
        drop(ours);
        let mut sent = String::new();
        theirs.read_to_string(&mut sent).unwrap();
        assert_eq!(sent, "head34567tail");
    }

    #[test]
    fn there_are_no_more_than_may_be_and_only_empty_ones_are_used_again() {
        let pipes = Pipes::default();
        let mut all: Vec<Pipe> = std::iter::from_fn(|| pipes.take()).take(PIPES_MOST + 1).collect();
        assert!(!all.is_empty() && all.len() <= PIPES_MOST);
        let mut used = all.pop().unwrap();
        used.put(b"left over").unwrap();
        pipes.give(used);
        assert_eq!(pipes.kept().len(), 0);
        let there = all.len();
        all.into_iter().for_each(|pipe| pipes.give(pipe));
        assert_eq!(pipes.kept().len(), PIPES_KEPT.min(there));
    }
}
