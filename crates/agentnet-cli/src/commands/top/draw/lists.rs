//! The three lists.

use std::time::Duration;

use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::style::Style;

use super::short_forms::{count, count_or_dot, since, span, time_of_day};
use super::table::{self, Cell, Column};
use super::{Moment, Theme};
use crate::commands::top::agents::{LATE_AFTER, Presence};
use crate::commands::top::mailboxes::MailCounts;
use crate::commands::top::messages::SeenMessage;
use crate::commands::top::rate::rate_text;
use crate::commands::top::rows::AgentRow;
use crate::commands::top::state::State;
use crate::commands::top::tasks::TaskCounts;
use crate::commands::top::threads::Thread;
use crate::commands::top::ui::Ui;

/// Without the last four, they fit into 80 columns.
const AGENTS: [Column; 15] = [
    Column::text("", 1, 1, 0),
    Column::text("USER", 16, 32, 0),
    Column::text("AGENT", 10, 24, 7),
    Column::number("IN-FL", 6, 1),
    Column::number("PEND", 5, 4),
    Column::number("MBOX", 4, 6),
    Column::number("TASKS", 5, 6),
    Column::number("IN/s", 5, 2),
    Column::number("OUT/s", 5, 3),
    Column::number("ERRORS", 6, 1),
    Column::number("SEEN", 4, 5),
    Column::number("HANDLED", 7, 8),
    Column::number("SESSIONS", 8, 9),
    Column::text("NAME", 10, 30, 10),
    Column::text("ACCOUNT", 31, u16::MAX, 11),
];

/// The list of agents.
pub(super) fn agents(
    state: &State,
    rows: &[AgentRow<'_>],
    ui: &Ui,
    moment: Moment,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let cursor = ui.cursor();
    let shown = rows.iter().skip(cursor.offset);
    let selected = (!rows.is_empty()).then(|| cursor.index - cursor.offset);
    table::draw(buffer, area, theme, &AGENTS, shown, selected, |row, column| {
        let work = (state.mailboxes.get(row.id), state.tasks.get(row.id));
        agent_cell(row, work, column, moment.now, theme)
    });
    if rows.is_empty() {
        empty(
            buffer,
            area,
            theme,
            if ui.filter().is_empty() {
                "No agents online"
            } else {
                "No agent matches"
            },
        );
    }
}

fn agent_cell<'a>(
    row: &AgentRow<'a>,
    (mail, tasks): (Option<MailCounts>, Option<TaskCounts>),
    column: usize,
    now: Duration,
    theme: Theme,
) -> Cell<'a> {
    let (id, agent) = (row.id, row.agent);
    let presence = agent.presence(now);
    let style = if presence == Presence::Offline {
        theme.dim()
    } else {
        Style::new()
    };
    let alarm = |on: bool, with: Style| if on { with } else { style };
    match column {
        0 => dot(presence, theme),
        1 => match &*agent.username {
            "" => Cell::styled(crate::account_names::short_id(id), style),
            name => Cell::styled(format!("@{name}"), style.patch(theme.bold())),
        },
        2 => Cell::styled(&*agent.agent_id, style),
        3 => Cell::styled(count_or_dot(agent.inflight()), style),
        4 => {
            let pending = agent.pending();
            Cell::styled(
                count_or_dot(pending),
                alarm(pending.is_some_and(|pending| pending > 0), theme.warn()),
            )
        }
        5 => mailbox_cell(mail, style, theme),
        6 => tasks_cell(tasks, style, theme),
        7 => Cell::styled(rate_text(agent.received.per_second(now)), style),
        8 => Cell::styled(rate_text(agent.sent.per_second(now)), style),
        9 => {
            let errors = agent.errors();
            Cell::styled(count(errors), alarm(errors > 0, theme.bad()))
        }
        10 => {
            let ago = agent.seen_ago(now);
            Cell::styled(span(ago), alarm(ago > LATE_AFTER, theme.warn()))
        }
        11 => Cell::styled(count_or_dot(agent.processed()), style),
        12 => Cell::styled(agent.sessions.len().to_string(), style),
        13 => Cell::styled(&*agent.name, style),
        _ => Cell::styled(id, style.patch(theme.dim())),
    }
}

/// The number of messages in a mailbox. Dead ones count too, and are marked.
fn mailbox_cell(mail: Option<MailCounts>, style: Style, theme: Theme) -> Cell<'static> {
    match mail {
        Some(MailCounts { waiting, dead: 0 }) => {
            Cell::styled(count(waiting), if waiting > 0 { theme.warn() } else { style })
        }
        Some(MailCounts { waiting, dead }) => {
            Cell::styled(format!("{}!", count(waiting.saturating_add(dead))), theme.bad())
        }
        None => Cell::styled(count_or_dot(None), style),
    }
}

/// The number of open tasks. Where some are stalled, it is marked.
fn tasks_cell(tasks: Option<TaskCounts>, style: Style, theme: Theme) -> Cell<'static> {
    match tasks {
        Some(TaskCounts { open, stalled: 0 }) => Cell::styled(count(open), style),
        Some(TaskCounts { open, .. }) => Cell::styled(format!("{}!", count(open)), theme.bad()),
        None => Cell::styled(count_or_dot(None), style),
    }
}

/// The presence of an agent as one character, which is distinct without colours too.
pub(super) fn dot(presence: Presence, theme: Theme) -> Cell<'static> {
    match presence {
        Presence::Online => Cell::styled("●", theme.good()),
        Presence::Open => Cell::styled("!", theme.bad()),
        Presence::Late => Cell::styled("?", theme.warn()),
        Presence::Offline => Cell::styled("○", theme.dim()),
    }
}

/// They fit into 80 columns. A preview has 72 characters at most.
const MESSAGES: [Column; 6] = [
    Column::text("TIME", 8, 8, 5),
    Column::text("FROM", 13, 28, 1),
    Column::text("TO", 13, 28, 1),
    Column::text("KIND", 7, 10, 3),
    Column::text("THREAD", 10, 40, 4),
    Column::text("MESSAGE", 24, 72, 2),
];

/// The list of messages.
pub(super) fn messages(state: &State, rows: &[&SeenMessage], ui: &Ui, theme: Theme, area: Rect, buffer: &mut Buffer) {
    let cursor = ui.cursor();
    let shown = rows.iter().copied().skip(cursor.offset);
    // While new messages move the list, no line is selected.
    let selected = (state.messages.is_paused() && !rows.is_empty()).then(|| cursor.index - cursor.offset);
    passed(state, shown, selected, theme, area, buffer);
    if rows.is_empty() {
        let text = match ui.filter() {
            "" => "No message passed yet",
            _ => "No message matches of those that passed",
        };
        empty(buffer, area, theme, text);
    }
}

/// Messages, one a line.
pub(super) fn passed<'a>(
    state: &State,
    rows: impl Iterator<Item = &'a SeenMessage>,
    selected: Option<usize>,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    table::draw(
        buffer,
        area,
        theme,
        &MESSAGES,
        rows,
        selected,
        |message, column| match column {
            0 => Cell::styled(time_of_day(message.at), theme.dim()),
            1 => Cell::plain(state.name(&message.from)),
            2 => Cell::plain(state.name(&message.to)),
            3 => Cell::styled(&*message.kind, kind_style(&message.kind, theme)),
            4 => Cell::styled(&*message.thread, theme.dim()),
            _ => Cell::plain(&*message.preview),
        },
    );
}

fn kind_style(kind: &str, theme: Theme) -> Style {
    match kind {
        "error" => theme.bad(),
        "request" => theme.ask(),
        "reply" | "stream" => theme.good(),
        _ => Style::new(),
    }
}

const THREADS: [Column; 6] = [
    Column::text("THREAD", 20, 48, 0),
    Column::number("MESSAGES", 8, 1),
    Column::number("TOKENS~", 8, 2),
    Column::number("MSG/s", 5, 4),
    Column::number("ACTIVE", 6, 3),
    Column::text("PARTICIPANTS", 16, u16::MAX, 5),
];

/// The list of threads.
pub(super) fn threads(
    state: &State,
    rows: &[(&str, &Thread)],
    ui: &Ui,
    moment: Moment,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let cursor = ui.cursor();
    let shown = rows.iter().skip(cursor.offset);
    let selected = (!rows.is_empty()).then(|| cursor.index - cursor.offset);
    table::draw(
        buffer,
        area,
        theme,
        &THREADS,
        shown,
        selected,
        |(id, thread), column| {
            let number = |number: i64| {
                let text = count(u64::try_from(number).unwrap_or(0));
                // Earlier messages are not known.
                Cell::plain(if thread.known { text } else { format!("≥{text}") })
            };
            match column {
                0 => Cell::styled((*id).to_owned(), theme.bold()),
                1 => number(thread.messages),
                2 => number(thread.tokens),
                3 => Cell::plain(rate_text(thread.rate.per_second(moment.now))),
                4 => Cell::plain(since(thread.active, moment.at)),
                _ => Cell::plain(participants(state, thread)),
            }
        },
    );
    if rows.is_empty() {
        let text = if ui.filter().is_empty() {
            "No thread yet"
        } else {
            "No thread matches"
        };
        empty(buffer, area, theme, text);
    }
}

/// The names of the participants.
pub(super) fn participants(state: &State, thread: &Thread) -> String {
    let names: Vec<_> = thread.participants.iter().map(|id| state.name(id)).collect();
    names.join(", ")
}

fn empty(buffer: &mut Buffer, area: Rect, theme: Theme, text: &str) {
    if area.height > 2 {
        buffer.set_stringn(area.x, area.y + 2, text, usize::from(area.width), theme.dim());
    }
}
