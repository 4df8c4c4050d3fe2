//! placeholder
pub enum Change {}
#[derive(Debug)]
pub struct ChangeError;
#[derive(Debug)]
pub struct Changed;
