//! Announces and scrapes, whatever the tracker's URL says it speaks, over IPv4 and IPv6.
//!
//! A tracker that has a name is asked over both families at once, since it knows a peer only by the address from which it
//! hears it (BEP 7); the answers become one.

use crate::bind::LocalAddrs;
use crate::http::{Body, Bounds, HttpClient, HttpError, LookupError, TrackerRoute};
use crate::udp_tracker::{UdpError, UdpTrackers};
use std::future::Future;
use std::pin::pin;
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

/// What is needed to ask trackers; one for the whole program.
#[derive(Debug)]
pub struct TrackerClient {
    http: HttpClient,
    udp: UdpTrackers,
    settings: TrackerSettings,
}

impl TrackerClient {
    /// A client that asks HTTP trackers with `http`.
    pub fn new(http: HttpClient, settings: TrackerSettings) -> TrackerClient {
        TrackerClient { http, udp: UdpTrackers::new(settings.retransmit, settings.local), settings }
    }

    /// Asks `tracker`, whose URL was checked, for an announce or scrape URL that was made from its own.
    async fn ask_http(&self, tracker: &TrackerUrl, url: &str, family: Family) -> Result<Body, HttpError> {
        let may_stay_here = tracker.has_announce_path();
        let route = TrackerRoute { rules: self.settings.rules, family, may_stay_here };
        self.http.ask_tracker(url, route, self.settings.bounds).await
    }
}

/// Announces to a tracker; over HTTP it takes at most [`Bounds::total`], over UDP [`Retransmit::total`] and ten seconds.
///
/// # Errors
/// See [`AnnounceError`]. Where both address families fail, the more telling error.
pub async fn announce(
    client: &TrackerClient,
    url: &TrackerUrl,
    announce: &Announce,
) -> Result<AnnounceResponse, AnnounceError> {
    url.check(client.settings.rules)?;
    let over = |family| async move {
        match url.scheme() {
            Scheme::Http | Scheme::Https => {
                let body = client.ask_http(url, &http::announce_url(url, announce), family).await?;
                understand(&body, http::parse_announce)
            }
            Scheme::Udp => {
                let request = Request::Announce(announce.clone(), url.target().to_owned());
                match client.udp.ask(url.host(), url.port(), family, &request).await? {
                    Reply::Announce(response) => Ok(response),
                    Reply::Scrape(_) => Err(tracker::Error::NoAnswer.into()),
                }
            }
        }
    };
    over_families(url.host(), over, join).await
}

/// Asks a tracker about at most [`MAX_SCRAPE`] torrents (BEP 48, 15); those that it does not know are left out.
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
            Scheme::Http | Scheme::Https => {
                let scrape_url = http::scrape_url(url, torrents).ok_or(AnnounceError::NoScrape)?;
                understand(&client.ask_http(url, &scrape_url, family).await?, http::parse_scrape)
            }
            Scheme::Udp => {
                let request = Request::Scrape(torrents.to_vec());
                match client.udp.ask(url.host(), url.port(), family, &request).await? {
                    Reply::Scrape(entries) => Ok(torrents.iter().copied().zip(entries).collect()),
                    Reply::Announce(_) => Err(tracker::Error::NoAnswer.into()),
                }
            }
        }
    };
    // The first answer tells it all: a swarm's numbers do not depend on the family.
    over_families(url.host(), over, |first, _| first).await
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

/// One answer out of two: the first's, and the second's peers.
fn join(mut first: AnnounceResponse, second: AnnounceResponse) -> AnnounceResponse {
    for peer in second.peers {
        if first.peers.len() < MAX_PEERS && !first.peers.contains(&peer) {
            first.peers.push(peer);
        }
    }
    first.min_interval = first.min_interval.max(second.min_interval);
    first.warning = first.warning.or(second.warning);
    first.tracker_id = first.tracker_id.or(second.tracker_id);
    first
}

#[cfg(test)]
mod tests;
