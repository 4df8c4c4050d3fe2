//! Filters over what the simulation's events hold, and what they say, worked out in another way.

use std::sync::Arc;

use postrider::model::{Event, Filter, Subscription};
use serde_json::{Value, json};

/// Events hold a number below this.
pub const NUMBERS: u64 = 10;

/// What is in an event besides its id.
pub fn data(number: u64, padding: usize) -> String {
    format!("{{\"number\":{number},\"padding\":\"{}\"}}", "x".repeat(padding))
}

/// Wants events whose number is below `bound`.
pub fn below(bound: u64) -> Arc<Filter> {
    let condition = json!({"path": "data.number", "lt": bound});
    Arc::new(Filter::parse(&condition, "filter").expect("a valid filter"))
}

fn number(event: &Event) -> u64 {
    let text = std::str::from_utf8(event.body()).expect("text");
    let (_, rest) = text.split_once("\"number\":").expect("events hold a number");
    rest.split(',').next().expect("a part").parse().expect("a number")
}

/// Whether the subscription wanted the event when it was accepted.
pub fn wants(subscription: &Subscription, event: &Event) -> bool {
    let Some(epoch) = subscription.epoch_at(event.seq) else { return false };
    let bound = |filter: &Arc<Filter>| filter.given().get("lt").and_then(Value::as_u64).expect("a bound");
    subscription.account == event.account
        && epoch.mask.contains(event.type_bit)
        && epoch.filter.as_ref().is_none_or(|filter| number(event) < bound(filter))
}
