//! The pages: one agent, thread or message, and the help.

use agentnet_protocol::Timestamp;
use agentnet_protocol::rpc::HistoryMessage;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use ratatui::text::{Line, Span};
use ratatui::widgets::Widget;

use super::lists::{dot, participants};
use super::short_forms::{count, count_or_dot, since, span};
use super::{Moment, Theme, lists, short_forms};
use crate::account_names::without_account;
use crate::commands::top::agents::Session;
use crate::commands::top::messages::SeenMessage;
use crate::commands::top::rate::rate_text;
use crate::commands::top::state::{PageFacts, State};
use crate::commands::top::ui::Ui;
use crate::commands::top::view::Page;
use crate::output::json::indented;
use crate::output::sanitize::{clean, clean_lines, list, preview};

/// Maximum number of payload lines that are shown.
const PAYLOAD_LINES: usize = 500;

const HELP: &str = "  1 2 3, Tab   agents, messages, threads       ↑ ↓ PgUp PgDn g G   move
  Enter        the line's page, then the thread Esc   back, then clear a filter
  /            show only what contains a text  Space pause the messages
  s S          order the view by the next column, the other way round
  Ctrl-L       draw everything anew            q     quit

  Agents   ● online   ! circuit breaker open   ? hello overdue   ○ offline
  IN-FL    messages taken and not finished: by the agent's last hello, and the
           receipts since
  PEND     messages that waited for a handler at its last hello
  MBOX     messages that wait in its mailbox; ! some of them are dead
  TASKS    tasks that it has to do; ! some of them are stalled
  ERRORS   failures and refusals, by its own count since its process began
  IN/s     messages to it, OUT/s from it, in a second; replies count too
  ·        nothing, or not known yet: counters come with the agent's next hello
           (every 12 s by default); agents of other SDKs tell none
  Threads  ≥ before a number: what passed since this view began; the registry
           was not asked about what was before
  TOKENS~  an estimate, from the length of the messages";

/// Keys and columns.
pub(super) fn help(theme: Theme, area: Rect, buffer: &mut Buffer) {
    for (line, y) in HELP.lines().zip(area.y..area.bottom()) {
        let (left, rest) = line.split_at_checked(11).unwrap_or((line, ""));
        buffer.set_line(
            area.x,
            y,
            &Line::from(vec![Span::styled(left, theme.bold()), Span::raw(rest)]),
            area.width,
        );
    }
}

/// A page: its head, and below it the messages from [`Ui::scroll`] on.
pub(super) fn page(
    state: &State,
    ui: &mut Ui,
    page: &Page,
    moment: Moment,
    theme: Theme,
    area: Rect,
    buffer: &mut Buffer,
) {
    let facts = state.page.as_ref().filter(|facts| facts.page == *page);
    let head = match page {
        Page::Agent(id) => agent(state, facts, id, moment, theme),
        Page::Thread(id) => thread(state, facts, id, moment, theme),
        Page::Message { id, .. } => message(state, facts, id, theme),
    };
    if matches!(page, Page::Message { .. }) {
        return scrolled(head, ui, area, buffer);
    }
    for (line, y) in head.iter().zip(area.y..area.bottom()) {
        line.render(Rect::new(area.x, y, area.width, 1), buffer);
    }
    let used = u16::try_from(head.len() + 1).unwrap_or(u16::MAX).min(area.height);
    let below = Rect::new(area.x, area.y + used, area.width, area.height - used);
    ui.height = usize::from(below.height.saturating_sub(1));
    let messages = messages(state, facts, page);
    ui.scroll = ui.scroll.min(messages.len().saturating_sub(ui.height.max(1)));
    lists::passed(state, messages.iter().skip(ui.scroll), None, theme, below, buffer);
}

/// The messages from the registry's history, else those that were seen.
fn messages(state: &State, facts: Option<&PageFacts>, page: &Page) -> Vec<SeenMessage> {
    match facts {
        Some(facts) if !facts.history.is_empty() => facts.history.iter().map(stored).collect(),
        _ => state
            .messages
            .latest()
            .filter(|message| match page {
                Page::Agent(id) => *message.from == **id || *message.to == **id,
                Page::Thread(id) => *message.thread == **id,
                Page::Message { id, .. } => *message.id == **id,
            })
            .cloned()
            .collect(),
    }
}

fn stored(message: &HistoryMessage) -> SeenMessage {
    let account = |id: &Option<String>| id.clone().filter(|id| !id.is_empty());
    let label = message.from_agent.as_deref().unwrap_or_default();
    let sent = Timestamp::parse(&message.sent_at).or_else(|| Timestamp::parse(&message.received_at));
    SeenMessage::stored(
        sent.unwrap_or_default(),
        &account(&message.from_account_id).unwrap_or_else(|| without_account(label)),
        &account(&message.to_account_id).unwrap_or_else(|| message.to_agent.clone()),
        [&message.message_id, &message.kind, &message.thread_id],
        &preview(&message.payload),
    )
}

/// A name and its value.
fn fact(theme: Theme, name: &str, text: impl Into<String>) -> Line<'static> {
    Line::from(vec![
        Span::styled(format!("  {name:<13}"), theme.dim()),
        Span::raw(text.into()),
    ])
}

fn agent(state: &State, facts: Option<&PageFacts>, id: &str, moment: Moment, theme: Theme) -> Vec<Line<'static>> {
    let now = moment.now;
    let mut lines = Vec::new();
    let known = state.agents.get(id);
    let mut title = vec![Span::styled(state.name(id), theme.bold())];
    if let Some(agent) = known {
        let mark = dot(agent.presence(now), theme);
        title.insert(0, Span::styled(format!("{} ", mark.text), mark.style));
        title.push(Span::raw(format!("  {}", agent.name)));
    }
    title.push(Span::styled(format!("  {}", clean(id)), theme.dim()));
    lines.push(Line::from(title));
    match facts {
        None => lines.push(fact(theme, "Profile", "asking the registry…")),
        Some(PageFacts {
            problem: Some(problem), ..
        }) => lines.push(fact(theme, "Profile", problem.clone())),
        Some(facts) => {
            if let Some(profile) = &facts.profile {
                if !profile.bio.is_empty() {
                    lines.push(fact(theme, "Bio", clean(&profile.bio)));
                }
                lines.push(fact(theme, "Capabilities", list(&profile.capabilities)));
                lines.push(fact(
                    theme,
                    "Account",
                    format!(
                        "{}, {}, since {}",
                        clean(&profile.status),
                        clean(&profile.visibility),
                        day(&profile.created_at)
                    ),
                ));
            }
        }
    }
    if let Some(mail) = state.mailboxes.get(id) {
        let text = format!("{} waiting  {} dead", count(mail.waiting), count(mail.dead));
        lines.push(fact(theme, "Mailbox", text));
    }
    if let Some(tasks) = state.tasks.get(id) {
        let text = format!("{} open  {} stalled", count(tasks.open), count(tasks.stalled));
        lines.push(fact(theme, "Tasks", text));
    }
    let Some(agent) = known else { return lines };
    lines.push(fact(
        theme,
        "Traffic",
        format!(
            "{} in/s  {} out/s  errors {}",
            rate_text(agent.received.per_second(now)),
            rate_text(agent.sent.per_second(now)),
            count(agent.errors())
        ),
    ));
    for session in &agent.sessions {
        lines.extend(self::session(session, moment, theme));
    }
    lines
}

fn session(session: &Session, moment: Moment, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = vec![fact(
        theme,
        "Session",
        format!(
            "{}  {}  heard {} ago",
            session.tag,
            session.agent_id,
            span(moment.now.saturating_sub(session.seen))
        ),
    )];
    let Some(counters) = session.counters else {
        lines.push(fact(theme, "", "tells no counters"));
        return lines;
    };
    let mut work = fact(
        theme,
        "",
        format!(
            "in-flight {}  pending {}  {:.1} ms each",
            count_or_dot(session.inflight()),
            count(counters.pending),
            counters.avg_handle_ms
        ),
    );
    if counters.circuit_open {
        work.push_span(Span::styled("  circuit open", theme.bad()));
    }
    lines.push(work);
    lines.push(fact(
        theme,
        "",
        format!(
            "processed {}  errors {}  rejected {}  retries {}",
            count(counters.processed),
            count(counters.errors),
            count(counters.rejected),
            count(counters.retries)
        ),
    ));
    lines
}

fn thread(state: &State, facts: Option<&PageFacts>, id: &str, moment: Moment, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::from(vec![
        Span::styled("Thread ", theme.dim()),
        Span::styled(clean(id).into_owned(), theme.bold()),
    ])];
    if let Some(thread) = state.threads.get(id) {
        let least = if thread.known { "" } else { "≥" };
        lines.push(fact(
            theme,
            "Messages",
            format!(
                "{least}{}  tokens ~{}  {} msg/s  active {} ago",
                thread.messages,
                thread.tokens,
                rate_text(thread.rate.per_second(moment.now)),
                since(thread.active, moment.at)
            ),
        ));
        lines.push(fact(theme, "Participants", participants(state, thread)));
    }
    match facts {
        None => lines.push(fact(theme, "Status", "asking the registry…")),
        Some(PageFacts {
            problem: Some(problem), ..
        }) => lines.push(fact(theme, "Status", problem.clone())),
        Some(facts) => {
            if let Some(status) = &facts.status {
                let summary = &status.thread;
                lines.push(fact(
                    theme,
                    "Status",
                    format!(
                        "{}  limits {}/{} tokens  {} since the last checkpoint",
                        clean(&summary.status),
                        status.soft_limit_tokens,
                        status.hard_limit_tokens,
                        summary.pending_messages
                    ),
                ));
                lines.push(fact(theme, "Began", day(&summary.created_at)));
            }
        }
    }
    lines
}

/// A page of text.
fn scrolled(lines: Vec<Line<'static>>, ui: &mut Ui, area: Rect, buffer: &mut Buffer) {
    ui.height = usize::from(area.height);
    ui.scroll = ui.scroll.min(lines.len().saturating_sub(ui.height.max(1)));
    for (line, y) in lines.iter().skip(ui.scroll).zip(area.y..area.bottom()) {
        line.render(Rect::new(area.x, y, area.width, 1), buffer);
    }
}

/// One message: its properties, receipts, payload and replies.
fn message(state: &State, facts: Option<&PageFacts>, id: &str, theme: Theme) -> Vec<Line<'static>> {
    let mut lines = vec![Line::from(vec![
        Span::styled("Message ", theme.dim()),
        Span::styled(clean(id).into_owned(), theme.bold()),
    ])];
    let history = facts.map(|facts| facts.history.as_slice()).unwrap_or_default();
    let found = history.iter().find(|message| message.message_id == id);
    let passed = found.map(stored);
    let passed = passed
        .as_ref()
        .or_else(|| state.messages.latest().find(|message| *message.id == *id));
    if let Some(passed) = passed {
        let parties = format!("{} → {}", state.name(&passed.from), state.name(&passed.to));
        lines.push(fact(theme, "From, to", parties));
        lines.push(fact(
            theme,
            "Kind",
            format!("{}  in thread {}", passed.kind, passed.thread),
        ));
        lines.push(fact(theme, "Sent", short_forms::time_of_day(passed.at)));
    }
    for receipt in state.receipts.iter().filter(|receipt| *receipt.message_id == *id) {
        let receipt_text = format!(
            "{}  {} by {}",
            short_forms::time_of_day(receipt.at),
            receipt.what,
            state.name(&receipt.by)
        );
        lines.push(fact(theme, "Receipt", receipt_text));
    }
    match (facts, found) {
        (None, _) => lines.push(fact(theme, "Payload", "asking the registry…")),
        (Some(facts), None) => {
            let why = facts.problem.as_deref().unwrap_or("the registry has not stored it");
            lines.push(fact(theme, "Payload", why));
            lines.extend(passed.map(|passed| Line::raw(format!("  {}", passed.preview))));
        }
        (Some(_), Some(message)) => lines.extend(payload(message)),
    }
    for reply in history.iter().filter(|message| message.message_id != id) {
        let times = (
            Timestamp::parse(&reply.sent_at),
            found.and_then(|found| Timestamp::parse(&found.sent_at)),
        );
        let latency = match times {
            (Some(replied), Some(sent)) => format!("  after {} ms", replied.micros_since(sent).max(0) / 1000),
            _ => String::new(),
        };
        let from = state.name(&stored(reply).from);
        lines.push(Line::raw(""));
        lines.push(fact(
            theme,
            "Followed by",
            format!("{} from {from}{latency}", clean(&reply.kind)),
        ));
        lines.extend(payload(reply));
    }
    lines
}

/// A payload, indented.
fn payload(message: &HistoryMessage) -> Vec<Line<'static>> {
    let text = clean_lines(&indented(&message.payload));
    let lines = text.lines().take(PAYLOAD_LINES);
    lines.map(|line| Line::raw(format!("  {line}"))).collect()
}

/// A timestamp to the minute.
fn day(text: &str) -> String {
    Timestamp::parse(text).map_or_else(
        || "—".to_owned(),
        |at| {
            format!(
                "{} {}",
                at.to_string().get(..10).unwrap_or(""),
                short_forms::time_of_day(at)
            )
        },
    )
}
