//! The agents that wait for one answer: how many there are, and which.
//!
//! An agent of a mesh that asks another one writes them into the payload's member `mesh`:
//! `{"hops": 1, "origin": "acct_user", "chain": ["acct_user", "acct_planner"], "tasks": 16}`; into a task's metadata too. Any client can write this member. A
//! false one can make a request fail, or begin a chain anew; what an agent may spend is limited by its budgets.

use std::sync::Arc;

use agentnet::Message;
use serde_json::{Value, json};

use super::ToolFailure;
use super::allowance::MAX_TASKS;
use crate::tools::ToolContext;

/// Accounts of a chain that are read.
const MAX_CHAIN: usize = 64;
/// Bytes of an account id that are read.
const MAX_ID_BYTES: usize = 256;

/// The agents that wait for the answer to one message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallChain {
    /// Agents between the first asker and the one that answers.
    pub hops: u32,
    /// Account ids of those that wait, the first asker first.
    pub waiting: Arc<[String]>,
    /// Tasks that may come of the message.
    pub tasks: u32,
}

impl CallChain {
    /// Reads the chain of a message that was received. Its sender is the last one that waits, if it waits for a reply.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let mut hops = 0;
        let mut waiting = Vec::new();
        let mut tasks = MAX_TASKS;
        let payload = message.payload().view();
        if let Some(mesh) = payload.as_object().and_then(|payload| payload.get("mesh").as_object()) {
            let written = mesh.get("hops").int().ok().flatten().unwrap_or_default();
            hops = u32::try_from(written.max(0)).unwrap_or(u32::MAX);
            if let Some(written) = mesh.get("tasks").int().ok().flatten() {
                tasks = u32::try_from(written.max(0)).unwrap_or(MAX_TASKS).min(MAX_TASKS);
            }
            let accounts = mesh.get("chain").as_array().into_iter().flatten();
            waiting.extend(
                accounts
                    .take(MAX_CHAIN)
                    .filter_map(|account| account.as_str())
                    .filter(|account| (1..=MAX_ID_BYTES).contains(&account.len()))
                    .map(|account| account.into_owned()),
            );
        }
        let sender = message.from_account_id.as_deref().unwrap_or_default();
        if message.wants_reply() && !sender.is_empty() && waiting.last().is_none_or(|last| last != sender) {
            waiting.push(sender.to_owned());
        }
        let between = u32::try_from(waiting.len().saturating_sub(1)).unwrap_or(u32::MAX);
        Self {
            hops: hops.max(between),
            waiting: waiting.into(),
            tasks,
        }
    }

    /// The chain of the message that a tool works for.
    #[must_use]
    pub fn of_context(context: &ToolContext) -> Self {
        Self {
            hops: context.hops,
            waiting: context.chain.clone(),
            tasks: 0,
        }
    }

    /// The member `mesh` of a request that the agent `own` makes while it answers, and of which so many tasks may come.
    #[must_use]
    pub fn member_of_request(&self, own: &str, tasks: u32) -> Value {
        let mut chain: Vec<&str> = self.waiting.iter().map(String::as_str).collect();
        chain.push(own);
        json!({ "hops": self.hops.saturating_add(1), "origin": self.origin(own), "chain": chain, "tasks": tasks })
    }

    /// The member `mesh` of a message or task for whose answer nobody waits.
    #[must_use]
    pub fn member_of_message(&self, own: &str, tasks: u32) -> Value {
        json!({ "hops": self.hops.saturating_add(1), "origin": self.origin(own), "tasks": tasks })
    }

    /// The member `mesh` of an answer that is a message, because nobody waits for a reply.
    #[must_use]
    pub fn member_of_answer(&self, own: &str, tasks: u32) -> Value {
        let mut member = self.member_of_message(own, tasks);
        member["answer"] = Value::Bool(true);
        member
    }

    /// How often the question was passed on, for people. Any client can write any number.
    fn times(&self) -> String {
        match self.hops {
            1 => "once".to_owned(),
            hops if usize::try_from(hops).is_ok_and(|hops| hops <= MAX_CHAIN) => format!("{hops} times"),
            _ => "too often".to_owned(),
        }
    }

    fn origin<'a>(&'a self, own: &'a str) -> &'a str {
        self.waiting.first().map_or(own, String::as_str)
    }

    /// Whether a message may be answered by the agent `own`.
    ///
    /// # Errors
    /// `hop_limit` or `wait_cycle`.
    pub fn check_received(&self, own: &str, max_hops: u32) -> Result<(), ToolFailure> {
        if self.hops > max_hops {
            return Err(ToolFailure::new(
                "hop_limit",
                format!(
                    "the question was passed on {}; the limit is {max_hops} (max_hops)",
                    self.times()
                ),
            ));
        }
        if self.waiting.iter().any(|account| account == own) {
            return Err(ToolFailure::new(
                "wait_cycle",
                "this agent waits already for the answer to an earlier question of the same chain",
            ));
        }
        Ok(())
    }

    /// Whether the agent `own` may pass a question or message on.
    ///
    /// # Errors
    /// `hop_limit`.
    pub fn check_hops(&self, max_hops: u32) -> Result<(), ToolFailure> {
        if self.hops < max_hops {
            return Ok(());
        }
        Err(ToolFailure::new(
            "hop_limit",
            format!(
                "this question was passed on {}, and the limit is {max_hops} (max_hops): answer it yourself",
                self.times()
            ),
        ))
    }

    /// Whether the agent `own` may ask the account `target`.
    ///
    /// # Errors
    /// `hop_limit` or `wait_cycle`.
    pub fn check_ask(&self, own: &str, target: &str, max_hops: u32) -> Result<(), ToolFailure> {
        self.check_hops(max_hops)?;
        if target == own {
            return Err(ToolFailure::new("wait_cycle", "an agent cannot ask itself"));
        }
        if self.waiting.iter().any(|account| account == target) {
            return Err(ToolFailure::new(
                "wait_cycle",
                "that agent waits for this answer: answer it instead of asking back",
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use agentnet::Envelope;
    use rstest::rstest;

    use super::*;

    fn message(mesh: Value, from: &str, wants_reply: bool) -> Message {
        let mut body =
            json!({ "message_id": "m1", "from_account_id": from, "payload": { "text": "hi", "mesh": mesh } });
        if wants_reply {
            body["reply_to"] = "_INBOX.a.b".into();
        }
        Message::from(Envelope::decode(body.to_string()).unwrap())
    }

    #[rstest]
    #[case::first(Value::Null, true, 0, &["acct_a"])]
    #[case::direct(Value::Null, false, 0, &[])]
    #[case::second(json!({ "hops": 1, "chain": ["acct_u", "acct_a"] }), true, 1, &["acct_u", "acct_a"])]
    #[case::sender_is_missing(json!({ "hops": 1, "chain": ["acct_u"] }), true, 1, &["acct_u", "acct_a"])]
    #[case::too_few_hops(json!({ "hops": 0, "chain": ["acct_u", "acct_b"] }), true, 2, &["acct_u", "acct_b", "acct_a"])]
    #[case::wrong_types(json!({ "hops": [], "chain": "x" }), true, 0, &["acct_a"])]
    #[case::negative(json!({ "hops": -5, "chain": [1, null, "acct_u"] }), true, 1, &["acct_u", "acct_a"])]
    #[case::huge(json!({ "hops": 1e30 }), true, u32::MAX, &["acct_a"])]
    fn chains_are_read(#[case] mesh: Value, #[case] wants_reply: bool, #[case] hops: u32, #[case] waiting: &[&str]) {
        let chain = CallChain::of(&message(mesh, "acct_a", wants_reply));
        assert_eq!(
            (chain.hops, &*chain.waiting),
            (hops, &*waiting.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>())
        );
    }

    #[test]
    fn a_request_reads_back_as_the_longer_chain() {
        let chain = CallChain::of(&message(Value::Null, "acct_user", true));
        let next = CallChain::of(&message(chain.member_of_request("acct_a", 9), "acct_a", true));
        assert_eq!((chain.tasks, next.hops, next.tasks), (MAX_TASKS, 1, 9));
        assert_eq!(&*next.waiting, ["acct_user".to_owned(), "acct_a".to_owned()]);
        let next = CallChain::of(&message(next.member_of_answer("acct_b", 5), "acct_b", false));
        assert_eq!((next.hops, next.waiting.len(), next.tasks), (2, 0, 5));
    }

    #[rstest]
    #[case::other("acct_c", 1, None)]
    #[case::itself("acct_own", 1, Some("wait_cycle"))]
    #[case::asker("acct_a", 1, Some("wait_cycle"))]
    #[case::first_asker("acct_user", 1, Some("wait_cycle"))]
    #[case::at_the_limit("acct_c", 3, Some("hop_limit"))]
    fn asks_are_checked(#[case] target: &str, #[case] hops: u32, #[case] expected: Option<&str>) {
        let waiting: Arc<[String]> = ["acct_user".to_owned(), "acct_a".to_owned()].into();
        let chain = CallChain {
            hops,
            waiting,
            tasks: 0,
        };
        let outcome = chain.check_ask("acct_own", target, 3);
        assert_eq!(outcome.err().map(|failure| failure.code).as_deref(), expected);
    }

    #[rstest]
    #[case::short(3, "acct_own", None)]
    #[case::long(4, "acct_own", Some("hop_limit"))]
    #[case::circle(1, "acct_a", Some("wait_cycle"))]
    fn messages_are_checked(#[case] hops: u32, #[case] own: &str, #[case] expected: Option<&str>) {
        let waiting: Arc<[String]> = ["acct_user".to_owned(), "acct_a".to_owned()].into();
        let chain = CallChain {
            hops,
            waiting,
            tasks: 0,
        };
        let outcome = chain.check_received(own, 3);
        assert_eq!(outcome.err().map(|failure| failure.code).as_deref(), expected);
    }

    #[rstest]
    #[case::one_too_many(4, "the question was passed on 4 times; the limit is 3 (max_hops)")]
    #[case::made_up(u32::MAX, "the question was passed on too often; the limit is 3 (max_hops)")]
    fn a_chain_that_is_too_long_is_told_in_plain_words(#[case] hops: u32, #[case] expected: &str) {
        let outcome = CallChain {
            hops,
            waiting: Arc::new([]),
            tasks: 0,
        }
        .check_received("acct_own", 3);
        assert_eq!(outcome.unwrap_err().detail, expected);
    }
}
