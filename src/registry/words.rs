//! The words of the API for enumerated fields, with the numbers that rows carry: one table for each.
//!
//! A number on disk is never given to another word.

use super::token::{Role, TokenKind};
use crate::model::subscription::DisabledReason;
use crate::model::{OnBlocked, Ordering, SignatureScheme, Status};

/// An enumeration with a word for people and a number for rows.
pub trait Word: Copy + PartialEq + Sized + 'static {
    const TABLE: &'static [(Self, &'static str, u8)];

    fn word(self) -> &'static str {
        Self::TABLE.iter().find(|row| row.0 == self).map_or("", |row| row.1)
    }

    fn from_word(word: &str) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.1 == word).map(|row| row.0)
    }

    fn number(self) -> u8 {
        Self::TABLE.iter().find(|row| row.0 == self).map_or(0, |row| row.2)
    }

    fn from_number(number: u8) -> Option<Self> {
        Self::TABLE.iter().find(|row| row.2 == number).map(|row| row.0)
    }

    /// `"a", "b" or "c"`, for messages.
    fn choices() -> String {
        let quoted: Vec<String> = Self::TABLE.iter().map(|row| format!("{:?}", row.1)).collect();
        match quoted.split_last() {
            Some((last, [])) => last.clone(),
            Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
            None => String::new(),
        }
    }
}

impl Word for Status {
    const TABLE: &'static [(Self, &'static str, u8)] =
        &[(Self::Active, "active", 1), (Self::Inactive, "inactive", 2)];
}

impl Word for DisabledReason {
    const TABLE: &'static [(Self, &'static str, u8)] =
        &[(Self::Gone, "gone", 1), (Self::Failing, "failing", 2), (Self::Blocked, "blocked", 3)];
}

impl Word for Ordering {
    const TABLE: &'static [(Self, &'static str, u8)] = &[(Self::None, "none", 1), (Self::Fifo, "fifo", 2)];
}

impl Word for OnBlocked {
    const TABLE: &'static [(Self, &'static str, u8)] =
        &[(Self::Block, "block", 1), (Self::Skip, "skip", 2), (Self::Park, "park", 3)];
}

impl Word for TokenKind {
    const TABLE: &'static [(Self, &'static str, u8)] =
        &[(Self::User, "user", 1), (Self::ServiceAccount, "service_account", 2)];
}

impl Word for Role {
    const TABLE: &'static [(Self, &'static str, u8)] =
        &[(Self::AccountOwner, "account_owner", 1), (Self::Viewer, "viewer", 2)];
}

impl Word for SignatureScheme {
    const TABLE: &'static [(Self, &'static str, u8)] =
        &[(Self::V1, "v1", 1), (Self::V1a, "v1a", 2), (Self::Both, "v1,v1a", 3)];
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bijection<W: Word + std::fmt::Debug>(members: &[W]) {
        assert_eq!(members.len(), W::TABLE.len());
        for member in members {
            assert_eq!(W::from_word(member.word()), Some(*member));
            assert_eq!(W::from_number(member.number()), Some(*member));
            assert_ne!(member.number(), 0, "zero is what a damaged row would most likely hold");
        }
        assert_eq!(W::from_number(0), None);
    }

    #[test]
    fn words_and_numbers_are_one_to_one() {
        bijection(&[Status::Active, Status::Inactive]);
        bijection(&DisabledReason::ALL);
        bijection(&[Ordering::None, Ordering::Fifo]);
        bijection(&[OnBlocked::Block, OnBlocked::Skip, OnBlocked::Park]);
        bijection(&[SignatureScheme::V1, SignatureScheme::V1a, SignatureScheme::Both]);
        bijection(&[TokenKind::User, TokenKind::ServiceAccount]);
        bijection(&[Role::AccountOwner, Role::Viewer]);
        for reason in DisabledReason::ALL {
            assert_eq!(reason.word(), reason.as_str());
        }
        assert_eq!(OnBlocked::choices(), r#""block", "skip" or "park""#);
    }
}
