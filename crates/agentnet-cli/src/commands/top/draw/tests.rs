use agentnet_protocol::AgentCounters;
use agentnet_protocol::rpc::{CaptureStats, MetricsReply, TaskSnapshot};
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

use super::*;
use crate::commands::top::mailboxes::MailCounts;
use crate::commands::top::state::Answer;
use crate::commands::top::state::tests::{hello, published, sent, with_agents};
use crate::commands::top::tasks::OpenTasks;
use crate::commands::top::view::Page;

const NOW: Duration = Duration::from_secs(86_400);
const AT: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

fn screen(state: &State, ui: &mut Ui, width: u16, height: u16, color: bool) -> Buffer {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let moment = Moment { at: AT, now: NOW };
    let draw = |frame: &mut ratatui::Frame<'_>| {
        let area = frame.area();
        draw(state, ui, moment, Theme::new(color), area, frame.buffer_mut());
    };
    terminal.draw(draw).unwrap();
    terminal.backend().buffer().clone()
}

fn lines(state: &State, ui: &mut Ui, width: u16, height: u16) -> Vec<String> {
    let buffer = screen(state, ui, width, height, false);
    (0..height)
        .map(|y| {
            let line: String = (0..width).map(|x| buffer[(x, y)].symbol()).collect();
            line.trim_end().to_owned()
        })
        .collect()
}

fn network() -> State {
    let mut state = with_agents(&["ann"]);
    let counters = AgentCounters {
        inflight: 2,
        pending: 30,
        processed: 400,
        errors: 5,
        circuit_open: true,
        avg_handle_ms: 3.5,
        ..AgentCounters::default()
    };
    state.apply(&hello("bob", Some(counters)), AT, NOW);
    state.apply(&sent("ann", "bob", Some("trip"), r#"{"text":"hi"}"#), AT, NOW);
    state.settle();
    for (account_id, waiting) in [(Some("acct_bob"), 2), (None, 4)] {
        state
            .mailboxes
            .counted(account_id, MailCounts { waiting, dead: 1 }, NOW);
    }
    let mut open = OpenTasks::default();
    for assignee in [Some("acct_bob"), None] {
        open.add(&TaskSnapshot {
            assignee_account_id: assignee.map(str::to_owned),
            stalled: assignee.is_some(),
            ..TaskSnapshot::default()
        });
    }
    state.answer(Answer::Tasks(open), AT, NOW);
    state.link.url = "nats://***@localhost:4222".into();
    state.registry = RegistryStatus::Answers(Box::new(MetricsReply {
        server_id: "registry".into(),
        store_backend: Some("sqlite".into()),
        capture: Some(CaptureStats::default()),
        ..MetricsReply::default()
    }));
    state
}

#[test]
fn the_agents_fill_eighty_columns() {
    let mut state = network();
    state.apply(&published("registry.goodbye", r#"{"session_tag":"tag_ann"}"#), AT, NOW);
    let lines = lines(&state, &mut Ui::default(), 80, 8);
    assert_eq!(
        lines,
        [
            "agentnet top  nats://***@localhost:4222  registry (sqlite)  lag 0",
            "1 online  0.3 msg/s  · errors/s  4 in mail, 1 dead  2 open tasks, 1 stalled",
            " 1 Agents   2 Messages   3 Threads   by activity ▼",
            "  USER                AGENT       IN-FL  PEND MBOX TASKS  IN/s OUT/s ERRORS SEEN",
            "! @bob                worker          2    30   3!    1!   0.3     ·      5   0s",
            "○ @ann                worker          ·     ·    ·     0     ·   0.3      0   0s",
            "",
            "q quit  ? help  / filter  Enter open  s sort  S reverse  1 2 3 views",
        ]
    );
}

#[test]
fn messages_and_threads_are_listed() {
    let state = network();
    let mut ui = Ui {
        view: View::Messages,
        ..Ui::default()
    };
    let messages = lines(&state, &mut ui, 80, 6);
    assert_eq!(
        messages[4],
        "22:13:20 @ann          @bob          request trip       hi"
    );
    ui.view = View::Threads;
    let threads = lines(&state, &mut ui, 80, 6);
    assert!(
        threads[4].starts_with("trip ") && threads[4].ends_with("@ann, @bob"),
        "{threads:?}"
    );
    let words: Vec<_> = threads[4].split_whitespace().collect();
    assert_eq!(words[1..5], ["≥1", "≥4", "0.3", "0s"]);
}

#[test]
fn whatever_is_shown_fits_into_any_size() {
    let state = network();
    for (width, height) in [
        (1, 1),
        (2, 2),
        (3, 40),
        (10, 3),
        (20, 6),
        (40, 5),
        (80, 24),
        (200, 50),
        (500, 2),
    ] {
        for view in View::ALL {
            for page in [
                None,
                Some(Page::Agent("acct_bob".into())),
                Some(Page::Thread("trip".into())),
                Some(Page::Message {
                    id: "m".into(),
                    thread: "trip".into(),
                }),
            ] {
                for (help, typing) in [(false, false), (true, false), (false, true)] {
                    let mut ui = Ui {
                        view,
                        page: page.clone(),
                        help,
                        typing,
                        ..Ui::default()
                    };
                    lines(&state, &mut ui, width, height);
                }
            }
        }
    }
}

#[test]
fn pages_tell_what_is_known_without_a_registry_too() {
    let state = network();
    let mut ui = Ui {
        page: Some(Page::Agent("acct_bob".into())),
        ..Ui::default()
    };
    let agent = lines(&state, &mut ui, 80, 24).join("\n");
    for part in [
        "! @bob  BOB  acct_bob",
        "asking the registry",
        "in-flight 2  pending 30  3.5 ms each  circuit open",
        "Mailbox      2 waiting  1 dead",
        "Tasks        1 open  1 stalled",
        "processed 400  errors 5  rejected 0  retries 0",
        "hi",
    ] {
        assert!(agent.contains(part), "`{part}` is missing in {agent}");
    }
    ui.page = Some(Page::Thread("trip".into()));
    let thread = lines(&state, &mut ui, 80, 24).join("\n");
    for part in ["Thread trip", "≥1", "@ann, @bob", "hi"] {
        assert!(thread.contains(part), "`{part}` is missing in {thread}");
    }
    ui.help = true;
    // All of it fits: nothing is cut at the right or below.
    let (narrow, wide) = (lines(&state, &mut ui, 80, 24), lines(&state, &mut ui, 200, 24));
    assert_eq!(narrow, wide);
    assert!(narrow.join("\n").contains("TOKENS~  an estimate"), "{narrow:?}");
}

#[test]
fn trouble_is_told_in_the_head() {
    let mut state = network();
    state.link.dropped = 7;
    state.link.lost = true;
    let told = lines(&state, &mut Ui::default(), 80, 24);
    assert!(told[0].contains("connection lost, reconnecting"), "{told:?}");
    assert!(told[1].contains("too much to see: 7 dropped"), "{told:?}");
    state.link.lost = false;
    state.registry = RegistryStatus::Silent("no registry answers".into());
    assert!(lines(&state, &mut Ui::default(), 80, 24)[0].ends_with("no registry answers"));
}

#[test]
fn without_colors_there_is_none() {
    let state = network();
    let colors = |color| {
        let buffer = screen(&state, &mut Ui::default(), 80, 24, color);
        let colored = |cell: &&ratatui::buffer::Cell| cell.fg != Color::Reset || cell.bg != Color::Reset;
        buffer.content().iter().filter(colored).count()
    };
    assert_eq!(colors(false), 0);
    assert!(colors(true) > 0);
}
