//! Who waits for deliveries that are to be made again. A bounded number does; beyond, the asker is told so
//! at once, and may ask again in a moment.

use foldhash::HashMap;
use tokio::sync::oneshot;

use crate::log::api::{Answered, AskedAgain, ReplayRefused};
use crate::schedule::{Replay, Replayed};

/// Requests for deliveries to be made again that wait at one worker, at most.
const WAITING_MAX: usize = 1024;

#[derive(Default)]
pub struct Askers {
    waiting: HashMap<u64, oneshot::Sender<Result<Answered, ReplayRefused>>>,
    count: u64,
}

impl Askers {
    /// What the shard is asked, unless too much is.
    pub fn begin(&mut self, asked: AskedAgain) -> Option<Replay> {
        let AskedAgain { subscription, seqs, trigger, reply } = asked;
        if self.waiting.len() >= WAITING_MAX {
            // Who asked may have gone.
            let _ = reply.send(Err(ReplayRefused::Busy));
            return None;
        }
        self.count += 1;
        self.waiting.insert(self.count, reply);
        Some(Replay { id: self.count, subscription, seqs, trigger })
    }

    pub fn answer(&mut self, Replayed { id, done }: Replayed) {
        if let Some(reply) = self.waiting.remove(&id) {
            // Who asked may have gone: it is done all the same.
            let _ = reply.send(Ok(done));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Seq, SubscriptionKey, Trigger};

    type Answer = oneshot::Receiver<Result<Answered, ReplayRefused>>;

    fn ask(askers: &mut Askers) -> (Option<Replay>, Answer) {
        let (reply, answer) = oneshot::channel();
        let seqs = vec![Seq(7)];
        let asked = AskedAgain { subscription: SubscriptionKey(1), seqs, trigger: Trigger::Resend, reply };
        (askers.begin(asked), answer)
    }

    #[test]
    fn who_is_one_too_many_is_told_so_until_another_has_an_answer() {
        let mut askers = Askers::default();
        let mut waiting: Vec<_> = (0..WAITING_MAX).map(|_| ask(&mut askers)).collect();
        assert!(waiting.iter_mut().all(|(asked, answer)| asked.is_some() && answer.try_recv().is_err()));
        let (asked, mut refused) = ask(&mut askers);
        assert_eq!((asked, refused.try_recv()), (None, Ok(Err(ReplayRefused::Busy))));
        let (first, mut answer) = waiting.swap_remove(0);
        askers.answer(Replayed { id: first.expect("asked").id, done: None });
        assert_eq!(answer.try_recv(), Ok(Ok(None)));
        assert!(ask(&mut askers).0.is_some());
    }
}
