//! Whom the platform vouches for: the claims of a JWT, judged.
//!
//! Its signature was checked before (`admin`). Here every claim is taken as it must be or not at all: one
//! of another type is not as good as a missing one. Deliberately absent: the operator, for whom nobody
//! vouches, and the scopes of tokens for ingest.

use std::time::Duration;

use serde_json::{Map, Value};

use super::access::Principal;
use super::origin::{Actor, ActorKind};
use super::token::{Role, TokenKind};
use super::words::Word;
use crate::model::{AccountKey, AccountName, UnixMillis};

/// Characters of a subject or a name at most.
const TEXT_CHARS_MAX: usize = 200;

/// What a JWT must say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claims {
    /// `iss`
    pub issuer: String,
    /// `aud`, or one of it.
    pub audience: String,
    /// The claim that names the account.
    pub account: String,
    /// The claim with the role: `account_owner` or `viewer`.
    pub role: String,
    /// The claim that is true for who holds a Platform User licence; where it is missing, nobody does.
    pub licence: String,
    /// What clocks may differ by.
    pub leeway: Duration,
    /// From now to `exp`, and from `iat` to `exp`, at most.
    pub lifetime_max: Duration,
}

/// Somebody whom the platform vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vouched {
    pub account: AccountName,
    pub role: Role,
    pub licensed: bool,
    pub actor: Actor,
    /// Not from then on, leeway and all.
    pub until: UnixMillis,
}

impl Vouched {
    /// Who that is, in an account that is there.
    #[must_use]
    pub fn principal(&self, account: AccountKey) -> Principal {
        Principal::Account {
            account,
            kind: TokenKind::User,
            role: self.role,
            licensed: self.licensed,
            actor: self.actor.clone(),
        }
    }
}

/// Why a JWT is not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotVouched {
    #[error("the claim {0} is missing or not as it must be")]
    Claim(String),
    #[error("it is for another audience")]
    Audience,
    #[error("it is by another issuer")]
    Issuer,
    #[error("it has expired")]
    Expired,
    #[error("it does not hold yet")]
    Early,
    #[error("it lives longer than it may")]
    TooLong,
}

impl Claims {
    /// # Errors
    /// What is wrong with it first.
    pub fn judge(&self, claims: &Map<String, Value>, now: UnixMillis) -> Result<Vouched, NotVouched> {
        let wrong = |name: &str| NotVouched::Claim(name.to_owned());
        let seconds = |name: &str| match claims.get(name) {
            None => Ok(None),
            Some(value) => seconds(value).map(Some).ok_or_else(|| wrong(name)),
        };
        let text = |name: &str| {
            let text = claims.get(name).and_then(Value::as_str);
            let fits = |text: &&str| !text.is_empty() && text.chars().count() <= TEXT_CHARS_MAX;
            text.filter(fits).ok_or_else(|| wrong(name))
        };
        if text("iss")? != self.issuer {
            return Err(NotVouched::Issuer);
        }
        let is_ours = |value: &Value| value.as_str() == Some(self.audience.as_str());
        match claims.get("aud") {
            Some(Value::Array(all)) if all.iter().any(is_ours) => {}
            Some(one @ Value::String(_)) if is_ours(one) => {}
            _ => return Err(NotVouched::Audience),
        }
        let (begin, made) = (seconds("nbf")?, seconds("iat")?);
        let end = seconds("exp")?.ok_or_else(|| wrong("exp"))?;
        let until = end + self.leeway;
        if now >= until {
            return Err(NotVouched::Expired);
        }
        if [begin, made].into_iter().flatten().any(|from| from > now + self.leeway) {
            return Err(NotVouched::Early);
        }
        // From now as well: whoever leaves out `iat` gains nothing.
        if end.since(made.unwrap_or(now)) > self.lifetime_max
            || end.since(now) > self.lifetime_max + self.leeway
        {
            return Err(NotVouched::TooLong);
        }
        let account = AccountName::parse(text(&self.account)?).map_err(|_| wrong(&self.account))?;
        let role = Role::from_word(text(&self.role)?).ok_or_else(|| wrong(&self.role))?;
        let licensed = match claims.get(&self.licence) {
            None => false,
            Some(Value::Bool(licensed)) => *licensed,
            Some(_) => return Err(wrong(&self.licence)),
        };
        let subject = text("sub")?;
        let name = if claims.contains_key("name") { text("name")? } else { subject };
        let actor = Actor { kind: ActorKind::Jwt, id: subject.into(), name: name.into() };
        Ok(Vouched { account, role, licensed, actor, until })
    }
}

/// A NumericDate (RFC 7519 §2): seconds since 1970, possibly with a fraction.
fn seconds(value: &Value) -> Option<UnixMillis> {
    let whole = value.as_u64().and_then(|seconds| seconds.checked_mul(1000));
    let fraction = || {
        let seconds = value.as_f64().filter(|seconds| (0.0..1e12).contains(seconds))?;
        u64::try_from(Duration::from_secs_f64(seconds).as_millis()).ok()
    };
    whole.or_else(fraction).map(UnixMillis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const NOW: UnixMillis = UnixMillis(1_800_000_000_000);

    fn rules() -> Claims {
        Claims {
            issuer: "https://platform.example".to_owned(),
            audience: "postrider".to_owned(),
            account: "account".to_owned(),
            role: "role".to_owned(),
            licence: "platform_user".to_owned(),
            leeway: Duration::from_secs(30),
            lifetime_max: Duration::from_secs(3600),
        }
    }

    fn judge(changes: &Value) -> Result<Vouched, NotVouched> {
        let mut claims = json!({
            "iss": "https://platform.example", "aud": "postrider", "sub": "u-1", "account": "acme",
            "role": "account_owner", "platform_user": true, "exp": 1_800_000_600
        });
        let claims = claims.as_object_mut().expect("an object");
        for (name, value) in changes.as_object().expect("an object") {
            // Null stands for a claim that is left out; the text "null" for one that is null.
            match value {
                Value::Null => claims.remove(name),
                Value::String(text) if text == "null" => claims.insert(name.clone(), Value::Null),
                value => claims.insert(name.clone(), value.clone()),
            };
        }
        rules().judge(claims, NOW)
    }

    #[test]
    fn who_is_vouched_for() {
        let owner = judge(&json!({"name": "Ann"})).expect("is taken");
        assert_eq!((owner.account.as_str(), owner.role, owner.licensed), ("acme", Role::AccountOwner, true));
        assert_eq!(owner.actor, Actor { kind: ActorKind::Jwt, id: "u-1".into(), name: "Ann".into() });
        assert_eq!(owner.until, UnixMillis(1_800_000_630_000));
        let viewer = judge(&json!({"role": "viewer", "platform_user": null})).expect("is taken");
        assert_eq!((viewer.role, viewer.licensed, &*viewer.actor.name), (Role::Viewer, false, "u-1"));
        for fine in [
            json!({"aud": ["other", "postrider"]}),
            json!({"exp": 1_799_999_971}),
            json!({"exp": 1_800_003_600.5, "iat": 1_800_000_010}),
            json!({"nbf": 1_800_000_030, "iat": 1_800_000_030}),
            json!({"whatever": {}}),
        ] {
            judge(&fine).unwrap_or_else(|error| panic!("{fine}: {error}"));
        }
    }

    #[test]
    fn who_is_not() {
        let claim = |name: &str| NotVouched::Claim(name.to_owned());
        for (changes, want) in [
            (json!({"iss": "https://other.example"}), NotVouched::Issuer),
            (json!({"iss": null}), claim("iss")),
            (json!({"aud": "other"}), NotVouched::Audience),
            (json!({"aud": []}), NotVouched::Audience),
            (json!({"aud": null}), NotVouched::Audience),
            (json!({"aud": {"postrider": 1}}), NotVouched::Audience),
            (json!({"exp": null}), claim("exp")),
            (json!({"exp": "1800000600"}), claim("exp")),
            (json!({"exp": "null"}), claim("exp")),
            (json!({"exp": -1}), claim("exp")),
            (json!({"exp": 1_799_999_970}), NotVouched::Expired),
            (json!({"exp": 1_800_004_000}), NotVouched::TooLong),
            (json!({"exp": u64::MAX}), claim("exp")),
            (json!({"iat": 1_799_990_000}), NotVouched::TooLong),
            (json!({"iat": 1_800_000_031}), NotVouched::Early),
            (json!({"nbf": 1_800_000_031}), NotVouched::Early),
            (json!({"nbf": "soon"}), claim("nbf")),
            (json!({"sub": null}), claim("sub")),
            (json!({"sub": ""}), claim("sub")),
            (json!({"sub": 7}), claim("sub")),
            (json!({"name": "x".repeat(201)}), claim("name")),
            (json!({"account": null}), claim("account")),
            (json!({"account": "a/b"}), claim("account")),
            (json!({"role": "operator"}), claim("role")),
            (json!({"role": ["account_owner"]}), claim("role")),
            (json!({"platform_user": "true"}), claim("platform_user")),
            (json!({"platform_user": 1}), claim("platform_user")),
        ] {
            assert_eq!(judge(&changes), Err(want), "{changes}");
        }
    }
}
