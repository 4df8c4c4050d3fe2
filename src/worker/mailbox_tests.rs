//! The mailbox alone. What threads do to each other through it is in `tests/models`.

use std::sync::Arc;
use std::task::Waker;

use super::mailbox::{COMMITS_BYTES_MAX, COMMITS_MAX, Mailbox};
use crate::log::api::{Commit, Input, Outbox};

fn commit(bytes: usize) -> Arc<Commit> {
    Arc::new(Commit { events: Vec::new(), index_version: 0, bytes })
}

#[test]
fn refuses_beyond_its_bounds_and_says_so() {
    let mailbox = Mailbox::default();
    assert!(mailbox.try_commit(&commit(COMMITS_BYTES_MAX)));
    assert!(!mailbox.is_behind());
    assert!(!mailbox.try_commit(&commit(1)), "too many bytes");
    assert!(mailbox.is_behind());
    assert!(mailbox.pop_commit().is_some());
    mailbox.input(Input::Live { after: crate::model::Seq(1) });
    assert!(!mailbox.is_behind());
    for _ in 0..COMMITS_MAX {
        assert!(mailbox.try_commit(&commit(1)));
    }
    assert!(!mailbox.try_commit(&commit(1)), "too many commits");
}

#[test]
fn does_not_sleep_over_what_is_there() {
    let mailbox = Mailbox::default();
    let waker = Waker::noop();
    assert!(mailbox.arm(waker, true));
    mailbox.input(Input::Stop);
    assert!(!mailbox.arm(waker, true));
}

/// The queue was full, the worker emptied it, and only then was the flag there: so the model found it.
#[test]
fn does_not_sleep_over_a_commit_that_was_refused() {
    let mailbox = Mailbox::default();
    assert!(mailbox.try_commit(&commit(COMMITS_BYTES_MAX)));
    assert!(!mailbox.try_commit(&commit(1)));
    assert!(mailbox.pop_commit().is_some() && mailbox.pop_commit().is_none());
    let waker = Waker::noop();
    assert!(!mailbox.arm(waker, true), "it must read the log");
    assert!(mailbox.arm(waker, false), "it reads the log, and is told when it is live again");
}
