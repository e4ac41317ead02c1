//! Hello on a fresh connection, either way round, within a deadline (BEP 3).
//!
//! A caller that does not speak plain BitTorrent (an encrypted greeting, a web browser) is turned away at the first
//! byte that differs, so that clients which fall back to plaintext do so at once.

use std::io;
use std::time::Duration;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use types::{InfoHash, InfoHashV1, PeerId};
use wire::handshake::{LEN, Prefix, decode_prefix};
use wire::{Handshake, Reserved};

/// How long a peer may take from the connection to the end of its handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Why no conversation came about.
#[derive(Debug, Error)]
pub enum HandshakeError {
    /// The connection broke, or the peer hung up.
    #[error("connection lost during the handshake: {0}")]
    Io(#[from] io::Error),
    /// Nothing complete came within [`HANDSHAKE_TIMEOUT`].
    #[error("no handshake within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
    /// What came is not the plain BitTorrent protocol.
    #[error("not a BitTorrent handshake: {0}")]
    Protocol(#[from] wire::Error),
    /// The peer speaks of another torrent than we do.
    #[error("the peer greets for another torrent, {0}")]
    WrongInfoHash(InfoHashV1),
    /// The peer wants a torrent that we do not have.
    #[error("the peer asks for a torrent that is not here, {0}")]
    UnknownInfoHash(InfoHashV1),
}

/// Greets a peer that we dialed and reads its answer. A hybrid `torrent` may be called in it by its v2 name, though it was
/// greeted by its v1 name: so peers answer that have met us under the v2 name before (BEP 52).
///
/// # Errors
/// See [`HandshakeError`]; the connection is of no more use.
pub async fn greet<S>(
    stream: &mut S,
    ours: &Handshake,
    torrent: &InfoHash,
) -> Result<Handshake, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    within_deadline(async {
        stream.write_all(&ours.encode()).await?;
        let theirs = Heard::default().until(stream, Prefix::complete).await?;
        if !torrent.is_called(&theirs.info_hash) {
            return Err(HandshakeError::WrongInfoHash(theirs.info_hash));
        }
        Ok(theirs)
    })
    .await
}

/// Hears a peer that dialed us, finds its torrent with `find`, and answers.
///
/// `find` gives what belongs to that torrent (`T`) and the id that we go by in its swarm.
///
/// # Errors
/// See [`HandshakeError`]; the connection is of no more use. A peer whose torrent is unknown is not answered.
pub async fn answer<S, T>(
    stream: &mut S,
    reserved: Reserved,
    find: impl FnOnce(&InfoHashV1) -> Option<(T, PeerId)>,
) -> Result<(T, Handshake), HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    within_deadline(async {
        let mut heard = Heard::default();
        let info_hash = heard.until(stream, |prefix| prefix.info_hash).await?;
        let (torrent, peer_id) = find(&info_hash).ok_or(HandshakeError::UnknownInfoHash(info_hash))?;
        stream.write_all(&Handshake { reserved, info_hash, peer_id }.encode()).await?;
        Ok((torrent, heard.until(stream, Prefix::complete).await?))
    })
    .await
}

async fn within_deadline<T>(
    talk: impl Future<Output = Result<T, HandshakeError>>,
) -> Result<T, HandshakeError> {
    #[cfg(feature = "planted")]
    if crate::planted::is("patient-handshake") {
        return talk.await;
    }
    tokio::time::timeout(HANDSHAKE_TIMEOUT, talk).await.unwrap_or(Err(HandshakeError::Timeout))
}

/// As much of a handshake as has been heard; nothing after it is read.
struct Heard {
    bytes: [u8; LEN],
    len: usize,
}

impl Default for Heard {
    fn default() -> Heard {
        Heard { bytes: [0; LEN], len: 0 }
    }
}

impl Heard {
    /// Listens until `part` of the handshake is there, giving up at the first byte that is not a handshake's.
    async fn until<T>(
        &mut self,
        stream: &mut (impl AsyncRead + Unpin),
        part: impl Fn(&Prefix) -> Option<T>,
    ) -> Result<T, HandshakeError> {
        loop {
            if let Some(found) = part(&decode_prefix(&self.bytes[..self.len])?) {
                return Ok(found);
            }
            match stream.read(&mut self.bytes[self.len..]).await? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into()),
                more => self.len += more,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::duplex;

    const HASH: InfoHashV1 = InfoHashV1([7; 20]);
    const TORRENT: InfoHash = InfoHash::V1(HASH);

    fn hello(id: u8) -> Handshake {
        Handshake { reserved: Reserved::NONE.with_fast(), info_hash: HASH, peer_id: PeerId([id; 20]) }
    }

    fn find(hash: &InfoHashV1) -> Option<(&'static str, PeerId)> {
        (*hash == HASH).then_some(("torrent", PeerId([2; 20])))
    }

    #[tokio::test]
    async fn both_sides_learn_the_other() {
        let (mut a, mut b) = duplex(64);
        let ours = hello(1);
        let (greeted, answered) = tokio::join!(
            greet(&mut a, &ours, &TORRENT),
            answer(&mut b, Reserved::NONE.with_extended(), find)
        );
        assert_eq!(greeted.unwrap().peer_id, PeerId([2; 20]));
        assert_eq!(answered.unwrap(), ("torrent", ours));
    }

    #[tokio::test]
    async fn answers_before_the_peer_id_came() {
        let (mut a, mut b) = duplex(256);
        let (_, answered) = tokio::join!(
            async {
                a.write_all(&hello(1).encode()[..48]).await.unwrap();
                let mut theirs = [0; LEN];
                a.read_exact(&mut theirs).await.unwrap();
                a.write_all(&hello(1).encode()[48..]).await.unwrap();
            },
            answer(&mut b, Reserved::NONE, find)
        );
        assert_eq!(answered.unwrap().1, hello(1));
    }

    #[tokio::test]
    async fn a_stranger_is_turned_away_at_its_first_wrong_byte() {
        let (mut a, mut b) = duplex(256);
        a.write_all(b"\x13BitTorrent prot0").await.unwrap();
        assert!(matches!(answer(&mut b, Reserved::NONE, find).await, Err(HandshakeError::Protocol(_))));
    }

    #[tokio::test]
    async fn another_torrent_is_an_error_on_both_sides() {
        let (mut a, mut b) = duplex(256);
        let other = Handshake { info_hash: InfoHashV1([8; 20]), ..hello(1) };
        a.write_all(&other.encode()).await.unwrap();
        let err = answer(&mut b, Reserved::NONE, find).await.unwrap_err();
        assert!(matches!(err, HandshakeError::UnknownInfoHash(hash) if hash == other.info_hash));
        b.write_all(&other.encode()).await.unwrap();
        assert!(matches!(greet(&mut a, &hello(1), &TORRENT).await, Err(HandshakeError::WrongInfoHash(_))));
    }

    #[tokio::test]
    async fn a_hybrid_torrent_may_be_called_by_its_other_name() {
        let v2 = types::InfoHashV2([9; 32]);
        let answer = Handshake { info_hash: v2.truncated(), ..hello(2) };
        let (mut a, mut b) = duplex(256);
        b.write_all(&[answer.encode(), answer.encode()].concat()).await.unwrap();
        assert_eq!(greet(&mut a, &hello(1), &InfoHash::Hybrid(HASH, v2)).await.unwrap(), answer);
        assert!(matches!(greet(&mut a, &hello(1), &TORRENT).await, Err(HandshakeError::WrongInfoHash(_))));
    }

    #[tokio::test(start_paused = true)]
    async fn silence_ends_at_the_deadline() {
        let (mut a, _b) = duplex(256);
        assert!(matches!(greet(&mut a, &hello(1), &TORRENT).await, Err(HandshakeError::Timeout)));
    }

    #[tokio::test(start_paused = true)]
    async fn the_last_byte_may_come_at_the_deadline_and_no_later() {
        let moment = Duration::from_millis(1);
        for (after, is_in_time) in [(HANDSHAKE_TIMEOUT - moment, true), (HANDSHAKE_TIMEOUT + moment, false)] {
            let (mut a, mut b) = duplex(256);
            let (_, answered) = tokio::join!(
                async {
                    a.write_all(&hello(1).encode()[..LEN - 1]).await.unwrap();
                    tokio::time::sleep(after).await;
                    let _ = a.write_all(&hello(1).encode()[LEN - 1..]).await;
                },
                answer(&mut b, Reserved::NONE, find)
            );
            assert_eq!(answered.is_ok(), is_in_time);
            assert!(is_in_time || matches!(answered, Err(HandshakeError::Timeout)));
        }
    }

    #[tokio::test]
    async fn a_peer_that_hangs_up_is_a_lost_connection() {
        let (mut a, b) = duplex(256);
        drop(b);
        assert!(matches!(greet(&mut a, &hello(1), &TORRENT).await, Err(HandshakeError::Io(_))));
    }
}
