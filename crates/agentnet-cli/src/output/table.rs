//! Tables: a header, aligned columns, a line below the header on a terminal; or the same rows as CSV.
//!
//! If a table is wider than the terminal, the least important columns are shortened first, then left out. `--wide` shows
//! everything.

use std::borrow::Cow;

use agentnet_protocol::preview::visible::is_unseen;
use comfy_table::{Attribute, Cell, Color, ContentArrangement, LineStyle, Table, TableStyle};
use unicode_width::{UnicodeWidthChar as _, UnicodeWidthStr as _};

use super::{Output, Tint};
use crate::exit::Exit;

/// On a terminal, a thin line is drawn below the header. Elsewhere, spaces separate the columns.
const TERMINAL_STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─'));
const PLAIN_STYLE: TableStyle = TableStyle::new();

/// Space between two columns, in characters.
const COLUMN_GAP: usize = 2;
/// Minimum width of a shortened column, in characters. Columns that would be narrower are left out.
const MIN_COLUMN_WIDTH: usize = 12;

/// The name of a counted thing: singular, plural.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Noun(pub(crate) &'static str, pub(crate) &'static str);

pub(crate) const AGENTS: Noun = Noun("agent", "agents");
pub(crate) const MESSAGES: Noun = Noun("message", "messages");

impl Noun {
    /// The number with the noun.
    pub(crate) fn count(self, count: usize) -> String {
        format!("{count} {}", if count == 1 { self.0 } else { self.1 })
    }
}

/// The rows of one table.
pub(crate) struct Rows {
    header: Vec<String>,
    /// Indexes of the columns that may be shortened, the least important first.
    yielding: Vec<usize>,
    rows: Vec<(Option<bool>, Vec<String>)>,
    output: Output,
    dots: bool,
}

impl Rows {
    /// A table with these columns.
    pub(crate) fn new(output: Output, header: &[&str]) -> Self {
        Self {
            header: header.iter().map(ToString::to_string).collect(),
            yielding: Vec::new(),
            rows: Vec::new(),
            output,
            dots: false,
        }
    }

    /// A table whose rows begin with an online dot on a terminal.
    pub(crate) fn with_dots(output: Output, header: &[&str]) -> Self {
        let dots = output.is_terminal();
        Self {
            dots,
            ..Self::new(output, header)
        }
    }

    /// Sets the columns that may be shortened, the least important first.
    pub(crate) fn yielding(mut self, columns: &[&str]) -> Self {
        let number = |name: &&str| self.header.iter().position(|title| title == name);
        self.yielding = columns.iter().filter_map(number).collect();
        self
    }

    /// Adds a row without an online dot.
    pub(crate) fn push<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push((None, cells.into()));
    }

    /// A row of a table with dots.
    pub(crate) fn push_with_dot<const N: usize>(&mut self, online: bool, cells: [String; N]) {
        self.rows.push((Some(online), cells.into()));
    }

    /// Prints the table, on a terminal with the number of rows below it; without rows, the text `empty`.
    pub(crate) fn print(self, noun: Noun, empty: &str) -> Result<(), Exit> {
        let output = self.output;
        if output.is_csv() {
            return Ok(output.line(self.csv())?);
        }
        if self.rows.is_empty() {
            return Ok(output.line(empty)?);
        }
        let count = noun.count(self.rows.len());
        let mut text = self.finish();
        if output.is_terminal() {
            text = format!("{text}\n{}", output.tint(Tint::Dim, &count));
        }
        output.page(&text)
    }

    /// The rows as CSV (RFC 4180), the header first.
    fn csv(&self) -> String {
        let rows = self.rows.iter().map(|(_, cells)| cells);
        let line = |cells: &Vec<String>| {
            cells
                .iter()
                .map(|cell| quoted(value(cell)))
                .collect::<Vec<_>>()
                .join(",")
        };
        [&self.header]
            .into_iter()
            .chain(rows)
            .map(line)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// The table as text, without white space at the ends of lines.
    pub(crate) fn finish(mut self) -> String {
        if let Some(width) = self.output.width().filter(|_| !self.output.is_wide()) {
            self.fit(width);
        }
        self.text()
    }

    /// Makes the table as narrow as the terminal, if that is possible.
    fn fit(&mut self, terminal: usize) {
        let mut widths: Vec<usize> = (0..self.header.len()).map(|column| self.width(column)).collect();
        let mut shown: Vec<bool> = vec![true; widths.len()];
        let dots = if self.dots { 1 + COLUMN_GAP } else { 0 };
        let total = |widths: &[usize], shown: &[bool]| -> usize {
            let columns: Vec<usize> = widths
                .iter()
                .zip(shown)
                .filter(|(_, shown)| **shown)
                .map(|(width, _)| *width)
                .collect();
            dots + columns.iter().sum::<usize>() + COLUMN_GAP * columns.len().saturating_sub(1)
        };
        for column in self.yielding.clone() {
            let over = total(&widths, &shown).saturating_sub(terminal);
            let least = MIN_COLUMN_WIDTH.max(self.header[column].width()).min(widths[column]);
            widths[column] = widths[column].saturating_sub(over).max(least);
        }
        for column in self.yielding.clone() {
            if total(&widths, &shown) > terminal {
                shown[column] = false;
            }
        }
        // Columns that were left out make room for shortened ones.
        for column in self.yielding.iter().rev().copied() {
            if shown[column] {
                let room = terminal.saturating_sub(total(&widths, &shown));
                widths[column] = (widths[column] + room).min(self.width(column));
            }
        }
        for (_, cells) in &mut self.rows {
            for (cell, width) in cells.iter_mut().zip(&widths) {
                *cell = cut(cell, *width);
            }
            keep(cells, &shown);
        }
        keep(&mut self.header, &shown);
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|(_, cells)| cells.get(column));
        cells
            .chain([&self.header[column]])
            .map(|cell| cell.width())
            .max()
            .unwrap_or_default()
    }

    fn text(self) -> String {
        let output = self.output;
        let mut table = Table::new();
        table.load_style(if output.is_terminal() {
            TERMINAL_STYLE
        } else {
            PLAIN_STYLE
        });
        let title = |text: &String| {
            let title = Cell::new(text);
            if output.is_colored() {
                title.add_attribute(Attribute::Bold)
            } else {
                title
            }
        };
        let mark = self.dots.then(|| Cell::new(""));
        table.set_header(
            mark.into_iter()
                .chain(self.header.iter().map(title))
                .collect::<Vec<_>>(),
        );
        for (online, cells) in self.rows {
            let dot = online.filter(|_| self.dots).map(|online| dot(online, output));
            table.add_row(
                dot.into_iter()
                    .chain(cells.into_iter().map(Cell::new))
                    .collect::<Vec<_>>(),
            );
        }
        plain(table)
    }
}

fn dot(online: bool, output: Output) -> Cell {
    let dot = Cell::new(if online { "●" } else { "○" });
    match (output.is_colored(), online) {
        (true, true) => dot.fg(Color::Green),
        (true, false) => dot.fg(Color::DarkGrey),
        (false, _) => dot,
    }
}

/// A cell as CSV has it: no formula. A spreadsheet computes what begins with `=`, `+`, `-`, `@`, a tab or a carriage return,
/// some also behind white space or characters that cannot be seen: before these stands `'`, but not before numbers.
fn value(cell: &str) -> Cow<'_, str> {
    let begin = cell.trim_start_matches(|c: char| c.is_whitespace() || c.is_control() || is_unseen(c));
    let computed = begin.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']) || cell.starts_with(['\t', '\r']);
    // `inf` and `nan` are numbers to Rust alone.
    let number = cell.starts_with('-') && cell.parse::<f64>().is_ok_and(f64::is_finite);
    match computed && !number {
        true => Cow::Owned(format!("'{cell}")),
        false => Cow::Borrowed(cell),
    }
}

/// A value in quotes where it has to be: also where it holds a `;`, which separates cells in half of the world, and where
/// white space at an end would be trimmed.
fn quoted(value: Cow<'_, str>) -> Cow<'_, str> {
    let is_separator = |c: char| matches!(c, ',' | ';' | '"') || c.is_control();
    if value.contains(is_separator) || value.trim() != value {
        return Cow::Owned(format!("\"{}\"", value.replace('"', "\"\"")));
    }
    value
}

/// The cells that are shown.
fn keep(cells: &mut Vec<String>, shown: &[bool]) {
    let mut shown = shown.iter();
    cells.retain(|_| shown.next().copied().unwrap_or(true));
}

/// The text cut to a width in terminal columns; a cut text ends with `…`.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut room = width.saturating_sub(1);
    let mut cut = String::new();
    for c in text.chars() {
        let wide = c.width().unwrap_or_default();
        if wide > room {
            break;
        }
        room -= wide;
        cut.push(c);
    }
    cut + "…"
}

/// A table of names and values, without a header.
pub(crate) fn facts(output: Output, rows: Vec<(&str, String)>) -> String {
    let mut table = Table::new();
    table.load_style(PLAIN_STYLE);
    for (name, value) in rows {
        let name = Cell::new(name);
        let name = if output.is_colored() {
            name.add_attribute(Attribute::Bold)
        } else {
            name
        };
        table.add_row([name, Cell::new(value)]);
    }
    plain(table)
}

/// The table as text without borders.
fn plain(mut table: Table) -> String {
    let last = table.column_count().saturating_sub(1);
    for (number, column) in table.column_iter_mut().enumerate() {
        // No padding after the last column: the terminal may end there.
        column.set_padding((0, if number == last { 0 } else { COLUMN_GAP as u16 }));
    }
    table.set_content_arrangement(ContentArrangement::Disabled);
    table.trim_fmt()
}

#[cfg(test)]
mod tests;
