//! What is noted of a change beside what it changes, in one piece with it: the audit trail, and the
//! answer to a request that is to be done once. And how both end.

use std::time::Duration;

use super::audit::{self, ALL};
use super::audit_list::{self, KeyValue};
use super::audit_row;
use super::change::{ChangeError, Plan};
use super::drawing::Draw;
use super::entropy::Sealer;
use super::origin::Origin;
use super::planning::At;
use super::remembered::ANSWER_LEN_MAX;
use super::state::Registry;
use crate::model::UnixMillis;

impl Registry {
    /// What upkeep takes away.
    ///
    /// `oldest`: rows of [`audit_range`](super::audit_range), in order, as many as may be dealt with at once.
    /// `keep`: how old an entry of the audit trail may become.
    pub fn plan_upkeep(
        &self,
        now: UnixMillis,
        keep: Duration,
        oldest: impl Iterator<Item = KeyValue>,
    ) -> Plan {
        let mut draw = self.draw();
        (draw.memory, draw.rows) = self.remembered.plan_upkeep(now);
        draw.rows.extend(audit_list::trim(oldest, keep, now, self.serials.next(ALL)));
        self.finish(draw)
    }

    /// The audit trail goes with the change.
    pub(super) fn note(&self, draw: &mut Draw, origin: &Origin, at: At) {
        let name_of = |key| self.account(key).map(|account| account.name.clone());
        let mut notes = audit::notes(&draw.changed, name_of);
        notes.append(&mut draw.notes);
        // It may be gone since it was named; nobody would ever take the rows of its list away.
        let there = |key| self.account(key).is_some() || draw.changed.accounts.iter().any(|it| it.makes(key));
        for note in &mut notes {
            note.account = note.account.take().filter(|(key, _)| there(*key));
        }
        let (serials, rows) = audit_row::write(&self.serials, notes, &origin.actor, at.now);
        draw.serials = serials;
        draw.rows.extend(rows);
        let gone = draw.changed.accounts.iter().filter(|change| change.after.is_none());
        for account in gone.filter_map(|change| change.before.as_ref()) {
            draw.serials.push((account.key, None));
            draw.rows.push(audit_row::serial_row(account.key, None));
        }
    }

    /// The answer goes with the change, where it is to be remembered.
    pub(super) fn remember(
        &self,
        draw: &mut Draw,
        origin: &Origin,
        at: At,
        sealer: &mut Sealer<'_>,
    ) -> Result<(), ChangeError> {
        let Some(remember) = &origin.remember else { return Ok(()) };
        if self.remembered.get(remember.key, at.now).is_some() {
            return Err(ChangeError::Answered);
        }
        let answer = (remember.answer)(&draw.changed).filter(|answer| answer.len() <= ANSWER_LEN_MAX);
        if let Some(answer) = answer {
            let (memory, rows) = self.remembered.plan(remember, &answer, at.now, sealer);
            draw.memory = memory;
            draw.rows.extend(rows);
        }
        Ok(())
    }
}
