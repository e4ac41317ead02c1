//! The server's side of a WebSocket (RFC 6455): text in whole frames, as Discord sends it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;
use sha1::{Digest, Sha1};

/// Bytes of a frame; a longer one ends the connection.
const MAX_FRAME: u64 = 64 * 1024;
/// What every answer to a handshake is made with.
const MAGIC: &str = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// A connection.
#[derive(Clone, Debug)]
pub(super) struct Socket {
    out: Arc<Mutex<TcpStream>>,
    read: Arc<Mutex<BufReader<TcpStream>>>,
}

impl Socket {
    pub(super) fn accept(stream: TcpStream) -> io::Result<Socket> {
        // Else each frame waits until the one before is acknowledged.
        stream.set_nodelay(true)?;
        let (mut out, mut read) = (stream.try_clone()?, BufReader::new(stream));
        let mut key = None;
        loop {
            let mut line = String::new();
            if read.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            if line.trim().is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':')
                && name.eq_ignore_ascii_case("sec-websocket-key")
            {
                key = Some(value.trim().to_owned());
            }
        }
        let key = key.ok_or(io::ErrorKind::InvalidData)?;
        let accept = base64(&Sha1::digest(format!("{key}{MAGIC}")));
        write!(
            out,
            "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-accept: {accept}\r\n\r\n"
        )?;
        Ok(Socket { out: Arc::new(Mutex::new(out)), read: Arc::new(Mutex::new(read)) })
    }

    pub(super) fn send(&self, message: &Value) -> io::Result<()> {
        self.text(&message.to_string())
    }

    pub(super) fn text(&self, text: &str) -> io::Result<()> {
        self.frame(1, text.as_bytes())
    }

    fn frame(&self, opcode: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = vec![0x80 | opcode];
        match u16::try_from(payload.len()) {
            Ok(short @ 0..126) => frame.push(u8::try_from(short).unwrap_or_default()),
            Ok(long) => {
                frame.push(126);
                frame.extend(long.to_be_bytes());
            }
            Err(_) => return Err(io::ErrorKind::InvalidInput.into()),
        }
        frame.extend(payload);
        self.out.lock().unwrap_or_else(PoisonError::into_inner).write_all(&frame)
    }

    /// The next text; `None` at the end.
    pub(super) fn read(&self) -> io::Result<Option<Value>> {
        let mut read = self.read.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let mut head = [0; 2];
            read.read_exact(&mut head)?;
            let length = match head[1] & 0x7f {
                126 => {
                    let mut bytes = [0; 2];
                    read.read_exact(&mut bytes)?;
                    u64::from(u16::from_be_bytes(bytes))
                }
                127 => return Err(io::ErrorKind::InvalidData.into()),
                short => u64::from(short),
            };
            // Only whole frames, and only masked ones.
            if head[0] & 0x80 == 0 || head[1] & 0x80 == 0 || length > MAX_FRAME {
                return Err(io::ErrorKind::InvalidData.into());
            }
            let mut mask = [0; 4];
            read.read_exact(&mut mask)?;
            let mut payload = Vec::new();
            read.by_ref().take(length).read_to_end(&mut payload)?;
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
            match head[0] & 0x0f {
                1 => return Ok(Some(serde_json::from_slice(&payload)?)),
                8 => {
                    self.frame(8, &payload)?;
                    return Ok(None);
                }
                9 => self.frame(10, &payload)?,
                _ => {}
            }
        }
    }

    pub(super) fn cut(&self) {
        // Whoever is gone already needs no more.
        let _ = self.out.lock().unwrap_or_else(PoisonError::into_inner).shutdown(Shutdown::Both);
    }
}

fn base64(bytes: &[u8]) -> String {
    const SIGNS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits =
            three.iter().chain([0, 0].iter()).take(3).fold(0u32, |bits, &byte| (bits << 8) | u32::from(byte));
        for place in 0..4 {
            let sign = SIGNS[((bits >> (18 - 6 * place)) & 63) as usize];
            text.push(if place <= three.len() { char::from(sign) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn digests_are_written_as_rfc_4648_has_it() {
        for (bytes, text) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foobar", "Zm9vYmFy")]
        {
            assert_eq!(super::base64(bytes.as_bytes()), text);
        }
    }
}
