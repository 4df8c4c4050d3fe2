//! Who may do what (contract §5, "Who may"): one table, decided in one place.
//!
//! | | operator | owner with licence | owner without, viewer |
//! |---|---|---|---|
//! | operate | yes | no | no |
//! | manage, see secrets, tokens | yes | own account | no |
//! | read | yes | own account | own account |
//!
//! Another account's things are not there (404), because even that they exist is nobody's business. A
//! service account may what its role may; only the console's door is closed to it. Where the account's
//! feature flag is off, what the flag gates is closed to the account's own people, not to the operator.

use super::origin::{Actor, ActorKind};
use super::token::{Role, Token, TokenKind};
use crate::model::AccountKey;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    Operator,
    Account {
        account: AccountKey,
        kind: TokenKind,
        role: Role,
        /// Holds a Platform User licence.
        licensed: bool,
        /// Who that is, for the audit trail.
        actor: Actor,
    },
}

impl From<&Token> for Principal {
    fn from(token: &Token) -> Self {
        Self::Account {
            account: token.account,
            kind: token.kind,
            role: token.role,
            licensed: token.platform_user,
            actor: Actor { kind: ActorKind::Token, id: token.id.clone(), name: token.name.clone().into() },
        }
    }
}

impl Principal {
    #[must_use]
    pub fn actor(&self) -> Actor {
        match self {
            Self::Operator => Actor::operator(),
            Self::Account { actor, .. } => actor.clone(),
        }
    }

    /// `None`: of no account, the operator.
    #[must_use]
    pub fn account(&self) -> Option<AccountKey> {
        match self {
            Self::Operator => None,
            Self::Account { account, .. } => Some(*account),
        }
    }
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Right {
    /// What concerns the whole engine, or accounts as such.
    Operate,
    /// To see what an account has, secrets apart.
    Read,
    /// To change what an account has, to see its secrets, to make its tokens.
    Manage,
}

/// What the thing asked for belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subject {
    /// `None`: to no account, or to one that does not exist.
    pub account: Option<AccountKey>,
    /// The account's feature flag closes it.
    pub feature_off: bool,
}

/// Why not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    #[error("there is no such thing")]
    NotFound,
    #[error("this is the operator's alone")]
    OperatorOnly,
    #[error("the role viewer may only read")]
    ViewerReads,
    #[error("this needs a Platform User licence")]
    LicenceNeeded,
    #[error("the feature is turned off for this account")]
    FeatureDisabled,
}

/// # Errors
/// The first reason against it, the one that tells least about other accounts first.
pub fn decide(principal: &Principal, right: Right, subject: Subject) -> Result<(), Denied> {
    let Principal::Account { account, role, licensed, .. } = principal else { return Ok(()) };
    if right == Right::Operate {
        return Err(Denied::OperatorOnly);
    }
    if subject.account != Some(*account) {
        return Err(Denied::NotFound);
    }
    if subject.feature_off {
        return Err(Denied::FeatureDisabled);
    }
    match (right, role, licensed) {
        (Right::Read, _, _) | (Right::Manage, Role::AccountOwner, true) => Ok(()),
        (_, Role::Viewer, _) => Err(Denied::ViewerReads),
        (_, Role::AccountOwner, _) => Err(Denied::LicenceNeeded),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let own = Subject { account: Some(AccountKey(1)), feature_off: false };
        let other = Subject { account: Some(AccountKey(2)), ..own };
        let absent = Subject { account: None, ..own };
        let off = Subject { feature_off: true, ..own };
        let who = |role, licensed, kind| Principal::Account {
            account: AccountKey(1),
            kind,
            role,
            licensed,
            actor: Actor { kind: ActorKind::Token, id: "tok_1".into(), name: "t".into() },
        };
        for kind in [TokenKind::User, TokenKind::ServiceAccount] {
            let owner = who(Role::AccountOwner, true, kind);
            let unlicensed = who(Role::AccountOwner, false, kind);
            let viewer = who(Role::Viewer, false, kind);
            let licensed_viewer = who(Role::Viewer, true, kind);
            for (principal, right, subject, want) in [
                (&owner, Right::Manage, own, Ok(())),
                (&owner, Right::Read, own, Ok(())),
                (&owner, Right::Operate, own, Err(Denied::OperatorOnly)),
                (&owner, Right::Manage, other, Err(Denied::NotFound)),
                (&owner, Right::Read, other, Err(Denied::NotFound)),
                (&owner, Right::Read, absent, Err(Denied::NotFound)),
                (&owner, Right::Read, off, Err(Denied::FeatureDisabled)),
                (&owner, Right::Manage, off, Err(Denied::FeatureDisabled)),
                (&unlicensed, Right::Manage, own, Err(Denied::LicenceNeeded)),
                (&unlicensed, Right::Read, own, Ok(())),
                (&viewer, Right::Manage, own, Err(Denied::ViewerReads)),
                (&viewer, Right::Read, own, Ok(())),
                (&viewer, Right::Manage, other, Err(Denied::NotFound)),
                (&licensed_viewer, Right::Manage, own, Err(Denied::ViewerReads)),
            ] {
                assert_eq!(decide(principal, right, subject), want, "{principal:?} {right:?} {subject:?}");
            }
        }
        for right in [Right::Operate, Right::Read, Right::Manage] {
            for subject in [own, other, absent, off] {
                assert_eq!(decide(&Principal::Operator, right, subject), Ok(()));
            }
        }
    }
}
