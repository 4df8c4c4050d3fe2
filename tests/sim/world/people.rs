//! People: they make, change, move and delete subscriptions.

use postrider::model::{Secrets, SigningKeys};

use super::*;

impl World {
    pub(super) fn mask(&mut self) -> EventMask {
        let bits = self.rng.next();
        EventMask::of((0..TYPES).filter(|bit| bits & (1 << bit) != 0).map(TypeBit).chain([TypeBit(0)]))
    }

    pub(super) fn url(&mut self) -> CallbackUrl {
        let host = self.rng.below(HOSTS);
        CallbackUrl::parse(&format!("http://host{host}.example/hook")).expect("valid")
    }

    /// Two in three have none.
    fn filter(&mut self) -> Option<Arc<Filter>> {
        self.rng.chance(33).then(|| filters::below(1 + self.rng.below(filters::NUMBERS - 1)))
    }

    fn rate(&mut self) -> f64 {
        f64::from(5 + u32::try_from(self.rng.below(60)).expect("small"))
    }

    pub(super) fn change(&mut self, edit: Edit) {
        let next = self.disk.head().next();
        let (key, before) = match edit {
            Edit::Create => (SubscriptionKey(self.next_key), None),
            Edit::Mask(key)
            | Edit::Filter(key)
            | Edit::Toggle(key)
            | Edit::Activate(key)
            | Edit::Move(key)
            | Edit::Limit(key)
            | Edit::Reorder(key)
            | Edit::Delete(key)
            | Edit::Disable(key, _) => match self.subs.get(&key).cloned() {
                Some(before) => (key, Some(before)),
                None => return,
            },
        };
        let mut after = match &before {
            Some(before) => (**before).clone(),
            None => self.make(key, next),
        };
        if let Edit::Disable(_, judged) = edit
            && judged != after.version
        {
            return;
        }
        after.version += 1;
        match edit {
            Edit::Create => self.next_key += 1,
            Edit::Mask(_) if after.status == Status::Active => {
                let mask = self.mask();
                after.begin_epoch(next, mask, Seq(0));
            }
            Edit::Filter(_) => {
                after.filter = self.filter();
                let mask = after.epochs.last().map_or(EventMask::NONE, |epoch| epoch.mask);
                after.begin_epoch(next, mask, Seq(0));
            }
            Edit::Toggle(_) | Edit::Activate(_) | Edit::Disable(..) => {
                let to = match edit {
                    Edit::Disable(..) => Status::Inactive,
                    Edit::Activate(_) => Status::Active,
                    _ if after.status == Status::Active => Status::Inactive,
                    _ => Status::Active,
                };
                if to == after.status {
                    return;
                }
                after.status = to;
                let mask = if to == Status::Active { self.mask() } else { EventMask::NONE };
                after.begin_epoch(next, mask, Seq(0));
            }
            Edit::Move(_) => after.callback_url = self.url(),
            Edit::Limit(_) => after.delivery.rate_per_second = self.rng.chance(70).then(|| self.rate()),
            Edit::Reorder(_) => {
                let fresh = self.make(key, next).delivery;
                (after.delivery.ordering, after.delivery.on_blocked) = (fresh.ordering, fresh.on_blocked);
            }
            Edit::Delete(_) | Edit::Mask(_) => {}
        }
        let after = (!matches!(edit, Edit::Delete(_))).then(|| Arc::new(after));
        match &after {
            Some(after) => drop(self.subs.insert(key, Arc::clone(after))),
            None => drop(self.subs.remove(&key)),
        }
        let account = before.as_ref().or(after.as_ref()).expect("one of them").account;
        let of_account: Vec<_> = self.subs.values().filter(|sub| sub.account == account).cloned().collect();
        self.index = Arc::new(self.index.with(account, &of_account));
        self.note(key, None, || {
            format!(
                "{edit:?} at {next:?}: owner {:?} -> {:?}",
                before.as_ref().map(|s| self.index.owner(s)),
                after.as_ref().map(|s| self.index.owner(s))
            )
        });
        if before.as_ref().zip(after.as_ref()).is_none_or(|(before, after)| after.begins_anew(before)) {
            self.oracle.manners.well(self.now().wall, key);
            self.disk.begin_anew(key);
        }
        self.oracle.changed(key, after.as_ref());
        for sub in before.iter().chain(&after) {
            let host = sub.callback_url.authority().host[4..5].parse().expect("host number");
            self.oracle.limits.moved(host);
        }
        for worker in 0..self.workers.len() {
            let change = (before.clone(), after.clone());
            self.push(worker, In::Changed(vec![change], Arc::clone(&self.index)));
        }
    }

    pub(super) fn make(&mut self, key: SubscriptionKey, from: Seq) -> Subscription {
        let account = AccountKey(u32::try_from(1 + self.rng.below(ACCOUNTS)).expect("small"));
        let mut made = Subscription {
            key,
            id: SubscriptionId::parse(&format!("sub_{}", key.0)).expect("valid"),
            account,
            account_name: AccountName::parse("acme").expect("valid"),
            name: "sim".to_owned(),
            callback_url: self.url(),
            events: vec!["*".to_owned()],
            filter: self.filter(),
            headers: Vec::new(),
            description: String::new(),
            status: Status::Active,
            disabled_reason: None,
            delivery: DeliveryOptions {
                timeout: TIMEOUT,
                max_in_flight: 1 + u32::try_from(self.rng.below(6)).expect("small"),
                rate_per_second: self.rng.chance(30).then(|| self.rate()),
                ordering: if self.rng.chance(50) { Ordering::Fifo } else { Ordering::None },
                on_blocked: *self.rng.pick(&[OnBlocked::Block, OnBlocked::Skip, OnBlocked::Park]),
                signature: SignatureScheme::V1,
            },
            secrets: Secrets::new(SigningKeys { secret: [1; 32].into(), seed: [1; 32] }),
            client_identity: None,
            announced: false,
            created_at: self.now().wall,
            updated_at: self.now().wall,
            version: 0,
            epochs: Vec::new(),
        };
        let mask = self.mask();
        made.begin_epoch(from, mask, Seq(0));
        made
    }
}
