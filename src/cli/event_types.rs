//! `postrider event-types`: the built-in catalogue, for people and for programs.

use std::fmt::Write;
use std::process::ExitCode;

use super::pretty::pretty;
use super::{Done, Failure, print};
use crate::model::{Catalogue, EventType};

#[derive(Debug, clap::Args)]
pub(super) struct EventTypesArgs {
    /// Show one type (by id, name or alias) with its schema and sample
    #[arg(value_name = "TYPE")]
    name: Option<String>,
    /// Print JSON: everything that is known of each type
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &EventTypesArgs) -> Done {
    let catalogue = Catalogue::builtin();
    let text = match &args.name {
        Some(name) => {
            let found = catalogue.find(name).ok_or_else(|| unknown(&catalogue, name))?;
            let json = serde_json::to_string(found)?;
            if args.json { json + "\n" } else { pretty(&json) + "\n" }
        }
        None if args.json => serde_json::to_string(&catalogue.all().collect::<Vec<_>>())? + "\n",
        None => table(&catalogue),
    };
    print(&text)?;
    Ok(ExitCode::SUCCESS)
}

fn unknown(catalogue: &Catalogue, name: &str) -> Failure {
    let hint = catalogue.nearest(name).map(|near| format!(", did you mean {near}?")).unwrap_or_default();
    Failure::new(format_args!("unknown event type {name:?}{hint}"))
}

/// A table in groups; `*` marks types that need the feature flag.
fn table(catalogue: &Catalogue) -> String {
    let width = catalogue.all().map(|event_type| event_type.id.len()).max().unwrap_or(0);
    let mut out = String::new();
    let mut group = "";
    for event_type in catalogue.all() {
        if *event_type.group != *group {
            let gap = if group.is_empty() { "" } else { "\n" };
            group = &event_type.group;
            let _ = writeln!(out, "{gap}{group}");
        }
        let _ = writeln!(out, "{}", row(event_type, width));
    }
    out.push_str("\n* needs the feature flag feature.integrations.webhooks\n");
    out
}

fn row(event_type: &EventType, width: usize) -> String {
    let EventType { id, name, aliases, gated, .. } = event_type;
    let mark = if *gated { '*' } else { ' ' };
    let also = if aliases.is_empty() { String::new() } else { format!(" (also {})", aliases.join(", ")) };
    format!("{mark} {id:width$}  {name}{also}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_has_every_type_in_its_group() {
        let text = table(&Catalogue::builtin());
        assert_eq!(text.lines().filter(|line| line.starts_with("* ") && line.contains('.')).count(), 9);
        assert_eq!(text.lines().filter(|line| line.starts_with("  ")).count(), 34);
        assert_eq!(
            text.lines().filter(|line| line.chars().next().is_some_and(char::is_alphabetic)).count(),
            7,
            "six of the platform and one of the engine"
        );
        let deleted = text.lines().find(|line| line.contains("user.deleted")).unwrap();
        assert!(deleted.ends_with("User Deleted Event (also UserDeleted Event)"), "{deleted}");
    }
}
