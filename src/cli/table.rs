//! Tables for people: columns under a heading, no frames, so that they can be selected and cut.
//!
//! On a terminal they fit its width: what matters least is left out from the right, then long cells are
//! wrapped, never those of the first column. Elsewhere one row is one line with all of its columns, for
//! `grep` and `awk`.

use std::io::{self, IsTerminal};

use comfy_table::{ColumnConstraint, ContentArrangement, presets};

use super::{print, text};

/// Columns below which wrapping would only make shreds.
const WIDTH_MIN: u16 = 60;
/// Spaces between columns.
const GAP: u16 = 2;

pub(super) struct Table {
    inner: comfy_table::Table,
    /// So many of the last columns may be left out.
    spare: usize,
}

impl Table {
    /// Headings are written in capitals.
    pub(super) fn new(headings: &[&str]) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        table.set_header(headings.iter().map(|heading| heading.to_uppercase()));
        Self { inner: table, spare: 0 }
    }

    /// So many of the last columns are left out where they do not fit, the last one first.
    pub(super) fn spare(self, spare: usize) -> Self {
        Self { spare, ..self }
    }

    /// Names and values, without headings.
    pub(super) fn of_pairs(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let mut table = comfy_table::Table::new();
        table.load_style(presets::NOTHING);
        let mut table = Self { inner: table, spare: 0 };
        for (name, value) in pairs {
            table.row([name, value]);
        }
        table
    }

    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.inner.add_row(cells.into_iter().map(|cell| text::line(&cell)));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.inner.is_empty()
    }

    pub(super) fn render(mut self, width: Option<u16>) -> String {
        match width {
            Some(width) => {
                // The gap after the last column is cut off again.
                let width = width.max(WIDTH_MIN);
                self.leave_out(width);
                self.inner.set_content_arrangement(ContentArrangement::Dynamic).set_width(width + GAP);
            }
            None => {
                self.inner.set_content_arrangement(ContentArrangement::Disabled);
            }
        }
        for column in self.inner.column_iter_mut() {
            column.set_padding((0, GAP));
        }
        if let Some(first) = self.inner.column_mut(0) {
            // Ids and names are what one copies.
            first.set_constraint(ColumnConstraint::ContentWidth);
        }
        self.inner.trim_fmt() + "\n"
    }

    fn leave_out(&mut self, width: u16) {
        let widths = self.inner.column_max_content_widths();
        let mut needed: usize = widths.iter().map(|width| usize::from(width + GAP)).sum();
        for (index, column) in widths.iter().enumerate().rev().take(self.spare) {
            // The last gap may hang over.
            if needed <= usize::from(width + GAP) {
                return;
            }
            needed = needed.saturating_sub(usize::from(column + GAP));
            if let Some(column) = self.inner.column_mut(index) {
                column.set_constraint(ColumnConstraint::Hidden);
            }
        }
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
    fn what_matters_least_is_left_out_first() {
        let heads = |width| table().spare(2).render(width).lines().next().unwrap().to_owned();
        assert_eq!(heads(Some(60)), "ID        NAME");
        assert_eq!(heads(Some(200)), "ID        NAME  URL");
        assert_eq!(heads(None), "ID        NAME  URL");
        let long = table().spare(1).render(Some(60));
        assert!(long.lines().all(|line| line.chars().count() <= 60) && long.lines().count() == 3, "{long}");
    }

    #[test]
    fn pairs_stand_under_each_other() {
        let text = Table::of_pairs([("name", "x"), ("url", "y")].map(|(a, b)| (a.into(), b.into())));
        assert_eq!(text.render(None), "name  x\nurl   y\n");
    }
}
