use super::*;

const START: Duration = Duration::from_secs(1000);

fn after(seconds: u64) -> Duration {
    START + Duration::from_secs(seconds)
}

fn hello<'a>(tag: &'a str, account_id: &'a str, counters: Option<AgentCounters>) -> Hello<'a> {
    Hello {
        tag,
        account_id,
        username: "bob",
        agent_id: "worker",
        name: "Bob\u{1b}[2J",
        counters,
    }
}

fn counters(inflight: u64, pending: u64, errors: u64, rejected: u64) -> Option<AgentCounters> {
    Some(AgentCounters {
        inflight,
        pending,
        errors,
        rejected,
        ..AgentCounters::default()
    })
}

fn listed(tag: &str, account_id: &str) -> AgentInfo {
    AgentInfo {
        agent_id: "worker".into(),
        session_tag: Some(tag.into()),
        account_id: Some(account_id.into()),
        username: Some(account_id.into()),
        ..AgentInfo::default()
    }
}

#[test]
fn an_account_has_what_its_sessions_tell_and_what_passed_since() {
    let mut agents = Agents::default();
    agents.hello(&hello("s1", "acct_b", counters(2, 5, 1, 3)), START);
    agents.hello(&hello("s2", "acct_b", None), START);
    let totals = |agents: &Agents| {
        let agent = agents.get("acct_b").unwrap();
        (agent.inflight(), agent.pending(), agent.errors())
    };
    assert_eq!(totals(&agents), (Some(2), Some(5), 4));
    for (status, code) in [
        (ReceiptStatus::Accepted, ""),
        (ReceiptStatus::Accepted, ""),
        (ReceiptStatus::Accepted, ""),
        (ReceiptStatus::Processed, ""),
        (ReceiptStatus::Rejected, "handler_error"),
        (ReceiptStatus::Rejected, "busy"),
        (ReceiptStatus::Other, ""),
    ] {
        agents.receipt("acct_b", "s1", status, code);
    }
    assert_eq!(totals(&agents), (Some(3), Some(5), 6));
    for _ in 0..9 {
        agents.receipt("acct_b", "s1", ReceiptStatus::Processed, "");
    }
    assert_eq!(totals(&agents).0, Some(0), "never below zero");
    agents.hello(&hello("s1", "acct_b", counters(1, 0, 2, 4)), after(12));
    assert_eq!(totals(&agents), (Some(1), Some(0), 6), "the next hello counts");

    let agent = agents.get("acct_b").unwrap();
    assert_eq!((&*agent.username, &*agent.agent_id), ("bob", "worker"));
    assert_eq!(&*agent.name, "Bob\u{fffd}[2J", "nothing steers the terminal");
    assert_eq!(agents.online(), (1, 2));
}

#[test]
fn an_agent_that_tells_no_counters_has_the_rejections_that_passed() {
    let mut agents = Agents::default();
    agents.hello(&hello("s1", "acct_b", None), START);
    agents.receipt("acct_b", "s1", ReceiptStatus::Rejected, "busy");
    agents.receipt("acct_x", "s9", ReceiptStatus::Rejected, "busy");
    let agent = agents.get("acct_b").unwrap();
    assert_eq!((agent.inflight(), agent.pending(), agent.errors()), (None, None, 1));
    assert!(agents.get("acct_x").is_none(), "a receipt makes no agent");
}

#[test]
fn presence_follows_hellos_goodbyes_and_the_clock() {
    let mut agents = Agents::default();
    let presence = |agents: &Agents, now| agents.get("acct_b").unwrap().presence(now);
    agents.hello(&hello("s1", "acct_b", None), START);
    assert_eq!(presence(&agents, after(45)), Presence::Online);
    assert_eq!(presence(&agents, after(46)), Presence::Late);
    assert!(agents.any_late(after(46)) && !agents.any_late(after(45)));
    let open = Some(AgentCounters {
        circuit_open: true,
        ..AgentCounters::default()
    });
    agents.hello(&hello("s1", "acct_b", open), after(50));
    assert_eq!(presence(&agents, after(50)), Presence::Open);
    agents.goodbye("s1", after(51));
    assert_eq!(presence(&agents, after(51)), Presence::Offline);
    assert_eq!(agents.online(), (0, 0));
    assert_eq!(
        agents.get("acct_b").unwrap().seen_ago(after(61)),
        Duration::from_secs(10)
    );
    agents.goodbye("s1", after(52));
    agents.hello(&hello("s1", "acct_b", None), after(60));
    agents.expire(after(179));
    assert_eq!(agents.online(), (1, 1));
    agents.expire(after(180));
    assert_eq!(agents.online(), (0, 0));
}

#[test]
fn the_list_of_the_registry_adds_and_removes() {
    let mut agents = Agents::default();
    agents.hello(&hello("old", "acct_old", None), START);
    agents.hello(&hello("kept", "acct_kept", None), START);
    agents.list_begins();
    agents.listed(&listed("kept", "acct_kept"), START);
    agents.listed(&listed("far", "acct_far"), START);
    agents.hello(&hello("new", "acct_new", None), after(2));
    agents.list_ends(after(1));
    let online: Vec<_> = {
        let mut online: Vec<_> = agents
            .iter()
            .filter(|(_, agent)| !agent.sessions.is_empty())
            .map(|(id, _)| id)
            .collect();
        online.sort_unstable();
        online
    };
    assert_eq!(online, ["acct_far", "acct_kept", "acct_new"]);
    assert_eq!(agents.online(), (3, 3));
}

#[test]
fn a_session_may_change_its_account() {
    let mut agents = Agents::default();
    agents.hello(&hello("s1", "acct_a", None), START);
    agents.hello(&hello("s1", "acct_b", None), after(1));
    assert!(agents.get("acct_a").unwrap().sessions.is_empty());
    assert_eq!(agents.online(), (1, 1));
    agents.hello(&hello("", "acct_c", None), START);
    agents.hello(&hello("s3", "", None), START);
    assert_eq!(agents.online(), (1, 1), "a hello of nobody is none");
}

#[test]
fn there_is_room_for_so_many_only() {
    let mut agents = Agents::default();
    for n in 0..MAX_ACCOUNTS {
        agents.learn(&format!("acct_{n}"), "x", "");
    }
    agents.hello(&hello("s", "acct_here", None), START);
    assert_eq!(agents.iter().count(), 1, "those who are offline go first");
    for n in 0..MAX_ACCOUNTS {
        let (tag, id) = (format!("s{n}"), format!("acct_{n}"));
        agents.hello(&hello(&tag, &id, None), START + Duration::from_millis(n as u64));
    }
    assert!(agents.iter().count() <= MAX_ACCOUNTS);
    assert_eq!(agents.online().0, agents.online().1);
    assert!(agents.get(&format!("acct_{}", MAX_ACCOUNTS - 1)).is_some());
}
