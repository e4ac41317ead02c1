//! Announces and scrapes, whatever the tracker's URL says it speaks, over IPv4 and IPv6.
//!
//! A tracker that has a name is asked over both families at once, since it knows a peer only by the address from which it
//! hears it (BEP 7); the answers become one.

use crate::bind::LocalAddrs;
use crate::http::{Body, Bounds, HttpClient, HttpError, TrackerRoute};
use crate::lookup::LookupError;
use crate::udp_tracker::{UdpError, UdpTrackers};
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tracker::limits::{MAX_PEERS, MAX_SCRAPE};
use tracker::udp::{Family, Reply, Request, Retransmit};
use tracker::{Announce, AnnounceResponse, Host, Scheme, ScrapeEntry, TrackerUrl, UrlRules, http};
use types::InfoHashV1;

/// How long the second family is waited for once the first has answered.
const FAMILY_GRACE: Duration = Duration::from_secs(2);

/// Why an announce or a scrape came to nothing: one clear line, which does not name the tracker (show its
/// [`TrackerUrl`] beside it) and never holds its URL's path or query.
#[derive(Debug, thiserror::Error)]
pub enum AnnounceError {
    /// The rules forbid to ask this tracker.
    #[error(transparent)]
    Url(#[from] tracker::UrlError),
    /// HTTP failed.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// UDP failed.
    #[error(transparent)]
    Udp(UdpError),
    /// The tracker refused, or its answer is of no use.
    #[error(transparent)]
    Tracker(tracker::Error),
    /// The tracker's URL gives no way to scrape it.
    #[error("this tracker cannot be scraped")]
    NoScrape,
}

impl AnnounceError {
    /// How long the tracker itself asked us to stay away (BEP 31), for [`tracker::schedule::Input::Failed`].
    pub fn retry_in(&self) -> Option<Duration> {
        match self {
            AnnounceError::Tracker(error) => error.retry_in(),
            _ => None,
        }
    }

    /// The same without what the tracker repeats of its URL.
    fn without_keys(self, url: &TrackerUrl) -> AnnounceError {
        match self {
            AnnounceError::Tracker(tracker::Error::Failure { reason, retry_in }) => {
                AnnounceError::Tracker(tracker::Error::Failure {
                    reason: url.without_keys(&reason),
                    retry_in,
                })
            }
            AnnounceError::Http(HttpError::Redirected { host, error }) => {
                AnnounceError::Http(HttpError::Redirected { host: url.without_keys(&host), error })
            }
            other => other,
        }
    }

    /// How much it tells: the tracker's own words most, the lack of an address of one family least.
    fn weight(&self) -> u8 {
        match self {
            AnnounceError::Tracker(tracker::Error::Failure { .. }) => 3,
            AnnounceError::Tracker(_) => 2,
            AnnounceError::Http(HttpError::Lookup(LookupError::NoneOfFamily))
            | AnnounceError::Udp(UdpError::Lookup(LookupError::NoneOfFamily)) => 0,
            _ => 1,
        }
    }
}

impl From<tracker::Error> for AnnounceError {
    fn from(error: tracker::Error) -> AnnounceError {
        AnnounceError::Tracker(error)
    }
}

impl From<UdpError> for AnnounceError {
    fn from(error: UdpError) -> AnnounceError {
        match error {
            UdpError::Tracker(error) => AnnounceError::Tracker(error),
            other => AnnounceError::Udp(other),
        }
    }
}

/// How trackers are asked.
#[derive(Clone, Copy, Debug)]
pub struct TrackerSettings {
    /// What URLs and redirects must keep to.
    pub rules: UrlRules,
    /// Bounds for HTTP.
    pub bounds: Bounds,
    /// Time-outs for UDP.
    pub retransmit: Retransmit,
    /// Where UDP packets come from.
    pub local: LocalAddrs,
}

impl Default for TrackerSettings {
    fn default() -> TrackerSettings {
        TrackerSettings {
            rules: UrlRules::default(),
            bounds: Bounds::TRACKER,
            retransmit: Retransmit::default(),
            local: LocalAddrs::default(),
        }
    }
}

/// What is needed to ask trackers; one for the whole program. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TrackerClient {
    http: HttpClient,
    udp: Arc<UdpTrackers>,
    settings: TrackerSettings,
}

impl TrackerClient {
    /// A client that asks HTTP trackers with `http`.
    pub fn new(http: HttpClient, settings: TrackerSettings) -> TrackerClient {
        let udp = UdpTrackers::new(settings.retransmit, settings.local).into();
        TrackerClient { http, udp, settings }
    }

    /// The same client under other rules.
    #[must_use]
    pub fn with_rules(&self, rules: UrlRules) -> TrackerClient {
        TrackerClient { settings: TrackerSettings { rules, ..self.settings }, ..self.clone() }
    }

    /// Asks `tracker`, whose URL was checked, for an announce or scrape URL that was made from its own.
    async fn ask_http(&self, tracker: &TrackerUrl, url: &str, family: Family) -> Result<Body, AnnounceError> {
        let TrackerSettings { rules, bounds, .. } = self.settings;
        let may_be_private = tracker.check_private(rules);
        let route = TrackerRoute { rules, family, may_be_private: may_be_private.is_ok() };
        self.http.ask_tracker(url, route, bounds).await.map_err(|error| match (error, may_be_private) {
            (HttpError::Lookup(LookupError::NotPublic), Err(rule)) => rule.into(),
            (error, _) => error.into(),
        })
    }

    async fn ask_udp(
        &self,
        tracker: &TrackerUrl,
        family: Family,
        request: &Request,
    ) -> Result<Reply, AnnounceError> {
        let may_be_private = tracker.check_private(self.settings.rules);
        let asked =
            self.udp.ask(tracker.host(), tracker.port(), family, may_be_private.is_ok(), request).await;
        asked.map_err(|error| match (error, may_be_private) {
            (UdpError::Lookup(LookupError::NotPublic), Err(rule)) => rule.into(),
            (error, _) => error.into(),
        })
    }
}

/// Announces to a tracker what is to be said over each family; over HTTP it takes at most [`Bounds::total`], over UDP [`Retransmit::total`] and ten seconds.
///
/// # Errors
/// See [`AnnounceError`]. Where both address families fail, the more telling error.
pub async fn announce(
    client: &TrackerClient,
    url: &TrackerUrl,
    announce: impl Fn(Family) -> Announce,
) -> Result<AnnounceResponse, AnnounceError> {
    url.check(client.settings.rules)?;
    let over = |family| {
        let announce = announce(family);
        async move {
            match url.scheme() {
                Scheme::Http | Scheme::Https => {
                    let body = client.ask_http(url, &http::announce_url(url, &announce), family).await?;
                    let answer = understand(&body, http::parse_announce);
                    #[cfg(feature = "planted")]
                    let answer = answer.map(crate::planted::answer);
                    answer
                }
                Scheme::Udp => {
                    let request = Request::Announce(announce, url.target().to_owned());
                    match client.ask_udp(url, family, &request).await? {
                        Reply::Announce(response) => Ok(response),
                        Reply::Scrape(_) => Err(tracker::Error::NoAnswer.into()),
                    }
                }
            }
        }
    };
    let mut answer = over_families(url.host(), over, join).await.map_err(|error| error.without_keys(url))?;
    answer.warning = answer.warning.map(|warning| url.without_keys(&warning));
    Ok(answer)
}

/// Asks a tracker about at most [`MAX_SCRAPE`] torrents (BEP 48, 15), in one request where it can; those that it does not
/// tell of are left out.
///
/// # Errors
/// See [`AnnounceError`].
pub async fn scrape(
    client: &TrackerClient,
    url: &TrackerUrl,
    torrents: &[InfoHashV1],
) -> Result<Vec<(InfoHashV1, ScrapeEntry)>, AnnounceError> {
    url.check(client.settings.rules)?;
    let torrents = &torrents[..torrents.len().min(MAX_SCRAPE)];
    let over = |family| async move {
        match url.scheme() {
            Scheme::Http | Scheme::Https => scrape_http(client, url, torrents, family).await,
            Scheme::Udp => {
                let request = Request::Scrape(torrents.to_vec());
                match client.ask_udp(url, family, &request).await? {
                    Reply::Scrape(entries) => Ok(torrents.iter().copied().zip(entries).collect()),
                    Reply::Announce(_) => Err(tracker::Error::NoAnswer.into()),
                }
            }
        }
    };
    // The first answer tells it all: a swarm's numbers do not depend on the family.
    over_families(url.host(), over, |first, _| first).await.map_err(|error| error.without_keys(url))
}

async fn scrape_http(
    client: &TrackerClient,
    url: &TrackerUrl,
    torrents: &[InfoHashV1],
    family: Family,
) -> Result<Vec<(InfoHashV1, ScrapeEntry)>, AnnounceError> {
    let ask = async |torrents: &[InfoHashV1]| {
        let scrape_url = http::scrape_url(url, torrents).ok_or(AnnounceError::NoScrape)?;
        let body = client.ask_http(url, &scrape_url, family).await?;
        understand(&body, |body| http::parse_scrape(body, torrents))
    };
    let mut told = ask(torrents).await?;
    // Some trackers see only one info_hash of a request: the others are asked about one by one, as long as that helps.
    if let [(only, _)] = told[..] {
        for torrent in torrents.iter().filter(|&&torrent| torrent != only) {
            match ask(&[*torrent]).await {
                Ok(more) if !more.is_empty() => told.extend(more),
                _ => break,
            }
        }
    }
    Ok(told)
}

/// Reads the body of an answer. One that is no success may still explain itself in bencode; if not, its status counts.
fn understand<T>(
    body: &Body,
    parse: impl Fn(&[u8]) -> Result<T, tracker::Error>,
) -> Result<T, AnnounceError> {
    match parse(&body.bytes) {
        Err(failure @ tracker::Error::Failure { .. }) => Err(failure.into()),
        _ if !body.status.is_success() => Err(HttpError::Status(body.status).into()),
        outcome => Ok(outcome?),
    }
}

/// Asks over the address's own family, or over both at once for a name, and joins what both answer.
async fn over_families<T, F>(
    host: &Host,
    over: impl Fn(Family) -> F,
    join: impl Fn(T, T) -> T,
) -> Result<T, AnnounceError>
where
    F: Future<Output = Result<T, AnnounceError>>,
{
    if let Host::Ip(ip) = host {
        return over(Family::from(std::net::SocketAddr::new(*ip, 0))).await;
    }
    let (mut v4, mut v6) = (pin!(over(Family::V4)), pin!(over(Family::V6)));
    let (first, second) = tokio::select! {
        biased;
        first = &mut v4 => (first, v6),
        first = &mut v6 => (first, v4),
    };
    match first {
        Ok(first) => match tokio::time::timeout(FAMILY_GRACE, second).await {
            Ok(Ok(second)) => Ok(join(first, second)),
            Ok(Err(_)) | Err(_) => Ok(first),
        },
        Err(first) => {
            second.await.map_err(|second| if second.weight() > first.weight() { second } else { first })
        }
    }
}

/// One answer out of two: the first's, the second's peers, and how both see us.
fn join(mut first: AnnounceResponse, second: AnnounceResponse) -> AnnounceResponse {
    for peer in second.peers {
        if first.peers.len() < MAX_PEERS && !first.peers.contains(&peer) {
            first.peers.push(peer);
        }
    }
    first.external_ips.extend(second.external_ips);
    first.min_interval = first.min_interval.max(second.min_interval);
    first.warning = first.warning.or(second.warning);
    first.tracker_id = first.tracker_id.or(second.tracker_id);
    first
}

#[cfg(test)]
pub(crate) mod tests;
