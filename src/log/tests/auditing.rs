//! The audit trail, as it lies in the store among other rows.

use super::*;
use crate::registry::{Action, AuditQuery};

fn all(account: Option<crate::model::AccountKey>) -> AuditQuery {
    AuditQuery { account, below: None, since: None, until: None, action: None, limit: 1000 }
}

#[test]
fn however_a_trail_is_cut_into_pages_it_is_the_same() {
    let dir = tempfile::tempdir().expect("a directory");
    let rig = Rig::at(dir.path());
    let mut middle = UnixMillis(0);
    for n in 0..10 {
        rig.clock.advance(Duration::from_secs(60));
        rig.subscribe("acme", "https://one.example/", "*");
        if n % 3 == 0 {
            rig.subscribe("globex", "https://two.example/", "*");
        }
        if n == 5 {
            middle = UnixMillis(rig.clock.0.load(Ordering::SeqCst));
        }
    }
    let ask = |query: &AuditQuery| rig.store.audit(query).expect("reads");
    let (acme, globex) = (rig.account("acme"), rig.account("globex"));
    let serials =
        |query: &AuditQuery| -> Vec<u64> { ask(query).entries.iter().map(|entry| entry.serial).collect() };
    let whole = serials(&all(None));
    assert!(whole.is_sorted_by(|newer, older| newer > older), "newest first: {whole:?}");
    let of = |account| serials(&all(Some(account)));
    assert_eq!(whole.len(), of(acme).len() + of(globex).len());
    let created = AuditQuery { action: Some(Action::SubscriptionCreate), ..all(Some(globex)) };
    assert_eq!(serials(&created).len(), 4);
    for account in [None, Some(acme), Some(globex)] {
        let whole = serials(&all(account));
        for limit in 1..=5 {
            let (mut pages, mut below) = (Vec::new(), None);
            loop {
                let page = ask(&AuditQuery { below, limit, ..all(account) });
                pages.extend(page.entries.iter().map(|entry| entry.serial));
                below = page.next;
                if below.is_none() {
                    break;
                }
            }
            assert_eq!(pages, whole, "{account:?}, {limit} at a time");
        }
        let older = serials(&AuditQuery { until: Some(middle), ..all(account) });
        let newer = serials(&AuditQuery { since: Some(middle), ..all(account) });
        assert_eq!([newer, older].concat(), whole, "{account:?}, cut at a time");
    }
    rig.stop();
}
