//! Signing in to the console: a token is exchanged for a session, which a cookie names.
//!
//! The cookie is `HttpOnly` and `SameSite=Strict`, so that no script reads it and no other site's page
//! sends it; what changes something must carry a header besides, which another origin cannot send without
//! being asked first (there is no CORS here), and must come from a page of this origin, as far as the browser
//! says. Only where pages of others may show the console in a frame, and over TLS, does the cookie go along
//! with what is asked from within them (`SameSite=None`, kept apart for each by `Partitioned`). A session
//! lives twelve hours, in memory: after a restart people sign in again. It ends with its token, and where
//! that is a JWT of the platform, when that expires.
//!
//! Deliberately absent: passwords, and sessions for service accounts, which have no business in a page.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::http::header::{COOKIE, HeaderValue, SET_COOKIE};
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::auth::{Holder, digest, holder, make_room_for, principal};
use super::body::Json as JsonBody;
use super::origin::own_page;
use super::peer;
use super::problem::Problem;
use super::state::Admin;
use crate::model::UnixMillis;
use crate::registry::access::Principal;
use crate::registry::{TokenDigest, TokenKind};
use crate::rt::random;

const COOKIE_NAME: &str = "postrider_session";
/// The header that shows that the console's own script asks.
pub const CONSOLE_HEADER: &str = "x-postrider-console";
const LIFE: Duration = Duration::from_secs(12 * 60 * 60);
/// Sessions at most; the one that would end first gives way to a new one.
const SESSIONS_MAX: usize = 10_000;

struct Session {
    holder: Holder,
    until: UnixMillis,
}

/// Everybody who is signed in.
#[derive(Default)]
pub struct Sessions(Mutex<HashMap<TokenDigest, Session>>);

impl Sessions {
    /// The session's name, and for how long it is.
    fn begin(&self, holder: Holder, now: UnixMillis) -> (String, Duration) {
        let life = match &holder {
            Holder::Token(_) => LIFE,
            // No longer than the platform vouches for them.
            Holder::Vouched(vouched) => vouched.until.since(now).min(LIFE),
        };
        let text = URL_SAFE_NO_PAD.encode(random::bytes::<32>());
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        sessions.retain(|_, session| now < session.until);
        if sessions.len() >= SESSIONS_MAX {
            let first = sessions.iter().min_by_key(|(_, session)| session.until).map(|(key, _)| *key);
            first.map(|key| sessions.remove(&key));
        }
        sessions.insert(digest(&text), Session { holder, until: now + life });
        (text, life)
    }

    /// What the session in these headers was begun with.
    fn holder(&self, headers: &HeaderMap, now: UnixMillis) -> Option<Holder> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let session = sessions.get(&digest(cookie(headers)?))?;
        (now < session.until).then(|| session.holder.clone())
    }

    fn end(&self, headers: &HeaderMap) {
        if let Some(text) = cookie(headers) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest(text));
        }
    }
}

fn cookie(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut pairs = cookies.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
    pairs.find(|(name, _)| *name == COOKIE_NAME).map(|(_, value)| value)
}

/// Who asks, where a session says so. `Err` where a session is there but the request might come from
/// another site.
pub fn signed_in(
    admin: &Arc<Admin>,
    method: &Method,
    headers: &HeaderMap,
) -> Result<Option<Principal>, Problem> {
    let Some(holder) = admin.sessions.holder(headers, (admin.clock)()) else { return Ok(None) };
    let changes = !matches!(*method, Method::GET | Method::HEAD);
    if changes && !headers.contains_key(CONSOLE_HEADER) {
        let detail = format!("a request with a session's cookie must carry the header {CONSOLE_HEADER}");
        return Err(Problem::new(StatusCode::FORBIDDEN, "cross_site", detail));
    }
    if changes {
        own_page(headers)?;
    }
    Ok(principal(admin, &holder))
}

pub async fn show(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Result<Response, Problem> {
    let there = signed_in(&admin, &Method::GET, &headers)?.is_some();
    Ok(Json(json!({ "signedIn": there })).into_response())
}

pub async fn begin(State(admin): State<Arc<Admin>>, request: Request) -> Result<Response, Problem> {
    // Nobody is to be signed in as somebody else by another page.
    own_page(request.headers())?;
    let (from, headers) = (peer::address(&request), request.headers().clone());
    let JsonBody(body) = JsonBody::from_request(request, &()).await?;
    let Some(Value::String(text)) = body.get("token") else {
        return Err(Problem::field("token", "is required"));
    };
    make_room_for(&admin, text).await?;
    let holder = holder(&admin, text);
    match holder.and_then(|holder| Some((principal(&admin, &holder)?, holder))) {
        None => {
            admin.limits.wrong_token(from, (admin.clock)())?;
            let detail = "The token is not valid, or no longer.";
            Err(Problem::new(StatusCode::UNAUTHORIZED, "unauthorized", detail))
        }
        Some((Principal::Account { kind: TokenKind::ServiceAccount, .. }, _)) => {
            let detail = "This token is a service account’s: it is for programs and does not sign in.";
            Err(Problem::new(StatusCode::FORBIDDEN, "service_account", detail))
        }
        Some((principal, holder)) => {
            admin.note_sign_in(&principal).await;
            let (session, life) = admin.sessions.begin(holder, (admin.clock)());
            Ok(with_cookie(&admin, &headers, &session, life))
        }
    }
}

pub async fn end(State(admin): State<Arc<Admin>>, headers: HeaderMap) -> Result<Response, Problem> {
    signed_in(&admin, &Method::DELETE, &headers)?;
    admin.sessions.end(&headers);
    Ok(with_cookie(&admin, &headers, "", Duration::ZERO))
}

/// `Secure` where the browser came by TLS: over plain HTTP it would not keep such a cookie.
fn with_cookie(admin: &Admin, headers: &HeaderMap, value: &str, life: Duration) -> Response {
    let seconds = life.as_secs();
    let reach = match (peer::over_tls(headers), admin.frames.any()) {
        (true, true) => "Secure; SameSite=None; Partitioned",
        (true, false) => "Secure; SameSite=Strict",
        (false, _) => "SameSite=Strict",
    };
    let cookie = format!("{COOKIE_NAME}={value}; Path=/; Max-Age={seconds}; HttpOnly; {reach}");
    let mut response = StatusCode::NO_CONTENT.into_response();
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        response.headers_mut().insert(SET_COOKIE, cookie);
    }
    response
}
