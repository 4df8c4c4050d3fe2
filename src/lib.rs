pub mod log;
pub mod model;
pub mod registry;
pub mod send;
pub mod settle;
