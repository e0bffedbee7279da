//! The `MESH_*` variables of the Python implementation.
//!
//! A value below the least one counts as the least one, as it did; one that is no number is a problem.

use agentnet_protocol::env_bool::parse_bool;
use agentnet_protocol::username::normalise;

use crate::config::Environment;
use crate::config::problem::Problems;

/// Which API of OpenAI is used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ApiMode {
    /// Responses for api.openai.com, chat completions for other hosts.
    Auto,
    /// Chat completions.
    Chat,
    /// The responses API.
    Responses,
}

/// The settings of all agents of a file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Settings {
    /// `MESH_TOOL_LOOP_MAX_STEPS`.
    pub(crate) max_steps: u32,
    /// The larger of `MESH_PLANNER_MAX_TOKENS` and `MESH_FINAL_MAX_TOKENS`, if one is set: here, one kind of call does both.
    pub(crate) max_tokens: Option<u32>,
    /// `MESH_LLM_TIMEOUT_SECONDS`.
    pub(crate) llm_timeout_seconds: f64,
    /// `MESH_OPENAI_API_MODE`.
    pub(crate) api_mode: ApiMode,
    /// `MESH_WORK_TIMEOUT_SECONDS`.
    pub(crate) work_timeout_seconds: f64,
    /// `MESH_AUTO_COMPACTION`.
    pub(crate) has_compaction: bool,
    /// `MESH_COMPACTION_KEEP_TAIL_MESSAGES`.
    pub(crate) keep_tail: u64,
    /// `MESH_COMPACTION_MAX_MESSAGES`.
    pub(crate) compaction_messages: usize,
    /// `MESH_AGENT1_ORCHESTRATE`.
    pub(crate) is_orchestrated: bool,
    /// `MESH_AGENT1_PEERS`, as the registry writes usernames.
    pub(crate) peers: Vec<String>,
    /// `MESH_AGENT1_DEBATE_ROUNDS`.
    pub(crate) rounds: u32,
    /// `MESH_AGENT1_PEER_TIMEOUT_SECONDS`.
    pub(crate) peer_timeout_seconds: f64,
    /// `MESH_AGENT1_PEER_RETRIES`.
    pub(crate) peer_retries: u32,
    /// `MESH_AGENT1_KICKOFF_TOOLS`.
    pub(crate) kickoff_tools: Vec<String>,
}

impl Settings {
    /// Reads the variables.
    pub(crate) fn read(environment: &Environment, problems: &mut Problems) -> Self {
        let mut reader = Reader { environment, problems };
        let planner = reader.whole("MESH_PLANNER_MAX_TOKENS", 128, 1_000_000);
        let answer = reader.whole("MESH_FINAL_MAX_TOKENS", 128, 1_000_000);
        Self {
            max_steps: reader.whole("MESH_TOOL_LOOP_MAX_STEPS", 1, 100).unwrap_or(3),
            max_tokens: planner.max(answer),
            llm_timeout_seconds: reader.seconds("MESH_LLM_TIMEOUT_SECONDS", 1.0, 45.0),
            api_mode: reader.api_mode(),
            work_timeout_seconds: reader.seconds("MESH_WORK_TIMEOUT_SECONDS", 10.0, 240.0),
            has_compaction: reader.boolean("MESH_AUTO_COMPACTION", true),
            keep_tail: reader
                .whole("MESH_COMPACTION_KEEP_TAIL_MESSAGES", 1, 1000)
                .map_or(24, u64::from),
            compaction_messages: reader
                .whole("MESH_COMPACTION_MAX_MESSAGES", 50, 10_000)
                .and_then(|number| usize::try_from(number).ok())
                .unwrap_or(400),
            is_orchestrated: reader.boolean("MESH_AGENT1_ORCHESTRATE", false),
            peers: reader
                .list("MESH_AGENT1_PEERS", "mesh_agent_2,mesh_agent_3")
                .iter()
                .map(|peer| normalise(peer))
                .filter(|peer| !peer.is_empty())
                .collect(),
            rounds: reader.whole("MESH_AGENT1_DEBATE_ROUNDS", 1, 10).unwrap_or(2),
            peer_timeout_seconds: reader.seconds("MESH_AGENT1_PEER_TIMEOUT_SECONDS", 5.0, 45.0),
            peer_retries: reader.whole("MESH_AGENT1_PEER_RETRIES", 0, 10).unwrap_or(1),
            kickoff_tools: reader.list("MESH_AGENT1_KICKOFF_TOOLS", ""),
        }
    }
}

struct Reader<'a> {
    environment: &'a Environment,
    problems: &'a mut Problems,
}

impl Reader<'_> {
    /// The text of a variable; `None` if it is not set or blank.
    fn text(&self, name: &str) -> Option<String> {
        let text = (self.environment)(name)?.trim().to_owned();
        (!text.is_empty()).then_some(text)
    }

    fn whole(&mut self, name: &str, least: u32, limit: u32) -> Option<u32> {
        match self.text(name)?.parse::<i64>() {
            Ok(number) => u32::try_from(number.clamp(least.into(), limit.into())).ok(),
            Err(_) => {
                self.problems.add_variable(name, "must be a whole number");
                None
            }
        }
    }

    fn seconds(&mut self, name: &str, least: f64, default: f64) -> f64 {
        // A day.
        const LIMIT: f64 = 86_400.0;
        let Some(text) = self.text(name) else {
            return default;
        };
        match text.parse::<f64>() {
            Ok(seconds) if seconds.is_finite() => seconds.clamp(least, LIMIT),
            _ => {
                self.problems.add_variable(name, "must be a number of seconds");
                default
            }
        }
    }

    fn boolean(&mut self, name: &str, default: bool) -> bool {
        let Some(text) = self.text(name) else {
            return default;
        };
        parse_bool(&text).unwrap_or_else(|| {
            self.problems.add_variable(name, "must be true or false");
            default
        })
    }

    fn list(&self, name: &str, default: &str) -> Vec<String> {
        let text = self.text(name).unwrap_or_else(|| default.to_owned());
        text.split(',')
            .map(|item| item.trim().trim_start_matches('@').to_owned())
            .filter(|item| !item.is_empty())
            .collect()
    }

    fn api_mode(&mut self) -> ApiMode {
        const NAME: &str = "MESH_OPENAI_API_MODE";
        match self.text(NAME).map(|text| text.to_ascii_lowercase()).as_deref() {
            None | Some("auto") => ApiMode::Auto,
            Some("chat") => ApiMode::Chat,
            Some("responses") => ApiMode::Responses,
            Some(_) => {
                self.problems.add_variable(NAME, "must be auto, chat or responses");
                ApiMode::Auto
            }
        }
    }
}
