//! One torrent's announces: the schedule decides, jobs of their own carry them out.

use crate::Error;
use crate::Settings;
use crate::events::EventKind;
use crate::stats::{Counters, TrackerState, TrackerStats};
use crate::turns::Turns;
use net::announce::{AnnounceError, TrackerClient, TrackerSettings, announce};
use net::bind::LocalAddrs;
use net::http::{Bounds, HttpClient};
use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use trace::why::TrackerFacts;
use tracker::schedule::{Due, Input};
use tracker::udp::Family;
use tracker::{
    Announce, AnnounceResponse, Event, Host, PrivatePaths, Refused, Schedule, TrackerId, TrackerUrl,
    UrlRules, parse_tiers_by,
};
use types::{InfoHashV1, PeerId, Time};

/// What reaches trackers and web servers, shared by all torrents.
pub(crate) struct Web {
    http: HttpClient,
    trackers: TrackerClient,
    announces: Turns,
    /// Of last words, which have little time: they do not wait for those who begin.
    farewells: Turns,
}

impl Web {
    pub(crate) fn new(user_agent: &str, local: LocalAddrs) -> Result<Web, Error> {
        let http = HttpClient::new(user_agent, local).map_err(|err| Error::Start(err.to_string()))?;
        let settings = TrackerSettings { local, ..TrackerSettings::default() };
        let trackers = TrackerClient::new(http.clone(), settings);
        Ok(Web { http, trackers, announces: Turns::default(), farewells: Turns::default() })
    }

    pub(crate) fn client(&self) -> HttpClient {
        self.http.clone()
    }

    /// Fetches a torrent file.
    pub(crate) async fn fetch(&self, url: &str) -> Result<Vec<u8>, Error> {
        self.http.fetch(url, Bounds::TORRENT).await.map_err(|err| Error::Fetch(err.to_string()))
    }

    /// The same, but not from private networks.
    pub(crate) async fn fetch_public(&self, url: &str) -> Result<Vec<u8>, Error> {
        self.http.fetch_public(url, Bounds::TORRENT).await.map_err(|err| Error::Fetch(err.to_string()))
    }
}

/// The trackers that somebody names.
#[derive(Clone, Copy)]
pub(crate) struct Named<'a> {
    pub(crate) tiers: &'a [Vec<String>],
    /// What a magnet link names, not a torrent or the user: of those its trackers.
    pub(crate) of_link: &'a [Vec<String>],
}

/// What each tracker may lead to.
struct Rules {
    allow_private: bool,
    of_link: BTreeSet<TrackerUrl>,
}

impl Rules {
    fn new(of_link: &[Vec<String>], allow_private: bool) -> Rules {
        let of_link = of_link.iter().flatten().filter_map(|url| TrackerUrl::parse(url).ok()).collect();
        Rules { allow_private, of_link }
    }

    fn of(&self, url: &TrackerUrl) -> UrlRules {
        let private = match self.allow_private {
            true => PrivatePaths::Any,
            false if self.of_link.contains(url) => PrivatePaths::Nothing,
            false => PrivatePaths::Announce,
        };
        UrlRules { private, ..UrlRules::default() }
    }
}

/// Refuses trackers of the user's own that would be passed over.
pub(crate) fn check_tiers(tiers: &[Vec<String>], allow_private: bool) -> Result<(), Error> {
    let rules = Rules::new(&[], allow_private);
    match parse_tiers_by(tiers, |url| rules.of(url)).refused.first() {
        Some(Refused { tier, position, error }) => {
            Err(Error::Refused(format!("tracker {} of tier {}: {error}", position + 1, tier + 1)))
        }
        None => Ok(()),
    }
}

/// Whom one torrent announces to, and when.
pub(crate) struct Announcer {
    schedule: Schedule,
    rules: Rules,
    info_hash: InfoHashV1,
    peer_id: PeerId,
    /// Where peers connect, over IPv4 and over IPv6.
    ports: [u16; 2],
    key: u32,
    /// What came last of each that was asked: of as many as are scheduled.
    last: BTreeMap<TrackerId, Last>,
}

struct Last {
    at: Time,
    seeders: Option<u32>,
    leechers: Option<u32>,
    peers: usize,
    message: Option<String>,
}

/// An announce that is due.
pub(crate) struct DueAnnounce {
    due: Due,
    rules: UrlRules,
    ports: [u16; 2],
    /// Without a port: that one hangs on the family over which a tracker hears it.
    announce: Announce,
}

/// What came of it.
pub(crate) struct Announced {
    tracker: TrackerId,
    name: String,
    /// For one host always the same.
    pub(crate) voice: u64,
    outcome: Result<AnnounceResponse, AnnounceError>,
}

impl Announcer {
    /// Trackers that cannot be used are passed over, and told to `refused`.
    pub(crate) fn new(
        named: Named<'_>,
        info_hash: InfoHashV1,
        peer_id: PeerId,
        settings: &Settings,
        ports: [u16; 2],
        refused: impl Fn(EventKind),
    ) -> Announcer {
        let rules = Rules::new(named.of_link, settings.allow_private);
        let tiers = parse_tiers_by(named.tiers, |url| rules.of(url));
        for Refused { tier, position, error } in &tiers.refused {
            let tracker = format!("tracker {} of tier {}", position + 1, tier + 1);
            refused(EventKind::AnnounceFailed { tracker, error: error.to_string() });
        }
        let schedule = Schedule::new(tiers.usable, fastrand::u64(..));
        Announcer {
            schedule,
            rules,
            info_hash,
            peer_id,
            ports,
            key: fastrand::u32(..),
            last: BTreeMap::new(),
        }
    }

    pub(crate) fn start(&mut self, now: Time) {
        self.schedule.handle(now, Input::Started);
    }

    pub(crate) fn completed(&mut self, now: Time) {
        self.schedule.handle(now, Input::Completed);
    }

    pub(crate) fn need_peers(&mut self, now: Time) {
        self.schedule.handle(now, Input::NeedPeers);
    }

    /// When [`Self::poll`] is to be asked again.
    pub(crate) fn deadline(&self) -> Time {
        self.schedule.poll_timeout()
    }

    /// The next announce that is due; `run` is what was transferred in this run (each is a new one to trackers), and how
    /// many bytes are missing.
    pub(crate) fn poll(&mut self, now: Time, run: impl FnOnce() -> (Counters, u64)) -> Option<DueAnnounce> {
        let due = self.schedule.poll(now)?;
        let (counters, left) = run();
        let announce = Announce {
            info_hash: self.info_hash,
            peer_id: self.peer_id,
            port: 0,
            uploaded: counters.uploaded,
            downloaded: counters.downloaded,
            left,
            event: due.event,
            numwant: Some(due.numwant),
            key: self.key,
            tracker_id: due.tracker_id.clone(),
            ipv4: None,
            ipv6: None,
        };
        Some(DueAnnounce { rules: self.rules.of(&due.url), due, ports: self.ports, announce })
    }

    /// Takes in what came of an announce, and gives the peers that it told of.
    pub(crate) fn note(&mut self, now: Time, announced: Announced) -> Vec<SocketAddr> {
        let tracker = announced.tracker;
        self.last.insert(tracker, announced.last(now));
        match announced.outcome {
            Ok(response) => {
                self.schedule.handle(now, Input::Response(tracker, &response));
                response.peers
            }
            Err(err) => {
                self.schedule.handle(now, Input::Failed { tracker, retry_in: err.retry_in() });
                Vec::new()
            }
        }
    }

    /// All that are used, in the order in which they are tried.
    pub(crate) fn trackers(&self, now: Time) -> Vec<TrackerStats> {
        let told = self.schedule.trackers().map(|view| {
            let last = self.last.get(&view.id);
            let state = match last {
                _ if view.is_in_flight => TrackerState::Announcing,
                None => TrackerState::Waiting,
                Some(_) if view.failures > 0 => TrackerState::Failed,
                Some(_) => TrackerState::Working,
            };
            TrackerStats {
                name: view.url.to_string(),
                tier: view.tier,
                state,
                failures: view.failures,
                last: last.map(|last| now.since(last.at)),
                next: (!view.is_in_flight && view.not_before < Time::MAX).then(|| view.not_before.since(now)),
                seeders: last.and_then(|last| last.seeders),
                leechers: last.and_then(|last| last.leechers),
                peers: last.map_or(0, |last| last.peers),
                message: last.and_then(|last| last.message.clone()),
            }
        });
        told.collect()
    }

    /// What the last announce to each tracker came to. One that was not asked yet has no error.
    pub(crate) fn facts(&self) -> Vec<TrackerFacts> {
        let told = self.schedule.trackers().map(|view| {
            let last = self.last.get(&view.id).filter(|_| view.failures > 0);
            TrackerFacts { name: view.url.to_string(), error: last.and_then(|last| last.message.clone()) }
        });
        told.collect()
    }

    /// From here on only `stopped` is due, once for each tracker that lists us.
    pub(crate) fn stop(&mut self, now: Time) {
        self.schedule.handle(now, Input::Stop);
    }
}

impl DueAnnounce {
    pub(crate) fn event(&self) -> EventKind {
        let event = self.announce.event.map(|event| match event {
            Event::Started => "started",
            Event::Completed => "completed",
            Event::Stopped => "stopped",
        });
        EventKind::Announcing { tracker: self.due.url.to_string(), event: event.map(Into::into) }
    }

    /// Makes it when it is its turn.
    pub(crate) async fn make(self, web: &Web) -> Announced {
        web.announces.wait().await;
        self.carry_out(web).await
    }

    /// The same with last words.
    pub(crate) async fn make_last(self, web: &Web) -> Announced {
        web.farewells.wait().await;
        self.carry_out(web).await
    }

    async fn carry_out(self, web: &Web) -> Announced {
        let over = |family| Announce { port: told(self.ports, family), ..self.announce.clone() };
        let outcome = announce(&web.trackers.with_rules(self.rules), &self.due.url, over).await;
        self.answered(outcome)
    }

    /// What came of it, if that was the answer.
    pub(crate) fn answered(self, outcome: Result<AnnounceResponse, AnnounceError>) -> Announced {
        let voice = voice(self.due.url.host());
        let (tracker, name) = (self.due.tracker, self.due.url.to_string());
        Announced { tracker, name, voice, outcome }
    }
}

impl Announced {
    fn last(&self, at: Time) -> Last {
        let (mut last, answer) =
            (Last { at, seeders: None, leechers: None, peers: 0, message: None }, self.outcome.as_ref());
        match answer {
            Ok(response) => {
                (last.seeders, last.leechers) = (response.seeders, response.leechers);
                (last.peers, last.message) = (response.peers.len(), response.warning.clone());
            }
            Err(error) => last.message = Some(error.to_string()),
        }
        last
    }

    /// Under which addresses the tracker sees us (BEP 24), and whose voice that is.
    pub(crate) fn external(&self) -> (u64, Vec<IpAddr>) {
        (self.voice, self.outcome.as_ref().map(|response| response.external_ips.clone()).unwrap_or_default())
    }

    pub(crate) fn event(&self) -> EventKind {
        let tracker = self.name.clone();
        match &self.outcome {
            Ok(response) => EventKind::Announced {
                tracker,
                peers: response.peers.len(),
                external: response.external_ips.clone(),
                warning: response.warning.clone(),
            },
            Err(err) => EventKind::AnnounceFailed { tracker, error: err.to_string() },
        }
    }
}

/// Whose voice a tracker's is: one for each host, however it is spelled.
fn voice(host: &Host) -> u64 {
    let mut voice = DefaultHasher::new();
    host.counted().hash(&mut voice);
    voice.finish()
}

/// The port of that family, or the other's where we do not listen: trackers refuse who has none.
fn told(ports: [u16; 2], family: Family) -> u16 {
    let [own, other] = match family {
        Family::V4 => ports,
        Family::V6 => [ports[1], ports[0]],
    };
    if own == 0 { other } else { own }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::Instant;
    use tracker::UrlError;

    #[test]
    fn each_family_hears_of_its_own_port() {
        assert_eq!([Family::V4, Family::V6].map(|family| told([1, 2], family)), [1, 2]);
        assert_eq!([Family::V4, Family::V6].map(|family| told([0, 2], family)), [2, 2]);
        assert_eq!([Family::V4, Family::V6].map(|family| told([1, 0], family)), [1, 1]);
    }

    #[test]
    fn a_host_has_one_voice_however_it_is_spelled() {
        let voice = |url: &str| voice(TrackerUrl::parse(url).unwrap().host());
        for url in ["http://T.Example:81/announce", "udp://t.example.:1"] {
            assert_eq!(voice(url), voice("http://t.example/announce"), "{url}");
        }
        assert_eq!(voice("udp://[::ffff:9.9.9.9]:1"), voice("udp://9.9.9.9:2"));
        assert_ne!(voice("udp://a:1"), voice("udp://b:1"));
    }

    #[test]
    fn what_a_link_names_leads_inside_no_more_than_before_beside_what_the_user_names() {
        let of_link = ["http://127.0.0.1:1/announce", "http://name.example/announce"].map(String::from);
        let own = ["http://127.0.0.1:2/announce", "http://other.example/announce"].map(String::from);
        let (of_link, own) = (of_link.to_vec(), own.to_vec());
        let tiers = [of_link.clone(), own];
        let rules = |allow_private| {
            let settings = Settings { allow_private, ..Settings::new("unused") };
            let named = Named { tiers: &tiers, of_link: std::slice::from_ref(&of_link) };
            let (torrent, peer_id) = (InfoHashV1([7; 20]), PeerId([7; 20]));
            let mut announcer = Announcer::new(named, torrent, peer_id, &settings, [1; 2], |_| {});
            announcer.start(Time::ZERO);
            let mut rules = BTreeMap::new();
            // Of a tier the next is asked when the one before has failed.
            while let Some(due) = announcer.poll(Time::ZERO, || (Counters::default(), 0)) {
                rules.insert(format!("{}", due.due.url), due.rules.private);
                announcer.note(Time::ZERO, due.answered(Err(UrlError::Address.into())));
            }
            rules
        };
        let expected = [
            ("http://127.0.0.1:2", PrivatePaths::Announce),
            ("http://name.example:80", PrivatePaths::Nothing),
            ("http://other.example:80", PrivatePaths::Announce),
        ];
        assert_eq!(rules(false), expected.map(|(url, rule)| (url.to_owned(), rule)).into());
        let allowed = rules(true);
        assert!(allowed.len() == 4 && allowed.values().all(|&rule| rule == PrivatePaths::Any), "{allowed:?}");
    }

    #[tokio::test]
    async fn last_words_do_not_wait_for_those_who_begin() {
        let mut web = Web::new("test", LocalAddrs::default()).unwrap();
        web.announces = Turns::none_before(Instant::now() + Duration::from_secs(1_000_000));
        // Nobody listens there, so that it fails at once.
        let tiers = [vec!["http://127.0.0.1:1/announce".to_owned()]];
        let named = Named { tiers: &tiers, of_link: &[] };
        let (torrent, peer_id) = (InfoHashV1([7; 20]), PeerId([7; 20]));
        let settings = Settings::new("unused");
        let mut announcer = Announcer::new(named, torrent, peer_id, &settings, [1; 2], |_| panic!("refused"));
        announcer.start(Time::ZERO);
        let due = announcer.poll(Time::ZERO, || (Counters::default(), 0)).unwrap();
        let said = tokio::time::timeout(Duration::from_secs(60), due.make_last(&web)).await;
        assert!(said.expect("it waits for its turn").outcome.is_err());
    }
}
