//! What a change of a host's breaker says in the log: one line with the host and the reason.

use crate::schedule::BreakerChange;
use crate::schedule::breaker::{Fault, Why};

pub fn tell(change: &BreakerChange) {
    let BreakerChange { host, transition } = change;
    let open_for = transition.open_for;
    match transition.why {
        Why::Failing { failed, requests, last } => {
            let last = text(last);
            tracing::warn!(%host, failed, requests, last, ?open_for, "breaker open: the host fails");
        }
        Why::FailedAgain(fault) => {
            let last = text(fault);
            tracing::warn!(%host, last, ?open_for, "breaker open: the host still fails");
        }
        Why::Waited => tracing::info!(%host, "breaker half-open: one request tries the host"),
        Why::Succeeded => tracing::info!(%host, "breaker closed: the host answers again"),
        Why::Forgotten => tracing::info!(%host, "breaker closed: nobody sends to the host any more"),
    }
}

fn text(fault: Fault) -> String {
    fault.status.map_or_else(|| fault.kind.to_string(), |status| format!("{} {status}", fault.kind))
}
