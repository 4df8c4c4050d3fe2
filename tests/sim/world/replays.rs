//! People ask for deliveries once more: one that they look at, or all that died.

use postrider::model::Trigger;
use postrider::schedule::{Again, Replay, Replayed};

use super::*;

impl World {
    pub(super) fn replay(&mut self) {
        if self.now_ms >= self.chaos_ms {
            return;
        }
        let keys: Vec<_> = self.subs.keys().copied().collect();
        let events = self.disk.events.len() as u64;
        if !keys.is_empty() && events > 0 {
            let key = *self.rng.pick(&keys);
            let seqs: Vec<Seq> = if self.rng.chance(25) {
                self.disk.dead.keys().filter(|(of, _)| *of == key).map(|(_, seq)| *seq).take(40).collect()
            } else {
                (0..=self.rng.below(8)).map(|_| Seq(1 + self.rng.below(events + 2))).collect()
            };
            let owner = self.index.owner(&self.subs[&key]);
            self.asked += 1;
            let trigger = if seqs.len() == 1 { Trigger::Resend } else { Trigger::Recover };
            let replay = Replay { id: self.asked, subscription: key, seqs, trigger };
            for seq in &replay.seqs {
                self.note(key, Some(*seq), || format!("worker {owner} is asked for it again"));
                self.oracle.replays.asked((key, *seq));
            }
            self.replays.insert(replay.id, (key, self.now().wall));
            self.push(owner, In::Again(replay));
        }
        let wait = 20 + self.rng.below(800);
        self.after(wait, Happening::Replay);
    }

    pub(super) fn replayed(&mut self, replayed: Replayed) {
        let Some((key, asked_at)) = self.replays.remove(&replayed.id) else { return };
        for (seq, again) in replayed.done.unwrap_or_default() {
            self.note(key, Some(seq), || format!("it is {again:?}"));
            if matches!(again, Again::Due | Again::UnderWay) {
                self.oracle.replays.promised((key, seq), asked_at);
            }
        }
    }
}
