//! Tables for people: columns under a heading, no frames, so that they can be selected and cut.
//!
//! On a terminal they fit its width, and long cells are wrapped, the first column last. Elsewhere nothing
//! is wrapped: one row is one line, for `grep` and `awk`.

use std::io::{self, IsTerminal};

use comfy_table::{ColumnConstraint, ContentArrangement, presets};

use super::{print, text};

/// Columns below which wrapping would only make shreds.
const WIDTH_MIN: u16 = 60;
/// Spaces between columns.
const GAP: u16 = 2;

pub(super) struct Table(comfy_table::Table);

impl Table {
    /// Headings are written in capitals.
    pub(super) fn new(headings: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
        Self(table)
    }

    /// Names and values, without headings.
    pub(super) fn of_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        let mut table = Self(table);
        for (name, value) in pairs {
            table.row([name, value]);
        }
        table
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.0.add_row(cells.into_iter().map(|cell| text::line(&cell)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn render(mut self, width: Option<u16>) -> String {
        match width {
            Some(width) => {
                self.0.set_content_arrangement(ContentArrangement::Dynamic).set_width(width.max(WIDTH_MIN));
            }
            None => {
                self.0.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        for column in self.0.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        if let Some(first) = self.0.column_mut(0) {
            // Ids and names are what one copies.
            first.set_constraint(ColumnConstraint::ContentWidth);
        }
        self.0.trim_fmt() + "\n"
    }

    pub(super) fn print(self) -> io::Result<()> {
        print(&self.render(terminal_width()))
    }
}

/// `None` where stdout is no terminal.
fn terminal_width() -> Option<u16> {
    if !io::stdout().is_terminal() {
        return None;
    }
    terminal_size::terminal_size().map(|(width, _)| width.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["id", "name", "url"]);
        table.row(["sub_1".to_owned(), "a\u{1b}[2J".to_owned(), "https://example.com/hook".to_owned()]);
        table.row(["sub_2222".to_owned(), "b".to_owned(), format!("https://example.com/{}", "x".repeat(60))]);
        table
    }

    #[test]
    fn a_row_is_a_line_where_nobody_looks() {
        let text = table().render(None);
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        assert_eq!(lines[0], "ID        NAME  URL");
        assert_eq!(lines[1], "sub_1     a[2J  https://example.com/hook");
    }

    #[test]
    fn on_a_terminal_it_fits() {
        let text = table().render(Some(60));
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.lines().count() > 3, "{text}");
        assert!(text.contains("sub_2222  b"), "{text}");
    }

    #[test]
    fn pairs_stand_under_each_other() {
        let text = Table::of_pairs([("name", "x"), ("url", "y")].map(|(a, b)| (a.into(), b.into())));
        assert_eq!(text.render(None), "name  x\nurl   y\n");
    }
}
