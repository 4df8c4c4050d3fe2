//! `postrider demo`: the whole product on one screen.

use std::time::Duration;

use super::{Done, Failure};

#[derive(Debug, clap::Args)]
pub(super) struct DemoArgs {
    /// End by itself after this time, such as 30s; without it at Ctrl-C
    #[arg(long = "for", value_name = "DURATION", value_parser = super::duration)]
    pub(super) duration: Option<Duration>,
    /// Events a second
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub(super) rate: u32,
}

pub(super) fn run(args: &DemoArgs) -> Done {
    let DemoArgs { duration, rate } = args;
    Err(Failure::new(format_args!("demo is not built yet ({duration:?}, {rate}/s)")))
}
