//! What is told to web servers that who runs the engine named.

use crate::{Engine, Error};
use net::http::{Bounds, HttpClient};

/// Posts to web servers, by the rules for addresses that hold for all requests. It does not keep the engine alive.
#[derive(Clone, Debug)]
pub struct HttpPost(HttpClient);

impl Engine {
    /// What posts to web servers.
    pub fn http_post(&self) -> HttpPost {
        HttpPost(self.shared().web.client())
    }
}

impl HttpPost {
    /// Posts over HTTP or HTTPS; tells the status of the answer, whatever it is, within 30 seconds. A redirect is not followed.
    /// Only if `allow_private` may the URL lead into a private network or to this machine. To be called on a tokio runtime.
    ///
    /// # Errors
    /// [`Error::Fetch`] says in one line why there is no answer.
    pub async fn post(
        &self,
        url: &str,
        headers: &[(&'static str, String)],
        body: Vec<u8>,
        allow_private: bool,
    ) -> Result<u16, Error> {
        let status = self.0.post(url, headers, body, allow_private, Bounds::TRACKER).await;
        status.map(|status| status.as_u16()).map_err(|error| Error::Fetch(error.to_string()))
    }
}
