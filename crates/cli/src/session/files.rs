//! Torrent files that orders name, read so that one that cannot be read holds up nobody.

use crate::failure::{Failure, OrFail, kind};
use crate::source::read_regular_file;
use std::io;
use std::path::Path;
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// How long a torrent file is waited for: its disk may not answer, and later orders to add wait until it is known.
const READ_PATIENCE: Duration = Duration::from_secs(10);
/// Torrent files that are read at the same time, those given up among them: each has a thread.
const MAX_READS: usize = 64;

static READS: Semaphore = Semaphore::const_new(MAX_READS);

pub(super) async fn read_torrent(path: &Path) -> Result<Vec<u8>, Failure> {
    let path = path.to_owned();
    let doing = format!("cannot read {}", path.display());
    read_in_time(&doing, &READS, READ_PATIENCE, move || read_regular_file(&path)).await
}

async fn read_in_time(
    doing: &str,
    reads: &'static Semaphore,
    patience: Duration,
    read: impl FnOnce() -> io::Result<Vec<u8>> + Send + 'static,
) -> Result<Vec<u8>, Failure> {
    let Ok(Ok(permit)) = timeout(patience, reads.acquire()).await else {
        let why = "disks of others that were to be read do not answer; give the order again later";
        return Err(Failure::new("busy", format_args!("{doing}: {why}")));
    };
    let reading = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        read()
    });
    match timeout(patience, reading).await {
        Ok(read) => read.or_fail(kind::SOURCE, doing)?.or_fail(kind::SOURCE, doing),
        Err(_) => {
            let why = "its disk does not answer; give the order again when it does";
            Err(Failure::new(kind::SOURCE, format_args!("{doing}: {why}")))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::sync::mpsc::channel;

    #[tokio::test]
    async fn a_read_that_hangs_is_given_up() {
        static FEW: Semaphore = Semaphore::const_new(MAX_READS);
        let mut hung = Vec::new();
        for _ in 0..MAX_READS {
            let (go_on, hangs) = channel::<()>();
            hung.push(go_on);
            let read = move || {
                let _ = hangs.recv();
                Ok(Vec::new())
            };
            let refused = read_in_time("cannot read x", &FEW, Duration::from_millis(1), read).await;
            let told = refused.unwrap_err().message;
            assert_eq!(told, "cannot read x: its disk does not answer; give the order again when it does");
        }
        let one_more = async || read_in_time("x", &FEW, Duration::from_millis(1), || Ok(vec![1])).await;
        assert!(one_more().await.unwrap_err().message.contains("do not answer"));
        drop(hung.pop());
        // Its thread has to see that.
        drop(FEW.acquire().await.unwrap());
        let read = read_in_time("x", &FEW, READ_PATIENCE, || Ok(vec![1])).await;
        assert_eq!(read.unwrap(), [1]);
    }
}
