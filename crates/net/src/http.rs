//! HTTP and HTTPS: one bounded `GET` at a time, for trackers and for `.torrent` files.
//!
//! Certificates are always checked, against the system's roots (or those in `SSL_CERT_FILE` / `SSL_CERT_DIR`), or the
//! built-in ones of Mozilla where the system has none. No proxy is used, no cookie kept, no connection reused. Errors
//! never quote a URL's path or query, which may hold a person's private key.

use crate::bind::{self, LocalAddrs};
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use reqwest::{Client, Response, StatusCode, Url, header};
use std::error::Error as StdError;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tracker::udp::Family;
use tracker::{TrackerUrl, UrlError, UrlRules};

/// How many redirects are followed; one more is an error.
pub const MAX_REDIRECTS: usize = 5;

/// How long a connection may take to come about.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much is read, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The longest body in bytes, after inflation; reading stops there with an error.
    pub body: usize,
    /// The longest silence while waiting for the answer or its next bytes.
    pub idle: Duration,
    /// The longest time for everything, redirects included.
    pub total: Duration,
}

impl Bounds {
    /// For a tracker's answer: 1 MiB, 30 s.
    pub const TRACKER: Bounds = Bounds {
        body: tracker::http::MAX_BODY,
        idle: Duration::from_secs(20),
        total: Duration::from_secs(30),
    };

    /// For a `.torrent` file: 64 MiB, 10 minutes.
    pub const TORRENT: Bounds =
        Bounds { body: 64 * 1024 * 1024, idle: Duration::from_secs(30), total: Duration::from_secs(600) };
}

/// What went wrong. Each is one clear line.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The TLS library or the HTTP client cannot be set up.
    #[error("HTTP is not available: {0}")]
    Unavailable(String),
    /// What was given is no URL that can be fetched.
    #[error("not an http or https URL")]
    NotHttp,
    /// The rules for trackers' URLs forbid it.
    #[error(transparent)]
    Forbidden(#[from] UrlError),
    /// The host's name leads nowhere (or only where this must not go).
    #[error(transparent)]
    Lookup(#[from] LookupError),
    /// No connection.
    #[error("cannot connect: {0}")]
    Connect(String),
    /// The other side's certificate does not hold, or TLS failed in another way.
    #[error("no secure connection: {0}")]
    Tls(String),
    /// Silence, or too slow.
    #[error("no complete answer in time")]
    Timeout,
    /// The connection ended or made no sense.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// No success.
    #[error("the answer is HTTP status {0}")]
    Status(StatusCode),
    /// More than [`Bounds::body`].
    #[error("the answer is larger than {} MiB", .0 >> 20)]
    TooLarge(usize),
    /// A redirect to where we have been.
    #[error("it redirects in a circle")]
    Circle,
    /// More than [`MAX_REDIRECTS`].
    #[error("it redirects more than {MAX_REDIRECTS} times")]
    TooManyRedirects,
    /// A redirect that would give up TLS.
    #[error("it redirects from https to plain http")]
    Downgrade,
    /// What went wrong where a redirect led.
    #[error("redirected to {host}: {error}")]
    Redirected {
        /// Scheme, host and port.
        host: String,
        /// What went wrong there.
        error: Box<HttpError>,
    },
}

/// Why a host name gives no address to talk to.
#[derive(Clone, Debug, thiserror::Error)]
pub enum LookupError {
    /// The name is not known, or no name server answers.
    #[error("cannot find the host: {0}")]
    Failed(String),
    /// There are addresses, but none of the family that was asked for.
    #[error("the host has no address of this family")]
    NoneOfFamily,
    /// The name leads to this machine, which the URL's path must then allow ([`UrlRules::guard`]).
    #[error("the host is this machine, where a tracker's path must begin with /announce")]
    ThisMachine,
}

/// A body, and whether its status was one of success (trackers explain themselves in the bodies of failures, too).
#[derive(Debug)]
pub struct Body {
    /// The status, never a redirect.
    pub status: StatusCode,
    /// The inflated body.
    pub bytes: Vec<u8>,
}

/// An HTTP client; cheap to clone.
#[derive(Clone, Debug)]
pub struct HttpClient {
    any: Client,
    v4: Client,
    v6: Client,
    v4_guarded: Client,
    v6_guarded: Client,
}

/// What a tracker's URL may lead to, over which address family.
#[derive(Clone, Copy, Debug)]
pub struct TrackerRoute {
    /// The rules that the URL and every redirect keep to.
    pub rules: UrlRules,
    /// The family to use for host names; an address in the URL has its own.
    pub family: Family,
    /// Whether the URL that is asked for may lead to this machine under the guard: an announce URL has the path for it,
    /// and a scrape URL was made from one. Redirects are judged by their own paths.
    pub may_stay_here: bool,
}

impl HttpClient {
    /// A client that calls itself `user_agent` and sends from one of `local` (a loopback address is not used, since
    /// where a name leads is not known before).
    ///
    /// # Errors
    /// Only if the TLS library cannot be set up, or the name is no header value.
    pub fn new(user_agent: &str, local: LocalAddrs) -> Result<HttpClient, HttpError> {
        let client = |family, guarded| new_client(user_agent, local, Lookup { family, guarded });
        Ok(HttpClient {
            any: client(None, false)?,
            v4: client(Some(Family::V4), false)?,
            v6: client(Some(Family::V6), false)?,
            v4_guarded: client(Some(Family::V4), true)?,
            v6_guarded: client(Some(Family::V6), true)?,
        })
    }

    /// Gets a `.torrent` file, or whatever the person asked for.
    ///
    /// # Errors
    /// Anything but a success whose body keeps to `bounds`.
    pub async fn fetch(&self, url: &str, bounds: Bounds) -> Result<Vec<u8>, HttpError> {
        let url = Url::parse(url).map_err(|_| HttpError::NotHttp)?;
        let body = self.get(url, None, bounds).await?;
        if body.status.is_success() { Ok(body.bytes) } else { Err(HttpError::Status(body.status)) }
    }

    /// Gets a tracker's answer, of whatever status. `url` is an announce or scrape URL of a tracker that was checked.
    ///
    /// # Errors
    /// No answer, or one beyond `bounds`; a redirect that breaks the rules of `route`.
    pub async fn ask_tracker(
        &self,
        url: &str,
        route: TrackerRoute,
        bounds: Bounds,
    ) -> Result<Body, HttpError> {
        let url = Url::parse(url).map_err(|_| HttpError::NotHttp)?;
        self.get(url, Some(route), bounds).await
    }

    async fn get(&self, url: Url, route: Option<TrackerRoute>, bounds: Bounds) -> Result<Body, HttpError> {
        let following = self.follow(url, route, bounds);
        tokio::time::timeout(bounds.total, following).await.unwrap_or(Err(HttpError::Timeout))
    }

    async fn follow(
        &self,
        start: Url,
        route: Option<TrackerRoute>,
        bounds: Bounds,
    ) -> Result<Body, HttpError> {
        let mut visited = vec![start];
        loop {
            let here = &visited[visited.len() - 1];
            let at_redirect = |error| if visited.len() > 1 { redirected(here, error) } else { error };
            let response = self.send(here, route, visited.len() == 1, bounds).await.map_err(at_redirect)?;
            let Some(next) = location(here, &response) else {
                return read(response, bounds).await.map_err(at_redirect);
            };
            let next = next?;
            if visited.contains(&next) {
                return Err(HttpError::Circle);
            }
            if visited.len() > MAX_REDIRECTS {
                return Err(HttpError::TooManyRedirects);
            }
            if here.scheme() == "https" && next.scheme() == "http" {
                return Err(HttpError::Downgrade);
            }
            visited.push(next);
        }
    }

    async fn send(
        &self,
        url: &Url,
        route: Option<TrackerRoute>,
        is_first: bool,
        bounds: Bounds,
    ) -> Result<Response, HttpError> {
        let request = self.client_for(url, route, is_first)?.get(url.clone());
        match tokio::time::timeout(bounds.idle.max(CONNECT_TIMEOUT), request.send()).await {
            Ok(sent) => sent.map_err(explain),
            Err(_) => Err(HttpError::Timeout),
        }
    }

    /// The client whose look-ups keep to the family and to the guard.
    fn client_for(
        &self,
        url: &Url,
        route: Option<TrackerRoute>,
        is_first: bool,
    ) -> Result<&Client, HttpError> {
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpError::NotHttp);
        }
        let Some(TrackerRoute { rules, family, may_stay_here }) = route else { return Ok(&self.any) };
        let may_stay_here = if is_first { may_stay_here } else { check_redirect(url, rules)? };
        Ok(match (family, rules.guard && !may_stay_here) {
            (Family::V4, false) => &self.v4,
            (Family::V6, false) => &self.v6,
            (Family::V4, true) => &self.v4_guarded,
            (Family::V6, true) => &self.v6_guarded,
        })
    }
}

/// Holds a tracker's redirect to the rules; whether it may lead to this machine under the guard.
fn check_redirect(url: &Url, rules: UrlRules) -> Result<bool, HttpError> {
    // The rules look at host and path; the query may have grown long by an announce.
    let mut bare = url.clone();
    bare.set_query(None);
    let url = TrackerUrl::parse(bare.as_str())?;
    url.check_redirect(rules)?;
    Ok(url.has_announce_path())
}

/// Where the response sends us on to, if it is a redirect.
fn location(here: &Url, response: &Response) -> Option<Result<Url, HttpError>> {
    let redirects = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = response.headers().get(header::LOCATION).filter(|_| redirects)?;
    let next = location.to_str().ok().and_then(|to| here.join(to).ok());
    Some(next.ok_or_else(|| HttpError::Broken("it redirects to what is no URL".into())).map(|mut url| {
        url.set_fragment(None);
        url
    }))
}

async fn read(mut response: Response, bounds: Bounds) -> Result<Body, HttpError> {
    let too_large = HttpError::TooLarge(bounds.body);
    let announced = response.content_length().unwrap_or(0);
    if usize::try_from(announced).map_or(true, |len| len > bounds.body) {
        return Err(too_large);
    }
    let mut bytes = Vec::new();
    loop {
        let next = tokio::time::timeout(bounds.idle, response.chunk()).await;
        let Some(chunk) = next.map_err(|_| HttpError::Timeout)?.map_err(explain)? else { break };
        if bytes.len() + chunk.len() > bounds.body {
            return Err(too_large);
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(Body { status: response.status(), bytes })
}

fn redirected(to: &Url, error: HttpError) -> HttpError {
    let host = format!(
        "{}://{}:{}",
        to.scheme(),
        to.host_str().unwrap_or_default(),
        to.port_or_known_default().unwrap_or_default()
    );
    HttpError::Redirected { host, error: Box::new(error) }
}

/// Finds the cause that a person can do something about, deep in the client's error.
fn explain(error: reqwest::Error) -> HttpError {
    let error = error.without_url();
    let mut cause: Option<&(dyn StdError + 'static)> = Some(&error);
    let mut deepest = String::new();
    while let Some(current) = cause {
        if let Some(lookup) = current.downcast_ref::<LookupError>() {
            return lookup.clone().into();
        }
        if let Some(tls) = current.downcast_ref::<rustls::Error>() {
            return HttpError::Tls(tls.to_string());
        }
        deepest = current.to_string();
        let io = current.downcast_ref::<io::Error>();
        if let Some(io) = io {
            deepest = io_text(io);
        }
        // An io::Error hides what it wraps from `source`.
        cause = match io.and_then(io::Error::get_ref) {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    match (error.is_timeout(), error.is_connect()) {
        (true, _) => HttpError::Timeout,
        (_, true) => HttpError::Connect(deepest),
        _ => HttpError::Broken(deepest),
    }
}

/// The system's words without its number: `connection refused`.
pub(crate) fn io_text(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}

fn new_client(user_agent: &str, local: LocalAddrs, lookup: Lookup) -> Result<Client, HttpError> {
    let tls = TLS.as_ref().map_err(|error| HttpError::Unavailable(error.clone()))?;
    let from = match lookup.family {
        Some(Family::V4) => local.v4.map(IpAddr::from),
        Some(Family::V6) => local.v6.map(IpAddr::from),
        None => None,
    };
    Client::builder()
        .local_address(from.filter(|ip| !ip.is_loopback()))
        .user_agent(user_agent)
        .tls_backend_preconfigured(tls.clone())
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .pool_max_idle_per_host(0)
        .dns_resolver(Arc::new(lookup))
        .build()
        .map_err(|error| HttpError::Unavailable(error.without_url().to_string()))
}

/// One configuration for all clients: loading the system's roots takes milliseconds.
static TLS: LazyLock<Result<rustls::ClientConfig, String>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots()).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
});

/// The system's roots, as `SSL_CERT_FILE` and `SSL_CERT_DIR` may direct; the built-in ones if there are none (as in an
/// image made from scratch).
fn roots() -> rustls::RootCertStore {
    let mut store = rustls::RootCertStore::empty();
    let native = rustls_native_certs::load_native_certs();
    for error in &native.errors {
        tracing::warn!("a root certificate cannot be loaded: {error}");
    }
    store.add_parsable_certificates(native.certs);
    if store.is_empty() {
        tracing::debug!("the system has no root certificates: using the built-in ones");
        store.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
    }
    store
}

/// Looks up names for one client.
#[derive(Clone, Copy, Debug)]
struct Lookup {
    /// Only addresses of this family; of either, if `None`.
    family: Option<Family>,
    /// No address of this machine.
    guarded: bool,
}

impl Resolve for Lookup {
    fn resolve(&self, name: Name) -> Resolving {
        let lookup = *self;
        Box::pin(async move {
            let addrs = lookup.addrs(name.as_str(), 0).await?;
            Ok(Box::new(addrs.into_iter()) as Addrs)
        })
    }
}

impl Lookup {
    async fn addrs(self, name: &str, port: u16) -> Result<Vec<SocketAddr>, LookupError> {
        let found = bind::look_up((name, port)).await;
        let mut addrs = found.map_err(|error| LookupError::Failed(lookup_text(&error)))?;
        addrs.retain(|addr| self.family.is_none_or(|family| Family::from(*addr) == family));
        if addrs.is_empty() {
            return Err(LookupError::NoneOfFamily);
        }
        addrs.retain(|addr| !self.guarded || !tracker::is_this_machine(addr.ip()));
        if addrs.is_empty() { Err(LookupError::ThisMachine) } else { Ok(addrs) }
    }
}

/// The addresses of a tracker's host in one family, for UDP.
pub(crate) async fn lookup_udp(
    host: &tracker::Host,
    port: u16,
    family: Family,
) -> Result<Vec<SocketAddr>, LookupError> {
    match host {
        tracker::Host::Name(name) => Lookup { family: Some(family), guarded: false }.addrs(name, port).await,
        tracker::Host::Ip(ip) => {
            let addr = SocketAddr::new(IpAddr::to_canonical(ip), port);
            if Family::from(addr) == family { Ok(vec![addr]) } else { Err(LookupError::NoneOfFamily) }
        }
    }
}

/// `failed to lookup address information: Name or service not known`, without its first half.
fn lookup_text(error: &io::Error) -> String {
    let text = io_text(error);
    text.rsplit(": ").next().unwrap_or_default().to_lowercase()
}

#[cfg(test)]
pub(crate) mod tests;
