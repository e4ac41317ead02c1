//! Requests to Discord's REST API. twilight writes them, and they are sent here: its own client asks again at once, without
//! end, when it is refused with a 429 that tells no bucket.

use crate::bot::lock;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::{Client, Method, Response};
use serde::Deserialize;
use std::sync::Mutex;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, sleep_until};
use twilight_http::request::Request;
use twilight_http_ratelimiting::{Endpoint, RateLimitHeaders, RateLimiter};
use twilight_model::id::Id;

/// How often something is asked that Discord refuses since too much is asked; then it is left out.
pub(crate) const MAX_ATTEMPTS: usize = 5;
/// For how long the bot asks nothing at most, whatever Discord says.
pub(crate) const MAX_HOLD: Duration = Duration::from_secs(3600);
/// Bytes of an answer that are read. A longer one is taken for none.
pub(crate) const MAX_ANSWER: usize = 1024 * 1024;
/// For how long it asks nothing if Discord says that it shall wait, but not how long.
const USUAL_HOLD: Duration = Duration::from_secs(5);
/// How long Discord has to answer.
const ANSWER_WAIT: Duration = Duration::from_secs(30);

/// Why something was not done.
#[derive(Debug, Error)]
pub(crate) enum RestError {
    /// It is nothing that Discord would take.
    #[error(transparent)]
    Unwritten(#[from] twilight_http::Error),
    /// It could not be sent, or nothing came back.
    #[error("{0}")]
    Unsent(String),
    /// Discord does not do it.
    #[error("{status}, code {code}: {message}")]
    Refused {
        /// Of HTTP.
        status: u16,
        /// Discord's own; 0 if there is none.
        code: u64,
        /// Discord's own words.
        message: String,
    },
    /// Discord says that too much is asked, again and again.
    #[error("too much is asked, {MAX_ATTEMPTS} times")]
    Limited,
    /// What Discord answers is not what was asked for.
    #[error("the answer cannot be read")]
    Unread,
}

/// What Discord says when it refuses.
#[derive(Default, Deserialize)]
#[serde(default)]
struct Problem {
    code: u64,
    message: String,
}

/// Something that Discord has made, or knows.
#[derive(Deserialize)]
#[serde(bound = "")]
pub(crate) struct Made<T> {
    pub(crate) id: Id<T>,
}

/// Who sends requests, as fast as may be.
pub(crate) struct Rest {
    http: Client,
    /// `https://HOST/api/v10/`.
    base: String,
    authorization: HeaderValue,
    /// How much may be asked of what.
    limits: RateLimiter,
    /// Before that nothing is asked at all.
    held: Mutex<Instant>,
}

impl Rest {
    /// With the bot's token; `stand_in` is the `HOST:PORT` of a program that stands in for Discord.
    ///
    /// # Errors
    /// A line: there is no way to make connections.
    pub(crate) fn new(token: &str, stand_in: Option<&str>) -> Result<Rest, String> {
        let agent =
            concat!("DiscordBot (", env!("CARGO_PKG_REPOSITORY"), ", ", env!("CARGO_PKG_VERSION"), ")");
        let http = Client::builder().user_agent(agent).timeout(ANSWER_WAIT).no_proxy();
        let http =
            http.redirect(reqwest::redirect::Policy::none()).build().map_err(|error| reason(&error))?;
        let mut authorization = HeaderValue::try_from(format!("Bot {token}"))
            .map_err(|_| String::from("the token cannot be sent"))?;
        authorization.set_sensitive(true);
        let host = stand_in.map_or_else(|| "https://discord.com".to_owned(), |host| format!("http://{host}"));
        let base = format!("{host}/api/v{}/", twilight_http::API_VERSION);
        let held = Mutex::new(Instant::now());
        Ok(Rest { http, base, authorization, limits: RateLimiter::default(), held })
    }

    /// Waits until something may be asked at all.
    pub(crate) async fn ready(&self) {
        loop {
            let until = *lock(&self.held);
            if until <= Instant::now() {
                return;
            }
            sleep_until(until).await;
        }
    }

    /// Sends a request when its turn comes; the body of the answer. What is refused with a 429 is asked again when Discord says
    /// so, [`MAX_ATTEMPTS`] times.
    ///
    /// # Errors
    /// [`RestError`].
    pub(crate) async fn ask(
        &self,
        request: Result<Request, twilight_http::Error>,
    ) -> Result<Vec<u8>, RestError> {
        let request = request?;
        for _ in 0..MAX_ATTEMPTS {
            // Answers to interactions are limited by nothing but how many there are.
            let is_limited = !request.path().starts_with("interactions/");
            let permit = match is_limited {
                true => Some(self.limits.acquire(endpoint(&request)).await),
                false => None,
            };
            self.ready().await;
            let response = self.send(&request).await?;
            let limits = limits(response.headers());
            let is_refused = response.status().as_u16() == 429;
            if is_refused && (limits.is_none() || !is_limited) {
                self.hold(hold(response.headers()));
            }
            if let Some(permit) = permit {
                permit.complete(limits);
            }
            if !is_refused {
                return read(response).await;
            }
        }
        Err(RestError::Limited)
    }

    /// What was made, of an answer.
    ///
    /// # Errors
    /// [`RestError`].
    pub(crate) async fn make<T>(
        &self,
        request: Result<Request, twilight_http::Error>,
    ) -> Result<Id<T>, RestError> {
        let made = self.ask(request).await?;
        serde_json::from_slice::<Made<T>>(&made).map(|made| made.id).map_err(|_| RestError::Unread)
    }

    async fn send(&self, request: &Request) -> Result<Response, RestError> {
        let method = Method::from_bytes(request.method().name().as_bytes()).unwrap_or_default();
        let mut sent = self.http.request(method, format!("{}{}", self.base, request.path()));
        if request.use_authorization_token() {
            sent = sent.header(AUTHORIZATION, self.authorization.clone());
        }
        sent = match (request.form(), request.body()) {
            (Some(form), _) => sent.header(CONTENT_TYPE, form.content_type()).body(form.clone().build()),
            (None, Some(body)) => sent.header(CONTENT_TYPE, "application/json").body(body.to_owned()),
            (None, None) => sent,
        };
        sent.send().await.map_err(|error| RestError::Unsent(reason(&error)))
    }

    /// Asks nothing for so long.
    fn hold(&self, wait: Duration) {
        let now = Instant::now();
        let mut held = lock(&self.held);
        if *held <= now {
            tracing::warn!("too much is asked of Discord: nothing is for {} s", wait.as_secs_f32());
        }
        *held = (*held).max(now + wait);
    }
}

/// Only the last reason says what is amiss: those before, that a request failed, and of which URL, which may hold the token of
/// an interaction.
fn reason(error: &reqwest::Error) -> String {
    let error: &dyn std::error::Error = error;
    let reasons = std::iter::successors(error.source(), |&error| error.source());
    reasons.last().map_or_else(|| "the request failed".to_owned(), ToString::to_string)
}

fn endpoint(request: &Request) -> Endpoint {
    let path = request.path().split('?').next().unwrap_or_default().to_owned();
    Endpoint { method: request.method(), path }
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// What may be asked of the same bucket; `None` if that is not what is told.
fn limits(headers: &HeaderMap) -> Option<RateLimitHeaders> {
    let bucket = text(headers, RateLimitHeaders::BUCKET)?.as_bytes().to_vec();
    match text(headers, RateLimitHeaders::SCOPE) {
        Some("global") => None,
        Some("shared") => {
            let after = text(headers, RETRY_AFTER.as_str())?.parse().ok()?;
            Some(RateLimitHeaders::shared(bucket, after))
        }
        _ => {
            let after = text(headers, RateLimitHeaders::RESET_AFTER)?.parse().ok()?;
            let after = Duration::try_from_secs_f32(after).ok()?.min(MAX_HOLD);
            Some(RateLimitHeaders {
                bucket,
                limit: text(headers, RateLimitHeaders::LIMIT)?.parse().ok()?,
                remaining: text(headers, RateLimitHeaders::REMAINING)?.parse().ok()?,
                reset_at: std::time::Instant::now() + after,
            })
        }
    }
}

/// How long all have to wait.
fn hold(headers: &HeaderMap) -> Duration {
    let after = text(headers, RETRY_AFTER.as_str()).and_then(|after| after.trim().parse().ok());
    after.and_then(|after| Duration::try_from_secs_f32(after).ok()).unwrap_or(USUAL_HOLD).min(MAX_HOLD)
}

async fn read(mut response: Response) -> Result<Vec<u8>, RestError> {
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(|error| RestError::Unsent(reason(&error)))? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(RestError::Unread);
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return Ok(body);
    }
    let Problem { code, message } = serde_json::from_slice(&body).unwrap_or_default();
    Err(RestError::Refused { status: status.as_u16(), code, message })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use std::io::{Read as _, Write as _};
    use std::net::TcpListener;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use twilight_http::request::TryIntoRequest as _;

    fn headers(given: &[(&'static str, &'static str)]) -> HeaderMap {
        given.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn how_long_to_wait_has_an_end() {
        for (after, seconds) in [
            (Some("2"), 2.0),
            (Some("0.5"), 0.5),
            (Some("999999999"), MAX_HOLD.as_secs_f32()),
            (Some("-1"), USUAL_HOLD.as_secs_f32()),
            (Some("inf"), USUAL_HOLD.as_secs_f32()),
            (Some("Fri, 01 Jan 2027 00:00:00 GMT"), USUAL_HOLD.as_secs_f32()),
            (None, USUAL_HOLD.as_secs_f32()),
        ] {
            let headers = after.map_or_else(HeaderMap::new, |after| headers(&[("retry-after", after)]));
            assert_eq!(hold(&headers), Duration::from_secs_f32(seconds), "{after:?}");
        }
    }

    #[test]
    fn a_bucket_is_told_or_all_wait() {
        let user = [
            ("x-ratelimit-bucket", "b"),
            ("x-ratelimit-limit", "5"),
            ("x-ratelimit-remaining", "4"),
            ("x-ratelimit-reset-after", "0.3"),
        ];
        let told = limits(&headers(&user)).unwrap();
        assert_eq!((told.bucket, told.limit, told.remaining), (b"b".to_vec(), 5, 4));
        for wrong in ["-1", "NaN", "1e39"] {
            let [bucket, limit, remaining, (name, _)] = user;
            assert_eq!(limits(&headers(&[bucket, limit, remaining, (name, wrong)])), None, "{wrong}");
        }
        let shared = [user[0], ("x-ratelimit-scope", "shared"), ("retry-after", "1")];
        assert_eq!(limits(&headers(&shared)).unwrap().remaining, 0);
        assert_eq!(limits(&headers(&shared[..2])), None);
        assert_eq!(limits(&headers(&[&user[..], &[("x-ratelimit-scope", "global")]].concat())), None);
        assert_eq!(limits(&HeaderMap::new()), None);
    }

    /// Answers every request so; how often that was.
    fn discord(answer: Vec<u8>) -> (Rest, Arc<AtomicUsize>) {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (count, answer) = (count.clone(), answer.clone());
                std::thread::spawn(move || {
                    let mut request = [0; 4096];
                    while stream.read(&mut request).is_ok_and(|read| read > 0) {
                        count.fetch_add(1, Ordering::Relaxed);
                        let _ = stream.write_all(&answer);
                    }
                });
            }
        });
        (Rest::new("a.b.c", Some(&host)).unwrap(), asked)
    }

    async fn ask(rest: &Rest) -> Result<Vec<u8>, RestError> {
        let writes = twilight_http::Client::builder().ratelimiter(None).build();
        rest.ask(writes.current_user_application().try_into_request()).await
    }

    #[tokio::test]
    async fn what_is_refused_is_asked_a_few_times_and_nothing_else_meanwhile() {
        let refused = b"HTTP/1.1 429 x\r\nretry-after: 0.01\r\ncontent-length: 0\r\n\r\n".to_vec();
        let (rest, asked) = discord(refused);
        assert!(matches!(ask(&rest).await, Err(RestError::Limited)));
        assert_eq!(asked.load(Ordering::Relaxed), MAX_ATTEMPTS);
        rest.hold(MAX_HOLD);
        let waits = tokio::select! {
            biased;
            _ = ask(&rest) => false,
            () = async { for _ in 0..100 { tokio::task::yield_now().await } } => true,
        };
        assert!(waits);
        assert_eq!(asked.load(Ordering::Relaxed), MAX_ATTEMPTS);
    }

    #[tokio::test]
    async fn an_answer_has_an_end() {
        for (length, is_read) in [(MAX_ANSWER, true), (MAX_ANSWER + 1, false)] {
            let mut answer = format!("HTTP/1.1 200 x\r\ncontent-length: {length}\r\n\r\n").into_bytes();
            answer.resize(answer.len() + length, b' ');
            let (rest, _) = discord(answer);
            assert_eq!(ask(&rest).await.is_ok(), is_read, "{length}");
        }
    }
}
