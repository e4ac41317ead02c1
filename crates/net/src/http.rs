//! HTTP and HTTPS: one bounded `GET` at a time, for trackers and for `.torrent` files. What all clients have in common is
//! here too.
//!
//! Certificates are always checked, against the system's roots (or those in `SSL_CERT_FILE` / `SSL_CERT_DIR`), or the
//! built-in ones of Mozilla where the system has none. No proxy is used, no cookie kept, no connection reused. Errors
//! never quote a URL's path or query, which may hold a person's private key.
//!
//! Nobody is sent from a public address to one that is not, nor anybody at all to a forbidden one ([`Zone`]): what is
//! dialled is checked, in each hop.

use crate::bind::LocalAddrs;
use crate::lookup::{self, Lookup, LookupError};
use reqwest::{Client, ClientBuilder, RequestBuilder, Response, StatusCode, Url, header};
use std::error::Error as StdError;
use std::io;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;
use tracker::udp::Family;
use tracker::{TrackerUrl, UrlError, UrlRules};
use types::Zone;

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
    /// A redirect from a public address to one that is not.
    #[error("it redirects to a private address")]
    RedirectsInside,
    /// Only the public internet may be asked, and the URL leads elsewhere.
    #[error("it leads to a private address, which only who owns the daemon may ask for")]
    Inside,
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
    any: Zoned,
    v4: Zoned,
    v6: Zoned,
}

/// A client for each zone that may be dialled.
#[derive(Clone, Debug)]
struct Zoned {
    public: Client,
    private: Client,
}

/// What a tracker's URL may lead to, over which address family.
#[derive(Clone, Copy, Debug)]
pub struct TrackerRoute {
    /// The rules that the URL and every redirect keep to.
    pub rules: UrlRules,
    /// The family to use for host names; an address in the URL has its own.
    pub family: Family,
    /// Whether the URL that is asked for may lead to a private address: an announce URL's path decides, and a scrape URL was
    /// made from one. Redirects are judged by their own paths.
    pub may_be_private: bool,
}

/// Where a hop begins: at the URL that was given, or at a response that redirects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Given,
    Zone(Zone),
}

impl HttpClient {
    /// A client that calls itself `user_agent` and sends from one of `local` (a loopback address is not used, since
    /// where a name leads is not known before).
    ///
    /// # Errors
    /// Only if the TLS library cannot be set up, or the name is no header value.
    pub fn new(user_agent: &str, local: LocalAddrs) -> Result<HttpClient, HttpError> {
        let zoned = |family| -> Result<Zoned, HttpError> {
            let client = |zone| new_client(user_agent, local, Lookup { family, zone });
            Ok(Zoned { public: client(Zone::Public)?, private: client(Zone::Private)? })
        };
        Ok(HttpClient { any: zoned(None)?, v4: zoned(Some(Family::V4))?, v6: zoned(Some(Family::V6))? })
    }

    /// Gets a `.torrent` file, or whatever the person asked for.
    ///
    /// # Errors
    /// Anything but a success whose body keeps to `bounds`.
    pub async fn fetch(&self, url: &str, bounds: Bounds) -> Result<Vec<u8>, HttpError> {
        let url = Url::parse(url).map_err(|_| HttpError::NotHttp)?;
        let body = self.get(url, From::Given, None, bounds).await?;
        if body.status.is_success() { Ok(body.bytes) } else { Err(HttpError::Status(body.status)) }
    }

    /// The same for somebody who is not to reach the networks that this machine is in.
    ///
    /// # Errors
    /// Those of [`fetch`](Self::fetch), and [`HttpError::Inside`].
    pub async fn fetch_public(&self, url: &str, bounds: Bounds) -> Result<Vec<u8>, HttpError> {
        let url = Url::parse(url).map_err(|_| HttpError::NotHttp)?;
        // As if a public server had redirected to it.
        match self.get(url, From::Zone(Zone::Public), None, bounds).await {
            Ok(body) if body.status.is_success() => Ok(body.bytes),
            Ok(body) => Err(HttpError::Status(body.status)),
            Err(HttpError::RedirectsInside) => Err(HttpError::Inside),
            Err(error) => Err(error),
        }
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
        self.get(url, From::Given, Some(route), bounds).await
    }

    /// Posts to a server that who runs us named; tells the status of its answer, whatever it is. No redirect is followed, and
    /// the answer's body is not read.
    ///
    /// # Errors
    /// No answer in time; or the URL leads to a private address and may not, or to one that nobody may ask.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
        may_be_private: bool,
        bounds: Bounds,
    ) -> Result<StatusCode, HttpError> {
        let url = Url::parse(url).map_err(|_| HttpError::NotHttp)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(HttpError::NotHttp);
        }
        let request = |client: &Client| {
            let post = client.post(url.clone()).body(body.clone());
            headers.iter().fold(post, |post, (name, value)| post.header(*name, value))
        };
        let send = async {
            let outcome = match zone_of_literal(&url) {
                Some(Zone::Forbidden) => Err(LookupError::Forbidden.into()),
                Some(Zone::Private) => Err(LookupError::NotPublic.into()),
                Some(Zone::Public) | None => send_by(request(&self.any.public), bounds).await,
            };
            match outcome {
                Err(HttpError::Lookup(LookupError::NotPublic)) if may_be_private => {
                    send_by(request(&self.any.private), bounds).await
                }
                outcome => outcome,
            }
        };
        let sent = tokio::time::timeout(bounds.total, send).await.unwrap_or(Err(HttpError::Timeout))?;
        Ok(sent.status())
    }

    async fn get(
        &self,
        url: Url,
        from: From,
        route: Option<TrackerRoute>,
        bounds: Bounds,
    ) -> Result<Body, HttpError> {
        #[cfg(feature = "planted")]
        let bounds = crate::planted::bounds(bounds);
        let following = self.follow(url, from, route, bounds);
        tokio::time::timeout(bounds.total, following).await.unwrap_or(Err(HttpError::Timeout))
    }

    async fn follow(
        &self,
        start: Url,
        mut from: From,
        route: Option<TrackerRoute>,
        bounds: Bounds,
    ) -> Result<Body, HttpError> {
        let mut visited = vec![start];
        loop {
            let here = &visited[visited.len() - 1];
            let at_redirect = |error| if visited.len() > 1 { redirected(here, error) } else { error };
            let (response, zone) = self.send(here, route, from, bounds).await.map_err(at_redirect)?;
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
            from = From::Zone(zone);
        }
    }

    /// Sends a request to where it may go, and tells where that was.
    async fn send(
        &self,
        url: &Url,
        route: Option<TrackerRoute>,
        from: From,
        bounds: Bounds,
    ) -> Result<(Response, Zone), HttpError> {
        let may_be_private = may_be_private(url, route, from)?;
        let clients = match route.map(|route| route.family) {
            None => &self.any,
            Some(Family::V4) => &self.v4,
            Some(Family::V6) => &self.v6,
        };
        // An address passes no look-up.
        let zone = zone_of_literal(url);
        let outcome = match zone {
            Some(Zone::Forbidden) => Err(LookupError::Forbidden.into()),
            Some(Zone::Private) => Err(LookupError::NotPublic.into()),
            Some(Zone::Public) | None => send_by(clients.public.get(url.clone()), bounds).await,
        };
        match outcome {
            Err(HttpError::Lookup(LookupError::NotPublic)) if may_be_private => {
                Ok((send_by(clients.private.get(url.clone()), bounds).await?, Zone::Private))
            }
            Err(HttpError::Lookup(LookupError::NotPublic)) if from == From::Zone(Zone::Public) => {
                Err(HttpError::RedirectsInside)
            }
            outcome => Ok((outcome?, Zone::Public)),
        }
    }
}

/// Whether a hop may lead to a private address.
fn may_be_private(url: &Url, route: Option<TrackerRoute>, from: From) -> Result<bool, HttpError> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(HttpError::NotHttp);
    }
    Ok(match (route, from) {
        (None, From::Given) => true, // a person's own
        (None, From::Zone(zone)) => zone == Zone::Private,
        (Some(route), From::Given) => route.may_be_private,
        (Some(route), From::Zone(zone)) => check_redirect(url, route.rules)? && zone == Zone::Private,
    })
}

/// The zone of a URL whose host is an address.
pub(crate) fn zone_of_literal(url: &Url) -> Option<Zone> {
    match url.host()? {
        url::Host::Ipv4(ip) => Some(lookup::zone(ip.into())),
        url::Host::Ipv6(ip) => Some(lookup::zone(ip.into())),
        url::Host::Domain(_) => None,
    }
}

async fn send_by(request: RequestBuilder, bounds: Bounds) -> Result<Response, HttpError> {
    match tokio::time::timeout(bounds.idle.max(CONNECT_TIMEOUT), request.send()).await {
        Ok(sent) => sent.map_err(explain),
        Err(_) => Err(HttpError::Timeout),
    }
}

/// Holds a tracker's redirect to the rules; whether it may lead to a private address under them.
fn check_redirect(url: &Url, rules: UrlRules) -> Result<bool, HttpError> {
    // The rules look at host and path; the query may have grown long by an announce.
    let mut bare = url.clone();
    bare.set_query(None);
    let url = TrackerUrl::parse(bare.as_str())?;
    url.check_redirect(rules)?;
    Ok(url.check_private(rules).is_ok())
}

/// Where the response sends us on to, if it is a redirect.
pub(crate) fn location(here: &Url, response: &Response) -> Option<Result<Url, HttpError>> {
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
    HttpError::Redirected { host: origin(to), error: Box::new(error) }
}

/// Scheme, host and port: what of a URL may be shown.
pub(crate) fn origin(url: &Url) -> String {
    let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
    format!("{}://{host}:{port}", url.scheme())
}

/// Finds the cause that a person can do something about, deep in the client's error.
pub(crate) fn explain(error: reqwest::Error) -> HttpError {
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
    let from = match lookup.family {
        Some(Family::V4) => local.v4.map(IpAddr::from),
        Some(Family::V6) => local.v6.map(IpAddr::from),
        None => None,
    };
    let builder = builder(user_agent, lookup)?.pool_max_idle_per_host(0);
    built(builder.local_address(from.filter(|ip| !ip.is_loopback())))
}

/// What holds for all clients.
pub(crate) fn builder(user_agent: &str, lookup: Lookup) -> Result<ClientBuilder, HttpError> {
    let tls = TLS.as_ref().map_err(|error| HttpError::Unavailable(error.clone()))?;
    let builder = Client::builder()
        .user_agent(user_agent)
        .tls_backend_preconfigured(tls.clone())
        .http1_only()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .referer(false)
        .no_proxy()
        .connect_timeout(CONNECT_TIMEOUT)
        .dns_resolver(Arc::new(lookup));
    Ok(builder)
}

pub(crate) fn built(builder: ClientBuilder) -> Result<Client, HttpError> {
    builder.build().map_err(|error| HttpError::Unavailable(error.without_url().to_string()))
}

/// One configuration for all clients: loading the system's roots takes milliseconds.
static TLS: LazyLock<Result<rustls::ClientConfig, String>> = LazyLock::new(|| {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let mut config = builder.with_root_certificates(roots()).with_no_client_auth();
    #[cfg(feature = "planted")]
    crate::planted::trust(&mut config);
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

#[cfg(test)]
pub(crate) mod tests;
