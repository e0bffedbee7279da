//! Comparing one answer with what is expected, and with what the original answered.

use serde_json::Value;

use super::Replay;
use crate::compare::{Likeness, differences, likeness};
use crate::placeholder::Bindings;
use crate::registry::counters;
use crate::registry::listing::{Restricted, restrict};
use crate::registry::steps::{Answer, Step};
use crate::report::Verdict;

/// One answer, judged.
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    pub(super) details: Vec<String>,
    /// With what the answer bound.
    pub(super) bindings: Bindings,
    /// As it came; null if it did not, or is no JSON.
    pub(super) reply: Value,
}

impl Replay<'_> {
    /// Compares one answer with what is expected and with what the original answered.
    pub(super) fn judge(
        &self,
        step: &Step,
        answer: Result<Vec<u8>, String>,
        (expected, original): (Option<&Value>, Option<&Value>),
        repeated: i64,
    ) -> Judged {
        let mut judged = Judged {
            verdict: Verdict::Fail,
            details: Vec::new(),
            bindings: self.bindings.clone(),
            reply: Value::Null,
        };
        let body = match answer {
            Ok(body) => body,
            Err(why) => {
                if step.original == Answer::Silence && why.starts_with("no reply") {
                    judged.verdict = Verdict::IntendedDifference;
                }
                judged.details.push(why);
                return judged;
            }
        };
        judged.reply = match serde_json::from_slice(&body) {
            Ok(reply) => reply,
            Err(error) => {
                let text = String::from_utf8_lossy(&body);
                judged
                    .details
                    .push(format!("the reply is no JSON: {error}: {text:.200}"));
                return judged;
            }
        };
        let mut reply = judged.reply.clone();
        let mut rules = self.rules.clone();
        if step.subject == "registry.metrics" {
            rules.growing = counters::PATHS;
            if let Err(why) = self.counters.subtract(&mut reply, repeated, &self.server_ids) {
                judged.verdict = Verdict::NotRun;
                judged.details.push(why);
                return judged;
            }
        }
        let Some(mut expected) = expected.cloned() else {
            judged.details.push(format!("a reply was not expected: {reply}"));
            return judged;
        };
        let mut original = original.cloned();
        let mut restricted = Restricted::default();
        if !rules.strict {
            let own = |id: &str| self.run.owns(id) || self.bindings.knows(id);
            let mut templates: Vec<&mut Value> = vec![&mut expected];
            templates.extend(original.as_mut());
            restricted = restrict(&mut reply, &mut templates, &own);
        }
        let likeness = match &original {
            Some(original) => likeness(&expected, original, &reply, &mut judged.bindings, &rules),
            None => match differences(&expected, &reply, &mut judged.bindings, &rules) {
                found if found.is_empty() => Likeness::Expected,
                found => Likeness::Neither(found),
            },
        };
        let unmet = self.unmet(&reply);
        (judged.verdict, judged.details) = match (likeness, restricted.unseen, unmet) {
            (Likeness::Neither(_), _, Some(why)) => (Verdict::NotRun, vec![why]),
            (Likeness::Neither(found), ..) => (Verdict::Fail, found),
            (_, Some(why), _) => (Verdict::NotRun, vec![why]),
            (Likeness::Expected, ..) => (Verdict::Pass, Vec::new()),
            (Likeness::Original(places), ..) => (
                Verdict::IntendedDifference,
                vec![format!("as the original: {}", places.join(", "))],
            ),
        };
        if matches!(judged.verdict, Verdict::Pass | Verdict::IntendedDifference) {
            judged.details.extend(restricted.remark);
        }
        judged
    }

    /// A setting of the registry that the step cannot be judged with.
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
