//! A tracker's URL, read once and kept in the form in which it is used.
//!
//! Its path and query often hold a person's private key to the tracker, so `Display` and `Debug` show the scheme,
//! host and port only, and no error quotes what was given.

use crate::limits::{MAX_TRACKERS, MAX_TRACKERS_OF_HOST, MAX_URL_LEN};
use crate::text::{percent_byte, percent_decode};
use alloc::collections::BTreeSet;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use types::Zone;

/// How a tracker is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scheme {
    /// HTTP (BEP 3).
    Http,
    /// HTTP over TLS.
    Https,
    /// UDP (BEP 15).
    Udp,
}

impl Scheme {
    fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
            Scheme::Udp => "udp",
        }
    }
}

/// Where a tracker is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// A name, lower case, still to be looked up.
    Name(String),
    /// An address.
    Ip(IpAddr),
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Host::Name(name) => f.write_str(name),
            Host::Ip(IpAddr::V4(v4)) => v4.fmt(f),
            Host::Ip(IpAddr::V6(v6)) => write!(f, "[{v6}]"),
        }
    }
}

/// The URL of an HTTP, HTTPS or UDP tracker.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TrackerUrl {
    scheme: Scheme,
    userinfo: String,
    host: Host,
    port: u16,
    /// Path and query, as they are sent: empty, or beginning with `/` or `?`; no fragment.
    target: String,
}

/// Why a URL is not, or must not be, a tracker's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// Longer than [`MAX_URL_LEN`].
    #[error("the tracker's URL is longer than {MAX_URL_LEN} bytes")]
    TooLong,
    /// No `scheme://`.
    #[error("this is no URL (http, https and udp trackers are supported)")]
    NoScheme,
    /// A scheme of some other kind, such as `wss`.
    #[error("{0} trackers are not supported (http, https and udp are)")]
    Scheme(String),
    /// Spaces, control characters, or a backslash before the path (which some take for a slash).
    #[error("the tracker's URL holds a character that has no place there")]
    Character,
    /// A host that is no name and no address.
    #[error("the tracker's URL has no usable host")]
    Host,
    /// A port that is no number from 1 to 65535.
    #[error("the tracker's URL has no usable port")]
    Port,
    /// UDP has no port of its own.
    #[error("a udp tracker's URL must name its port")]
    NoPort,
    /// See [`PrivatePaths::Announce`].
    #[error("a tracker at a private address must have a path that ends in /announce")]
    NotAnAnnouncePath,
    /// See [`PrivatePaths::Nothing`].
    #[error("a tracker at a private address is not asked because a link names it")]
    OfALink,
    /// A user name or a password for a private address, where it would be tried on whatever is there.
    #[error("a tracker at a private address must have no user name and no password in its URL")]
    Credentials,
    /// See [`Zone::Forbidden`].
    #[error("the tracker's address is one that must not be asked")]
    Address,
    /// See [`UrlRules::guard`].
    #[error("the tracker's URL already carries what only an announce may say")]
    AnnounceInQuery,
    /// See [`UrlRules::allow_idna`].
    #[error("internationalised host names are not allowed for trackers")]
    Idna,
    /// More than [`MAX_TRACKERS`].
    #[error("more than {MAX_TRACKERS} trackers; this one is not used")]
    TooMany,
    /// More than [`MAX_TRACKERS_OF_HOST`].
    #[error("more than {MAX_TRACKERS_OF_HOST} trackers at one host; this one is not used")]
    TooManyOfHost,
}

/// Which paths are asked for at private addresses ([`Zone::Private`]), where services may be that were never meant to hear
/// from strangers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PrivatePaths {
    /// Those that end in `/announce`, with no credentials: for the trackers of a torrent that the owner gave. The default.
    #[default]
    Announce,
    /// None: for trackers that a link names, or another peer.
    Nothing,
    /// Any: the owner allows it.
    Any,
}

/// What a URL from a stranger's torrent may make us do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UrlRules {
    /// No URL may bring announce parameters of its own, which would speak in our name. On by default.
    pub guard: bool,
    /// Whether host names may be internationalised (`xn--`), which lets one name look like another. Off by default.
    pub allow_idna: bool,
    /// What may be asked for at private addresses.
    pub private: PrivatePaths,
}

impl Default for UrlRules {
    fn default() -> UrlRules {
        UrlRules { guard: true, allow_idna: false, private: PrivatePaths::default() }
    }
}

impl TrackerUrl {
    /// Reads a URL; [`TrackerUrl::check`] says whether it may be used.
    ///
    /// # Errors
    /// Not http, https or udp; no host; a bad port; characters that have no place in a URL; too long.
    pub fn parse(text: &str) -> Result<TrackerUrl, UrlError> {
        let text = text.trim();
        if text.len() > MAX_URL_LEN {
            return Err(UrlError::TooLong);
        }
        if text.bytes().any(|b| b <= b' ' || b == 0x7f) {
            return Err(UrlError::Character);
        }
        let (scheme, rest) = text.split_once("://").ok_or(UrlError::NoScheme)?;
        let scheme = parse_scheme(scheme)?;
        let rest = rest.split('#').next().unwrap_or_default();
        let (authority, target) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        if authority.contains('\\') {
            return Err(UrlError::Character);
        }
        let (userinfo, host_port) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = split_port(host_port)?;
        Ok(TrackerUrl {
            scheme,
            userinfo: ascii_only(userinfo),
            host: parse_host(host)?,
            port: parse_port(port, scheme)?,
            target: ascii_only(target),
        })
    }

    /// Whether this URL keeps to the rules.
    ///
    /// Where a *name* leads is only known once it was looked up: the driver must see to it that it leads to a private address
    /// only if [`TrackerUrl::check_private`] allows that, and to a forbidden one never.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(&self, rules: UrlRules) -> Result<(), UrlError> {
        self.check_redirect(rules)?;
        let is_http = self.scheme != Scheme::Udp;
        if rules.guard && is_http && carries_announce(self.query().unwrap_or_default()) {
            return Err(UrlError::AnnounceInQuery);
        }
        Ok(())
    }

    /// Whether a tracker may send us on to this URL, whose query may well repeat our announce. From a public address it may
    /// send us to none that is not, which is the driver's to see to.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check_redirect(&self, rules: UrlRules) -> Result<(), UrlError> {
        if !rules.allow_idna && matches!(&self.host, Host::Name(name) if is_idna(name)) {
            return Err(UrlError::Idna);
        }
        match self.host.zone() {
            Some(Zone::Forbidden) => Err(UrlError::Address),
            Some(Zone::Private) => self.check_private(rules),
            Some(Zone::Public) | None => Ok(()),
        }
    }

    /// Whether this may be asked for at a private address.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check_private(&self, rules: UrlRules) -> Result<(), UrlError> {
        match rules.private {
            PrivatePaths::Any => Ok(()),
            PrivatePaths::Nothing => Err(UrlError::OfALink),
            PrivatePaths::Announce if !self.ends_in_announce() => Err(UrlError::NotAnAnnouncePath),
            PrivatePaths::Announce if !self.userinfo.is_empty() => Err(UrlError::Credentials),
            PrivatePaths::Announce => Ok(()),
        }
    }

    /// How the tracker is spoken to.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Where the tracker is.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// The port, by default 80 for http and 443 for https.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query as they are sent, private keys included; may be empty.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The path, without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap_or_default()
    }

    /// What follows the `?`, if there is one.
    pub fn query(&self) -> Option<&str> {
        self.target.split_once('?').map(|(_, query)| query)
    }

    /// Whether the path ends in `/announce`, however it is read: it climbs nowhere, and no part of it is hidden.
    fn ends_in_announce(&self) -> bool {
        let is_dots = |part: &str| matches!(&*percent_decode(part), b"." | b"..");
        self.path().ends_with("/announce") && !self.path().split(['/', '\\']).any(is_dots)
    }

    /// The whole URL, private parts included: for requests and for files, never for eyes.
    pub fn secret_text(&self) -> String {
        self.with_target(&self.target)
    }

    /// A text of the tracker's, which may repeat what is private in its URL: without that.
    pub fn without_keys(&self, text: &str) -> String {
        let mut keys: Vec<String> = Vec::new();
        let mut add = |part: &str, least: usize| {
            for key in [part.to_string(), String::from_utf8_lossy(&percent_decode(part)).into_owned()] {
                if key.len() >= least {
                    keys.push(key);
                }
            }
        };
        self.userinfo.split(':').for_each(|part| add(part, MIN_QUERY_KEY));
        for pair in self.query().unwrap_or_default().split(['&', ';']) {
            add(pair.split_once('=').map_or(pair, |(_, value)| value), MIN_QUERY_KEY);
        }
        for part in self.path().split('/') {
            let has_digit = part.bytes().any(|byte| byte.is_ascii_digit());
            add(part, if has_digit { MIN_PATH_KEY } else { MIN_PATH_WORD });
        }
        // One may be the beginning of another.
        keys.sort_by_key(|key| Reverse(key.len()));
        keys.into_iter().fold(text.to_string(), |text, key| without(&text, &key))
    }

    /// The whole URL with another path and query.
    pub(crate) fn with_target(&self, target: &str) -> String {
        let TrackerUrl { scheme, userinfo, host, port, .. } = self;
        let at = if userinfo.is_empty() { "" } else { "@" };
        alloc::format!("{}://{userinfo}{at}{host}:{port}{target}", scheme.as_str())
    }
}

/// Scheme, host and port: what may be shown and logged.
impl fmt::Display for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}:{}", self.scheme.as_str(), self.host, self.port)
    }
}

impl fmt::Debug for TrackerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}/…")
    }
}

/// A torrent's announce-list, read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tiers {
    /// The tiers with what can be used of them; none is empty.
    pub usable: Vec<Vec<TrackerUrl>>,
    /// What cannot, for a warning.
    pub refused: Vec<Refused>,
}

/// A tracker of the announce-list that cannot be used. It is named by its place, since its text may hold a private key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("tracker {} of tier {}: {error}", position + 1, tier + 1)]
pub struct Refused {
    /// Its tier, from 0.
    pub tier: usize,
    /// Its place in the tier, from 0.
    pub position: usize,
    /// Why.
    pub error: UrlError,
}

/// Reads a torrent's announce-list (BEP 12). A tracker that is named twice counts once; an empty tier vanishes.
pub fn parse_tiers<T: AsRef<str>>(tiers: &[Vec<T>], rules: UrlRules) -> Tiers {
    parse_tiers_by(tiers, |_| rules)
}

/// The same, where not all keep to the same rules.
pub fn parse_tiers_by<T: AsRef<str>>(tiers: &[Vec<T>], rules: impl Fn(&TrackerUrl) -> UrlRules) -> Tiers {
    let mut seen = BTreeSet::<TrackerUrl>::new();
    let mut out = Tiers::default();
    for (tier, urls) in tiers.iter().enumerate() {
        let mut usable = Vec::new();
        for (position, text) in urls.iter().enumerate() {
            let url = TrackerUrl::parse(text.as_ref()).and_then(|url| url.check(rules(&url)).map(|()| url));
            let named = url.as_ref().ok().map(counted);
            match (url, named) {
                (Ok(_), Some(named)) if seen.contains(&named) => {}
                (Ok(_), _) if seen.len() >= MAX_TRACKERS => {
                    out.refused.push(Refused { tier, position, error: UrlError::TooMany });
                }
                (Ok(_), Some(named)) if is_crowded(&seen, &named) => {
                    out.refused.push(Refused { tier, position, error: UrlError::TooManyOfHost });
                }
                (Ok(url), named) => {
                    seen.extend(named);
                    usable.push(url);
                }
                (Err(error), _) => out.refused.push(Refused { tier, position, error }),
            }
        }
        if !usable.is_empty() {
            out.usable.push(usable);
        }
    }
    out
}

/// Whether a host has as many trackers of a torrent as it may. A host of one's own network is nobody's victim.
fn is_crowded(seen: &BTreeSet<TrackerUrl>, url: &TrackerUrl) -> bool {
    let there = || seen.iter().filter(|other| other.host() == url.host()).count();
    url.host().zone() != Some(Zone::Private) && there() >= MAX_TRACKERS_OF_HOST
}

/// The same tracker, its host spelled as hosts are counted.
fn counted(url: &TrackerUrl) -> TrackerUrl {
    TrackerUrl { host: url.host.counted(), ..url.clone() }
}

impl Host {
    /// The host in the one spelling in which hosts are told apart: no dot behind a name, and an IPv4 address as such, also
    /// if it is mapped into IPv6 or translated by NAT64's well-known prefix (RFC 6052). Names are of ASCII in lower case
    /// in any case.
    pub fn counted(&self) -> Host {
        match self {
            Host::Name(name) => Host::Name(name.trim_end_matches('.').into()),
            Host::Ip(ip) => Host::Ip(types::plain_ip(*ip)),
        }
    }

    /// Where this is, if that is known without a look-up.
    pub fn zone(&self) -> Option<Zone> {
        match self {
            Host::Ip(ip) => Some(Zone::of(*ip)),
            Host::Name(name) => {
                let name = name.trim_end_matches('.');
                let is_local = name == "localhost" || name.ends_with(".localhost");
                is_local.then_some(Zone::Private)
            }
        }
    }
}

/// Whether a label of this host name is an internationalised one in its ASCII form (`xn--`, in any case).
pub fn is_idna(host: &str) -> bool {
    host.split('.').any(|label| label.as_bytes().get(..4).is_some_and(|p| p.eq_ignore_ascii_case(b"xn--")))
}

/// The parameters that say who announces what; a URL that sets one would speak in our name.
const ANNOUNCE_KEYS: [&[u8]; 9] =
    [b"info_hash", b"peer_id", b"port", b"uploaded", b"downloaded", b"left", b"event", b"key", b"corrupt"];

fn carries_announce(query: &str) -> bool {
    query.split(['&', ';']).any(|pair| {
        let key = percent_decode(pair.split('=').next().unwrap_or_default());
        ANNOUNCE_KEYS.iter().any(|ours| key.eq_ignore_ascii_case(ours))
    })
}

fn parse_scheme(text: &str) -> Result<Scheme, UrlError> {
    let known = [Scheme::Http, Scheme::Https, Scheme::Udp];
    if let Some(scheme) = known.into_iter().find(|s| text.eq_ignore_ascii_case(s.as_str())) {
        return Ok(scheme);
    }
    let is_scheme = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.');
    if (1..=16).contains(&text.len()) && text.bytes().all(is_scheme) {
        return Err(UrlError::Scheme(text.to_ascii_lowercase()));
    }
    Err(UrlError::NoScheme)
}

/// Splits `host:port`, `[v6]:port` or either without a port.
fn split_port(text: &str) -> Result<(&str, Option<&str>), UrlError> {
    let host_end = match text.starts_with('[') {
        true => text.find(']').ok_or(UrlError::Host)? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    match text.split_at(host_end) {
        (host, "") => Ok((host, None)),
        (host, rest) => Ok((host, Some(rest.strip_prefix(':').ok_or(UrlError::Host)?))),
    }
}

fn parse_port(text: Option<&str>, scheme: Scheme) -> Result<u16, UrlError> {
    match (text, scheme) {
        (None | Some(""), Scheme::Http) => Ok(80),
        (None | Some(""), Scheme::Https) => Ok(443),
        (None | Some(""), Scheme::Udp) => Err(UrlError::NoPort),
        (Some(digits), _) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|&port| port != 0).ok_or(UrlError::Port)
        }
        _ => Err(UrlError::Port),
    }
}

/// A name or an address, strictly: what another reader of URLs could take for an address (`127.1`, `0x7f000001`,
/// `2130706433`) is refused, so that nobody sees another host than we checked.
fn parse_host(text: &str) -> Result<Host, UrlError> {
    if let Some(v6) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().map(|v6| Host::Ip(v6.into())).map_err(|_| UrlError::Host);
    }
    if let Ok(v4) = text.parse::<Ipv4Addr>() {
        return Ok(Host::Ip(v4.into()));
    }
    let in_name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
    let name = text.strip_suffix('.').unwrap_or(text);
    let labels_ok = name.split('.').all(|l| (1..=63).contains(&l.len()) && l.bytes().all(in_name));
    let last = name.rsplit('.').next().unwrap_or_default();
    let looks_numeric =
        last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") || last.starts_with("0X");
    if name.len() > 253 || !labels_ok || looks_numeric {
        return Err(UrlError::Host);
    }
    Ok(Host::Name(text.to_ascii_lowercase()))
}

/// In place of a key.
const HIDDEN: &str = "(key)";
/// What is shorter is no key: of user, password and query.
const MIN_QUERY_KEY: usize = 4;
/// The same of a part of the path that has a digit, and of one that has none and may be a word.
const MIN_PATH_KEY: usize = 6;
const MIN_PATH_WORD: usize = 14;

/// A text without a key in it, in whatever case.
fn without(text: &str, key: &str) -> String {
    let (low, low_key) = (text.to_ascii_lowercase(), key.to_ascii_lowercase());
    let mut out = String::with_capacity(text.len());
    let mut done = 0;
    for (at, _) in low.match_indices(&*low_key) {
        out.push_str(&text[done..at]);
        out.push_str(HIDDEN);
        done = at + key.len();
    }
    out.push_str(&text[done..]);
    out
}

/// Percent-encodes what is not ASCII; the rest stays byte for byte.
fn ascii_only(text: &str) -> String {
    if text.is_ascii() {
        return text.to_string();
    }
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte.is_ascii() {
            true => out.push(char::from(byte)),
            false => percent_byte(byte, &mut out),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::{format, vec};
    use proptest::prelude::*;

    fn parse(text: &str) -> TrackerUrl {
        TrackerUrl::parse(text).unwrap()
    }

    #[test]
    fn reads_the_parts() {
        let url = parse(" HTTP://User:pw@Tracker.Example.:8080/x/announce?passkey=é&y#frag ");
        assert_eq!(url.scheme(), Scheme::Http);
        assert_eq!(url.host(), &Host::Name("tracker.example.".into()));
        assert_eq!(url.port(), 8080);
        assert_eq!(url.target(), "/x/announce?passkey=%C3%A9&y");
        assert_eq!(url.path(), "/x/announce");
        assert_eq!(url.query(), Some("passkey=%C3%A9&y"));
        assert_eq!(url.secret_text(), "http://User:pw@tracker.example.:8080/x/announce?passkey=%C3%A9&y");
        assert_eq!(parse("https://a").port(), 443);
        assert_eq!(parse("http://a?x").target(), "?x");
        assert_eq!(parse("udp://[::1]:69").host(), &Host::Ip("::1".parse().unwrap()));
        assert_eq!(parse("udp://[2001:db8::1]:69/a").secret_text(), "udp://[2001:db8::1]:69/a");
    }

    #[test]
    fn refuses_what_is_no_tracker() {
        let refused = |text: &str| TrackerUrl::parse(text).unwrap_err();
        assert_eq!(refused("tracker.example/announce"), UrlError::NoScheme);
        assert_eq!(refused(""), UrlError::NoScheme);
        assert_eq!(refused("wss://a/announce"), UrlError::Scheme("wss".into()));
        assert_eq!(
            refused("wss://a").to_string(),
            "wss trackers are not supported (http, https and udp are)"
        );
        assert_eq!(refused("udp://a/announce"), UrlError::NoPort);
        assert_eq!(refused("http://a b/"), UrlError::Character);
        assert_eq!(refused("http://a/\r\nHost: b"), UrlError::Character);
        for host in
            ["", "a..b", "[::1", "[::1]x", "[zz]", "127.1", "0x7f.1", "2130706433", "1.2.3.4.5", "é", "%61"]
        {
            assert_eq!(refused(&format!("http://{host}/announce")), UrlError::Host, "{host}");
        }
        assert_eq!(refused("http://127.0.0.1\\@a/"), UrlError::Character);
        for port in ["0", "65536", "+1", "8o"] {
            assert_eq!(refused(&format!("http://a:{port}/")), UrlError::Port, "{port}");
        }
        let at_limit = format!("http://a/{}", "x".repeat(MAX_URL_LEN - 9));
        assert!(TrackerUrl::parse(&at_limit).is_ok());
        assert_eq!(refused(&format!("{at_limit}x")), UrlError::TooLong);
    }

    #[test]
    fn shows_no_private_key() {
        let url = parse("http://me:hunter2@tracker.example/hunter2/announce?passkey=hunter2");
        assert_eq!(url.to_string(), "http://tracker.example:80");
        assert!(!format!("{url:?}").contains("hunter2"));
    }

    #[test]
    fn what_a_tracker_repeats_of_its_url_is_hidden() {
        let url = parse(
            "http://me:hunter2@tracker.example/tracker/0123456789abcdef/announce.php?passkey=se%63ret&uid=7",
        );
        for (text, hidden) in [
            ("passkey SECRET is unknown", "passkey (key) is unknown"),
            ("no user 0123456789ABCDEF!", "no user (key)!"),
            ("see /announce.php?passkey=se%63ret&uid=7", "see /announce.php?passkey=(key)&uid=7"),
            ("hunter2: this tracker is full; 7 announces", "(key): this tracker is full; 7 announces"),
            ("é0123456789abcdefé", "é(key)é"),
        ] {
            assert_eq!(url.without_keys(text), hidden);
        }
        let plain = parse("udp://tracker.example:6969/announce");
        assert_eq!(plain.without_keys("announce more slowly"), "announce more slowly");
    }

    const RULES: UrlRules = UrlRules { guard: true, allow_idna: false, private: PrivatePaths::Announce };
    const LINK: UrlRules = UrlRules { private: PrivatePaths::Nothing, ..RULES };
    const ANY: UrlRules = UrlRules { private: PrivatePaths::Any, ..RULES };

    #[test]
    fn private_addresses_are_seen_in_every_spelling() {
        for host in [
            "127.0.0.1",
            "127.9.9.9",
            "192.168.1.1",
            "localhost",
            "LOCALHOST.",
            "x.localhost",
            "[::1]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
            "[::127.0.0.1]",
            "[64:ff9b::127.0.0.1]",
            "[2002:7f00:1::]",
            "[fd00::1]",
        ] {
            let url = parse(&format!("http://{host}:80/shutdown"));
            assert_eq!(url.check(RULES), Err(UrlError::NotAnAnnouncePath), "{host}");
            assert_eq!(url.check(ANY), Ok(()), "{host}");
            let url = parse(&format!("http://{host}:80/announce"));
            assert_eq!(url.check(RULES), Ok(()), "{host}");
            assert_eq!(url.check(LINK), Err(UrlError::OfALink), "{host}");
        }
        for host in ["169.254.169.254", "[::ffff:100.100.100.200]", "[fd00:ec2::254]", "0.0.0.0", "[::]"] {
            for rules in [RULES, LINK, ANY] {
                assert_eq!(parse(&format!("http://{host}/announce")).check(rules), Err(UrlError::Address));
                assert_eq!(parse(&format!("udp://{host}:1")).check(rules), Err(UrlError::Address));
            }
        }
    }

    #[test]
    fn private_addresses_are_asked_for_announces_only() {
        for path in ["/announce", "/key/announce", "/announce?passkey=1"] {
            assert_eq!(parse(&format!("http://127.0.0.1{path}")).check(RULES), Ok(()), "{path}");
        }
        for path in [
            "/announce/../shutdown",
            "/x/../announce",
            "/%2E%2e/announce",
            "/x\\..\\x/announce",
            "/shutdown?/announce",
            "/shutdown#/announce",
            "/Announce",
            "/xannounce",
            "/x%2Fannounce",
            "/announce/",
            "/announce.php",
            "/announce/key",
            "?/announce",
            "",
        ] {
            let url = parse(&format!("http://127.0.0.1{path}"));
            assert_eq!(url.check(RULES), Err(UrlError::NotAnAnnouncePath), "{path}");
        }
        assert_eq!(parse("udp://127.0.0.1:6969/announce").check(RULES), Ok(()));
        for path in ["", "/", "/x"] {
            let url = parse(&format!("udp://127.0.0.1:6969{path}"));
            assert_eq!(url.check(RULES), Err(UrlError::NotAnAnnouncePath), "{path}");
            assert_eq!(url.check(LINK), Err(UrlError::OfALink), "{path}");
        }
        assert_eq!(parse("http://1.1.1.1/shutdown").check(LINK), Ok(()), "not private");
    }

    #[test]
    fn credentials_are_not_tried_inside() {
        for user in ["admin:admin@", "admin@", ":@"] {
            let url = parse(&format!("http://{user}192.168.1.1:8080/announce"));
            assert_eq!(url.check(RULES), Err(UrlError::Credentials), "{user}");
            assert_eq!(url.check_redirect(RULES), Err(UrlError::Credentials), "{user}");
            assert_eq!(url.check(ANY), Ok(()), "{user}");
            assert_eq!(parse(&format!("http://{user}1.1.1.1/announce")).check(RULES), Ok(()), "{user}");
        }
    }

    #[test]
    fn nobody_else_speaks_in_our_name() {
        assert_eq!(parse("http://a/?info%5Fhash=1").check(RULES), Err(UrlError::AnnounceInQuery));
        assert_eq!(parse("http://a/?info_hash=1").check_redirect(RULES), Ok(()));
        assert_eq!(parse("http://a/?passkey=1&xport=2").check(RULES), Ok(()));
        assert_eq!(parse("http://xn--x.com/announce").check(RULES), Err(UrlError::Idna));
    }

    #[test]
    fn tiers_keep_what_is_usable() {
        let tiers = vec![
            vec!["http://a/announce", "gopher://b"],
            vec!["http://A:80/announce"],
            vec!["udp://c:1", "http://127.0.0.1/x"],
        ];
        let read = parse_tiers(&tiers, UrlRules::default());
        assert_eq!(read.usable, [vec![parse("http://a/announce")], vec![parse("udp://c:1")]]);
        let refused: Vec<_> = read.refused.iter().map(ToString::to_string).collect();
        assert_eq!(
            refused,
            [
                "tracker 2 of tier 1: gopher trackers are not supported (http, https and udp are)",
                "tracker 2 of tier 3: a tracker at a private address must have a path that ends in /announce",
            ]
        );
        let many: Vec<_> = (0..=MAX_TRACKERS).map(|n| vec![format!("http://t{n}/announce")]).collect();
        let read = parse_tiers(&many, UrlRules::default());
        assert_eq!(read.usable.len(), MAX_TRACKERS);
        assert_eq!(read.refused, [Refused { tier: MAX_TRACKERS, position: 0, error: UrlError::TooMany }]);
        let of_one_host = (0..=MAX_TRACKERS_OF_HOST)
            .map(|n| format!("http://t:{}/announce", 80 + n))
            .chain(["http://u/announce".into()]);
        let read = parse_tiers(&[of_one_host.collect::<Vec<_>>()], UrlRules::default());
        assert_eq!(read.usable[0].len(), MAX_TRACKERS_OF_HOST + 1, "the other host's too");
        let error = UrlError::TooManyOfHost;
        assert_eq!(read.refused, [Refused { tier: 0, position: MAX_TRACKERS_OF_HOST, error }]);
    }

    #[test]
    fn a_host_is_one_however_it_is_spelled() {
        let rules = UrlRules { allow_idna: true, ..UrlRules::default() };
        let kept = |urls: &[String]| parse_tiers(&[urls.to_vec()], rules).usable[0].len();
        let spelled = |hosts: &[&str]| -> Vec<String> {
            let port = |(n, host): (usize, &&str)| format!("udp://{host}:{}/announce", 1000 + n);
            hosts.iter().cycle().take(60).enumerate().map(port).collect()
        };
        for hosts in [
            &["t.example", "T.Example", "t.example.", "T.EXAMPLE."][..],
            &["9.9.9.9", "[::ffff:9.9.9.9]", "[::FFFF:909:909]", "[64:ff9b::9.9.9.9]"],
            &["xn--t-fga.example", "XN--T-FGA.example", "xn--T-fga.Example."],
        ] {
            assert_eq!(kept(&spelled(hosts)), MAX_TRACKERS_OF_HOST, "{hosts:?}");
        }
        let twice = ["http://a.example/announce", "http://A.example./announce"].map(str::to_string);
        assert_eq!(kept(&twice), 1, "named twice");
    }

    proptest! {
        #[test]
        fn what_is_read_reads_the_same_again(text in "(?i)(http|https|udp)://([a-z0-9.\\[\\]:@-]{1,20})(:[0-9]{1,5})?([/?][ -~é#]{0,20})?") {
            if let Ok(url) = TrackerUrl::parse(&text) {
                let again = url.secret_text();
                prop_assert_eq!(TrackerUrl::parse(&again), Ok(url));
            }
        }

        #[test]
        fn any_text_is_survived(text in any::<String>()) {
            let _ = TrackerUrl::parse(&text);
            let _ = TrackerUrl::parse(&format!("http://{text}"));
        }
    }
}
