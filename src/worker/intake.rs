//! Commits on their way from the mailbox into the shard.
//!
//! The order of three looks is what loses nothing: at the head, at the queue, at the flag of a commit that was
//! refused. The head rises when a commit was handed over or refused, and the flag rises before the head. `tests/models`
//! runs this file under loom.

use std::sync::Arc;

use super::mailbox::Mailbox;
use crate::log::api::Commit;
use crate::model::Seq;
use crate::schedule::Shard;

/// The next commit that waits. Where none does, the shard learns whether some were refused, or that nothing up to
/// `head` is still to come: `head` was read before.
pub(super) fn next_commit(mailbox: &Mailbox, shard: &mut Shard, head: Seq) -> Option<Arc<Commit>> {
    let commit = mailbox.pop_commit();
    if commit.is_none() {
        if mailbox.is_behind() {
            shard.handle_behind();
        } else {
            shard.handle_position(head);
        }
    }
    commit
}

/// Whether the index that routes this commit is still among the inputs: they come first.
pub(super) fn is_ahead(commit: &Commit, shard: &Shard) -> bool {
    commit.index_version > shard.index_version()
}
