//! The log's side of the hand-off: its own code, over as much of its types as needs no store.

#[path = "../../src/log/handing.rs"]
pub mod handing;

pub mod api {
    //! See `src/log/api.rs`.

    use std::sync::Arc;

    use crate::model::{Event, Seq};
    use crate::registry::Changed;
    use crate::route::Index;
    use crate::schedule::{LogPage, RetryPage, SubscriptionPage};

    pub struct Commit {
        pub events: Vec<Arc<Event>>,
        pub index_version: u64,
        pub bytes: usize,
    }

    pub enum Input {
        Changed {
            changed: Arc<Changed>,
            index: Arc<Index>,
        },
        LogPage(LogPage),
        SubscriptionPage(SubscriptionPage),
        RetryPage(RetryPage),
        Live {
            after: Seq,
        },
        #[allow(dead_code, reason = "the model's writer says nothing else")]
        Stop,
    }

    pub trait Outbox: Send + Sync {
        fn try_commit(&self, commit: &Arc<Commit>) -> bool;
        fn input(&self, input: Input);
        fn wake(&self);
    }
}
