//! What follows where the breaker of a host changes, for the lanes that live on the host.
//!
//! While it is open they hold nothing in memory: what they had is read again from the log, and due
//! retries stay on disk, just as with an inactive subscription. So however many hosts are down and
//! however long, the memory is there for those that are well; and no attempt is spent. Half-open, a lane
//! holds just enough to try its host.

use super::breaker::BreakerState;
use super::shard::Shard;
use super::turns::{BreakerChange, HostKey};
use crate::model::{Authority, Now};

impl Shard {
    /// Hosts whose time has come: open breakers become half-open, tokens are there again.
    pub(super) fn wake_hosts(&mut self, now: Now) {
        while let Some((host, transition)) = self.turns.handle_timeout(now.mono) {
            self.handle_transition(now, host, transition.to);
        }
        while let Some((at, key)) = self.waiting.first().copied().filter(|(at, _)| *at <= now.mono) {
            self.waiting.remove(&(at, key));
            if let Some(lane) = self.lanes.get_mut(&key).filter(|lane| lane.token_at == Some(at)) {
                lane.token_at = None;
                self.refresh(key);
            }
        }
    }

    pub(super) fn handle_transition(&mut self, now: Now, host: HostKey, to: BreakerState) {
        let until = self.turns.get(host).and_then(|host| host.breaker.next_wake());
        let probe_at = until.map(|until| now.wall + until.since(now.mono));
        for key in self.turns.get(host).map(|host| host.lanes.clone()).unwrap_or_default() {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.breaker = to;
                lane.probe_at = probe_at;
            }
            self.touch(key);
            if to == BreakerState::Open {
                self.spill(key);
                self.park_ready(now, key);
            }
            self.refresh(key);
        }
        self.read_on();
    }

    /// Changes of breakers since the last call.
    pub fn take_breaker_changes(&mut self) -> Vec<BreakerChange> {
        self.turns.take_changes()
    }

    /// So many requests this host's connections can carry at once now; at least one goes out.
    pub fn handle_host_capacity(&mut self, authority: &Authority, requests: u32) {
        let Some(host) = self.turns.find(authority) else { return };
        self.turns.set_cap(host, requests);
        for key in self.turns.get(host).map(|host| host.lanes.clone()).unwrap_or_default() {
            self.refresh(key);
        }
    }
}
