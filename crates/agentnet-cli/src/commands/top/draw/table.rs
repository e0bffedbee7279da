//! A table with as many columns as fit, the most important first.

use std::borrow::Cow;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::Span;

use super::theme::Theme;

/// Space between two columns.
const COLUMN_GAP: u16 = 1;

/// Title, width and alignment of a table's column.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) title: &'static str,
    /// Minimum width.
    pub(crate) least: u16,
    /// Maximum width.
    pub(crate) most: u16,
    /// Whether it is right-aligned, as numbers are.
    pub(crate) right: bool,
    /// Columns with the largest rank are left out first.
    pub(crate) rank: u8,
}

impl Column {
    pub(crate) const fn text(title: &'static str, least: u16, most: u16, rank: u8) -> Self {
        Self {
            title,
            least,
            most,
            right: false,
            rank,
        }
    }

    pub(crate) const fn number(title: &'static str, width: u16, rank: u8) -> Self {
        Self {
            title,
            least: width,
            most: width,
            right: true,
            rank,
        }
    }
}

/// The content of a cell.
pub(crate) struct Cell<'a> {
    pub(crate) text: Cow<'a, str>,
    pub(crate) style: Style,
}

impl<'a> Cell<'a> {
    pub(crate) fn plain(text: impl Into<Cow<'a, str>>) -> Self {
        Self::styled(text, Style::new())
    }

    pub(crate) fn styled(text: impl Into<Cow<'a, str>>, style: Style) -> Self {
        Self {
            text: text.into(),
            style,
        }
    }
}

/// Which columns fit into a width, and how wide each is.
pub(crate) fn fit(columns: &[Column], width: u16) -> Vec<(usize, u16)> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let needed = |shown: &[usize]| {
        let gaps = COLUMN_GAP * u16::try_from(shown.len().saturating_sub(1)).unwrap_or(u16::MAX);
        shown.iter().map(|&index| columns[index].least).sum::<u16>() + gaps
    };
    while shown.len() > 1 && needed(&shown) > width {
        let Some(worst) = (0..shown.len()).max_by_key(|&at| columns[shown[at]].rank) else {
            break;
        };
        shown.remove(worst);
    }
    let mut spare = width.saturating_sub(needed(&shown));
    let mut widths: Vec<(usize, u16)> = shown.iter().map(|&index| (index, columns[index].least)).collect();
    let mut by_rank: Vec<usize> = (0..widths.len()).collect();
    by_rank.sort_by_key(|&at| columns[widths[at].0].rank);
    for at in by_rank {
        let (index, least) = widths[at];
        let more = spare.min(columns[index].most.saturating_sub(least));
        widths[at].1 += more;
        spare -= more;
    }
    widths
}

/// Draws the header and, below it, the rows that fit.
pub(crate) fn draw<'a, R>(
    buffer: &mut Buffer,
    area: Rect,
    theme: Theme,
    columns: &[Column],
    rows: impl Iterator<Item = R>,
    selected: Option<usize>,
    cell: impl Fn(&R, usize) -> Cell<'a>,
) {
    if area.height == 0 {
        return;
    }
    let widths = fit(columns, area.width);
    let line = |buffer: &mut Buffer, y: u16, of: &dyn Fn(usize) -> Cell<'a>| {
        let mut x = area.x;
        for &(index, width) in &widths {
            let cell = of(index);
            put(buffer, (x, y), width, columns[index].right, &cell);
            x += width + COLUMN_GAP;
        }
    };
    line(buffer, area.y, &|index| Cell::styled(columns[index].title, theme.dim()));
    for (at, row) in rows.take(usize::from(area.height - 1)).enumerate() {
        // At most the height of the terminal.
        let y = area.y + 1 + u16::try_from(at).unwrap_or(u16::MAX);
        line(buffer, y, &|index| cell(&row, index));
        if selected == Some(at) {
            buffer.set_style(Rect::new(area.x, y, area.width, 1), theme.selected());
        }
    }
}

/// Writes a cell; a text that is cut ends with `…`.
fn put(buffer: &mut Buffer, (x, y): (u16, u16), width: u16, right: bool, cell: &Cell<'_>) {
    let wide = Span::raw(&*cell.text).width();
    let room = usize::from(width);
    if wide > room {
        let (end, _) = buffer.set_stringn(x, y, &cell.text, room.saturating_sub(1), cell.style);
        buffer.set_stringn(end, y, "…", room.min(1), cell.style);
        return;
    }
    let shift = if right {
        width - u16::try_from(wide).unwrap_or(width)
    } else {
        0
    };
    buffer.set_stringn(x + shift, y, &cell.text, room, cell.style);
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 3] = [
        Column::text("NAME", 6, 20, 0),
        Column::number("N", 4, 1),
        Column::text("REST", 5, u16::MAX, 2),
    ];

    #[test]
    fn the_least_important_columns_go_first_and_the_important_ones_grow_first() {
        for (width, expected) in [
            (3, vec![(0, 6)]),
            (10, vec![(0, 10)]),
            (11, vec![(0, 6), (1, 4)]),
            (16, vec![(0, 11), (1, 4)]),
            (17, vec![(0, 6), (1, 4), (2, 5)]),
            (40, vec![(0, 20), (1, 4), (2, 14)]),
        ] {
            assert_eq!(fit(&COLUMNS, width), expected, "{width}");
        }
    }

    #[test]
    fn numbers_stand_at_the_right_and_long_text_is_cut() {
        let area = Rect::new(0, 0, 17, 3);
        let mut buffer = Buffer::empty(area);
        let rows = [["bob", "7", "日本語です"], ["robinson", "123456", "x"]];
        draw(
            &mut buffer,
            area,
            Theme::plain(),
            &COLUMNS,
            rows.iter(),
            None,
            |row, index| Cell::plain(row[index]),
        );
        let line = |y| -> String { (0..17).map(|x| buffer[(x, y)].symbol().to_owned()).collect() };
        assert_eq!(line(0), "NAME      N REST ");
        assert_eq!(line(1), "bob       7 日 本 …");
        assert_eq!(line(2), "robin… 123… x    ");
    }
}
