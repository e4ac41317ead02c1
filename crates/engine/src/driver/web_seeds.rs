//! The web seeds of one torrent (BEP 19): when each is asked, and what is known against it.

use crate::Metainfo;
use metainfo::WebSeedPaths;
use net::conn::CloseReason;
use net::web_seed::{Content, Outlook, Part, WebSeedError, name};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;
use swarm::{DisconnectReason, PeerKey};
use types::{Bitfield, Lengths, PieceIndex, Time};

/// How many web seeds are asked at once; further ones take the place of those that are given up.
const MAX_WEB_SEEDS: usize = 16;
/// How many of them may be asked at once at one host, whatever the port: whoever made the torrent may have named a victim
/// a hundred times.
const MAX_OF_HOST: usize = 4;
/// How many files a web seed may lack; one that lacks more is given up.
const MAX_MISSING_FILES: usize = 32;
/// The first wait after a failure; each further one doubles it.
const RETRY_MIN: Duration = Duration::from_secs(5);
/// The longest wait after a failure, unless the web seed asks for a longer one.
const RETRY_MAX: Duration = Duration::from_secs(600);

/// The web seeds of one torrent.
#[derive(Default)]
pub(super) struct WebSeeds {
    /// `None` as long as there are none.
    files: Option<Files>,
    seeds: Vec<WebSeed>,
}

struct WebSeed {
    url: String,
    /// Scheme, host and port.
    name: String,
    /// Its host, as hosts are counted.
    host: String,
    state: State,
    /// In a row.
    failures: u32,
    /// Files that it lacks.
    missing: Vec<usize>,
}

/// A web seed is in exactly one of these states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// It is to be asked from then on.
    Due(Time),
    /// Its host's name is looked up.
    Sought,
    /// It is asked.
    Open(PeerKey),
    /// It is given up.
    Over,
}

/// Where a web seed has what.
#[derive(Clone)]
pub(super) struct Files {
    metainfo: Arc<Metainfo>,
    paths: Arc<WebSeedPaths>,
    base: String,
}

/// What is to be told of a web seed that failed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Failed {
    pub(super) web_seed: String,
    pub(super) error: String,
    /// When it is asked again; `None`: never.
    pub(super) again: Option<Duration>,
}

impl WebSeeds {
    /// Those of a torrent, none of them asked yet.
    pub(super) fn new(metainfo: &Arc<Metainfo>, now: Time) -> WebSeeds {
        let urls = metainfo.web_seeds();
        let new = |url: &String| WebSeed {
            url: url.clone(),
            name: name(url),
            host: host(&name(url)),
            state: State::Due(now),
            failures: 0,
            missing: Vec::new(),
        };
        let paths = || Arc::new(metainfo.web_seed_paths());
        let files = || Files { metainfo: metainfo.clone(), paths: paths(), base: String::new() };
        WebSeeds { files: (!urls.is_empty()).then(files), seeds: urls.iter().map(new).collect() }
    }

    /// When [`poll`](Self::poll) is to be asked again.
    pub(super) fn deadline(&self) -> Option<Time> {
        let due = self.with_room().filter_map(|(_, seed)| match seed.state {
            State::Due(at) => Some(at),
            _ => None,
        });
        due.min()
    }

    /// The next one that is due, and its URL: where it is is to be found out.
    pub(super) fn poll(&mut self, now: Time) -> Option<(usize, String)> {
        let is_due = |seed: &WebSeed| matches!(seed.state, State::Due(at) if at <= now);
        let (index, _) = self.with_room().find(|(_, seed)| is_due(seed))?;
        let seed = &mut self.seeds[index];
        seed.state = State::Sought;
        Some((index, seed.url.clone()))
    }

    /// Those that may be asked beside the ones that are.
    fn with_room(&self) -> impl Iterator<Item = (usize, &WebSeed)> {
        let is_asked = |seed: &&WebSeed| matches!(seed.state, State::Sought | State::Open(_));
        let mut asked = BTreeMap::<&str, usize>::new();
        self.seeds.iter().filter(is_asked).for_each(|seed| *asked.entry(&seed.host).or_default() += 1);
        let is_full = asked.values().sum::<usize>() >= MAX_WEB_SEEDS;
        let has_room =
            move |seed: &WebSeed| !is_full && asked.get(&*seed.host).is_none_or(|&asked| asked < MAX_OF_HOST);
        self.seeds.iter().enumerate().filter(move |(_, seed)| has_room(seed))
    }

    /// Scheme, host and port: what of its URL may be shown.
    pub(super) fn name(&self, index: usize) -> String {
        self.seeds.get(index).map_or_else(String::new, |seed| seed.name.clone())
    }

    /// Where a web seed has what.
    pub(super) fn files(&self, index: usize) -> Option<Files> {
        let (files, seed) = (self.files.as_ref()?, self.seeds.get(index)?);
        Some(Files { base: seed.url.clone(), ..files.clone() })
    }

    /// It is asked from now on, for these pieces.
    pub(super) fn open(&mut self, index: usize, key: PeerKey) -> Option<Bitfield> {
        let (files, seed) = (self.files.as_ref()?, self.seeds.get_mut(index)?);
        seed.state = State::Open(key);
        let mut pieces = Bitfield::full(files.lengths().piece_count());
        for piece in seed.missing.iter().flat_map(|&file| files.metainfo.file_pieces(file)) {
            pieces.remove(PieceIndex::new(piece));
        }
        Some(pieces)
    }

    /// The web seed that is asked under this key.
    pub(super) fn find(&self, key: PeerKey) -> Option<usize> {
        self.seeds.iter().position(|seed| seed.state == State::Open(key))
    }

    /// Its task has ended; whether it `gave` anything.
    pub(super) fn closed(
        &mut self,
        now: Time,
        index: usize,
        reason: &CloseReason,
        gave: bool,
    ) -> Option<Failed> {
        if gave {
            self.of_the_same_host(index).for_each(|seed| seed.failures = 0);
        }
        match reason {
            CloseReason::WebSeed(error) => self.failed(now, index, error),
            _ => {
                self.wait(now, index);
                None
            }
        }
    }

    /// The brain does not want it, now or any more.
    pub(super) fn dismissed(&mut self, now: Time, index: usize, reason: DisconnectReason) -> Option<Failed> {
        match reason {
            DisconnectReason::Banned => return self.give_up(index, reason.to_string()),
            DisconnectReason::Paused | DisconnectReason::BothSeeds => {
                self.seeds[index].state = State::Due(now);
            }
            _ => drop(self.wait(now, index)),
        }
        None
    }

    /// Something is wrong with it.
    pub(super) fn failed(&mut self, now: Time, index: usize, error: &WebSeedError) -> Option<Failed> {
        let again = match error.outlook() {
            Outlook::Hopeless => return self.give_up(index, error.to_string()),
            Outlook::Later(least) => self.wait_at_least(now, index, least.unwrap_or_default())?,
            Outlook::Without(file) => {
                let regular =
                    self.files.as_ref()?.metainfo.files().iter().filter(|file| file.is_regular()).count();
                let seed = self.seeds.get_mut(index)?;
                seed.missing.push(file);
                if seed.missing.len() >= MAX_MISSING_FILES.min(regular) {
                    return self.give_up(index, error.to_string());
                }
                seed.state = State::Due(now);
                Duration::ZERO
            }
        };
        Some(Failed { web_seed: self.name(index), error: error.to_string(), again: Some(again) })
    }

    fn give_up(&mut self, index: usize, error: String) -> Option<Failed> {
        self.seeds.get_mut(index)?.state = State::Over;
        Some(Failed { web_seed: self.name(index), error, again: None })
    }

    fn wait(&mut self, now: Time, index: usize) -> Option<Duration> {
        self.wait_at_least(now, index, Duration::ZERO)
    }

    fn wait_at_least(&mut self, now: Time, index: usize, least: Duration) -> Option<Duration> {
        // Whoever made the torrent may have named one host a hundred times, and not their own.
        let failures = self.of_the_same_host(index).map(|seed| seed.failures).max()?;
        let wait = (RETRY_MIN * 2u32.saturating_pow(failures.min(16))).min(RETRY_MAX).max(least);
        for seed in self.of_the_same_host(index) {
            seed.failures = failures.saturating_add(1);
            if let State::Due(due) = &mut seed.state {
                *due = (*due).max(now + wait);
            }
        }
        self.seeds[index].state = State::Due(now + wait);
        Some(wait)
    }

    /// The web seed and all others that are asked at the same host, whatever the port; none if there is no such web seed.
    fn of_the_same_host(&mut self, index: usize) -> impl Iterator<Item = &mut WebSeed> {
        let of = self.seeds.get(index).map_or_else(String::new, |seed| seed.host.clone());
        self.seeds.iter_mut().filter(move |seed| seed.host == of)
    }
}

/// The host of a name (scheme, host and port), in the one spelling in which hosts are counted. URLs have names in lower case
/// and ASCII, and addresses in one form for each family.
fn host(name: &str) -> String {
    let rest = name.split_once("://").map_or(name, |(_, rest)| rest);
    let port = rest.rsplit_once(":").filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()));
    let host = port.map_or(rest, |(host, _)| host);
    match host.trim_start_matches('[').trim_end_matches(']').parse() {
        Ok(ip) => types::plain_ip(ip).to_string(),
        Err(_) => host.trim_end_matches('.').to_owned(),
    }
}

impl Content for Files {
    fn lengths(&self) -> Lengths {
        self.metainfo.lengths()
    }

    fn parts(&self, bytes: Range<u64>) -> Vec<Part> {
        let part = |slice: metainfo::FileSlice| {
            let file = &self.metainfo.files()[slice.file];
            let (file_len, is_pad) = (file.length, file.is_pad());
            Part { file: slice.file, file_len, offset: slice.offset, len: slice.len, is_pad }
        };
        self.metainfo.file_slices(bytes).map(part).collect()
    }

    fn url(&self, file: usize) -> String {
        self.paths.url(&self.base, file).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::create::CreateTorrent;
    use net::http::HttpError;

    /// The web seeds of a torrent of so many files of one piece each.
    fn web_seeds(files: u64, urls: &[&str]) -> WebSeeds {
        let dir = tempfile::tempdir().unwrap();
        for number in 0..files {
            std::fs::write(dir.path().join(number.to_string()), [7; 16_384]).unwrap();
        }
        let create = CreateTorrent::new(dir.path()).piece_length(16_384);
        let create = urls.iter().fold(create, |create, url| create.web_seed(*url));
        let metainfo = Metainfo::parse(&create.make(|_, _| {}).unwrap().bytes).unwrap();
        WebSeeds::new(&Arc::new(metainfo), Time::ZERO)
    }

    fn at(seconds: u64) -> Time {
        Time::from_secs(seconds)
    }

    fn broken() -> CloseReason {
        CloseReason::WebSeed(Box::new(WebSeedError::Short))
    }

    #[test]
    fn a_host_that_fails_is_left_alone_under_all_its_urls() {
        let spelled = ["victim", "VICTIM", "victim."];
        let urls: Vec<_> =
            (0..100).map(|n| format!("http://{}:{}/{n}", spelled[n % 3], 80 + n % 2)).collect();
        let mut urls: Vec<&str> = urls.iter().map(String::as_str).collect();
        urls.push("http://other/");
        let mut seeds = web_seeds(1, &urls);
        let (mut now, mut asked, mut other) = (Time::ZERO, 0, 0);
        while now < at(300) {
            let mut open = Vec::new();
            while let Some((index, url)) = seeds.poll(now) {
                *if url == "http://other/" { &mut other } else { &mut asked } += 1;
                seeds.open(index, PeerKey(index as u64)).unwrap();
                open.push(index);
            }
            for index in open {
                seeds.closed(now, index, &broken(), false).unwrap();
            }
            now = seeds.deadline().unwrap();
        }
        assert!(asked <= MAX_OF_HOST * 2, "{asked}");
        assert!(other > 3, "{other}");
    }

    #[test]
    fn a_host_is_what_is_between_scheme_and_port() {
        let names = ["http://a:80", "https://a:443", "http://[::1]:80", "http://a", "http://[::1]"];
        assert_eq!(names.map(host), ["a", "a", "::1", "a", "::1"]);
        let one = ["http://9.9.9.9:80", "http://[::ffff:909:909]:81", "https://[64:ff9b::909:909]:443"];
        assert_eq!(one.map(host), ["9.9.9.9"; 3]);
        assert_eq!(host("http://a.:80"), "a");
    }

    #[test]
    fn waits_double_until_something_came() {
        let mut seeds = web_seeds(1, &["http://w/a?secret"]);
        let mut now = Time::ZERO;
        let mut fail = |gave| {
            now = seeds.deadline().unwrap();
            assert_eq!(seeds.poll(now).unwrap(), (0, "http://w/a?secret".into()));
            assert_eq!((seeds.poll(now), seeds.deadline()), (None, None), "it is sought");
            assert!(seeds.open(0, PeerKey(1)).unwrap().is_full());
            assert_eq!(seeds.find(PeerKey(1)), Some(0));
            let failed = seeds.closed(now, 0, &broken(), gave).unwrap();
            assert_eq!((&*failed.web_seed, seeds.find(PeerKey(1))), ("http://w:80", None));
            assert_eq!(seeds.deadline(), Some(now + failed.again.unwrap()));
            failed.again.unwrap().as_secs()
        };
        let waits: Vec<_> = (0..9).map(|_| fail(false)).collect();
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 320, 600, 600]);
        assert_eq!((fail(true), fail(false)), (5, 10));
    }

    #[test]
    fn who_is_busy_is_left_alone_as_long_as_it_asks() {
        let mut seeds = web_seeds(1, &["http://w/a"]);
        seeds.poll(at(0)).unwrap();
        let status = "503".parse().unwrap();
        let retry_after = Some(Duration::from_secs(700));
        let failed = seeds.failed(at(0), 0, &WebSeedError::Busy { status, retry_after }).unwrap();
        assert_eq!(failed.again, retry_after);
        assert_eq!((seeds.poll(at(699)), seeds.deadline()), (None, Some(at(700))));
        assert!(seeds.poll(at(700)).is_some());
    }

    #[test]
    fn what_is_hopeless_is_given_up() {
        let mut seeds = web_seeds(1, &["http://w/a", "http://w/b"]);
        assert_eq!((seeds.poll(at(0)).unwrap().0, seeds.poll(at(0)).unwrap().0), (0, 1));
        assert_eq!(seeds.failed(at(0), 0, &WebSeedError::Private).unwrap().again, None);
        seeds.open(1, PeerKey(1)).unwrap();
        let failed = seeds.dismissed(at(0), 1, DisconnectReason::Banned).unwrap();
        assert_eq!((&*failed.error, failed.again), ("banned for bad data", None));
        assert_eq!((seeds.deadline(), seeds.poll(at(9999))), (None, None));
    }

    #[test]
    fn who_is_not_needed_now_is_asked_again_as_soon_as_it_is() {
        let mut seeds = web_seeds(1, &["http://w/a"]);
        for (key, reason, due) in [
            (1, DisconnectReason::Paused, 10),
            (2, DisconnectReason::BothSeeds, 10),
            (3, DisconnectReason::TooManyPeers, 15),
        ] {
            seeds.poll(at(10)).unwrap();
            seeds.open(0, PeerKey(key)).unwrap();
            assert_eq!(seeds.dismissed(at(10), 0, reason), None);
            assert_eq!(seeds.deadline(), Some(at(due)), "{reason}");
        }
    }

    #[test]
    fn files_that_it_lacks_are_not_asked_for_until_it_lacks_them_all() {
        let mut seeds = web_seeds(3, &["http://w/"]);
        let missing = |file| {
            CloseReason::WebSeed(Box::new(WebSeedError::Missing { file, status: "404".parse().unwrap() }))
        };
        for lacked in 0..2 {
            seeds.poll(at(0)).unwrap();
            let pieces = seeds.open(0, PeerKey(9)).unwrap();
            assert_eq!(
                pieces.zeros().map(PieceIndex::get).collect::<Vec<_>>(),
                (0..lacked).collect::<Vec<_>>()
            );
            let failed = seeds.closed(at(0), 0, &missing(lacked as usize), false).unwrap();
            assert_eq!(failed.again, Some(Duration::ZERO));
        }
        seeds.poll(at(0)).unwrap();
        seeds.open(0, PeerKey(9)).unwrap();
        assert_eq!(seeds.closed(at(0), 0, &missing(2), true).unwrap().again, None);
        let mut seeds = web_seeds(MAX_MISSING_FILES as u64 + 9, &["http://w/"]);
        let again = (0..MAX_MISSING_FILES).map(|file| {
            seeds.poll(at(0)).unwrap();
            seeds.open(0, PeerKey(9)).unwrap();
            seeds.closed(at(0), 0, &missing(file), true).unwrap().again
        });
        assert_eq!(again.filter(Option::is_none).count(), 1);
    }

    #[test]
    fn so_many_are_asked_at_once_and_others_take_their_place() {
        let urls: Vec<String> = (0..MAX_WEB_SEEDS + 2).map(|n| format!("http://w{n}/")).collect();
        let mut seeds = web_seeds(1, &urls.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(std::iter::from_fn(|| seeds.poll(at(0))).count(), MAX_WEB_SEEDS);
        assert_eq!(seeds.deadline(), None);
        seeds.failed(at(0), 3, &WebSeedError::Http(HttpError::Circle)).unwrap();
        assert_eq!((seeds.deadline(), seeds.poll(at(0)).unwrap().0), (Some(at(0)), MAX_WEB_SEEDS));
        assert_eq!(seeds.poll(at(0)), None);
    }

    #[test]
    fn one_host_is_asked_so_often_at_once_and_others_beside_it() {
        let mut urls: Vec<String> = (0..=MAX_OF_HOST).map(|n| format!("http://w:{}/", 80 + n)).collect();
        urls.push("http://other/".into());
        let mut seeds = web_seeds(1, &urls.iter().map(String::as_str).collect::<Vec<_>>());
        let asked: Vec<_> = std::iter::from_fn(|| seeds.poll(at(0))).map(|(index, _)| index).collect();
        assert_eq!(asked, [0, 1, 2, 3, MAX_OF_HOST + 1]);
        assert_eq!(seeds.deadline(), None);
        seeds.failed(at(0), 2, &WebSeedError::Http(HttpError::Circle)).unwrap();
        assert_eq!(seeds.poll(at(0)).unwrap().0, MAX_OF_HOST);
    }

    #[test]
    fn waits_get_longer_up_to_a_point() {
        let mut seeds = web_seeds(1, &["http://broken/"]);
        let waits: Vec<_> = (0..20).map(|_| seeds.wait(Time::ZERO, 0).unwrap()).collect();
        assert!(waits.windows(2).all(|two| two[1] == (two[0] * 2).min(RETRY_MAX)), "{waits:?}");
        assert_eq!(waits[19], RETRY_MAX);
        assert_eq!(
            seeds.wait_at_least(Time::ZERO, 0, RETRY_MAX * 2),
            Some(RETRY_MAX * 2),
            "it asks for that"
        );
    }
}
