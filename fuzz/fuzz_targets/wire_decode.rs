//! Messages: what is decoded re-encodes to the same bytes, and the answer does not depend on how the bytes arrive.
#![no_main]

use common::plant;
use libfuzzer_sys::fuzz_target;
use wire::{Decoded, Error, Limits, MAX_MESSAGE_LEN, Message, decode};

const LIMITS: Limits = Limits::for_pieces(1000);

fuzz_target!(|data: &[u8]| {
    let whole = stream([data]);
    assert_eq!(stream(data.chunks(1)), whole);
    assert_eq!(stream(data.chunks(7)), whole);
    let any = |is: fn(&Message<'_>) -> bool| whole.0.iter().any(is);
    plant(|| {
        any(|m| matches!(m, Message::Piece { data, .. } if data.len() > 1))
            && any(|m| matches!(m, Message::Have(_)))
    });
});

/// The messages in a stream, the error that ends it, and how many bytes are left over.
fn stream<'a>(reads: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Message<'static>>, Option<Error>, usize) {
    let (mut buf, mut messages) = (Vec::new(), Vec::new());
    for read in reads {
        buf.extend_from_slice(read);
        loop {
            match decode(&buf, &LIMITS) {
                Ok(Decoded::Message { message, consumed }) => {
                    check(&message, &buf[..consumed]);
                    messages.push(message.into_owned());
                    buf.drain(..consumed);
                }
                Ok(Decoded::Incomplete { need_at_least }) => {
                    assert!(buf.len() < need_at_least && need_at_least <= MAX_MESSAGE_LEN as usize + 4);
                    break;
                }
                Err(error) => return (messages, Some(error), 0),
            }
        }
    }
    (messages, None, buf.len())
}

fn check(message: &Message<'_>, bytes: &[u8]) {
    let mut encoded = Vec::new();
    message.encode(&mut encoded);
    assert_eq!(encoded, bytes);
    assert_eq!(message.encoded_len(), bytes.len());
    assert!(!message.to_string().contains(char::is_control));
}
