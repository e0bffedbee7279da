//! Tables: a header, aligned columns, a line below the header on a terminal.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle};

use super::Output;

/// On a terminal a thin line separates the header; elsewhere columns are separated by spaces alone.
const ON_TERMINAL: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
const ELSEWHERE: TableStyle = TableStyle::new();

/// The rows of one table.
pub(crate) struct Rows {
    table: Table,
    output: Output,
    dots: bool,
}

impl Rows {
    /// A table with these columns.
    pub(crate) fn new(output: Output, header: &[&str]) -> Self {
        Self::build(output, header, false)
    }

    /// A table whose rows begin with an online dot on a terminal.
    pub(crate) fn with_dots(output: Output, header: &[&str]) -> Self {
        Self::build(output, header, output.is_terminal())
    }

    fn build(output: Output, header: &[&str], dots: bool) -> Self {
        let mut table = Table::new();
        table.load_style(if output.is_terminal() { ON_TERMINAL } else { ELSEWHERE });
        table.set_content_arrangement(if output.is_terminal() {
            ContentArrangement::Dynamic
        } else {
            ContentArrangement::Disabled
        });
        let title = |text: &str| if output.is_colored() { Cell::new(text).add_attribute(Attribute::Bold) } else { Cell::new(text) };
        let mark = dots.then(|| Cell::new(""));
        table.set_header(mark.into_iter().chain(header.iter().map(|text| title(text))).collect::<Vec<_>>());
        if dots && let Some(column) = table.column_mut(0) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
        Self { table, output, dots }
    }

    /// A row.
    pub(crate) fn push<const N: usize>(&mut self, cells: [String; N]) {
        self.table.add_row(cells);
    }

    /// A row of a table with dots.
    pub(crate) fn push_with_dot<const N: usize>(&mut self, online: bool, cells: [String; N]) {
        let dot = self.dots.then(|| {
            let dot = Cell::new(if online { "●" } else { "○" });
            match (self.output.is_colored(), online) {
                (true, true) => dot.fg(Color::Green),
                (true, false) => dot.fg(Color::DarkGrey),
                (false, _) => dot,
            }
        });
        self.table.add_row(dot.into_iter().chain(cells.into_iter().map(Cell::new)).collect::<Vec<_>>());
    }

    /// The table as text, without white space at the ends of lines.
    pub(crate) fn finish(self) -> String {
        self.table.trim_fmt()
    }
}

/// A table of two columns without a header: what, and its value.
pub(crate) fn facts(output: Output, rows: Vec<(&str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(ELSEWHERE);
    table.set_content_arrangement(if output.is_terminal() {
        ContentArrangement::Dynamic
    } else {
        ContentArrangement::Disabled
    });
    for (name, value) in rows {
        let name = Cell::new(name);
        let name = if output.is_colored() { name.add_attribute(Attribute::Bold) } else { name };
        table.add_row([name, Cell::new(value)]);
    }
    table.trim_fmt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn away_from_a_terminal_a_table_is_plain_aligned_text() {
        let mut rows = Rows::with_dots(Output::fixed(false, false), &["Name", "Status"]);
        rows.push_with_dot(true, ["Echo".to_owned(), "online".to_owned()]);
        rows.push_with_dot(false, ["Longer name".to_owned(), "offline".to_owned()]);
        let text = rows.finish();
        let lines: Vec<Vec<&str>> = text.lines().map(|line| line.split("  ").map(str::trim).filter(|part| !part.is_empty()).collect()).collect();
        assert_eq!(lines, [vec!["Name", "Status"], vec!["Echo", "online"], vec!["Longer name", "offline"]], "{text}");
        assert!(!text.contains('●') && !text.contains('\x1b') && !text.contains('─'), "{text}");
    }

    #[test]
    fn on_a_terminal_rows_have_dots_and_the_header_a_line() {
        let mut rows = Rows::with_dots(Output::fixed(true, false), &["Name"]);
        rows.push_with_dot(true, ["Echo".to_owned()]);
        rows.push_with_dot(false, ["Gone".to_owned()]);
        let text = rows.finish();
        assert!(text.contains('●') && text.contains('○') && text.contains('─'), "{text}");
        assert!(!text.contains('\x1b'), "{text:?}");
    }

    #[test]
    fn facts_stand_in_two_columns() {
        let text = facts(Output::fixed(false, false), vec![("Thread", "t1".into()), ("Messages", "3".into())]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().nth(1).unwrap().ends_with('3'), "{text}");
    }
}
