//! A commit in the making: which events of the waiting requests are new, what seq each gets, and the
//! rows that make them durable.
//!
//! Nothing here changes the log's state: that happens in [`super::writer`] once the rows are on disk, so a
//! write that fails leaves nothing to be taken back.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::api::{Appended, Refused};
use super::db::{Batch, Family};
use super::dedupe::Dedupe;
use super::fingerprint::Fingerprint;
use super::guard::StoreError;
use super::key::Key;
use super::record::{
    AccountRow, EVENTS_ROW_LEN_MAX, IdsRow, PackedEvent, PartitionRow, encode, encode_sized,
};
use super::rows::{EventLoader, find_sealed};
use super::stats::LogStats;
use super::store::Store;
use super::timeline::{Point, Timeline};
use crate::model::{AccountKey, AccountName, Event, NewEvent, Seq, UnixMillis};
use crate::registry::{Plan, Registry, Row};

pub(super) type AppendReply = oneshot::Sender<Result<Vec<Appended>, Refused>>;

/// One request of a commit.
pub(super) struct Append {
    pub events: Vec<NewEvent>,
    pub reply: AppendReply,
}

/// Requests that become one commit.
pub(super) struct Staged {
    pub events: Vec<Arc<Event>>,
    pub prints: Vec<Fingerprint>,
    pub bytes: usize,
    pub duplicates: u64,
    pub replies: Vec<(AppendReply, Vec<Appended>)>,
    /// Accounts that these events make.
    pub plan: Plan,
    /// First minute's row, where these events begin one.
    pub point: Option<Point>,
    /// The deduplication partition they go into, and its row where they open it.
    pub partition: Seq,
    pub opens: bool,
}

/// Bytes that an event takes in its row beside its body, at most.
const EVENT_OVERHEAD: usize = 24;
/// Bytes that a fingerprint and its offset take in a row, at most nearly always.
const ID_LEN: usize = 12;

/// What staging looks at.
pub(super) struct Context<'a> {
    pub store: &'a Store,
    pub stats: &'a LogStats,
    pub registry: &'a Registry,
    pub dedupe: &'a Dedupe,
    pub timeline: &'a Timeline,
    pub head: Seq,
    pub now: UnixMillis,
}

impl Context<'_> {
    /// Gives each new event its seq. A request whose events cannot be judged (the store cannot be read)
    /// is refused whole, and answered at once.
    pub fn stage(&self, requests: Vec<Append>) -> Staged {
        let plan = self.plan_accounts(&requests);
        let made: HashMap<AccountName, AccountKey> =
            plan.new_accounts().map(|(name, key)| (name.clone(), key)).collect();
        let (partition, opened) = self.dedupe.partition_for(self.head.next());
        let mut staged = Staged {
            events: Vec::new(),
            prints: Vec::new(),
            bytes: 0,
            duplicates: 0,
            replies: Vec::new(),
            plan,
            point: None,
            partition,
            opens: opened.is_none(),
        };
        let mut seen = HashMap::new();
        for request in requests {
            let before = (staged.events.len(), staged.bytes, staged.duplicates);
            match self.stage_one(&request.events, &made, &mut seen, &mut staged) {
                Ok(results) => staged.replies.push((request.reply, results)),
                Err(refused) => {
                    staged.events.truncate(before.0);
                    staged.prints.truncate(before.0);
                    (staged.bytes, staged.duplicates) = (before.1, before.2);
                    seen.retain(|_, at: &mut usize| *at < before.0);
                    // The asker may have gone; then nobody needs the answer.
                    let _ = request.reply.send(Err(refused));
                }
            }
        }
        staged.point = staged.events.first().and_then(|first| self.timeline.begins(self.now, first.seq));
        staged
    }

    fn plan_accounts(&self, requests: &[Append]) -> Plan {
        let mut unknown: Vec<AccountName> = Vec::new();
        for event in requests.iter().flat_map(|request| &request.events) {
            if unknown.last() != Some(&event.account) && self.registry.account_key(&event.account).is_none() {
                unknown.push(event.account.clone());
            }
        }
        self.registry.plan_accounts(&unknown, self.now)
    }

    fn stage_one(
        &self,
        events: &[NewEvent],
        made: &HashMap<AccountName, AccountKey>,
        seen: &mut HashMap<Fingerprint, usize>,
        staged: &mut Staged,
    ) -> Result<Vec<Appended>, Refused> {
        let mut results = Vec::with_capacity(events.len());
        for event in events {
            let key = self.registry.account_key(&event.account).or_else(|| made.get(&event.account).copied());
            let account = key.ok_or_else(|| Refused::Store("no account number is left".to_owned()))?;
            let print = Fingerprint::of(account, event.id.as_str());
            let place = match seen.entry(print) {
                Entry::Occupied(held) => {
                    let twin = staged.events.get(*held.get());
                    if twin.is_some_and(|twin| is_same(twin, account, event)) {
                        staged.duplicates += 1;
                        results.push(Appended::Duplicate);
                        continue;
                    }
                    None
                }
                Entry::Vacant(free) => Some(free),
            };
            if self.is_known(print, account, event).map_err(|error| Refused::Store(error.to_string()))? {
                staged.duplicates += 1;
                results.push(Appended::Duplicate);
                continue;
            }
            let seq = Seq(self.head.0 + 1 + staged.events.len() as u64);
            let id_len = u8::try_from(event.id.as_str().len()).unwrap_or(u8::MAX);
            let whole = Event::new(seq, account, event.type_bit, self.now, id_len, event.body.clone())
                .ok_or_else(|| Refused::Store("an event whose body does not begin with its id".to_owned()))?;
            if let Some(free) = place {
                free.insert(staged.events.len());
            }
            staged.bytes += event.body.len();
            staged.events.push(Arc::new(whole));
            staged.prints.push(print);
            results.push(Appended::Accepted(seq));
        }
        Ok(results)
    }

    /// Whether this id was taken inside the window. Only a fingerprint that was seen costs a look into
    /// the store.
    fn is_known(
        &self,
        print: Fingerprint,
        account: AccountKey,
        event: &NewEvent,
    ) -> Result<bool, StoreError> {
        if let Some(seq) = self.dedupe.exact(print) {
            return self.is_at(seq, account, event);
        }
        for partition in self.dedupe.maybe(print) {
            LogStats::add(&self.stats.dedupe_lookups, 1);
            let place = self.store.with(|db| match find_sealed(db, partition, print) {
                // A row that cannot be read cannot say "known": sooner an event twice than not at all.
                Err(StoreError::Damaged(_)) => Ok(None),
                other => other,
            })?;
            if let Some(seq) = place
                && self.is_at(seq, account, event)?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether the event at `seq` is this one, and young enough to count. Where retention is shorter than
    /// the window there is nothing to compare any more, and 64 equal bits have to do.
    fn is_at(&self, seq: Seq, account: AccountKey, event: &NewEvent) -> Result<bool, StoreError> {
        LogStats::add(&self.stats.dedupe_lookups, 1);
        let floor = self.store.floor();
        if seq < floor {
            return Ok(true);
        }
        let held = self.store.with(|db| EventLoader::new(db, floor, self.stats)?.load(seq))?;
        Ok(held.is_some_and(|held| {
            is_same(&held, account, event) && self.dedupe.in_window(held.accepted_at, self.now)
        }))
    }
}

fn is_same(held: &Event, account: AccountKey, event: &NewEvent) -> bool {
    held.account == account && held.id() == event.id.as_str()
}

impl Staged {
    /// Adds all rows of these events.
    pub fn put(&self, batch: &mut Batch<'_>, now: UnixMillis) -> Result<(), StoreError> {
        let Some(first) = self.events.first().map(|event| event.seq) else { return Ok(()) };
        put_registry_rows(batch, self.plan.rows());
        put_events(batch, &self.events)?;
        put_by_account(batch, first, &self.events)?;
        let mut ids = IdsRow::with_capacity(self.events.len());
        for (print, offset) in self.prints.iter().zip(0u32..) {
            ids.push((*print, offset));
        }
        let key = Key::Fingerprints { partition: self.partition, first };
        batch.put(Family::Ids, key.encode().as_ref(), &encode_sized(&ids, ids.len() * ID_LEN)?);
        if self.opens {
            let key = Key::Partition { partition: self.partition };
            let row = PartitionRow { opened_at: now, sealed: None };
            batch.put(Family::Ids, key.encode().as_ref(), &encode(&row)?);
        }
        if let Some(Point { minute, first }) = self.point {
            batch.put(Family::Meta, Key::Minute { minute }.encode().as_ref(), &encode(&first)?);
        }
        Ok(())
    }
}

pub(super) fn put_registry_rows(batch: &mut Batch<'_>, rows: &[Row]) {
    for row in rows {
        match &row.value {
            Some(value) => batch.put(Family::Meta, &row.key, value),
            None => batch.delete(Family::Meta, &row.key),
        }
    }
}

/// Rows of at most [`EVENTS_ROW_LEN_MAX`] bytes of bodies, or of one event.
fn put_events(batch: &mut Batch<'_>, events: &[Arc<Event>]) -> Result<(), StoreError> {
    let mut rest = events;
    while let Some(first) = rest.first() {
        let mut bytes = 0;
        let fits = |event: &&Arc<Event>| {
            bytes += event.body().len();
            bytes <= EVENTS_ROW_LEN_MAX
        };
        let count = rest.iter().take_while(fits).count().max(1);
        let (row, after) = rest.split_at_checked(count).unwrap_or((rest, &[]));
        let packed: Vec<PackedEvent<'_>> = row.iter().map(|event| PackedEvent::of(event)).collect();
        let size = packed.iter().map(|event| event.body.len() + EVENT_OVERHEAD).sum();
        let row_bytes = encode_sized(&packed, size)?;
        batch.put(Family::Events, Key::Events { first: first.seq }.encode().as_ref(), &row_bytes);
        rest = after;
    }
    Ok(())
}

fn put_by_account(batch: &mut Batch<'_>, first: Seq, events: &[Arc<Event>]) -> Result<(), StoreError> {
    let mut rows: HashMap<AccountKey, AccountRow, foldhash::fast::FixedState> = HashMap::default();
    for (event, offset) in events.iter().zip(0u32..) {
        rows.entry(event.account).or_default().push((offset, event.type_bit));
    }
    for (account, row) in rows {
        let key = Key::ByAccount { account, first };
        batch.put(Family::ByAccount, key.encode().as_ref(), &encode(&row)?);
    }
    Ok(())
}
