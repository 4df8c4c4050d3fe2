pub mod ingest;
pub mod log;
pub mod model;
pub mod registry;
pub mod settle;
