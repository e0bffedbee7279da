//! Tables: a header, aligned columns, a line below the header on a terminal.

use comfy_table::{Attribute, Cell, Color, ColumnConstraint, ContentArrangement, LineStyle, Table, TableStyle};

use super::Output;

/// On a terminal a thin line separates the header; elsewhere columns are separated by spaces alone.
const ON_TERMINAL: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));
const ELSEWHERE: TableStyle = TableStyle::new();

/// Between two columns, in characters.
const GAP: u16 = 2;
/// The narrowest that a column is wrapped to, in characters.
const LEAST: u16 = 22;

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
        let title = |text: &str| {
            if output.is_colored() {
                Cell::new(text).add_attribute(Attribute::Bold)
            } else {
                Cell::new(text)
            }
        };
        let mark = dots.then(|| Cell::new(""));
        table.set_header(
            mark.into_iter()
                .chain(header.iter().map(|text| title(text)))
                .collect::<Vec<_>>(),
        );
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
        self.table.add_row(
            dot.into_iter()
                .chain(cells.into_iter().map(Cell::new))
                .collect::<Vec<_>>(),
        );
    }

    /// The table as text, without white space at the ends of lines.
    pub(crate) fn finish(mut self) -> String {
        arrange(&mut self.table);
        self.table.trim_fmt()
    }
}

/// A table of two columns without a header: what, and its value.
pub(crate) fn facts(output: Output, rows: Vec<(&str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(ELSEWHERE);
    for (name, value) in rows {
        let name = Cell::new(name);
        let name = if output.is_colored() {
            name.add_attribute(Attribute::Bold)
        } else {
            name
        };
        table.add_row([name, Cell::new(value)]);
    }
    arrange(&mut table);
    table.trim_fmt()
}

/// Columns begin at the margin and stand two spaces apart. Where a table is wider than the terminal, its widest column is
/// wrapped, unless too little would be left of it; then the terminal may wrap.
fn arrange(table: &mut Table) {
    for column in table.column_iter_mut() {
        column.set_padding((0, GAP));
    }
    let widths = table.column_max_content_widths();
    let Some(widest) = (0..widths.len()).max_by_key(|column| widths[*column]) else {
        return;
    };
    let total: u16 = widths
        .iter()
        .map(|width| width.saturating_add(GAP))
        .fold(0, u16::saturating_add);
    let fixed = total.saturating_sub(widths[widest]);
    let fits = |terminal: u16| (fixed.saturating_add(LEAST)..total).contains(&terminal);
    if !table.width().is_some_and(fits) {
        table.set_content_arrangement(ContentArrangement::Disabled);
        return;
    }
    table.set_content_arrangement(ContentArrangement::Dynamic);
    for (index, column) in table.column_iter_mut().enumerate() {
        if index != widest {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
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
        let lines: Vec<Vec<&str>> = text
            .lines()
            .map(|line| {
                line.split("  ")
                    .map(str::trim)
                    .filter(|part| !part.is_empty())
                    .collect()
            })
            .collect();
        assert_eq!(
            lines,
            [
                vec!["Name", "Status"],
                vec!["Echo", "online"],
                vec!["Longer name", "offline"]
            ],
            "{text}"
        );
        assert!(
            !text.contains('●') && !text.contains('\x1b') && !text.contains('─'),
            "{text}"
        );
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
    fn a_wide_table_wraps_its_widest_column_where_there_is_room() {
        let lines = |width: u16| {
            let mut rows = Rows::new(Output::fixed(true, false), &["Sent", "Message"]);
            rows.push(["2026-02-21T08:00:00Z".to_owned(), "word ".repeat(12).trim().to_owned()]);
            rows.table.set_width(width);
            let text = rows.finish();
            assert!(text.contains("2026-02-21T08:00:00Z"), "{text}");
            (
                text.lines().count(),
                text.lines().map(|line| line.chars().count()).max().unwrap(),
            )
        };
        assert_eq!(lines(200), (3, 83), "enough room: nothing is wrapped");
        let (count, widest) = lines(60);
        assert!(count > 3 && widest <= 60, "{count} {widest}");
        for narrow in [0, 10, 40] {
            assert_eq!(lines(narrow).0, 3, "{narrow}: too little room to wrap well");
        }
    }

    #[test]
    fn facts_stand_in_two_columns() {
        let text = facts(
            Output::fixed(false, false),
            vec![("Thread", "t1".into()), ("Messages", "3".into())],
        );
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().nth(1).unwrap().ends_with('3'), "{text}");
    }
}
