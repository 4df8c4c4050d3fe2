//! What goes wrong: receivers, bursts, crashes; and how it is mended.

use super::*;

impl World {
    pub(super) fn produce(&mut self) {
        if self.now_ms >= self.chaos_ms {
            return;
        }
        let burst = if self.rng.chance(4) { 120 } else { 6 };
        let count = 1 + self.rng.below(burst);
        let items = (0..count)
            .map(|_| {
                let account = AccountKey(u32::try_from(1 + self.rng.below(ACCOUNTS)).expect("small"));
                (account, TypeBit(u8::try_from(self.rng.below(u64::from(TYPES))).expect("small")))
            })
            .collect();
        self.ask(Ask::Append(items));
        let wait = self.rng.below(120);
        self.after(wait, Happening::Produce);
    }

    pub(super) fn edit(&mut self) {
        if self.now_ms >= self.chaos_ms {
            return;
        }
        let keys: Vec<_> = self.subs.keys().copied().collect();
        let edit = if keys.is_empty() || (keys.len() < 9 && self.rng.chance(20)) {
            Edit::Create
        } else {
            let key = *self.rng.pick(&keys);
            match self.rng.below(17) {
                0..=2 => Edit::Mask(key),
                3..=5 => Edit::Toggle(key),
                6..=8 => Edit::Move(key),
                9..=10 => Edit::Limit(key),
                11..=12 => Edit::Reorder(key),
                13..=15 => Edit::Filter(key),
                _ => Edit::Delete(key),
            }
        };
        self.ask(Ask::Change(edit));
        let wait = 20 + self.rng.below(2500);
        self.after(wait, Happening::Edit);
    }

    pub(super) fn weather(&mut self) {
        if self.now_ms >= self.chaos_ms {
            return;
        }
        let host = usize::try_from(self.rng.below(HOSTS)).expect("small");
        self.receivers[host] = match self.rng.below(20) {
            0..=9 => Receiver::Well,
            10..=13 => Receiver::Failing,
            14..=16 => Receiver::Hanging,
            17..=18 => Receiver::Limiting,
            _ => Receiver::Gone,
        };
        if self.rng.chance(30) {
            self.reconnect();
        }
        let wait = 100 + self.rng.below(4000);
        self.after(wait, Happening::Weather);
    }

    /// The connections to a host carry another number of requests from now on.
    fn reconnect(&mut self) {
        let host = self.rng.below(HOSTS);
        let requests = 1 + u32::try_from(self.rng.below(8)).expect("small");
        let url = format!("http://host{host}.example/hook");
        let url = CallbackUrl::parse(&url).expect("valid");
        for worker in 0..self.workers.len() {
            self.workers[worker].shard.handle_host_capacity(url.authority(), requests);
            self.wake(worker);
        }
        self.capacities.insert(host, requests);
    }

    pub(super) fn crash(&mut self) {
        if self.now_ms >= self.chaos_ms {
            return;
        }
        self.life += 1;
        self.capacities.clear();
        if let Some((key, _)) = self.trace {
            self.note(SubscriptionKey(key), None, || "crash".to_owned());
        }
        // What the log had not taken is gone with the process; it was never acknowledged.
        self.asks.clear();
        self.replays.clear();
        if self.rng.chance(50) {
            let keep = self.rng.below(self.disk.unsynced() as u64 + 1);
            self.disk.power_cut(usize::try_from(keep).expect("small"));
        }
        self.head = self.disk.head();
        self.oracle.crashed(&self.disk);
        let workers = if self.rng.chance(20) { 1 + self.rng.below(3) } else { self.live.len() as u64 };
        self.live = vec![false; usize::try_from(workers).expect("small")];
        let mut index = Index::empty(Placement::new(self.live.len(), rules()));
        for account in 1..=ACCOUNTS {
            let account = AccountKey(u32::try_from(account).expect("small"));
            let of_account: Vec<_> =
                self.subs.values().filter(|sub| sub.account == account).cloned().collect();
            index = index.with(account, &of_account);
        }
        self.index = Arc::new(index);
        self.start();
        let wait = 1500 + self.rng.below(20_000);
        self.after(wait, Happening::Crash);
    }

    pub(super) fn mend(&mut self) {
        self.receivers.fill(Receiver::Well);
        for key in self.subs.keys().copied().collect::<Vec<_>>() {
            self.ask(Ask::Change(Edit::Activate(key)));
        }
    }
}
