//! Who asks. For now there is one who may: the operator.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::middleware::Next;
use axum::response::Response;
use sha2::{Digest, Sha256};

use super::problem::Problem;
use super::state::Admin;

/// The operator's token, kept as its digest: what is compared has one length and tells nothing by the
/// time that comparing takes.
#[derive(Clone)]
pub struct Operator([u8; 32]);

impl Operator {
    #[must_use]
    pub fn new(token: &str) -> Self {
        Self(Sha256::digest(token.as_bytes()).into())
    }

    fn is(&self, token: &str) -> bool {
        let digest: [u8; 32] = Sha256::digest(token.as_bytes()).into();
        self.0.iter().zip(digest).fold(0, |differing, (mine, theirs)| differing | (mine ^ theirs)) == 0
    }
}

fn bearer(request: &Request) -> Option<&str> {
    let (scheme, token) = request.headers().get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Lets only the operator through.
pub async fn require(
    State(admin): State<Arc<Admin>>,
    request: Request,
    next: Next,
) -> Result<Response, Problem> {
    match bearer(&request) {
        None => Err(Problem::unauthorized("send Authorization: Bearer <token>")),
        Some(token) if admin.operator.is(token) => Ok(next.run(request).await),
        Some(_) => Err(Problem::unauthorized("the token is not valid")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_token_is_right() {
        let operator = Operator::new("prt_right");
        assert!(operator.is("prt_right"));
        for wrong in ["", "prt_righ", "prt_right ", "prt_wrong"] {
            assert!(!operator.is(wrong), "{wrong:?}");
        }
    }
}
