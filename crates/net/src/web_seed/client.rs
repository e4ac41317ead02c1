//! Requests that lead nowhere but where they may.

use super::{MAX_CONNECTIONS, MAX_REDIRECTS, STALL_TIMEOUT, WebSeedError};
use crate::bind::LocalAddrs;
use crate::http::{self, HttpError};
use crate::lookup::{self, Lookup, LookupError, look_up, zone_of};
use reqwest::{Client, Response, Url, header};
use std::net::{IpAddr, SocketAddr};
use tokio::time::timeout;
use tracker::udp::Family;
use types::Zone;
use url::Host;

/// A client for web seeds, which keeps connections; cheap to clone.
#[derive(Clone, Debug)]
pub struct WebSeedClient {
    public: Client,
    /// Unless the owner allows none at private addresses.
    private: Option<Client>,
    family: Option<Family>,
}

/// A web seed that may be asked.
#[derive(Clone, Debug)]
pub struct Found {
    /// Where it is: the first of its addresses.
    pub addr: SocketAddr,
    pub(super) client: WebSeedClient,
    pub(super) zone: Zone,
}

/// Where an answer came from.
#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) url: Url,
    pub(super) zone: Zone,
}

impl WebSeedClient {
    /// A client that calls itself `user_agent`. If the owner chose where to be reached, it sends from the first of those
    /// addresses, and to others of its family only; a loopback address is not used.
    ///
    /// # Errors
    /// Only if the TLS library cannot be set up, or the name is no header value.
    pub fn new(user_agent: &str, local: LocalAddrs, allow_private: bool) -> Result<WebSeedClient, HttpError> {
        let from = local.v4.map(IpAddr::from).or(local.v6.map(IpAddr::from)).filter(|ip| !ip.is_loopback());
        let family = from.map(|ip| Family::from(SocketAddr::new(ip, 0)));
        let client = |zone| {
            let builder = http::builder(user_agent, Lookup { family, zone })?.local_address(from);
            let builder = builder.no_gzip().pool_max_idle_per_host(MAX_CONNECTIONS);
            http::built(builder.pool_idle_timeout(STALL_TIMEOUT))
        };
        let private = allow_private.then(|| client(Zone::Private)).transpose()?;
        Ok(WebSeedClient { public: client(Zone::Public)?, private, family })
    }

    /// Finds where a web seed is, if it may be asked. No connection is made.
    ///
    /// # Errors
    /// No URL of a web server, no such host, or one that must not be asked.
    pub async fn find(&self, url: &str) -> Result<Found, WebSeedError> {
        let url = Url::parse(url).map_err(|_| WebSeedError::NotHttp)?;
        let (zone, addr) = self.place(&url, self.private.is_some()).await?;
        Ok(Found { addr, client: self.clone(), zone })
    }

    /// Where a URL leads, to a private address only if it may. One that has public addresses is public.
    pub(super) async fn place(
        &self,
        url: &Url,
        may_be_private: bool,
    ) -> Result<(Zone, SocketAddr), WebSeedError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(WebSeedError::NotHttp);
        }
        let port = url.port_or_known_default().unwrap_or_default();
        let mut addrs = match url.host() {
            Some(Host::Ipv4(ip)) => vec![SocketAddr::new(ip.into(), port)],
            Some(Host::Ipv6(ip)) => vec![SocketAddr::new(ip.into(), port)],
            Some(Host::Domain(name)) if tracker::is_idna(name) => return Err(WebSeedError::Idna),
            Some(Host::Domain(name)) => look_up_in_time(name, port).await.map_err(HttpError::from)?,
            None => return Err(WebSeedError::NotHttp),
        };
        addrs.retain(|addr| self.family.is_none_or(|family| Family::from(*addr) == family));
        if addrs.is_empty() {
            return Err(HttpError::from(LookupError::NoneOfFamily).into());
        }
        let zone = zone_of(&addrs);
        match zone {
            Zone::Forbidden => return Err(WebSeedError::Forbidden),
            Zone::Private if !may_be_private => return Err(WebSeedError::Private),
            Zone::Private if url.query().is_some() => return Err(WebSeedError::PrivateQuery),
            Zone::Private | Zone::Public => {}
        }
        let first = addrs.into_iter().find(|addr| lookup::zone(addr.ip()) == zone);
        first.map(|addr| (zone, addr)).ok_or(WebSeedError::Forbidden)
    }

    /// Asks for bytes of a file, by way of redirects; tells where the answer is from.
    pub(super) async fn get(&self, start: Target, range: &str) -> Result<(Response, Target), WebSeedError> {
        let mut visited = vec![start];
        loop {
            let here = &visited[visited.len() - 1];
            let at_redirect = |error| if visited.len() > 1 { redirected(&here.url, error) } else { error };
            let response = self.send(here, range).await.map_err(at_redirect)?;
            let Some(next) = http::location(&here.url, &response) else {
                return Ok((response, here.clone()));
            };
            let url = next?;
            if visited.iter().any(|target| target.url == url) {
                return Err(HttpError::Circle.into());
            }
            if visited.len() > MAX_REDIRECTS {
                return Err(HttpError::TooManyRedirects.into());
            }
            if here.url.scheme() == "https" && url.scheme() == "http" {
                return Err(HttpError::Downgrade.into());
            }
            let may_be_private = here.zone == Zone::Private;
            let (zone, _) = self.place(&url, may_be_private).await.map_err(|error| match error {
                WebSeedError::Private => WebSeedError::RedirectsInside,
                error => redirected(&url, error),
            })?;
            visited.push(Target { url, zone });
        }
    }

    async fn send(&self, target: &Target, range: &str) -> Result<Response, WebSeedError> {
        let client = match target.zone {
            Zone::Public => &self.public,
            Zone::Private => self.private.as_ref().ok_or(WebSeedError::Private)?,
            Zone::Forbidden => return Err(WebSeedError::Forbidden),
        };
        // An address passes no look-up.
        if http::zone_of_literal(&target.url).is_some_and(|zone| zone != target.zone) {
            return Err(WebSeedError::Private);
        }
        // A connection that was kept may be closed by the server in the very moment in which it is used.
        let mut may_be_stale = true;
        loop {
            let request = client.get(target.url.clone());
            let request = request.header(header::RANGE, range).header(header::ACCEPT_ENCODING, "identity");
            match timeout(STALL_TIMEOUT, request.send()).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => match http::explain(error) {
                    HttpError::Broken(_) if may_be_stale => may_be_stale = false,
                    HttpError::Lookup(LookupError::NotPublic) => return Err(WebSeedError::Private),
                    HttpError::Lookup(LookupError::Forbidden) => return Err(WebSeedError::Forbidden),
                    error => return Err(error.into()),
                },
                Err(_) => return Err(WebSeedError::Stalled),
            }
        }
    }
}

async fn look_up_in_time(name: &str, port: u16) -> Result<Vec<SocketAddr>, LookupError> {
    let found = timeout(STALL_TIMEOUT, look_up(name, port)).await;
    found.unwrap_or_else(|_| Err(LookupError::Failed("no answer".into())))
}

fn redirected(to: &Url, error: WebSeedError) -> WebSeedError {
    WebSeedError::Redirected { host: http::origin(to), error: Box::new(error) }
}
