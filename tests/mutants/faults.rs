//! The list: what is broken on purpose, where, and in which words a table can say it.
//!
//! A snippet stands exactly once in its file and is as short as that allows, so that work beside it leaves
//! it alone. It is code that the core cannot do without: what nothing can catch is no fault.

mod keeping;
mod schedule;
mod settling;

/// How a snippet becomes wrong.
#[derive(Clone, Copy)]
pub enum Change {
    /// It is an expression, and this is another of its type.
    Expression(&'static str),
    /// It is one statement or several, and this stands in their place.
    Statement(&'static str),
    /// This text stands in its place, with `FAULT` for "the fault is on".
    Text(&'static str),
}

#[derive(Clone, Copy)]
pub struct Fault {
    pub name: &'static str,
    /// What no longer holds.
    pub breaks: &'static str,
    /// Below `src`.
    pub file: &'static str,
    pub from: &'static str,
    pub change: Change,
}

const fn fault(
    file: &'static str,
    name: &'static str,
    breaks: &'static str,
    from: &'static str,
    change: Change,
) -> Fault {
    Fault { name, breaks, file, from, change }
}

pub fn all() -> Vec<Fault> {
    [schedule::INTAKE, schedule::LIMITS, schedule::ORDER, settling::FAULTS, keeping::FAULTS].concat()
}
