//! What the demo prints: an introduction, deliveries as they come, and a summary that adds up.

use std::fmt::Write as _;
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::time::Duration;

use super::receiver::{Arrival, Receiver, Tally};
use crate::cli::{Failure, print};
use crate::model::{Catalogue, Mono};
use crate::rt::clock;
use crate::server::Server;

/// How often the totals are printed where the output is no terminal, and drawn where it is one.
const PLAIN_EVERY: Duration = Duration::from_secs(5);
const LIVE_EVERY: Duration = Duration::from_millis(500);

pub(super) fn intro(server: &Server, receiver: SocketAddr) -> String {
    let admin = server.admin_address();
    format!(
        "Postrider demo\n\
         \x20 events go to   {}\n\
         \x20 receiver       http://{receiver} (verifies every signature)\n\
         \x20 console        http://{admin}/\n\
         \x20 metrics        http://{admin}/metrics\n\
         \x20 token          {}\n\n\
         Try:  curl -H 'Authorization: Bearer {}' http://{admin}/api/v1/accounts/{}/subscriptions\n\n",
        server.socket().display(),
        server.token().as_str(),
        server.token().as_str(),
        super::ACCOUNT,
    )
}

pub(super) struct Screen {
    live: bool,
    types: usize,
    next: Mono,
    /// Lines that the last picture took.
    drawn: usize,
}

fn line(arrival: &Arrival) -> String {
    let at = arrival.at.to_rfc3339();
    let signature = if arrival.verified { "signature ok" } else { "SIGNATURE WRONG" };
    format!(
        "  {}  {:<15} {:<42} {:<14} attempt {}  {signature}  {}",
        at.get(11..23).unwrap_or_default(),
        arrival.endpoint,
        arrival.kind,
        arrival.id,
        arrival.attempt,
        arrival.status,
    )
}

impl Screen {
    pub(super) fn new(catalogue: &Catalogue) -> Self {
        Self {
            live: std::io::stdout().is_terminal(),
            types: catalogue.iter().count(),
            next: Mono(0),
            drawn: 0,
        }
    }

    pub(super) fn show(&mut self, receiver: &Receiver, accepted: &Tally, last: bool) -> Result<(), Failure> {
        let now = clock::mono();
        if now < self.next && !last {
            return Ok(());
        }
        self.next = now + if self.live { LIVE_EVERY } else { PLAIN_EVERY };
        let mut lines: Vec<String> = receiver.with(|seen| seen.recent.iter().map(line).collect());
        let types = receiver.with(|seen| seen.types.len());
        lines.push(format!(
            "  accepted {} events; delivered and verified {} of {}; {types} of {} types seen",
            accepted.events,
            receiver.delivered(),
            accepted.expected(),
            self.types,
        ));
        let mut text = String::new();
        if self.live && self.drawn > 0 {
            // Up to where the last picture began, and clear from there.
            let _ = write!(text, "\x1b[{}A\x1b[J", self.drawn);
        }
        for line in &lines {
            text.push_str(line);
            text.push('\n');
        }
        self.drawn = lines.len();
        Ok(print(&text)?)
    }
}

/// The sums of the demo, and whether they add up.
pub(super) fn summary(receiver: &Receiver, accepted: &Tally, took: Duration) -> (String, bool) {
    let mut text = String::from("\nSummary\n");
    let _ = writeln!(
        text,
        "  accepted        {} events of {} types in {:.1} s, each on disk before its 202",
        accepted.events,
        accepted.types(),
        took.as_secs_f64()
    );
    let mut refused = 0;
    receiver.with(|seen| {
        for endpoint in seen.endpoints() {
            refused += endpoint.refused;
            let _ = writeln!(
                text,
                "  {:<15} {} delivered, {} verified, {} first refused and retried, {} repeated",
                endpoint.name, endpoint.delivered, endpoint.verified, endpoint.refused, endpoint.repeated
            );
        }
    });
    let (delivered, expected) = (receiver.delivered(), accepted.expected());
    let fine = delivered == expected;
    let verdict = if fine { "it adds up" } else { "IT DOES NOT ADD UP" };
    let _ =
        writeln!(text, "  deliveries      {delivered} of {expected} expected, {refused} retries: {verdict}");
    (text, fine)
}
