//! A daemon inside a command that needs one: for its owner alone, for as long as the command works.

use super::open;
use crate::args::Daemon as Args;
use crate::console::Console;
use crate::failure::Failure;
use daemon::{Daemon, Inherited};
use engine::Session;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::oneshot;

/// A daemon that answers at its unix socket, and nowhere else.
pub(crate) struct Embedded {
    session: Session,
    daemon: Daemon,
}

impl Embedded {
    /// Opens what the daemon of these arguments would open, but no TCP port.
    pub(crate) async fn open(
        args: &Args,
        state_dir: &Path,
        socket: &Path,
        console: &Console,
    ) -> Result<Embedded, Failure> {
        let (listen, socket) = (Vec::new(), Some(socket.to_owned()));
        let (session, _, daemon) =
            open(args, state_dir, listen, socket, Inherited::default(), console).await?;
        Ok(Embedded { session, daemon })
    }

    /// Serves until the work is done, then ends cleanly.
    pub(crate) async fn beside<T>(self, work: impl Future<Output = T>) -> T {
        let session = Arc::new(self.session);
        let (ended, end) = oneshot::channel::<()>();
        // However the work ends, so does the daemon.
        let serve = self.daemon.serve(session.clone(), async { drop(end.await) });
        let work = async {
            let done = work.await;
            drop(ended);
            done
        };
        let (done, ()) = tokio::join!(work, serve);
        if let Some(session) = Arc::into_inner(session) {
            session.shutdown().await;
        }
        done
    }
}
