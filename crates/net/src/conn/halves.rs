//! The two halves of a stream, for the two halves of the task that owns it.

use super::Pipe;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, Interest, ReadBuf};
use tokio::net::TcpStream;

/// What a peer is talked to over.
pub trait Transport: AsyncRead + AsyncWrite + Unpin + Send {
    /// The socket, if bytes go out through it as they were written: pages of files can then be sent without a copy.
    fn socket(&self) -> Option<&TcpStream> {
        None
    }
}

impl Transport for TcpStream {
    fn socket(&self) -> Option<&TcpStream> {
        Some(self)
    }
}

/// For tests.
impl Transport for DuplexStream {}

/// A stream that is shared by what runs in turns: nobody ever waits for the lock.
pub(super) struct Shared<S>(Mutex<S>);

/// One half; which one shows in its use.
pub(super) struct Half<'a, S>(&'a Shared<S>);

impl<S: Transport> Shared<S> {
    pub(super) fn new(stream: S) -> Shared<S> {
        Shared(Mutex::new(stream))
    }

    pub(super) fn half(&self) -> Half<'_, S> {
        Half(self)
    }

    fn stream(&self) -> MutexGuard<'_, S> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S: Transport> Half<'_, S> {
    /// Whether [`poll_splice`](Self::poll_splice) may be called.
    pub(super) fn can_splice(&self) -> bool {
        cfg!(target_os = "linux") && self.0.stream().socket().is_some()
    }

    /// Sends as much of so many bytes in the pipe as goes; says how much that was.
    pub(super) fn poll_splice(
        &self,
        cx: &mut Context<'_>,
        pipe: &Pipe,
        bytes: usize,
    ) -> Poll<io::Result<usize>> {
        let stream = self.0.stream();
        let Some(socket) = stream.socket() else {
            return Poll::Ready(Err(io::ErrorKind::Unsupported.into()));
        };
        loop {
            ready!(socket.poll_write_ready(cx))?;
            match socket.try_io(Interest::WRITABLE, || pipe.send(socket, bytes)) {
                Err(err) if err.kind() == io::ErrorKind::WouldBlock => {}
                sent => return Poll::Ready(sent),
            }
        }
    }
}

impl<S: Transport> AsyncRead for Half<'_, S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream()).poll_read(cx, buf)
    }
}

impl<S: Transport> AsyncWrite for Half<'_, S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.stream()).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *self.0.stream()).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.stream().is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream()).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *self.0.stream()).poll_shutdown(cx)
    }
}
