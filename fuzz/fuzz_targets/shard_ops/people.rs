//! People: they make, change, move and delete subscriptions, and ask for deliveries once more.

use super::*;

impl World<'_> {
    fn delivery(&mut self) -> DeliveryOptions {
        let by = self.byte();
        DeliveryOptions {
            timeout: Duration::from_millis(300),
            max_in_flight: 1 + u32::from(by & 3),
            rate_per_second: (by & 4 != 0).then(|| f64::from(1 + (by >> 5)) * 10.0),
            ordering: if by & 8 != 0 { Ordering::Fifo } else { Ordering::None },
            on_blocked: [OnBlocked::Block, OnBlocked::Skip, OnBlocked::Park][usize::from(by >> 4) % 3],
            signature: SignatureScheme::V1,
        }
    }

    fn url(&mut self) -> CallbackUrl {
        CallbackUrl::parse(&format!("http://h{}.example/", self.byte() % 3)).expect("valid")
    }

    pub(super) fn mask(by: u8) -> EventMask {
        EventMask::of((0..4).filter(|bit| by & (1 << bit) != 0).map(TypeBit).chain([TypeBit(0)]))
    }

    pub(super) fn create(&mut self) {
        if self.subs.len() >= SUBSCRIPTIONS {
            return;
        }
        let key = SubscriptionKey(self.next_key);
        self.next_key += 1;
        let by = self.byte();
        let (callback_url, delivery) = (self.url(), self.delivery());
        let mut made = Subscription {
            key,
            id: SubscriptionId::parse(&format!("sub_{}", key.0)).expect("valid"),
            account: ACCOUNT,
            account_name: AccountName::parse("acme").expect("valid"),
            name: String::new(),
            callback_url,
            events: Vec::new(),
            filter: (by & 0x80 != 0).then(|| filters::below(u64::from(by >> 4 & 7) + 1)),
            headers: Vec::new(),
            description: String::new(),
            status: Status::Active,
            disabled_reason: None,
            delivery,
            secrets: Secrets::new(SigningKeys { secret: [1; 32].into(), seed: [1; 32] }),
            client_identity: None,
            announced: false,
            created_at: self.now().wall,
            updated_at: self.now().wall,
            version: 1,
            epochs: Vec::new(),
        };
        made.begin_epoch(self.disk.head().next(), Self::mask(by), Seq(0));
        self.install(None, Some(Arc::new(made)));
    }

    pub(super) fn edit(&mut self, by: u8) {
        let keys: Vec<_> = self.subs.keys().copied().collect();
        let Some(key) = keys.get(usize::from(by & 3)).copied() else { return };
        match by >> 2 {
            0 => {
                let before = self.subs.get(&key).cloned();
                self.install(before, None);
            }
            1 => {
                let url = self.url();
                self.change(key, |sub| {
                    sub.callback_url = url;
                    true
                });
            }
            2 => {
                let delivery = self.delivery();
                self.change(key, |sub| {
                    sub.delivery = delivery;
                    true
                });
            }
            _ => {
                let (by, next) = (self.byte(), self.disk.head().next());
                self.change(key, |sub| {
                    if by & 0x40 != 0 {
                        sub.status =
                            if sub.status == Status::Active { Status::Inactive } else { Status::Active };
                    } else if by & 0x80 != 0 {
                        sub.filter = Some(filters::below(u64::from(by >> 4 & 3) * 3));
                    }
                    let mask = if sub.status == Status::Active { Self::mask(by) } else { EventMask::NONE };
                    sub.begin_epoch(next, mask, Seq(0));
                    true
                });
            }
        }
    }

    pub(super) fn change(&mut self, key: SubscriptionKey, edit: impl FnOnce(&mut Subscription) -> bool) {
        let Some(before) = self.subs.get(&key).cloned() else { return };
        let mut after = Subscription::clone(&before);
        if !edit(&mut after) {
            return;
        }
        after.version += 1;
        if after.status == Status::Inactive && before.status == Status::Active {
            after.begin_epoch(self.disk.head().next(), EventMask::NONE, Seq(0));
        }
        self.install(Some(before), Some(Arc::new(after)));
    }

    fn install(&mut self, before: Option<Arc<Subscription>>, after: Option<Arc<Subscription>>) {
        let Some(key) = before.as_ref().or(after.as_ref()).map(|sub| sub.key) else { return };
        match &after {
            Some(after) => drop(self.subs.insert(key, Arc::clone(after))),
            None => drop(self.subs.remove(&key)),
        }
        let all: Vec<_> = self.subs.values().cloned().collect();
        self.index = Arc::new(self.index.with(ACCOUNT, &all));
        if before.as_ref().zip(after.as_ref()).is_none_or(|(before, after)| after.begins_anew(before)) {
            self.disk.begin_anew(key);
        }
        let now = self.now();
        self.shard.handle_index(Arc::clone(&self.index));
        self.shard.handle_changed(now, before.as_ref(), after.as_ref());
    }

    pub(super) fn again(&mut self, by: u8) {
        let Some(key) = self.subs.keys().nth(usize::from(by & 3)).copied() else { return };
        self.asked += 1;
        let seqs = vec![Seq(u64::from(self.byte()) + 1), Seq(u64::from(by) + 1)];
        self.shard.handle_replay(Replay {
            id: self.asked,
            subscription: key,
            seqs,
            trigger: Trigger::Recover,
        });
    }

    pub(super) fn reconnect(&mut self, by: u8) {
        let (host, requests) = (u64::from(by % 3), 1 + u32::from(by >> 2));
        let url = CallbackUrl::parse(&format!("http://h{host}.example/")).expect("valid");
        self.shard.handle_host_capacity(url.authority(), requests);
        // What it may carry from here on; a host that is forgotten has its own bound again.
        let most = self.capacities.entry(host).or_default();
        *most = requests.max(*most);
    }
}
