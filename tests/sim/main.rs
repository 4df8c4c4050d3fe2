//! Simulation of the pure core on virtual time, against an oracle that knows every accepted event.
//!
//! Receivers fail, hang and recover; subscriptions are edited, moved and deleted underway; the process is
//! killed and the machine loses power; people ask for deliveries once more. `SIM_SEEDS=10000` runs more; `SIM_SEED=n` replays one.

#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test: a wrong index or number must stop it"
)]

mod disk;
mod filters;
mod limits;
mod manners;
mod oracle;
mod replays;
mod rng;
mod world;

use world::{Plan, World};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is a number")))
}

#[test]
fn nothing_is_lost_and_no_rule_is_broken() {
    let seeds = match number("SIM_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("SIM_SEEDS").unwrap_or(256),
    };
    let (mut requests, mut crashes, count) = (0, 0, seeds.end - seeds.start);
    let mut breakers = (0, 0);
    let (mut in_order, mut given_up, mut replayed) = (0, 0, 0);
    for seed in seeds {
        let plan = Plan { seed, chaos_ms: 30_000 };
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(&plan);
            world.run();
            let limits = &world.oracle.limits;
            let manners = &world.oracle.manners;
            let manners = (manners.in_order, manners.given_up, world.oracle.replays.kept);
            (world.oracle.requests, world.oracle.crashes, (limits.opened, limits.closed), manners)
        });
        match run {
            Ok((sent, crashed, (opened, closed), (ordered, given, kept))) => {
                in_order += ordered;
                given_up += given;
                replayed += kept;
                requests += sent;
                crashes += crashed;
                breakers = (breakers.0 + opened, breakers.1 + closed);
            }
            Err(cause) => {
                eprintln!("replay with: SIM_SEED={seed} cargo test --no-default-features --test sim");
                std::panic::resume_unwind(cause);
            }
        }
    }
    let (opened, closed) = breakers;
    println!(
        "{count} seeds: {requests} requests, {in_order} of them in order, {crashes} crashes, breakers opened \
         {opened} and closed {closed} times, {given_up} receivers given up, {replayed} sent again by hand, 0 \
         violations"
    );
    let simulates = requests > 1000
        && crashes > 10
        && opened > 10
        && closed > 10
        && in_order > 1000
        && given_up > 10
        && replayed > 1000;
    assert!(count < 10 || simulates, "the simulation does not simulate");
}
