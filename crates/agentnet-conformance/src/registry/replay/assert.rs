//! Compares a reply with the expected one and with that of the Python implementation.

use serde_json::Value;

use super::Replay;
use crate::compare::{Match, differences, match_either};
use crate::placeholder::Bindings;
use crate::registry::counters;
use crate::registry::listing::{ListRestriction, restrict};
use crate::registry::steps::{RecordedAnswer, RegistryStep};
use crate::report::Verdict;

/// A reply with its verdict.
pub(super) struct AssertedReply {
    pub(super) verdict: Verdict,
    pub(super) details: Vec<String>,
    /// The bindings, with those of this reply.
    pub(super) bindings: Bindings,
    /// The reply as received; null if there is none or it is not JSON.
    pub(super) reply: Value,
}

impl Replay<'_> {
    /// Compares a reply with the expected one and with that of the Python implementation.
    pub(super) fn assert_reply(
        &self,
        step: &RegistryStep,
        answer: Result<Vec<u8>, String>,
        (expected, original): (Option<&Value>, Option<&Value>),
        repeated: i64,
    ) -> AssertedReply {
        let mut asserted = AssertedReply {
            verdict: Verdict::Fail,
            details: Vec::new(),
            bindings: self.bindings.clone(),
            reply: Value::Null,
        };
        let body = match answer {
            Ok(body) => body,
            Err(why) => {
                if step.original == RecordedAnswer::Silence && why.starts_with("no reply") {
                    asserted.verdict = Verdict::IntendedDifference;
                }
                asserted.details.push(why);
                return asserted;
            }
        };
        asserted.reply = match serde_json::from_slice(&body) {
            Ok(reply) => reply,
            Err(error) => {
                let text = String::from_utf8_lossy(&body);
                asserted
                    .details
                    .push(format!("the reply is no JSON: {error}: {text:.200}"));
                return asserted;
            }
        };
        let mut reply = asserted.reply.clone();
        let mut rules = self.rules.clone();
        if step.subject == "registry.metrics" {
            rules.growing = counters::PATHS;
            if let Err(why) = self.counters.subtract(&mut reply, repeated, &self.server_ids) {
                asserted.verdict = Verdict::NotRun;
                asserted.details.push(why);
                return asserted;
            }
        }
        let Some(mut expected) = expected.cloned() else {
            asserted.details.push(format!("a reply was not expected: {reply}"));
            return asserted;
        };
        let mut original = original.cloned();
        let mut restricted = ListRestriction::default();
        if !rules.strict {
            let own = |id: &str| self.run.owns(id) || self.bindings.knows(id);
            let mut templates: Vec<&mut Value> = vec![&mut expected];
            templates.extend(original.as_mut());
            restricted = restrict(&mut reply, &mut templates, &own);
        }
        let matched = match &original {
            Some(original) => match_either(&expected, original, &reply, &mut asserted.bindings, &rules),
            None => match differences(&expected, &reply, &mut asserted.bindings, &rules) {
                found if found.is_empty() => Match::Expected,
                found => Match::Neither(found),
            },
        };
        let unmet = self.unmet(&reply);
        (asserted.verdict, asserted.details) = match (matched, restricted.unseen, unmet) {
            (Match::Neither(_), _, Some(why)) => (Verdict::NotRun, vec![why]),
            (Match::Neither(found), ..) => (Verdict::Fail, found),
            (_, Some(why), _) => (Verdict::NotRun, vec![why]),
            (Match::Expected, ..) => (Verdict::Pass, Vec::new()),
            (Match::Original(places), ..) => (
                Verdict::IntendedDifference,
                vec![format!("as the Python implementation: {}", places.join(", "))],
            ),
        };
        if matches!(asserted.verdict, Verdict::Pass | Verdict::IntendedDifference) {
            asserted.details.extend(restricted.remark);
        }
        asserted
    }

    /// The reason why the registry's settings do not allow this step, if any.
    fn unmet(&self, reply: &Value) -> Option<String> {
        self.needs.iter().find_map(|(name, needed)| {
            let actual = reply
                .get(name)
                .filter(|actual| actual.is_number() && *actual != needed)?;
            Some(format!(
                "the registry is set to {name} {actual}; the step needs {needed}"
            ))
        })
    }
}
