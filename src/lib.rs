pub mod log;
pub mod model;
pub mod registry;
pub mod route;
#[cfg(feature = "engine")]
pub mod rt;
pub mod schedule;
pub mod settle;
