//! The report of `agentnet doctor`: text and JSON.

use agentnet_protocol::json::{ArrayWriter, ObjectWriter};

use crate::output::sanitize::clean;
use crate::output::{Output, Tint};

/// A check that `agentnet doctor` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Connection,
    Token,
    Server,
    JetStream,
    Registry,
    Version,
    Clock,
    Store,
    Lag,
    Mailbox,
    Tasks,
    Sessions,
}

impl Check {
    /// All checks, in order.
    const ALL: [Self; 12] = [
        Self::Connection,
        Self::Token,
        Self::Server,
        Self::JetStream,
        Self::Registry,
        Self::Version,
        Self::Clock,
        Self::Store,
        Self::Lag,
        Self::Mailbox,
        Self::Tasks,
        Self::Sessions,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Token => "token",
            Self::Server => "server",
            Self::JetStream => "jetstream",
            Self::Registry => "registry",
            Self::Version => "version",
            Self::Clock => "clock",
            Self::Store => "store",
            Self::Lag => "lag",
            Self::Mailbox => "mailbox",
            Self::Tasks => "tasks",
            Self::Sessions => "sessions",
        }
    }
}

/// `1 message`, `2 messages`.
pub(super) fn counted(number: impl TryInto<i128>, noun: &str) -> String {
    let number = number.try_into().unwrap_or(i128::MAX);
    format!("{number} {noun}{}", if number == 1 { "" } else { "s" })
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Pass,
    Warn,
    Fail,
    Skip,
}

impl Verdict {
    const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Warn => "warn",
            Self::Fail => "fail",
            Self::Skip => "skip",
        }
    }

    const fn mark(self) -> (&'static str, Tint) {
        match self {
            Self::Pass => ("✓", Tint::Green),
            Self::Warn => ("!", Tint::Yellow),
            Self::Fail => ("✗", Tint::Red),
            Self::Skip => ("-", Tint::Dim),
        }
    }
}

/// The result of a check: a verdict, what was found, and advice if there is a problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) verdict: Verdict,
    pub(crate) seen: String,
    pub(crate) advice: Option<String>,
}

impl Finding {
    pub(crate) fn pass(seen: impl Into<String>) -> Self {
        Self::new(Verdict::Pass, seen.into(), None)
    }

    pub(crate) fn warn(seen: impl Into<String>, advice: impl Into<String>) -> Self {
        Self::new(Verdict::Warn, seen.into(), Some(advice.into()))
    }

    pub(crate) fn fail(seen: impl Into<String>, advice: Option<String>) -> Self {
        Self::new(Verdict::Fail, seen.into(), advice)
    }

    pub(crate) fn skip(why: impl Into<String>) -> Self {
        Self::new(Verdict::Skip, why.into(), None)
    }

    /// The first failure, else the first warning, else `first`.
    pub(crate) fn worst(first: Self, others: impl IntoIterator<Item = Option<Self>>) -> Self {
        let rank = |finding: &Self| match finding.verdict {
            Verdict::Fail => 2,
            Verdict::Warn => 1,
            Verdict::Pass | Verdict::Skip => 0,
        };
        others.into_iter().flatten().fold(
            first,
            |worst, other| {
                if rank(&other) > rank(&worst) { other } else { worst }
            },
        )
    }

    fn new(verdict: Verdict, seen: String, advice: Option<String>) -> Self {
        Self { verdict, seen, advice }
    }
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub(crate) struct Report(Vec<(Check, Finding)>);

impl Report {
    pub(crate) fn add(&mut self, check: Check, finding: Finding) {
        self.0.push((check, finding));
    }

    /// Marks the remaining checks as not run, because an earlier one failed.
    pub(crate) fn skip_rest(&mut self, why: &str) {
        for check in Check::ALL {
            if self.0.iter().all(|(other, _)| *other != check) {
                self.add(check, Finding::skip(format!("not checked: {why}")));
            }
        }
    }

    fn count(&self, verdict: Verdict) -> usize {
        self.0.iter().filter(|(_, finding)| finding.verdict == verdict).count()
    }

    pub(crate) fn failed(&self) -> usize {
        self.count(Verdict::Fail)
    }

    /// One line for each check, its advice below it, and a summary.
    pub(crate) fn text(&self, output: Output) -> String {
        let width = self
            .0
            .iter()
            .map(|(check, _)| check.name().len())
            .max()
            .unwrap_or_default();
        let mut lines = Vec::new();
        for (check, finding) in &self.0 {
            let (mark, tint) = finding.verdict.mark();
            let mark = match output.is_terminal() {
                true => output.tint(tint, mark),
                false => format!("{:<4}", finding.verdict.name()),
            };
            lines.push(format!("{mark}  {:<width$}  {}", check.name(), clean(&finding.seen)));
            if let Some(advice) = &finding.advice {
                let gap = if output.is_terminal() { 1 } else { 4 };
                lines.push(format!("{:gap$}  {:<width$}  → {}", "", "", clean(advice)));
            }
        }
        let [pass, warn, fail, skip] =
            [Verdict::Pass, Verdict::Warn, Verdict::Fail, Verdict::Skip].map(|verdict| self.count(verdict));
        lines.push(format!(
            "{pass} passed, {}, {fail} failed, {skip} not checked",
            counted(warn, "warning")
        ));
        lines.join("\n")
    }

    /// `url`, `healthy`, `checks` [{`check`, `verdict`, `seen`, `advice`}].
    pub(crate) fn encode(&self, url: &str) -> String {
        let mut checks = ArrayWriter::new();
        for (check, finding) in &self.0 {
            let one = ObjectWriter::new()
                .text("check", check.name())
                .text("verdict", finding.verdict.name())
                .text("seen", &finding.seen)
                .nullable_text("advice", finding.advice.as_deref())
                .finish();
            checks.raw(&one);
        }
        ObjectWriter::new()
            .text("url", url)
            .bool("healthy", self.failed() == 0)
            .raw("checks", &checks.finish())
            .finish()
    }
}
