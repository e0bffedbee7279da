//! The report of a run.

use serde::{Deserialize, Serialize};

/// The result of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// As PROTOCOL.md specifies, section 0 included.
    Pass,
    /// As the Python implementation does it, where section 0 decided otherwise. Old clients are used to this behaviour.
    IntendedDifference,
    /// Neither of these.
    Fail,
    /// It could not be tested; the details give the reason.
    NotRun,
}

/// A step's verdict and details.
pub(crate) type StepOutcome = (Verdict, Vec<String>);

/// A decision of PROTOCOL.md that a step rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reason {
    /// The section, as `0.5`.
    pub section: String,
    /// The decision, in a few words.
    pub what: String,
}

/// One step of a run.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// The step file.
    pub file: String,
    /// Its number in the file, from 0.
    pub step: usize,
    /// What the step tests.
    pub name: String,
    /// The target: a NATS subject, or for an agent `inbox` or `capability`.
    pub subject: String,
    /// The section of PROTOCOL.md that the step tests.
    pub section: String,
    /// Outcome of the step: pass, intended difference, fail or not run.
    pub verdict: Verdict,
    /// The decisions of section 0 behind an intended difference.
    pub reasons: Vec<Reason>,
    /// The differences, the reason why it was not run, or a remark if only a part could be compared.
    pub details: Vec<String>,
}

/// The number of steps per verdict.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// [`Verdict::Pass`].
    pub pass: usize,
    /// [`Verdict::IntendedDifference`].
    pub intended_difference: usize,
    /// [`Verdict::Fail`].
    pub fail: usize,
    /// [`Verdict::NotRun`].
    pub not_run: usize,
}

/// A whole run.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// `registry` or `agent`.
    pub subject: &'static str,
    /// The random letters in every name and id that this run used.
    pub run: String,
    /// What was tested: the registries' server ids, or the agent's account id.
    pub target: String,
    /// The number of steps per verdict.
    pub counts: Counts,
    /// Every step, in order.
    pub steps: Vec<StepReport>,
}

impl Report {
    pub(crate) fn new(subject: &'static str, run: &str, target: String, steps: Vec<StepReport>) -> Self {
        let mut counts = Counts::default();
        for step in &steps {
            *match step.verdict {
                Verdict::Pass => &mut counts.pass,
                Verdict::IntendedDifference => &mut counts.intended_difference,
                Verdict::Fail => &mut counts.fail,
                Verdict::NotRun => &mut counts.not_run,
            } += 1;
        }
        Self {
            subject,
            run: run.to_owned(),
            target,
            counts,
            steps,
        }
    }

    /// The report as one JSON document.
    #[must_use]
    pub fn to_json(&self) -> String {
        // The report holds only texts and numbers, so this cannot fail.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The steps with this verdict.
    pub fn with(&self, verdict: Verdict) -> impl Iterator<Item = &StepReport> {
        self.steps.iter().filter(move |step| step.verdict == verdict)
    }
}

impl std::fmt::Display for StepReport {
    /// `file step 3, subject (name)` and a line for each detail.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} step {}, {} ({})", self.file, self.step, self.subject, self.name)?;
        self.details.iter().try_for_each(|line| write!(f, "\n  {line}"))
    }
}

/// Which steps are reported: those whose file, number, name or subject contains a text, in any case.
#[derive(Debug, Clone, Default)]
pub(crate) struct Selection(Option<String>);

impl Selection {
    pub(crate) fn new(pattern: Option<&str>) -> Self {
        Self(pattern.map(str::to_lowercase))
    }

    pub(crate) fn takes(&self, file: &str, step: usize, name: &str, subject: &str) -> bool {
        self.0.as_deref().is_none_or(|pattern| {
            format!("{file} step {step}, {subject} ({name})")
                .to_lowercase()
                .contains(pattern)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn selection_matches_file_number_name_and_subject() {
        let takes = |pattern| Selection::new(pattern).takes("agent", 4, "Busy", "inbox");
        for pattern in [None, Some("busy"), Some("AGENT"), Some("step 4,"), Some("inbox")] {
            assert!(takes(pattern), "{pattern:?}");
        }
        assert!(!takes(Some("idle")));
    }
}
