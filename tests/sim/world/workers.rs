//! The workers: a turn of each as `worker::turn` runs it, and the readers that answer them.

use postrider::model::subscription::DisabledReason;

use super::*;

impl World {
    pub(super) fn start(&mut self) {
        let workers = self.live.len();
        let watermark = self.disk.begin(workers);
        self.workers.clear();
        for worker in 0..workers {
            let options = Options {
                worker,
                workers,
                policy: RetryPolicy {
                    schedule: [100, 1_000, 45_000, 70_000].map(Duration::from_millis).to_vec(),
                    jitter: 0.2,
                },
                disable_after: Some(DISABLE_AFTER),
                host_in_flight_max: HOST_MAX,
                breaker: BREAKER,
                in_flight_max: IN_FLIGHT_MAX,
                queued_max: 160,
                queued_bytes_max: 1 << 20,
                in_flight_bytes_max: IN_FLIGHT_BYTES_MAX,
                host_rules: Arc::clone(&self.rules),
            };
            let lagging: Vec<_> = self
                .disk
                .lagging
                .iter()
                .filter(|(key, _)| self.subs.get(key).is_some_and(|sub| self.index.owner(sub) == worker))
                .map(|(key, cursor)| (*key, *cursor))
                .collect();
            let mut shard = Shard::new(options, Arc::clone(&self.index), watermark, &lagging);
            let failing: Vec<_> = self.disk.failing.iter().map(|(key, since)| (*key, *since)).collect();
            shard.recall_failing(&failing);
            self.workers.push(Worker {
                shard,
                commits: VecDeque::new(),
                behind: false,
                inbox: VecDeque::new(),
                flights: HashMap::new(),
                turn_at: None,
            });
            self.live[worker] = false;
            self.wake(worker);
        }
        let wait = self.rng.below(400);
        self.after(wait, Happening::Census);
    }

    /// What the writer finds of subscriptions in order, when it has read all rows.
    pub(super) fn take_census(&mut self) {
        let mut census = Census::default();
        for (key, row) in &self.disk.retries {
            if self.subs.get(&key.subscription).is_some_and(|sub| holds_order(sub)) {
                census.entry(key.subscription).or_default().insert(*row);
            }
        }
        let census = Arc::new(census);
        for worker in 0..self.workers.len() {
            self.push(worker, In::Census(Arc::clone(&census)));
        }
    }

    pub(super) fn turn(&mut self, at: usize) {
        if self.workers[at].turn_at != Some(self.now_ms) {
            return;
        }
        self.workers[at].turn_at = None;
        let now = self.now();
        let head = self.head;
        self.take_inputs(at);
        for _ in 0..2 {
            let worker = &mut self.workers[at];
            if !worker.shard.wants_commits() {
                break;
            }
            let Some((events, version)) = worker.commits.pop_front() else {
                if worker.behind {
                    worker.shard.handle_behind();
                } else {
                    worker.shard.handle_position(head);
                }
                break;
            };
            if version > worker.shard.index_version() {
                self.take_inputs(at);
            }
            self.workers[at].shard.handle_committed(&events, None);
        }
        self.workers[at].shard.handle_timeout(now);
        self.hear_breakers(at);
        while let Some(action) = self.workers[at].shard.poll_action(now) {
            self.perform(at, action);
        }
        if let Some(settlement) = self.workers[at].shard.poll_settlement(now, false) {
            self.oracle.watermark(at, settlement.watermark);
            self.ask(Ask::Settle(settlement));
        }
        let worker = &self.workers[at];
        self.oracle.bounds(&worker.shard.counts());
        if let Some(miscount) = worker.shard.miscount() {
            panic!("seed {}: worker {at}: {miscount}", self.oracle.seed);
        }
        if !worker.commits.is_empty() {
            self.turn_in(at, 1);
        } else if let Some(wake) = worker.shard.next_wake(now) {
            let wait = (wake.0 / 1_000_000).saturating_sub(self.now_ms) + 1;
            self.turn_in(at, wait);
        }
    }

    fn hear_breakers(&mut self, at: usize) {
        for change in self.workers[at].shard.take_breaker_changes() {
            let host = change.host.host[4..5].parse().expect("host number");
            self.oracle.limits.changed(self.now_ms, (at, host), &change.transition);
        }
    }

    pub(super) fn take_inputs(&mut self, at: usize) {
        let now = self.now();
        let worker = &mut self.workers[at];
        while let Some(input) = worker.inbox.pop_front() {
            match input {
                In::Changed(changes, index) => {
                    worker.shard.handle_index(index);
                    for (before, after) in &changes {
                        worker.shard.handle_changed(now, before.as_ref(), after.as_ref());
                    }
                }
                In::Log(page) => worker.shard.handle_log_page(&page),
                In::Lane(page) => worker.shard.handle_subscription_page(&page),
                In::Retries(page) => worker.shard.handle_retry_page(now, &page),
                In::Census(census) => worker.shard.handle_census(&census),
                In::Heads(page) => worker.shard.handle_heads(&page),
                In::Backlog(backlog) => worker.shard.handle_backlog(&backlog),
                In::Bodies(bodies) => worker.shard.handle_bodies(now, &bodies),
                In::Again(replay) => worker.shard.handle_replay(replay),
                In::Known(page) => {
                    worker.shard.handle_replay_page(now, &page);
                    for (seq, _) in &page.found {
                        self.oracle.manners.asked_again((page.subscription, *seq));
                    }
                }
                In::Flushed(serial) => worker.shard.handle_flushed(serial),
                In::Live(after) => worker.shard.handle_live(after),
                In::Adopt(released) => worker.shard.handle_adopt(&released),
            }
        }
    }

    pub(super) fn perform(&mut self, at: usize, action: Action) {
        let now = self.now().wall;
        match action {
            Action::Send(send) => {
                let host =
                    send.subscription.callback_url.authority().host[4..5].parse().expect("host number");
                self.note(send.subscription.key, Some(send.event.seq), || {
                    format!("worker {at} sends {send:?}")
                });
                self.oracle.sent(now, &send);
                let (max, rate) = limits_of(host, self.workers.len());
                // A host that was forgotten meanwhile has its own bound again.
                let max = max.max(self.capacities.get(&host).copied().unwrap_or(0));
                let limits = &mut self.oracle.limits;
                limits.sent(self.now_ms, (at, host), send.id, max, rate);
                limits.of_worker(at, send.id, send.event.body().len());
                let key = send.subscription.key;
                limits.of_subscription(self.now_ms, key, send.subscription.delivery.rate_per_second);
                let place = (Arc::clone(&send.subscription), send.event.seq, host);
                let old = self.workers[at].flights.insert(send.id, place);
                assert!(old.is_none(), "seed {}: two flights of one id", self.oracle.seed);
                let flights = self.workers[at].flights.len();
                assert!(flights <= IN_FLIGHT_MAX, "seed {}: {flights} of one worker", self.oracle.seed);
                let receiver = self.receivers[usize::try_from(host).expect("small")];
                if receiver != Receiver::Hanging {
                    let wait = 1 + self.rng.below(40);
                    self.after(wait, Happening::Answer(at, send.id, receiver));
                }
            }
            Action::Cancel(id) => self.after(0, Happening::Answer(at, id, Receiver::Hanging)),
            Action::Read(read) => {
                let wait = self.rng.below(6);
                self.after(wait, Happening::Serve(at, read));
            }
            Action::CaughtUp(_) => self.ask(Ask::CaughtUp(at)),
            Action::Disable { key, version, reason, .. } => {
                let present = self.subs.get(&key).is_some_and(|sub| sub.version == version);
                if reason == DisabledReason::Failing && present {
                    self.oracle.manners.gives_up(now, key, DISABLE_AFTER);
                }
                self.ask(Ask::Change(Edit::Disable(key, version)));
            }
            Action::Recovered(_) => {}
            Action::Replayed(replayed) => self.replayed(replayed),
        }
    }

    pub(super) fn serve(&mut self, at: usize, read: &Read) {
        let input = match read {
            Read::Log { worker, from } => In::Log(self.disk.read_log(&self.index, *worker, *from)),
            Read::Subscription { .. } => match self.disk.read_subscription(&self.index, read) {
                Some(page) => In::Lane(page),
                None => return,
            },
            Read::Retries { worker, only, after, until } => {
                In::Retries(self.disk.read_retries(&self.index, *worker, *only, *after, *until))
            }
            Read::Heads { subscription, serial, after, .. } => {
                In::Heads(self.disk.heads(*subscription, *serial, *after))
            }
            Read::Backlog { subscription, from, through, .. } => {
                In::Backlog(self.disk.backlog(subscription, *from, *through))
            }
            Read::Replay { subscription, seqs, .. } => In::Known(self.disk.known(subscription, seqs)),
            Read::Bodies { wanted, .. } => In::Bodies(self.disk.read_bodies(wanted)),
        };
        let wait = self.rng.below(5);
        self.after(wait, Happening::Push(at, input));
    }

    pub(super) fn answer(&mut self, at: usize, id: FlightId, receiver: Receiver) {
        let Some((sub, seq, host)) = self.workers[at].flights.remove(&id) else { return };
        let key = sub.key;
        let (status, kind) = match receiver {
            Receiver::Well => (Some(204), None),
            Receiver::Failing => (Some(500), Some(ErrorKind::Status)),
            Receiver::Limiting if self.rng.chance(50) => (Some(429), Some(ErrorKind::Status)),
            Receiver::Limiting => (Some(503), Some(ErrorKind::Status)),
            Receiver::Gone => (Some(410), Some(ErrorKind::Gone)),
            Receiver::Hanging => (None, Some(ErrorKind::Timeout)),
        };
        let retry_after = (receiver == Receiver::Limiting).then(|| Duration::from_secs(self.rng.below(50)));
        let outcome = Outcome {
            started_at: self.now().wall,
            duration: Duration::from_millis(1),
            status,
            error: kind.map(|kind| AttemptError { kind, message: String::new() }),
            retry_after,
            response: None,
        };
        self.note(key, Some(seq), || format!("worker {at} hears {receiver:?}"));
        self.oracle.ended(key, seq, kind);
        self.oracle.limits.ended(self.now_ms, (at, host), id, sign(&outcome));
        let now = self.now();
        match self.workers[at].shard.handle_outcome(now, id, outcome) {
            Some(Settled::Dead) => self.oracle.manners.died((key, seq)),
            Some(Settled::Retried) => {
                let not_before = now.wall + retry_after.unwrap_or_default();
                self.oracle.manners.failed((key, seq), &sub, not_before);
            }
            Some(Settled::Delivered { .. }) => self.oracle.manners.well(now.wall, key),
            Some(Settled::Orphan) | None => {}
        }
        self.hear_breakers(at);
        self.wake(at);
    }
}
