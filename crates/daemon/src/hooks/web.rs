//! Web servers that are told.
//!
//! A request has the time and `sha256=` with the HMAC (RFC 2104) of that time, a dot and the body in its headers: who has the
//! key can tell that it is ours, and refuses one that is old.

use super::{Event, Key, Webhook, words};
use api::units::hex;
use engine::HttpPost;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::json;
use sha2::Sha256;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::sleep;

/// How often a server is told at most, until it answers with success. Then it is not told.
pub(crate) const MAX_TRIES: u32 = 5;
/// How long is waited after the first try; after each other one twice as long.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// Tells a server, again if need be. Its answer's status alone is of interest; nobody is led elsewhere by it.
pub(super) async fn tell(http: &HttpPost, hook: &Webhook, key: &Key, event: &Event) {
    let body = body(event);
    let post = |headers: Headers| {
        let body = body.clone();
        async move {
            let answer = http.post(&hook.url, &headers, body, hook.allow_private).await;
            answer.map_err(|error| error.to_string())
        }
    };
    try_until_told(key, event, &body, post).await;
}

type Headers = [(&'static str, String); 3];

async fn try_until_told<F: Future<Output = Result<u16, String>>>(
    key: &Key,
    event: &Event,
    body: &[u8],
    post: impl Fn(Headers) -> F,
) {
    let mut wait = FIRST_WAIT;
    for attempt in 1..=MAX_TRIES {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let headers = [
            ("content-type", "application/json".to_owned()),
            ("x-rawtorrent-timestamp", time.to_string()),
            ("x-rawtorrent-signature", signature(key, time, body)),
        ];
        let (why, may_pass) = match post(headers).await {
            Ok(200..300) => return,
            Ok(status) => (format!("it answers {status}"), matches!(status, 408 | 429 | 500..)),
            Err(error) => (error, true),
        };
        let (id, what) = (event.id.as_str(), event.what.name());
        tracing::warn!(id, event = what, attempt, "a webhook was not told: {why}");
        if !may_pass || attempt == MAX_TRIES {
            return;
        }
        sleep(wait).await;
        wait *= 2;
    }
}

fn body(event: &Event) -> Vec<u8> {
    let mut number = [0; 16];
    // Without randomness it is none, and the server cannot tell a second try from a second event.
    let _ = getrandom::fill(&mut number);
    let told = json!({
        "delivery": hex(&number),
        "event": event.what,
        "torrent": {
            "id": event.id,
            "name": words(&event.name),
            "path": event.path.to_string_lossy(),
        },
        "reason": event.reason.as_deref().map(words),
    });
    told.to_string().into_bytes()
}

fn signature(key: &Key, time: u64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(&key.0).expect("HMAC takes keys of any length");
    mac.update(time.to_string().as_bytes());
    mac.update(b".");
    mac.update(body);
    format!("sha256={}", hex(&mac.finalize().into_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hooks::What;

    /// What Python's hmac says of the same.
    #[test]
    fn requests_are_signed() {
        let key = Key(b"0123456789abcdef"[..].into());
        let signed = signature(&key, 1_700_000_000, br#"{"event":"added"}"#);
        assert_eq!(signed, EXPECTED);
    }

    #[tokio::test(start_paused = true)]
    async fn a_server_is_told_again_but_not_for_ever() {
        let key = Key(b"0123456789abcdef"[..].into());
        let event = Event {
            what: What::Error,
            id: String::new(),
            name: String::new(),
            path: "/".into(),
            reason: None,
        };
        for (answers, tries) in [
            (vec![Ok(204)], 1),
            (vec![Err("refused".into()), Ok(503), Ok(200)], 3),
            (vec![Ok(301)], 1),
            (vec![Ok(404)], 1),
            (vec![Ok(500); MAX_TRIES as usize], MAX_TRIES as usize),
        ] {
            let left = std::sync::Mutex::new(answers.into_iter());
            let asked = std::sync::atomic::AtomicUsize::new(0);
            let post = |headers: Headers| {
                assert!(headers[2].1.starts_with("sha256="));
                asked.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let mut left = left.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                std::future::ready(left.next().expect("it is asked no more"))
            };
            try_until_told(&key, &event, b"", post).await;
            assert_eq!(asked.into_inner(), tries);
        }
    }

    const EXPECTED: &str = "sha256=12300388341ef91490b24a0da7a0184c9b56bfd4d6bd296b1049be49e5a8cced";
}
