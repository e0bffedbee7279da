use super::*;
use crate::commands::top::state::tests::{sent, with_agents};
use agentnet_protocol::Timestamp;

const NOW: Duration = Duration::from_secs(86_400);
const AT: Timestamp = Timestamp::from_micros(1_700_000_000_000_000);

/// Presses the keys; `\x1b` is Escape, `\r` Enter, `\x08` Backspace.
fn press(ui: &mut Ui, state: &mut State, keys: &str) -> KeyAction {
    let mut then = KeyAction::Continue;
    for key in keys.chars() {
        let key = match key {
            '\x1b' => Key::Escape,
            '\r' => Key::Enter,
            '\x08' => Key::Backspace,
            c => Key::Char(c),
        };
        then = ui.press(key, state, NOW);
    }
    then
}

fn agents<'a>(state: &'a State, ui: &Ui) -> Vec<&'a str> {
    ui.agents(state, NOW).iter().map(|row| row.id).collect()
}

#[test]
fn keys_choose_views_pages_and_filters() {
    let mut state = with_agents(&["ann", "bob", "bobby"]);
    let mut ui = Ui::default();
    for (keys, view, filter, typing, page) in [
        ("", View::Agents, "", false, None),
        ("2", View::Messages, "", false, None),
        ("3", View::Threads, "", false, None),
        ("1", View::Agents, "", false, None),
        ("/boq?", View::Agents, "boq?", true, None),
        ("\x08\x08b", View::Agents, "bob", true, None),
        ("\r", View::Agents, "bob", false, None),
        ("2", View::Messages, "", false, None),
        ("1", View::Agents, "bob", false, None),
        ("j\r", View::Agents, "bob", false, Some("acct_bobby")),
        ("/j", View::Agents, "bob", false, Some("acct_bobby")),
        ("\x1b", View::Agents, "bob", false, None),
        ("\x1b", View::Agents, "", false, None),
        ("/x\x1b", View::Agents, "", false, None),
    ] {
        assert_eq!(press(&mut ui, &mut state, keys), KeyAction::Continue);
        let page = page.map(|id: &str| Page::Agent(id.into()));
        let is = (ui.view, ui.filter(), ui.typing, &ui.page);
        assert_eq!(is, (view, filter, typing, &page), "after {keys:?}");
    }
    assert_eq!(ui.press(Key::BackTab, &mut state, NOW), KeyAction::Continue);
    assert_eq!(ui.view, View::Threads);
    assert_eq!(ui.press(Key::Tab, &mut state, NOW), KeyAction::Continue);
    assert_eq!(ui.view, View::Agents);
}

#[test]
fn some_keys_end_it() {
    let mut state = State::default();
    for (keys, then) in [
        ("q", KeyAction::Quit),
        ("?q", KeyAction::Quit),
        ("?x", KeyAction::Continue),
        ("/q", KeyAction::Continue),
    ] {
        assert_eq!(press(&mut Ui::default(), &mut state, keys), then, "{keys}");
    }
    for before in ["", "?", "/"] {
        let mut ui = Ui::default();
        press(&mut ui, &mut state, before);
        assert_eq!(ui.press(Key::Interrupt, &mut state, NOW), KeyAction::Interrupt);
        assert_eq!(ui.press(Key::Redraw, &mut state, NOW), KeyAction::Redraw);
    }
}

#[test]
fn the_order_goes_round_and_back() {
    let mut state = with_agents(&["bob", "ann"]);
    let mut ui = Ui::default();
    assert_eq!(agents(&state, &ui), ["acct_ann", "acct_bob"], "alike, so by name");
    state.apply(&sent("x", "bob", None, "1"), AT, NOW);
    assert_eq!(agents(&state, &ui), ["acct_bob", "acct_ann"], "by activity");
    press(&mut ui, &mut state, "s");
    assert_eq!(
        (ui.order, agents(&state, &ui)),
        (AgentOrder::Name, vec!["acct_ann", "acct_bob"])
    );
    press(&mut ui, &mut state, "S");
    assert_eq!(agents(&state, &ui), ["acct_bob", "acct_ann"]);
    let goodbye = crate::commands::top::state::tests::published("registry.goodbye", r#"{"session_tag":"tag_bob"}"#);
    state.apply(&goodbye, AT, NOW);
    assert_eq!(
        agents(&state, &ui),
        ["acct_ann", "acct_bob"],
        "who left is last in any order"
    );
    let late = ui.agents(&state, NOW + Duration::from_secs(61));
    assert_eq!(late.len(), 1, "and gone after a minute");
}

/// What `s` and `S` do to one view stays there, and each view says what it is ordered by.
#[test]
fn each_view_has_its_own_order() {
    let mut state = with_agents(&["bob", "ann"]);
    for (thread, to) in [("t2", "ann"), ("t1", "bob")] {
        state.apply(&sent("bob", to, Some(thread), "1"), AT, NOW);
    }
    state.apply(&sent("bob", "ann", Some("t2"), "2"), AT, NOW);
    state.settle();
    let mut ui = Ui::default();
    press(&mut ui, &mut state, "3s");
    let threads =
        |state: &State, ui: &Ui| -> Vec<String> { ui.threads(state, NOW).iter().map(|row| row.0.to_owned()).collect() };
    assert_eq!(
        (ui.ordered_by(), threads(&state, &ui)),
        ("messages", vec!["t2".into(), "t1".into()])
    );
    press(&mut ui, &mut state, "S");
    assert_eq!(threads(&state, &ui), ["t1", "t2"]);
    press(&mut ui, &mut state, "2");
    assert_eq!((ui.ordered_by(), ui.is_reversed()), ("time", false));
    press(&mut ui, &mut state, "ss");
    let to: Vec<_> = ui
        .messages(&state)
        .iter()
        .map(|message| state.name(&message.to))
        .collect();
    assert_eq!(
        (ui.ordered_by(), to),
        ("to", ["@ann", "@ann", "@bob"].map(str::to_owned).to_vec())
    );
    press(&mut ui, &mut state, "1");
    assert_eq!((ui.ordered_by(), ui.is_reversed()), ("activity", false));
}

#[test]
fn the_selection_stays_on_what_was_selected() {
    let mut ui = Ui::default();
    let names: Vec<String> = (0..100).map(|n| format!("n{n:02}")).collect();
    let mut state = with_agents(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let look = |ui: &mut Ui, state: &State| {
        let rows = ui.agents(state, NOW);
        ui.follow(rows.iter().map(|row| row.id), 10);
        (ui.cursor().index, ui.cursor().offset)
    };
    assert_eq!(look(&mut ui, &state), (0, 0));
    for (key, expected) in [
        (Key::Down, (1, 0)),
        (Key::PageDown, (10, 1)),
        (Key::Up, (9, 1)),
        (Key::End, (99, 90)),
        (Key::Down, (99, 90)),
        (Key::Home, (0, 0)),
        (Key::Up, (0, 0)),
    ] {
        ui.press(key, &mut state, NOW);
        assert_eq!(look(&mut ui, &state), expected, "{key:?}");
    }
    press(&mut ui, &mut state, "j");
    look(&mut ui, &state);
    state.apply(&sent("x", "n50", None, "1"), AT, NOW);
    assert_eq!(look(&mut ui, &state), (2, 0), "another came above it");
    press(&mut ui, &mut state, "\r");
    assert_eq!(ui.page, Some(Page::Agent("acct_n01".into())));
    press(&mut ui, &mut state, "\x1b/n9\r");
    assert_eq!(look(&mut ui, &state), (2, 0), "where it was, since it is not shown");
    ui.follow(std::iter::empty(), 10);
    assert_eq!((ui.cursor().index, ui.cursor().offset), (0, 0));
}

#[test]
fn a_message_that_is_looked_at_does_not_run_away() {
    let mut state = with_agents(&["ann", "bob"]);
    let mut ui = Ui::default();
    state.apply(&sent("ann", "bob", Some("one"), "1"), AT, NOW);
    state.settle();
    press(&mut ui, &mut state, "2j");
    assert!(state.messages.is_paused());
    state.apply(&sent("bob", "ann", Some("two"), "2"), AT, NOW);
    state.settle();
    press(&mut ui, &mut state, "\r");
    assert!(
        matches!(&ui.page, Some(Page::Message { thread, .. }) if thread == "one"),
        "{:?}",
        ui.page
    );
    press(&mut ui, &mut state, "\r");
    assert_eq!(
        ui.page,
        Some(Page::Thread("one".into())),
        "from the message to its thread"
    );
    press(&mut ui, &mut state, "\x1b\x1b");
    assert!(!state.messages.is_paused(), "Escape lets it go on");
    press(&mut ui, &mut state, " ");
    assert!(state.messages.is_paused());
    press(&mut ui, &mut state, " /TWO\r\r\r");
    assert_eq!(ui.page, Some(Page::Thread("two".into())));
}
