//! Rendering the state as cells of the screen. No I/O, no clock.

mod lists;
mod pages;
mod short_forms;
mod table;
mod theme;

use std::time::Duration;

use agentnet_protocol::Timestamp;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::mailboxes::MailCounts;
use super::rate::rate_text;
use super::state::{RegistryStatus, State};
use super::ui::Ui;
use super::view::{Page, View};
pub(crate) use theme::Theme;

/// The current time, by the wall clock and by the stopwatch.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) at: Timestamp,
    pub(crate) now: Duration,
}

/// Lines above the list: network, traffic, views.
pub(crate) const HEADER_HEIGHT: u16 = 3;

/// Draws the whole screen.
pub(crate) fn draw(state: &State, ui: &mut Ui, moment: Moment, theme: Theme, area: Rect, buffer: &mut Buffer) {
    if area.height < 2 || area.width < 2 {
        return;
    }
    let line = |y: u16| Rect::new(area.x, area.y + y, area.width, 1).intersection(area);
    network(state, theme).render(line(0), buffer);
    traffic(state, moment, theme).render(line(1), buffer);
    views(state, ui, theme).render(line(2), buffer);
    let foot = line(area.height - 1);
    let body = Rect::new(
        area.x,
        area.y + HEADER_HEIGHT,
        area.width,
        area.height.saturating_sub(HEADER_HEIGHT + 1),
    )
    .intersection(area);
    // Without the header of the table.
    let height = usize::from(body.height.saturating_sub(1));
    match ui.page.clone() {
        _ if ui.help => pages::help(theme, body, buffer),
        Some(page) => pages::page(state, ui, &page, moment, theme, body, buffer),
        None => list(state, ui, moment, theme, body, height, buffer),
    }
    footer(ui, theme).render(foot, buffer);
}

fn list(state: &State, ui: &mut Ui, moment: Moment, theme: Theme, area: Rect, height: usize, buffer: &mut Buffer) {
    match ui.view {
        View::Agents => {
            let rows = ui.agents(state, moment.now);
            ui.follow(rows.iter().map(|row| row.id), height);
            lists::agents(state, &rows, ui, moment, theme, area, buffer);
        }
        View::Messages => {
            let rows = ui.messages(state);
            ui.follow(rows.iter().map(|_| ""), height);
            lists::messages(state, &rows, ui, theme, area, buffer);
        }
        View::Threads => {
            let rows = ui.threads(state, moment.now);
            ui.follow(rows.iter().map(|row| row.0), height);
            lists::threads(state, &rows, ui, moment, theme, area, buffer);
        }
    }
}

/// The first line: address of the network, state of the registry.
fn network(state: &State, theme: Theme) -> Line<'static> {
    let mut spans = vec![
        Span::styled("agentnet top", theme.bold()),
        Span::raw(format!("  {}  ", state.link.url)),
    ];
    match &state.registry {
        _ if state.link.lost => spans.push(Span::styled("connection lost, reconnecting", theme.bad())),
        RegistryStatus::Unasked => spans.push(Span::styled("asking the registry", theme.dim())),
        RegistryStatus::Silent(why) => spans.push(Span::styled(why.clone(), theme.bad())),
        RegistryStatus::Answers(metrics) => {
            let word = |text: &str| crate::output::sanitize::clean(text).into_owned();
            let store = metrics.store_backend.as_deref().map_or_else(
                || if metrics.store_enabled { "stored" } else { "memory" }.to_owned(),
                word,
            );
            spans.push(Span::raw(format!("{} ({store})", word(&metrics.server_id))));
            if let Some(capture) = &metrics.capture {
                let style = if capture.lag > 1_000 {
                    theme.warn()
                } else {
                    Style::new()
                };
                spans.push(Span::styled(format!("  lag {}", capture.lag), style));
            }
        }
    }
    Line::from(spans)
}

/// The second line: numbers of agents and messages.
fn traffic(state: &State, moment: Moment, theme: Theme) -> Line<'static> {
    let (accounts, sessions) = state.agents.online();
    let failing = state.failing.per_second(moment.now);
    let mut spans = vec![
        Span::styled(format!("{accounts} online"), theme.bold()),
        Span::raw(if sessions == accounts {
            String::new()
        } else {
            format!(" in {sessions} sessions")
        }),
        Span::raw(format!("  {} msg/s", rate_text(state.passing.per_second(moment.now)))),
        Span::styled(
            format!("  {} errors/s", rate_text(failing)),
            if failing >= 0.05 { theme.bad() } else { Style::new() },
        ),
    ];
    if state.link.dropped > 0 {
        spans.push(Span::styled(
            format!("  too much to see: {} dropped", state.link.dropped),
            theme.warn(),
        ));
    }
    if let Some(mail) = state.mailboxes.total().filter(|mail| *mail != MailCounts::default()) {
        let dead = match mail.dead {
            0 => String::new(),
            dead => format!(", {dead} dead"),
        };
        let style = if mail.dead > 0 { theme.bad() } else { theme.warn() };
        spans.push(Span::styled(format!("  {} in mail{dead}", mail.waiting), style));
    }
    if let Some((tasks, is_cut)) = state.tasks.total().filter(|(tasks, _)| tasks.open > 0) {
        let least = if is_cut { "≥" } else { "" };
        let stalled = match tasks.stalled {
            0 => String::new(),
            stalled => format!(", {stalled} stalled"),
        };
        let style = if tasks.stalled > 0 { theme.bad() } else { Style::new() };
        let noun = if tasks.open == 1 { "task" } else { "tasks" };
        spans.push(Span::styled(
            format!("  {least}{} open {noun}{stalled}", tasks.open),
            style,
        ));
    }
    Line::from(spans)
}

/// The third line: the views, with order and filter of the current one.
fn views(state: &State, ui: &Ui, theme: Theme) -> Line<'static> {
    let mut spans = Vec::new();
    for (index, view) in View::ALL.into_iter().enumerate() {
        let text = format!(" {} {} ", index + 1, view.title());
        let here = view == ui.view;
        spans.push(Span::styled(text, if here { theme.selected() } else { Style::new() }));
        spans.push(Span::raw(" "));
    }
    if ui.page.is_none() {
        let arrow = if ui.is_reversed() { "▲" } else { "▼" };
        spans.push(Span::styled(format!(" by {} {arrow}", ui.ordered_by()), theme.dim()));
        if ui.view == View::Messages && state.messages.is_paused() {
            spans.push(Span::styled(" paused", theme.warn()));
        }
        if !ui.filter().is_empty() {
            spans.push(Span::styled(format!(" filter: {}", ui.filter()), theme.ask()));
        }
    }
    Line::from(spans)
}

fn footer(ui: &Ui, theme: Theme) -> Line<'static> {
    if ui.typing {
        return Line::from(vec![
            Span::styled("/", theme.bold()),
            Span::raw(ui.filter().to_owned()),
            Span::styled(" ", theme.selected()),
            Span::styled("  Enter keeps it, Esc clears it", theme.dim()),
        ]);
    }
    let text = match (&ui.page, ui.view) {
        _ if ui.help => "any key goes back",
        (Some(Page::Message { .. }), _) => "q quit  Esc back  Enter thread  ↑↓ scroll  ? help",
        (Some(_), _) => "q quit  Esc back  ↑↓ scroll  ? help",
        (None, View::Agents) => "q quit  ? help  / filter  Enter open  s sort  S reverse  1 2 3 views",
        (None, View::Messages) => "q quit  ? help  / filter  Enter open  Space pause  s S sort  1 2 3 views",
        (None, View::Threads) => "q quit  ? help  / filter  Enter open  s sort  S reverse  1 2 3 views",
    };
    Line::styled(text, theme.dim())
}

#[cfg(test)]
mod tests;
