pub mod log;
pub mod model;
pub mod registry;
pub mod route;
pub mod settle;
#[cfg(feature = "engine")]
pub mod telemetry;
