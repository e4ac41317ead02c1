//! What every request passes before anything of it is read, and what is noted of it.

use crate::access::From;
use crate::audit::{Entry, Note};
use crate::error::Refusal;
use crate::routes::{State, needs};
use axum::body::Body;
use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderValue, Method, Response, StatusCode, header};
use axum::middleware::Next;
use axum::response::IntoResponse;
use std::sync::Arc;

/// Lets a request through or refuses it.
pub(crate) async fn guard(state: Arc<State>, from: From, mut request: Request, next: Next) -> Response<Body> {
    let method = request.method().clone();
    let matched = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_owned());
    let access = &state.access;
    let checked = access.check_origin(request.headers()).and_then(|()| {
        let scope = matched.as_deref().map_or(Ok(None), |path| needs(&method, path))?;
        access.check_token(from, request.headers(), scope)
    });
    let mut entry = Entry {
        who: checked.as_ref().ok().map(|who| who.name.clone()),
        from: match from {
            From::Unix => "unix".into(),
            From::Tcp(addr) => addr.to_string(),
        },
        method: method.to_string(),
        path: request.uri().path().chars().take(256).collect(),
        ..Entry::default()
    };
    let (is_refused, note) = (checked.is_err(), Note::default());
    let mut answer = match checked {
        Ok(who) => {
            request.extensions_mut().insert(who);
            request.extensions_mut().insert(from);
            request.extensions_mut().insert(note.clone());
            next.run(request).await
        }
        Err(refusal) => refusal.into_response(),
    };
    // What only looks is not worth a line.
    if is_refused || !matches!(method, Method::GET | Method::HEAD) {
        entry.status = answer.status().as_u16();
        entry.what = note.take();
        state.audit.tell(entry);
    }
    // A page of ours, a problem or an answer: none of it is to be guessed at, framed, or kept by anybody between.
    let headers = answer.headers_mut();
    let mut set = |name, value| {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    };
    set(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    set(header::X_FRAME_OPTIONS, "DENY");
    set(header::CACHE_CONTROL, "no-store");
    set(header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'");
    set(header::REFERRER_POLICY, "no-referrer");
    answer
}

/// Where nothing is.
pub(crate) async fn nothing() -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, "no_route", "there is nothing at this path; see /api/v1/openapi.json")
}

/// What can't be done there.
pub(crate) async fn not_so() -> Refusal {
    Refusal::new(
        StatusCode::METHOD_NOT_ALLOWED,
        "method",
        "this path takes other methods; see /api/v1/openapi.json",
    )
}
