//! Who is let in: names, origins, tokens, attempts.
//!
//! A web page elsewhere must not drive the daemon. It can send requests to loopback, but it can't choose their `Origin`
//! and `Sec-Fetch-Site`; and if it has its own name lead here (DNS rebinding), `Host` has that name. So on every route
//! `Host` must be an address, or a name that is known to be ours, and an origin must be that same one.

use crate::error::Refusal;
use crate::tokens::{Scope, Tokens};
use axum::http::{HeaderMap, StatusCode, header};
use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Wrong tokens that one address may show before it has to wait.
pub(crate) const MAX_ATTEMPTS: u32 = 10;
/// After how long they are forgotten.
const FORGET_AFTER: Duration = Duration::from_secs(60);
/// Addresses whose wrong tokens are counted, of IPv6 by their networks (/64). When they are more, those that came first are forgotten: an attacker with that
/// many addresses is kept out by the length of tokens.
pub(crate) const MAX_ADDRESSES: usize = 4096;

/// How a request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum From {
    /// Through a socket that only its owner can open.
    Unix,
    /// From this address.
    Tcp(SocketAddr),
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Who {
    /// The token's name, or how the request came.
    pub(crate) name: String,
    pub(crate) scope: Scope,
    /// The digest of the token, if there is one.
    pub(crate) token: Option<String>,
}

impl Who {
    /// A text for who asks: whoever only looks may show it to others, and is told no address in it.
    pub(crate) fn mask(&self, text: &mut String) {
        if self.scope <= Scope::Read {
            engine::events::scrub(text);
        }
    }
}

/// What is checked on every request.
#[derive(Debug)]
pub struct Access {
    tokens: Arc<RwLock<Tokens>>,
    /// Tells that they are others.
    changed: watch::Sender<()>,
    /// Names under which the daemon may be called, in lower case.
    hosts: RwLock<Vec<String>>,
    attempts: Mutex<BTreeMap<IpAddr, Attempts>>,
}

#[derive(Clone, Copy, Debug)]
struct Attempts {
    first: Instant,
    count: u32,
}

impl Access {
    /// Those who have one of `tokens`; and if none was ever made, everybody on this machine. `hosts` are names by which the daemon
    /// may be called beside `localhost` and addresses.
    pub fn new(tokens: Tokens, hosts: &[String]) -> Access {
        Access {
            tokens: Arc::new(RwLock::new(tokens)),
            changed: watch::Sender::new(()),
            hosts: RwLock::new(lower(hosts)),
            attempts: Mutex::default(),
        }
    }

    /// Other names, from now on.
    pub(crate) fn set_hosts(&self, hosts: &[String]) {
        *self.hosts.write().unwrap_or_else(PoisonError::into_inner) = lower(hosts);
    }

    /// Other tokens, from now on. If the file is gone that was there, they stay: nobody opens the door by that.
    pub(crate) fn set_tokens(&self, tokens: Tokens) {
        let mut held = self.tokens.write().unwrap_or_else(PoisonError::into_inner);
        if held.were_made() && !tokens.were_made() {
            tracing::warn!("the file of tokens is gone; they hold until the daemon ends");
            return;
        }
        *held = tokens;
        drop(held);
        self.changed.send_replace(());
    }

    /// Ends when this token is known no more.
    pub(crate) fn until_gone(&self, who: Who) -> impl Future<Output = ()> + use<> {
        let mut changed = self.changed.subscribe();
        let tokens = self.tokens.clone();
        async move {
            let holds = |tokens: &Tokens| match &who.token {
                Some(digest) => tokens.all().iter().any(|token| token.is(digest)),
                None => true,
            };
            while holds(&tokens.read().unwrap_or_else(PoisonError::into_inner)) {
                if changed.changed().await.is_err() {
                    return;
                }
            }
        }
    }

    /// That the request is meant for us, and does not come from a page elsewhere.
    pub(crate) fn check_origin(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        #[cfg(feature = "planted")]
        if crate::planted::is("any-page") {
            return Ok(());
        }
        let host = one(headers, &header::HOST)?.ok_or_else(misdirected)?;
        if !self.is_ours(host) {
            return Err(misdirected());
        }
        let cross = || {
            let detail = "a web page elsewhere must not use the daemon";
            Err(Refusal::new(StatusCode::FORBIDDEN, "cross_origin", detail))
        };
        if let Some(origin) = one(headers, &header::ORIGIN)? {
            let same =
                |scheme| origin.strip_prefix(scheme).is_some_and(|origin| origin.eq_ignore_ascii_case(host));
            if !same("http://") && !same("https://") {
                return cross();
            }
        }
        match one(headers, &header::HeaderName::from_static("sec-fetch-site"))? {
            None | Some("same-origin" | "none") => Ok(()),
            Some(_) => cross(),
        }
    }

    /// Who asks, and whether they may.
    pub(crate) fn check_token(
        &self,
        from: From,
        headers: &HeaderMap,
        needs: Option<Scope>,
    ) -> Result<Who, Refusal> {
        let Some(needs) = needs else {
            return Ok(Who { name: "anybody".into(), scope: Scope::Read, token: None });
        };
        let who = self.who(from, headers)?;
        if who.scope < needs {
            let detail = format!("this token is for '{}', and this needs '{needs}'", who.scope);
            return Err(Refusal::new(StatusCode::FORBIDDEN, "scope", detail));
        }
        Ok(who)
    }

    fn who(&self, from: From, headers: &HeaderMap) -> Result<Who, Refusal> {
        let tokens = self.tokens.read().unwrap_or_else(PoisonError::into_inner);
        let addr = match from {
            From::Unix => return Ok(Who { name: "unix socket".into(), scope: Scope::Admin, token: None }),
            From::Tcp(addr) => addr.ip().to_canonical(),
        };
        let shown = one(headers, &header::AUTHORIZATION)?;
        let token = shown.and_then(|shown| {
            let (scheme, token) = shown.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
        });
        let found = token.and_then(|token| tokens.find(token));
        match (found, shown) {
            // Whoever has a token is let in, though others behind the same address guess.
            (Some(found), _) => Ok(Who {
                name: found.name.clone(),
                scope: found.scope,
                token: Some(found.digest().to_owned()),
            }),
            (None, None) if !tokens.were_made() && addr.is_loopback() => {
                Ok(Who { name: "this machine".into(), scope: Scope::Admin, token: None })
            }
            (None, Some(_)) => {
                let network = network(addr);
                self.check_attempts(network)?;
                self.count_attempt(network, Instant::now());
                Err(Refusal::new(StatusCode::UNAUTHORIZED, "token", "this token is not known"))
            }
            (None, None) => {
                let detail = "this needs a token (RAWTORRENT_TOKEN_FILE, or 'Authorization: Bearer TOKEN')";
                Err(Refusal::new(StatusCode::UNAUTHORIZED, "token", detail))
            }
        }
    }

    fn is_ours(&self, host: &str) -> bool {
        let Some(name) = host_name(host) else { return false };
        if let Ok(ip) = name.trim_matches(['[', ']']).parse::<IpAddr>() {
            // Browsers take a page's requests to 0.0.0.0 to this machine.
            return !ip.is_unspecified() && name.starts_with('[') == ip.is_ipv6();
        }
        name == "localhost" || self.hosts.read().unwrap_or_else(PoisonError::into_inner).contains(&name)
    }

    fn check_attempts(&self, addr: IpAddr) -> Result<(), Refusal> {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(made) = attempts.get(&addr).filter(|made| made.count >= MAX_ATTEMPTS) else { return Ok(()) };
        let waited = made.first.elapsed();
        if waited >= FORGET_AFTER {
            return Ok(());
        }
        let left = u32::try_from((FORGET_AFTER - waited).as_secs()).unwrap_or(u32::MAX).saturating_add(1);
        let detail = "too many wrong tokens came from there; wait";
        Err(Refusal::new(StatusCode::TOO_MANY_REQUESTS, "attempts", detail).again_after(left))
    }

    fn count_attempt(&self, addr: IpAddr, now: Instant) {
        let mut attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        if !attempts.contains_key(&addr) && attempts.len() >= MAX_ADDRESSES {
            let first = attempts.iter().min_by_key(|(_, made)| made.first).map(|(&addr, _)| addr);
            first.map(|first| attempts.remove(&first));
        }
        let made = attempts.entry(addr).or_insert(Attempts { first: now, count: 0 });
        if now.saturating_duration_since(made.first) >= FORGET_AFTER {
            *made = Attempts { first: now, count: 0 };
        }
        made.count += 1;
    }
}

/// What somebody who has one address is likely to have all of.
pub(crate) fn network(addr: IpAddr) -> IpAddr {
    match addr {
        IpAddr::V6(addr) => Ipv6Addr::from_bits(addr.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

fn lower(hosts: &[String]) -> Vec<String> {
    hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
}

/// The name or address of `NAME:PORT`, in lower case; `None` if it is neither.
fn host_name(host: &str) -> Option<String> {
    let (name, port) = match host.rfind(']') {
        Some(end) => host.split_at(end + 1),
        None => host.find(':').map_or((host, ""), |colon| host.split_at(colon)),
    };
    let port_is_right =
        port.is_empty() || port.strip_prefix(':').is_some_and(|port| port.parse::<u16>().is_ok());
    (port_is_right && !name.is_empty()).then(|| name.to_ascii_lowercase())
}

/// A header that may be there once.
fn one<'a>(headers: &'a HeaderMap, name: &header::HeaderName) -> Result<Option<&'a str>, Refusal> {
    let bad = |what: &str| Refusal::bad(format!("the header '{name}' {what}"));
    let mut all = headers.get_all(name).iter();
    let first = all.next().map(|value| value.to_str().map_err(|_| bad("is no text"))).transpose()?;
    if all.next().is_some() { Err(bad("is there twice")) } else { Ok(first) }
}

fn misdirected() -> Refusal {
    let detail = "the daemon is not called that; if it is, say so with --allow-host";
    Refusal::new(StatusCode::MISDIRECTED_REQUEST, "host", detail)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;
    use futures_util::FutureExt;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, value.parse().unwrap());
        }
        headers
    }

    #[test]
    fn hosts_and_origins_are_ours() {
        let access = Access::new(Tokens::default(), &["Seedbox.Example".into()]);
        for host in [
            "localhost",
            "LOCALHOST:80",
            "127.0.0.1:6880",
            "[::1]",
            "[::1]:6880",
            "192.168.1.5",
            "seedbox.example:443",
        ] {
            access.check_origin(&headers(&[("host", host)])).unwrap();
            let origin = format!("https://{host}");
            access.check_origin(&headers(&[("host", host), ("origin", &origin)])).unwrap();
        }
        for host in [
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "0.0.0.0",
            "[::]",
            "::1",
            "",
            ":80",
            "localhost:",
            "localhost:99999",
            "localhost:80:80",
            "localhost ",
            "user@localhost",
            "[127.0.0.1]",
            "2130706433",
        ] {
            assert!(access.check_origin(&headers(&[("host", host)])).is_err(), "{host}");
        }
        assert!(access.check_origin(&HeaderMap::new()).is_err());
        assert!(access.check_origin(&headers(&[("host", "localhost"), ("host", "localhost")])).is_err());
        for origin in [
            "null",
            "http://evil.example",
            "http://localhost.evil",
            "http://localhost:81",
            "localhost",
            "file://localhost",
            "",
        ] {
            assert!(
                access.check_origin(&headers(&[("host", "localhost"), ("origin", origin)])).is_err(),
                "{origin}"
            );
        }
        for site in ["cross-site", "same-site", "what"] {
            assert!(
                access.check_origin(&headers(&[("host", "localhost"), ("sec-fetch-site", site)])).is_err()
            );
        }
    }

    #[test]
    fn without_tokens_only_this_machine_is_let_in() {
        let access = Access::new(Tokens::default(), &[]);
        let may = |addr: &str, needs| {
            access.check_token(From::Tcp(addr.parse().unwrap()), &HeaderMap::new(), needs).is_ok()
        };
        assert!(may("127.0.0.1:1", Some(Scope::Admin)) && may("[::ffff:127.0.0.1]:1", Some(Scope::Admin)));
        assert!(!may("192.0.2.1:1", Some(Scope::Read)) && may("192.0.2.1:1", None));
    }

    #[test]
    fn scopes_hold_and_a_token_binds_this_machine_too() {
        let dir = tempfile::tempdir().unwrap();
        let mut tokens = Tokens::open(dir.path()).unwrap();
        let token = tokens.add("phone", Scope::Manage).unwrap();
        let access = Access::new(tokens, &[]);
        let local = From::Tcp("127.0.0.1:1".parse().unwrap());
        assert!(access.check_token(local, &HeaderMap::new(), Some(Scope::Read)).is_err());
        assert!(access.check_token(From::Unix, &HeaderMap::new(), Some(Scope::Admin)).is_ok());
        let with = headers(&[("authorization", &format!("bearer {token}"))]);
        assert_eq!(access.check_token(local, &with, Some(Scope::Manage)).unwrap().name, "phone");
        assert!(access.check_token(local, &with, Some(Scope::Admin)).is_err());
        let basic = headers(&[("authorization", &format!("basic {token}"))]);
        assert!(access.check_token(local, &basic, Some(Scope::Read)).is_err());
    }

    #[test]
    fn who_guesses_has_to_wait() {
        let access = Access::new(Tokens::default(), &[]);
        let wrong = headers(&[("authorization", "Bearer x")]);
        let from = From::Tcp("127.0.0.1:1".parse().unwrap());
        for _ in 0..MAX_ATTEMPTS {
            assert!(
                format!("{:?}", access.check_token(from, &wrong, Some(Scope::Read)).unwrap_err())
                    .contains("401")
            );
        }
        let told = access.check_token(from, &wrong, Some(Scope::Read)).unwrap_err();
        assert!(format!("{told:?}").contains("429"), "{told:?}");
        let same = From::Tcp("[2001:db8::1]:1".parse().unwrap());
        for host in 0..=MAX_ATTEMPTS {
            let from = From::Tcp(format!("[2001:db8::{host:x}]:1").parse().unwrap());
            drop(access.check_token(from, &wrong, Some(Scope::Read)));
        }
        assert!(format!("{:?}", access.check_token(same, &wrong, Some(Scope::Read))).contains("429"));
        let other = From::Tcp("127.0.0.2:1".parse().unwrap());
        assert!(access.check_token(other, &HeaderMap::new(), Some(Scope::Read)).is_ok());
    }

    #[test]
    fn a_right_token_is_let_in_though_others_guess() {
        let dir = tempfile::tempdir().unwrap();
        let mut tokens = Tokens::open(dir.path()).unwrap();
        let token = tokens.add("phone", Scope::Manage).unwrap();
        let access = Access::new(tokens, &[]);
        let from = From::Tcp("127.0.0.1:1".parse().unwrap());
        let wrong = headers(&[("authorization", "Bearer x")]);
        for _ in 0..=MAX_ATTEMPTS {
            access.check_token(from, &wrong, Some(Scope::Read)).unwrap_err();
        }
        let right = headers(&[("authorization", &format!("Bearer {token}"))]);
        access.check_token(from, &right, Some(Scope::Read)).unwrap();
    }

    #[tokio::test]
    async fn the_last_token_s_end_and_a_lost_file_open_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let mut tokens = Tokens::open(dir.path()).unwrap();
        let token = tokens.add("phone", Scope::Manage).unwrap();
        let access = Access::new(tokens.clone(), &[]);
        let from = From::Tcp("127.0.0.1:1".parse().unwrap());
        let right = headers(&[("authorization", &format!("Bearer {token}"))]);
        let who = access.check_token(from, &right, Some(Scope::Read)).unwrap();
        let mut gone = std::pin::pin!(access.until_gone(who));
        assert!(gone.as_mut().now_or_never().is_none());
        access.set_tokens(Tokens::default());
        assert!(access.check_token(from, &HeaderMap::new(), Some(Scope::Read)).is_err(), "the file is lost");
        access.check_token(from, &right, Some(Scope::Read)).unwrap();
        assert!(gone.as_mut().now_or_never().is_none());
        tokens.remove("phone").unwrap();
        access.set_tokens(Tokens::open(dir.path()).unwrap());
        assert!(access.check_token(from, &HeaderMap::new(), Some(Scope::Read)).is_err(), "the last is gone");
        assert!(access.check_token(from, &right, Some(Scope::Read)).is_err());
        gone.await;
    }

    #[test]
    fn guessers_are_forgotten_when_they_are_too_many() {
        let access = Access::new(Tokens::default(), &[]);
        let start = Instant::now();
        for n in 0..u32::try_from(MAX_ADDRESSES).unwrap() + 10 {
            access.count_attempt(IpAddr::V4(n.into()), start + Duration::from_millis(n.into()));
        }
        let attempts = access.attempts.lock().unwrap();
        assert_eq!(attempts.len(), MAX_ADDRESSES);
        assert!(
            !attempts.contains_key(&IpAddr::V4(9.into())) && attempts.contains_key(&IpAddr::V4(10.into()))
        );
    }
}
