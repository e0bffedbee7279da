//! Filtering and sorting the lines of the lists.

use std::time::Duration;

use super::agents::Agent;
use super::mailboxes::MailCounts;
use super::messages::SeenMessage;
use super::state::State;
use super::tasks::TaskCounts;
use super::threads::Thread;

/// How long an agent that went offline is still listed.
const OFFLINE_LISTED_FOR: Duration = Duration::from_secs(60);

/// The order of the agents: largest value first, names from a to z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum AgentOrder {
    #[default]
    Activity,
    Name,
    InFlight,
    Pending,
    Mailbox,
    Tasks,
    Received,
    Sent,
    Errors,
    Seen,
}

impl AgentOrder {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Activity => Self::Name,
            Self::Name => Self::InFlight,
            Self::InFlight => Self::Pending,
            Self::Pending => Self::Mailbox,
            Self::Mailbox => Self::Tasks,
            Self::Tasks => Self::Received,
            Self::Received => Self::Sent,
            Self::Sent => Self::Errors,
            Self::Errors => Self::Seen,
            Self::Seen => Self::Activity,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Activity => "activity",
            Self::Name => "name",
            Self::InFlight => "in-flight",
            Self::Pending => "pending",
            Self::Mailbox => "mailbox",
            Self::Tasks => "tasks",
            Self::Received => "in/s",
            Self::Sent => "out/s",
            Self::Errors => "errors",
            Self::Seen => "last seen",
        }
    }

    fn measure(self, agent: &Agent, now: Duration) -> f64 {
        let rates = |rates: [f32; 2]| f64::from(rates[0] + rates[1]);
        match self {
            Self::Activity => {
                let moving = rates([agent.received.per_second(now), agent.sent.per_second(now)]);
                // Decayed rates count as zero, so that the order becomes stable.
                if moving < 0.05 { 0.0 } else { moving }
            }
            // Mailbox and tasks are not known to the agent.
            Self::Name | Self::Mailbox | Self::Tasks => 0.0,
            Self::InFlight => agent.inflight().map_or(-1.0, |count| count as f64),
            Self::Pending => agent.pending().map_or(-1.0, |count| count as f64),
            Self::Received => rates([agent.received.per_second(now), 0.0]),
            Self::Sent => rates([0.0, agent.sent.per_second(now)]),
            Self::Errors => agent.errors() as f64,
            Self::Seen => -agent.seen_ago(now).as_secs_f64(),
        }
    }
}

/// The order of the messages: latest first, texts from a to z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum MessageOrder {
    #[default]
    Time,
    From,
    To,
    Kind,
    Thread,
}

impl MessageOrder {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Time => Self::From,
            Self::From => Self::To,
            Self::To => Self::Kind,
            Self::Kind => Self::Thread,
            Self::Thread => Self::Time,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::From => "from",
            Self::To => "to",
            Self::Kind => "kind",
            Self::Thread => "thread",
        }
    }

    fn key(self, message: &SeenMessage, state: &State) -> String {
        match self {
            Self::Time => String::new(),
            Self::From => state.name(&message.from),
            Self::To => state.name(&message.to),
            Self::Kind => message.kind.to_string(),
            Self::Thread => message.thread.to_string(),
        }
    }
}

/// The order of the threads: largest value first, ids from a to z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum ThreadOrder {
    #[default]
    Active,
    Messages,
    Tokens,
    Rate,
    Id,
}

impl ThreadOrder {
    pub(crate) fn next(self) -> Self {
        match self {
            Self::Active => Self::Messages,
            Self::Messages => Self::Tokens,
            Self::Tokens => Self::Rate,
            Self::Rate => Self::Id,
            Self::Id => Self::Active,
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Active => "activity",
            Self::Messages => "messages",
            Self::Tokens => "tokens",
            Self::Rate => "msg/s",
            Self::Id => "thread",
        }
    }

    fn measure(self, thread: &Thread, now: Duration) -> f64 {
        match self {
            Self::Active => thread.active.as_micros() as f64,
            Self::Messages => thread.messages as f64,
            Self::Tokens => thread.tokens as f64,
            Self::Rate => f64::from(thread.rate.per_second(now)),
            Self::Id => 0.0,
        }
    }
}

/// Filter and order of a list.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ListOptions<'a, O> {
    pub(crate) filter: &'a str,
    pub(crate) order: O,
    pub(crate) is_reversed: bool,
}

/// A line of the list of agents.
#[derive(Debug)]
pub(crate) struct AgentRow<'a> {
    pub(crate) id: &'a str,
    pub(crate) agent: &'a Agent,
    measure: f64,
}

/// The agents that are online or were until just now, or have messages in their mailbox or open tasks; with a filter, all that
/// match.
pub(crate) fn agents<'a>(state: &'a State, options: ListOptions<'_, AgentOrder>, now: Duration) -> Vec<AgentRow<'a>> {
    let filter = TextFilter::new(options.filter);
    let mail = |id: &str| state.mailboxes.get(id).unwrap_or_default();
    let tasks = |id: &str| state.tasks.get(id).unwrap_or_default();
    let measure = |id: &str, agent: &Agent| match options.order {
        AgentOrder::Mailbox => (mail(id).waiting + mail(id).dead) as f64,
        AgentOrder::Tasks => tasks(id).open as f64,
        order => order.measure(agent, now),
    };
    let mut rows: Vec<_> = state
        .agents
        .iter()
        .filter(|(id, agent)| match filter.is_empty() {
            true => {
                !agent.sessions.is_empty()
                    || agent.seen_ago(now) < OFFLINE_LISTED_FOR
                    || mail(id) != MailCounts::default()
                    || tasks(id) != TaskCounts::default()
            }
            false => filter.any([*id, &agent.username, &agent.name, &agent.agent_id]),
        })
        .map(|(id, agent)| AgentRow {
            id,
            agent,
            measure: measure(id, agent),
        })
        .collect();
    rows.sort_unstable_by(|one, other| {
        let offline = |row: &AgentRow<'_>| row.agent.sessions.is_empty();
        let name = |row: &AgentRow<'a>| (&*row.agent.username, row.id);
        let largest_first = other
            .measure
            .total_cmp(&one.measure)
            .then_with(|| name(one).cmp(&name(other)));
        let ordered = if options.is_reversed {
            largest_first.reverse()
        } else {
            largest_first
        };
        offline(one).cmp(&offline(other)).then(ordered)
    });
    rows
}

/// The threads that match the filter.
pub(crate) fn threads<'a>(
    state: &'a State,
    options: ListOptions<'_, ThreadOrder>,
    now: Duration,
) -> Vec<(&'a str, &'a Thread)> {
    let filter = TextFilter::new(options.filter);
    let mut rows: Vec<_> = state
        .threads
        .iter()
        .filter(|(id, thread)| {
            filter.is_empty()
                || filter.any([*id])
                || thread
                    .participants
                    .iter()
                    .any(|participant| filter.any([&*state.name(participant)]))
        })
        .collect();
    rows.sort_unstable_by(|(id, thread), (other_id, other)| {
        let measure = |thread| options.order.measure(thread, now);
        let largest_first = measure(other)
            .total_cmp(&measure(thread))
            .then_with(|| id.cmp(other_id));
        if options.is_reversed {
            largest_first.reverse()
        } else {
            largest_first
        }
    });
    rows
}

/// The messages that match the filter; equal ones with the latest first.
pub(crate) fn messages<'a>(state: &'a State, options: ListOptions<'_, MessageOrder>) -> Vec<&'a SeenMessage> {
    let filter = TextFilter::new(options.filter);
    let mut rows: Vec<_> = state
        .messages
        .shown()
        .filter(|message| {
            filter.is_empty()
                || filter.any([&*message.kind, &message.thread, &message.preview])
                || filter.any([&*message.from, &message.to])
                || [&message.from, &message.to]
                    .into_iter()
                    .any(|party| filter.any([&*state.name(party)]))
        })
        .collect();
    if options.order != MessageOrder::Time {
        rows.sort_by_cached_key(|message| options.order.key(message, state));
    }
    if options.is_reversed {
        rows.reverse();
    }
    rows
}

/// A case-insensitive text filter.
struct TextFilter(String);

impl TextFilter {
    fn new(text: &str) -> Self {
        Self(text.trim().to_lowercase())
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    fn any<'a>(&self, texts: impl IntoIterator<Item = &'a str>) -> bool {
        texts.into_iter().any(|text| self.is_in(text))
    }

    fn is_in(&self, text: &str) -> bool {
        if !text.is_ascii() {
            return text.to_lowercase().contains(&self.0);
        }
        let (text, part) = (text.as_bytes(), self.0.as_bytes());
        part.is_empty() || text.windows(part.len()).any(|window| window.eq_ignore_ascii_case(part))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_in_any_case() {
        for (filter, text, found) in [
            ("BOB", "acct_bob", true),
            ("ob", "Bob", true),
            ("é", "CAFÉ", true),
            ("x", "bob", false),
            ("bobby", "bob", false),
            (" ", "bob", true),
        ] {
            assert_eq!(TextFilter::new(filter).is_in(text), found, "{filter} in {text}");
        }
    }

    #[test]
    fn the_orders_are_a_circle() {
        let mut order = AgentOrder::default();
        let mut titles = Vec::new();
        loop {
            titles.push(order.title());
            order = order.next();
            if order == AgentOrder::default() {
                break;
            }
        }
        assert_eq!(titles.len(), 10);
    }
}
