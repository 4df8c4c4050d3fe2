//! What the users of an engine were told, as facts in its record, and what they may rely on after a cut.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

/// Times are milliseconds of one clock.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Told {
    /// The engine said that it is ready.
    Ready {
        token: String,
    },
    Sending {
        first: u64,
        count: u64,
        at: u64,
    },
    Accepted {
        first: u64,
    },
    /// The receiver has it, and says so now.
    Arrived {
        number: u64,
        at: u64,
    },
    /// The subscription of this slot is about to have this name, or to be deleted.
    Changing {
        slot: u64,
        to: Option<String>,
    },
    Changed {
        slot: u64,
        to: Option<Shown>,
    },
    /// A token of the account was shown, which is never shown again.
    Token {
        secret: String,
    },
    BackingUp,
    BackedUp,
    Restored,
}

/// A subscription, as its owner has seen it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shown {
    pub id: String,
    pub name: String,
    pub secret: String,
}

/// How long after its answer an outcome may not be written yet, on a busy machine (as in the kill tests).
const SETTLED_MS: u64 = 2000;

#[derive(Clone, Debug, Default)]
pub struct Reliance {
    pub token: Option<String>,
    pub tokens: Vec<String>,
    pub accepted: BTreeSet<u64>,
    pub arrived: HashMap<u64, u64>,
    pub slots: BTreeMap<u64, Slot>,
    pub backed_up: Option<usize>,
    pub restored: bool,
    sending: BTreeMap<u64, (u64, u64)>,
    /// Accepted when the backup was begun.
    backing_up: usize,
    /// When the newest of what was accepted was sent: everything before it is synced with it.
    synced_at: u64,
}

/// A subscription that is known, and names that it may have since; `None` where it is deleted.
#[derive(Clone, Debug, Default)]
pub struct Slot {
    pub shown: Option<Shown>,
    pub may: Vec<Option<String>>,
}

impl Reliance {
    pub fn take(&mut self, told: Told) {
        match told {
            Told::Ready { token } => self.token = Some(token),
            Told::Sending { first, count, at } => {
                self.sending.insert(first, (count, at));
            }
            Told::Accepted { first } => {
                let (count, at) = self.sending[&first];
                self.accepted.extend(first..first + count);
                self.synced_at = at;
            }
            Told::Arrived { number, at } => {
                self.arrived.insert(number, at);
            }
            Told::Changing { slot, to } => self.slots.entry(slot).or_default().may.push(to),
            Told::Changed { slot, to } => {
                self.slots.insert(slot, Slot { shown: to, may: Vec::new() });
            }
            Told::Token { secret } => self.tokens.push(secret),
            Told::BackingUp => self.backing_up = self.accepted.len(),
            Told::BackedUp => self.backed_up = Some(self.backing_up),
            Told::Restored => self.restored = true,
        }
    }

    pub fn was_sent(&self, number: u64) -> bool {
        self.sending.range(..=number).next_back().is_some_and(|(first, (count, _))| number < first + count)
    }

    /// Whether the outcome of this delivery is on disk, so that it must not be made again.
    pub fn is_settled(&self, number: u64) -> bool {
        self.arrived.get(&number).is_some_and(|at| at + SETTLED_MS < self.synced_at)
    }
}
