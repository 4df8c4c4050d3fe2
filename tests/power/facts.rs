//! What the load knows at a moment: it is written into the record there, so that every cut has the
//! knowledge that came before it and none that came after.

use serde::{Deserialize, Serialize};

/// A pair: a subscription's key and an event's seq.
pub type Pair = (u64, u64);

#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Fact {
    /// Another process began on the directory.
    Life,
    /// No clock has shown a later time before this.
    Clock {
        now: u64,
    },
    /// The events of these numbers are about to be sent.
    Sending {
        first: u64,
        count: u64,
    },
    /// They were all accepted, at or after `at`.
    Accepted {
        first: u64,
        seqs: Vec<u64>,
        at: u64,
    },
    /// A settlement was handed to the writer.
    Settling {
        worker: u64,
        serial: u64,
        done: Settled,
    },
    /// The writer said that it is in the store; `synced` where it was told to say so for a loss of power too.
    Flushed {
        worker: u64,
        serial: u64,
        synced: bool,
    },
    /// The subscription of this slot is about to have this version, or to be deleted.
    Changing {
        slot: u64,
        to: Option<u64>,
    },
    Changed {
        slot: u64,
        to: Option<u64>,
    },
    /// The row of this job is about to say this, or to go.
    JobChanging {
        id: u64,
        done: Option<u64>,
    },
    JobChanged {
        id: u64,
        done: Option<u64>,
    },
}

/// What a settlement says.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Settled {
    pub watermark: u64,
    /// With the attempt's number.
    pub attempts: Vec<(Pair, u16)>,
}
