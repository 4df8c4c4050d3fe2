//! The audit trail's bounds: of one account, and of time.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use super::*;
use crate::registry::audit_list::{AuditQuery, KeyValue, OrderedRows, audit_page, audit_range, trim};
use crate::registry::audit_row::write;
use crate::registry::change::Row;
use crate::registry::{Actor, AuditPage};

#[derive(Default)]
struct Store {
    rows: BTreeMap<Vec<u8>, Vec<u8>>,
    serials: Serials,
}

impl OrderedRows for &Store {
    type Error = Infallible;

    fn at_or_below(&mut self, key: &[u8]) -> Result<Option<KeyValue>, Infallible> {
        let row = self.rows.range(..=key.to_vec()).next_back();
        Ok(row.map(|(key, value)| (key.clone(), value.clone())))
    }
}

impl Store {
    fn keep(&mut self, rows: Vec<Row>) {
        for row in rows {
            match row.value {
                Some(value) => self.rows.insert(row.key, value),
                None => self.rows.remove(&row.key),
            };
        }
    }

    fn note(&mut self, account: u32, at: u64) {
        let name = AccountName::parse(&format!("a{account}")).expect("valid");
        let target = Target { kind: TargetKind::Account, id: String::new(), name: String::new() };
        let account = (account > 0).then_some((AccountKey(account), name));
        let note = Note { account, action: Action::AccountUpdate, target, changes: vec!["name".to_owned()] };
        let (serials, rows) = write(&self.serials, vec![note], &Actor::operator(), UnixMillis(at));
        self.keep(rows);
        for (account, next) in serials {
            self.serials.set(account, next);
        }
    }

    fn page(&self, account: Option<u32>, until: Option<u64>) -> AuditPage {
        let query = AuditQuery {
            account: account.map(AccountKey),
            below: None,
            since: None,
            until: until.map(UnixMillis),
            action: None,
            limit: 3,
        };
        let Ok(page) = audit_page(&mut &*self, &query);
        page
    }

    fn times(&self, account: Option<u32>, until: Option<u64>) -> Vec<u64> {
        self.page(account, until).entries.iter().map(|entry| entry.at.0).collect()
    }

    fn trim(&mut self, now: u64) {
        let (from, before) = audit_range();
        let oldest: Vec<_> =
            self.rows.range(from..before).map(|(key, value)| (key.clone(), value.clone())).collect();
        let rows =
            trim(oldest.into_iter(), Duration::from_millis(100), UnixMillis(now), self.serials.next(ALL));
        self.keep(rows);
    }
}

#[test]
fn the_oldest_of_an_account_gives_way_to_its_newest() {
    let mut store = Store::default();
    store.note(2, 5);
    for n in 0..AUDIT_PER_ACCOUNT_MAX + 10 {
        store.note(1, 10 + n);
    }
    let own = |store: &Store| store.rows.keys().filter(|key| key.starts_with(&[17, 0, 0, 0, 1])).count();
    assert_eq!(own(&store) as u64, AUDIT_PER_ACCOUNT_MAX);
    assert_eq!(store.times(Some(1), Some(21)), [20], "ten have gone");
    assert_eq!(store.times(Some(2), None), [5]);
    assert_eq!(store.times(None, Some(12)), [11, 10, 5], "the operator's list still has them");
}

#[test]
fn what_is_old_goes_from_both_lists() {
    let mut store = Store::default();
    for (account, at) in [(1, 10), (2, 20), (0, 30), (1, 40), (2, 50)] {
        store.note(account, at);
    }
    assert_eq!(store.times(None, None), [50, 40, 30]);
    assert_eq!(store.page(None, None).next, Some(3));
    store.trim(135);
    assert_eq!((store.times(None, None), store.page(None, None).next), (vec![50, 40], None));
    assert_eq!((store.times(Some(1), None), store.times(Some(2), None)), (vec![40], vec![50]));
    store.trim(1000);
    assert_eq!(store.rows.keys().filter(|key| key[0] > 6).count(), 0);
    store.note(1, 2000);
    assert_eq!(store.page(Some(1), None).entries[0].own_serial, 3, "numbers go on");
}

#[test]
fn damage_is_counted_and_left_out() {
    let mut store = Store::default();
    (1..=3).for_each(|at| store.note(1, at));
    let second = store.rows.keys().filter(|key| key[0] == 17).nth(1).expect("there").clone();
    store.rows.insert(second, vec![1, 2, 3]);
    assert_eq!((store.times(Some(1), None), store.page(Some(1), None).damaged), (vec![3, 1], 1));
}
