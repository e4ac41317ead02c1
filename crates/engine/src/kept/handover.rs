//! One process has the session of a state directory. Another hands it what it is to add, over a socket there that is for its
//! user alone.
//!
//! On the wire: the length of a message (four bytes, the greatest first), then the message, bencoded; one message each way.

use super::record::Record;
use super::{Choices, Given, Room};
use crate::Error;
use bencode::{Value, encode_dict};
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use types::{InfoHash, InfoHashV1};

/// Bytes of a message: a torrent file of the largest size, and room. A longer one is not read.
const MAX_MESSAGE: usize = 66 << 20;
/// Hand-overs at the same time. Further ones wait.
const AT_ONCE: usize = 4;
/// How long one may take to come.
const MESSAGE_PATIENCE: Duration = Duration::from_secs(10);
/// How long the answer may take: a torrent file may have to be fetched first.
const ANSWER_PATIENCE: Duration = Duration::from_secs(120);

const SOCKET: &str = "session.sock";

fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join(SOCKET)
}

/// The socket under a path that is short enough for a socket, whatever the state directory is called; as long as the folder
/// is open.
fn short(state_dir: &Path) -> io::Result<(File, PathBuf)> {
    let folder = File::open(state_dir)?;
    let path = Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(SOCKET);
    Ok((folder, path))
}

async fn connect(state_dir: &Path) -> io::Result<UnixStream> {
    let (_folder, path) = short(state_dir)?;
    UnixStream::connect(path).await
}

/// Hands a torrent to the process that has the session in this state directory; `None` if none has. `Ok` means what it
/// means for [`Session::add`](super::Session::add): it is durable there.
///
/// # Errors
/// [`Error::Refused`]: what that process says to it, or that it does not answer. [`Error::AlreadyAdded`]. [`Error::ShutDown`] if it
/// ended before it answered: it may have taken it or not.
pub async fn hand_over(state_dir: &Path, given: Given, choices: Choices) -> Result<Option<InfoHash>, Error> {
    let mut stream = match connect(state_dir).await {
        Ok(stream) => stream,
        // The socket of one that was killed stays.
        Err(err) if matches!(err.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(err) => return Err(lost(&err)),
    };
    let record = Record::new(0, choices, None);
    let message = encode_dict(|d| {
        d.bytes("choices", record.encode());
        match given {
            Given::Torrent(bytes) => d.bytes("torrent", bytes),
            Given::Magnet(link) => d.bytes("link", link),
            Given::Url(url) => d.bytes("url", url),
        };
    });
    let exchange = async {
        write(&mut stream, &message).await?;
        read(&mut stream).await
    };
    let timeout = MESSAGE_PATIENCE + ANSWER_PATIENCE;
    let answer = tokio::time::timeout(timeout, exchange).await.unwrap_or_else(|_| timed_out());
    decode_answer(&answer.map_err(|err| lost(&err))?).map(Some)
}

fn decode_answer(answer: &[u8]) -> Result<InfoHash, Error> {
    let unknown = || Error::Refused("the session gave an answer that is not understood".into());
    let document = bencode::decode(answer).map_err(|_| unknown())?;
    let bytes = |key: &str| document.root().get(key).and_then(Value::as_bytes);
    let info_hash = |key: &str| bytes(key).and_then(|hash| hash.try_into().ok()).map(of_v1);
    if let Some(here) = info_hash("already here") {
        return Err(Error::AlreadyAdded(here));
    }
    if let Some(error) = bytes("error") {
        return Err(Error::Refused(String::from_utf8_lossy(error).into_owned()));
    }
    info_hash("info hash").ok_or_else(unknown)
}

fn of_v1(info_hash: [u8; 20]) -> InfoHash {
    InfoHash::V1(InfoHashV1(info_hash))
}

fn lost(err: &io::Error) -> Error {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, UnexpectedEof};
    if matches!(err.kind(), BrokenPipe | ConnectionReset | UnexpectedEof) {
        return Error::ShutDown;
    }
    Error::Refused(format!("the session that runs in this state directory does not answer: {err}"))
}

/// Where others hand over; none if that cannot be had. To be called by who has the lock of the state directory.
pub(super) fn listen(state_dir: &Path) -> Option<UnixListener> {
    let path = socket(state_dir);
    // What a process left that was killed.
    let _ = std::fs::remove_file(&path);
    let listener = short(state_dir)
        .and_then(|(_folder, path)| UnixListener::bind(path))
        .and_then(|listener| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).map(|()| listener)
        })
        .inspect_err(|err| tracing::warn!("no other process can hand over torrents: {err}"));
    listener.ok()
}

/// Takes in what is handed over until the engine shuts down.
pub(super) async fn run(listener: UnixListener, room: Arc<Room>) {
    let turns = Arc::new(Semaphore::new(AT_ONCE));
    let path = socket(&room.shared.settings.state_dir);
    let us = std::fs::metadata(&path).map(|found| found.uid());
    let mut closed = std::pin::pin!(room.shared.closed());
    loop {
        let next = async {
            let turn = turns.clone().acquire_owned().await;
            (turn, listener.accept().await)
        };
        let (turn, accepted) = tokio::select! {
            next = next => next,
            () = &mut closed => break,
        };
        // It may have no descriptor left for it: one is free sooner or later.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        };
        let theirs = stream.peer_cred().map(|who| who.uid());
        if !matches!((&us, theirs), (Ok(us), Ok(theirs)) if *us == theirs) {
            continue;
        }
        let room = room.clone();
        tokio::spawn(async move {
            let _turn = turn;
            let _ = serve(stream, &room).await;
        });
    }
    let _ = std::fs::remove_file(path);
}

async fn serve(mut stream: UnixStream, room: &Arc<Room>) -> io::Result<()> {
    let message =
        tokio::time::timeout(MESSAGE_PATIENCE, read(&mut stream)).await.unwrap_or_else(|_| timed_out())?;
    let take_in = async {
        let (given, choices) = decode(&message).ok_or_else(|| Error::Refused("not understood".into()))?;
        room.take_in(room.take_place(), given, choices).await
    };
    let no_answer = |_| Err(Error::Refused("it took too long".into()));
    let outcome = tokio::time::timeout(ANSWER_PATIENCE, take_in).await.unwrap_or_else(no_answer);
    if matches!(outcome, Err(Error::ShutDown)) {
        // Whoever hears nothing tries again.
        return Ok(());
    }
    let answer = encode_dict(|d| match &outcome {
        Ok(info_hash) => d.bytes("info hash", info_hash.wire().0),
        Err(Error::AlreadyAdded(info_hash)) => d.bytes("already here", info_hash.wire().0),
        Err(err) => d.bytes("error", err.to_string()),
    });
    tokio::time::timeout(MESSAGE_PATIENCE, write(&mut stream, &answer)).await.unwrap_or_else(|_| timed_out())
}

fn timed_out<T>() -> io::Result<T> {
    Err(io::ErrorKind::TimedOut.into())
}

fn decode(message: &[u8]) -> Option<(Given, Choices)> {
    let document = bencode::decode(message).ok()?;
    let root = document.root();
    let record = Record::decode(root.get("choices")?.as_bytes()?)?;
    let text = |key: &str| root.get(key).and_then(Value::as_str).map(str::to_owned);
    let torrent = || root.get("torrent").and_then(Value::as_bytes).map(|bytes| Given::Torrent(bytes.into()));
    let given =
        torrent().or_else(|| text("link").map(Given::Magnet)).or_else(|| text("url").map(Given::Url))?;
    Some((given, record.choices))
}

async fn read(stream: &mut UnixStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u32().await? as usize;
    if length > MAX_MESSAGE {
        return Err(io::Error::other("a message is too long"));
    }
    let mut message = Vec::new();
    // Room is made as bytes come, not as they are promised.
    stream.take(length as u64).read_to_end(&mut message).await?;
    if message.len() == length { Ok(message) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

async fn write(stream: &mut UnixStream, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    stream.write_u32(length).await?;
    stream.write_all(message).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Session, Settings};

    #[tokio::test]
    async fn some_are_handed_over_at_a_time_and_some_wait() {
        let state = tempfile::tempdir().unwrap();
        let settings = Settings {
            listen: vec![([127, 0, 0, 1], 0).into()],
            dht: None,
            lsd: false,
            ..Settings::new(state.path())
        };
        let (session, _) = Session::open(settings).await.unwrap();
        let say_nothing = || async { connect(state.path()).await.unwrap() };
        let mut silent = Vec::new();
        for _ in 0..AT_ONCE - 1 {
            silent.push(say_nothing().await);
        }
        let link = || Given::Magnet(format!("magnet:?xt=urn:btih:{}", "a".repeat(40)));
        let give = || hand_over(state.path(), link(), Choices::new(state.path()));
        assert!(give().await.unwrap().is_some(), "there is room for one");
        silent.push(say_nothing().await);
        let mut waits = std::pin::pin!(give());
        let early = tokio::time::timeout(Duration::from_millis(200), &mut waits).await;
        assert!(early.is_err(), "{early:?}");
        silent.pop();
        assert!(matches!(waits.await, Err(Error::AlreadyAdded(_))));
        drop(silent);
        session.shutdown().await;
    }

    #[tokio::test]
    async fn a_message_has_a_length() {
        let (mut one, mut other) = UnixStream::pair().unwrap();
        write(&mut one, b"le").await.unwrap();
        assert_eq!(read(&mut other).await.unwrap(), b"le");
        one.write_u32(u32::try_from(MAX_MESSAGE).unwrap() + 1).await.unwrap();
        assert!(read(&mut other).await.is_err());
        assert!(decode(b"le").is_none() && decode(b"d4:linki1ee").is_none());
        assert!(decode_answer(b"d5:error2:noe").unwrap_err().to_string().contains("no"));
        let here = decode_answer(&[b"d12:already here20:", &[7; 20][..], b"e"].concat());
        assert!(matches!(here, Err(Error::AlreadyAdded(InfoHash::V1(InfoHashV1(hash)))) if hash == [7; 20]));
    }
}
