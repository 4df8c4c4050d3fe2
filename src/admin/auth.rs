//! Who asks, and whether they may: every request of the API passes [`identify`], and every route names
//! the right that it needs.
//!
//! Deliberately absent: the table of who may do what, which is pure and the registry's
//! ([`access::decide`]).

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::caller::Caller;
use super::jwt;
use super::peer;
use super::problem::Problem;
use super::session;
use super::state::Admin;
use crate::model::{AccountName, UnixMillis};
use crate::registry::access::{self, Denied, Principal, Right, Subject};
use crate::registry::{Change, FLAG_WEBHOOKS, TokenDigest, Vouched};

/// How old the note of a token's last use may grow: a use inside it costs no write.
const LAST_USED_GRAIN: Duration = Duration::from_secs(5 * 60);

/// The operator's token, kept as its digest: what is compared has one length and tells nothing by the
/// time that comparing takes.
#[derive(Clone)]
pub struct Operator([u8; 32]);

impl Operator {
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(digest(token).0)
    }

    fn is(&self, digest: TokenDigest) -> bool {
        self.0.iter().zip(digest.0).fold(0, |differing, (mine, theirs)| differing | (mine ^ theirs)) == 0
    }
}

pub fn digest(token: &str) -> TokenDigest {
    TokenDigest(Sha256::digest(token.as_bytes()).into())
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets nobody through whose token is not valid, and leaves a [`Principal`] for what comes after.
pub async fn identify(
    State(admin): State<Arc<Admin>>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let now = (admin.clock)();
    if let Some(token) = bearer(request.headers()) {
        make_room_for(&admin, token).await?;
    }
    let principal = match who(&admin, request.method(), request.headers()) {
        Ok(principal) => principal,
        Err(problem) => {
            if bearer(request.headers()).is_some() {
                admin.limits.wrong_token(peer::address(&request), now)?;
            }
            return Err(problem);
        }
    };
    admin.limits.request(&principal, now)?;
    request.extensions_mut().insert(Caller::new(&principal));
    request.extensions_mut().insert(principal);
    Ok(next.run(request).await)
}

fn who(admin: &Arc<Admin>, method: &Method, headers: &HeaderMap) -> Result<Principal, Problem> {
    match bearer(headers) {
        Some(token) => holder(admin, token)
            .and_then(|holder| principal(admin, &holder))
            .ok_or_else(|| Problem::unauthorized("the token is not valid, or no longer")),
        None => session::signed_in(admin, method, headers)?
            .ok_or_else(|| Problem::unauthorized("send Authorization: Bearer <token>")),
    }
}

/// Whether who was let through with these headers would be let through now: what streams ask as they go
/// on.
pub fn may_still(admin: &Arc<Admin>, headers: &HeaderMap, account: &str, right: Right, gated: bool) -> bool {
    let subject = subject(admin, Some(account), gated);
    who(admin, &Method::GET, headers)
        .is_ok_and(|principal| access::decide(&principal, right, subject).is_ok())
}

/// What the account of this name is, for the decision.
fn subject(admin: &Admin, account: Option<&str>, gated: bool) -> Subject {
    let registry = admin.registry();
    let account =
        account.and_then(|name| AccountName::parse(name).ok()).and_then(|name| registry.account_key(&name));
    let feature_off = gated && registry.feature(account, FLAG_WEBHOOKS) == Some(false);
    Subject { account, feature_off }
}

/// What somebody showed to be let in.
#[derive(Clone)]
pub enum Holder {
    /// The operator's token, or one of an account.
    Token(TokenDigest),
    /// A JWT of the platform.
    Vouched(Vouched),
}

/// What this token is, if it may be one. Whether it holds says [`principal`].
pub fn holder(admin: &Admin, token: &str) -> Option<Holder> {
    match &admin.jwt {
        Some(jwt) if jwt::has_shape(token) && !admin.operator.is(digest(token)) => {
            jwt.vouch(token, (admin.clock)()).map(Holder::Vouched)
        }
        _ => Some(Holder::Token(digest(token))),
    }
}

/// The account of somebody whom the platform vouches for is made where it is not there yet: nothing has
/// happened in it so far.
pub async fn make_room_for(admin: &Admin, token: &str) -> Result<(), Problem> {
    if !jwt::has_shape(token) {
        return Ok(());
    }
    let Some(Holder::Vouched(vouched)) = holder(admin, token) else { return Ok(()) };
    let there = admin.registry().account_key(&vouched.account).is_some();
    if !there {
        let caller = Caller { actor: vouched.actor, once: None };
        admin.change(&caller, Change::MakeAccount { account: vouched.account }).await?;
    }
    Ok(())
}

/// Who that is, if it holds now.
pub fn principal(admin: &Arc<Admin>, holder: &Holder) -> Option<Principal> {
    match holder {
        Holder::Token(digest) => of_token(admin, *digest),
        Holder::Vouched(vouched) => {
            let holds = (admin.clock)() < vouched.until;
            let account = admin.registry().account_key(&vouched.account).filter(|_| holds)?;
            Some(vouched.principal(account))
        }
    }
}

fn of_token(admin: &Arc<Admin>, digest: TokenDigest) -> Option<Principal> {
    if admin.operator.is(digest) {
        return Some(Principal::Operator);
    }
    let now = (admin.clock)();
    let token = admin.registry().token(&digest).filter(|token| token.is_valid(now)).cloned()?;
    if stale(token.last_used_at, now) {
        let admin = Arc::clone(admin);
        let note = Change::TokenUsed { digest, at: now }.into();
        // A note only: that it could not be written refuses nobody.
        drop(tokio::spawn(async move { admin.changes.change(note).await.ok() }));
    }
    Some(Principal::from(&*token))
}

fn stale(last_used_at: Option<UnixMillis>, now: UnixMillis) -> bool {
    last_used_at.is_none_or(|last| Duration::from_millis(now.0.saturating_sub(last.0)) >= LAST_USED_GRAIN)
}

/// What a route needs of who asks.
#[derive(Clone)]
pub struct Need {
    pub admin: Arc<Admin>,
    pub right: Right,
    /// Closed where the feature flag of the account is off.
    pub gated: bool,
}

/// Lets through who has the right over the account that the path names.
pub async fn authorize(
    State(need): State<Need>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let Some(principal) = request.extensions().get::<Principal>() else {
        return Err(Problem::unauthorized("send Authorization: Bearer <token>"));
    };
    // A path that is not UTF-8 names nothing.
    let params = params.map_err(|_| Problem::not_found())?;
    let name = params.iter().find(|(name, _)| *name == "account").map(|(_, value)| value);
    access::decide(principal, need.right, subject(&need.admin, name, need.gated))?;
    Ok(next.run(request).await)
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let forbidden = |code| Self::new(StatusCode::FORBIDDEN, code, denied.to_string());
        match denied {
            Denied::NotFound => Self::not_found(),
            Denied::OperatorOnly => forbidden("operator_only"),
            Denied::ViewerReads => forbidden("role_forbidden"),
            Denied::LicenceNeeded => forbidden("licence_required"),
            Denied::FeatureDisabled => forbidden("feature_disabled"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_right() {
        let operator = Operator::new("prt_right");
        assert!(operator.is(digest("prt_right")));
        for wrong in ["", "prt_righ", "prt_right ", "prt_wrong"] {
            assert!(!operator.is(digest(wrong)), "{wrong:?}");
        }
    }

    #[test]
    fn a_use_is_noted_now_and_then() {
        let now = UnixMillis(1_000_000);
        assert!(stale(None, now));
        assert!(!stale(Some(now), now));
        assert!(!stale(Some(UnixMillis(now.0 + 5)), now), "a clock that went back");
        assert!(!stale(Some(UnixMillis(now.0 - 299_999)), now));
        assert!(stale(Some(UnixMillis(now.0 - 300_000)), now));
    }
}
