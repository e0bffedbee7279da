//! The settings of the duo: environment variables with the names and defaults of the Python implementation's scripts.

use std::str::FromStr;
use std::time::Duration;

use agentnet_mesh::config::Secret;

use crate::exit::Failure;

const DEFAULT_B_PROMPT: &str = "\
You answer the questions of another agent. Be practical and concrete. Write plain text in short paragraphs, fewer than 120 words, \
without tables and code blocks.";

/// What the environment sets.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) model: ModelSettings,
    pub(super) a: Party,
    pub(super) b: Party,
    pub(super) turns: u32,
    pub(super) goal: String,
    pub(super) target: String,
    pub(super) request_timeout: Duration,
    pub(super) b_prompt: String,
    pub(super) reply_ttl_ms: i64,
}

/// The language model of both agents.
#[derive(Debug)]
pub(super) struct ModelSettings {
    pub(super) base_url: String,
    pub(super) api_key: Secret,
    pub(super) name: String,
    pub(super) temperature: f64,
    pub(super) max_tokens: u32,
}

/// One of the two agents.
#[derive(Debug)]
pub(super) struct Party {
    pub(super) agent_id: String,
    pub(super) username: String,
}

impl Settings {
    /// Reads the variables.
    ///
    /// # Errors
    /// The key is missing, or a number is none.
    pub(super) fn read(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let read = |name: &str| {
            variable(name)
                .map(|text| text.trim().to_owned())
                .filter(|text| !text.is_empty())
        };
        let text = |name: &str, default: &str| read(name).unwrap_or_else(|| default.to_owned());
        let party = |id: &str, username: &str, default: &str| Party {
            agent_id: text(id, default),
            username: text(username, default),
        };
        let seconds: f64 = number(read, "REQUEST_TIMEOUT_SECONDS", 90.0)?;
        let request_timeout = Duration::try_from_secs_f64(seconds)
            .ok()
            .filter(|timeout| !timeout.is_zero());
        let api_key = read("NOVITA_API_KEY")
            .or_else(|| read("OPENAI_API_KEY"))
            .ok_or_else(|| {
                Failure::refused("neither NOVITA_API_KEY nor OPENAI_API_KEY is set")
                    .with_code("config_error")
                    .hint(
                        "export one of them; a local server without keys takes any: \
                 NOVITA_BASE_URL=http://127.0.0.1:8080/v1 NOVITA_API_KEY=none",
                    )
            })?;
        Ok(Self {
            model: ModelSettings {
                base_url: text("NOVITA_BASE_URL", "https://api.novita.ai/openai")
                    .trim_end_matches('/')
                    .to_owned(),
                api_key: Secret::new(api_key),
                name: text("NOVITA_MODEL", "zai-org/glm-5"),
                temperature: number(read, "NOVITA_TEMPERATURE", 0.7)?,
                max_tokens: number::<u32>(read, "NOVITA_MAX_TOKENS", 256)?.max(1),
            },
            a: party("AGENT_A_ID", "AGENT_A_USERNAME", "agent_novita_a"),
            b: party("AGENT_B_ID", "AGENT_B_USERNAME", "agent_novita_b"),
            turns: number::<u32>(read, "DEMO_TURNS", 4)?.max(1),
            goal: text("DEMO_GOAL", "Design a robust architecture for an AI weather assistant."),
            target: text("TARGET_USERNAME", "agent_novita_b")
                .trim_start_matches('@')
                .to_owned(),
            request_timeout: request_timeout.ok_or_else(|| invalid("REQUEST_TIMEOUT_SECONDS", &seconds.to_string()))?,
            b_prompt: text("AGENT_B_SYSTEM_PROMPT", DEFAULT_B_PROMPT),
            reply_ttl_ms: number::<i64>(read, "REPLY_TTL_MS", 30_000)?.max(1),
        })
    }
}

fn number<T: FromStr>(read: impl Fn(&str) -> Option<String>, name: &str, default: T) -> Result<T, Failure> {
    match read(name) {
        Some(text) => text.parse().map_err(|_| invalid(name, &text)),
        None => Ok(default),
    }
}

fn invalid(name: &str, text: &str) -> Failure {
    Failure::refused(format!("{name}={text} is not a number that can be used")).with_code("config_error")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &[(&str, &str)]) -> Result<Settings, Failure> {
        let find = |name: &str| variables.iter().find(|(variable, _)| *variable == name);
        Settings::read(|name| find(name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn the_defaults_are_those_of_the_python_implementation() {
        let settings = read(&[("OPENAI_API_KEY", "k")]).unwrap();
        let model = &settings.model;
        assert_eq!(
            (model.base_url.as_str(), model.name.as_str()),
            ("https://api.novita.ai/openai", "zai-org/glm-5")
        );
        assert_eq!(
            (model.temperature, model.max_tokens, model.api_key.reveal()),
            (0.7, 256, "k")
        );
        assert_eq!((settings.turns, settings.request_timeout), (4, Duration::from_secs(90)));
        assert_eq!(
            (settings.target.as_str(), settings.reply_ttl_ms),
            ("agent_novita_b", 30_000)
        );
        assert_eq!(
            (settings.a.username.as_str(), settings.b.agent_id.as_str()),
            ("agent_novita_a", "agent_novita_b")
        );
    }

    #[test]
    fn variables_override_them() {
        let settings = read(&[
            ("NOVITA_API_KEY", "n"),
            ("OPENAI_API_KEY", "o"),
            ("NOVITA_BASE_URL", "http://h/v1/"),
            ("DEMO_TURNS", "0"),
            ("TARGET_USERNAME", "@bob"),
            ("REQUEST_TIMEOUT_SECONDS", "1.5"),
            ("DEMO_GOAL", "  "),
        ])
        .unwrap();
        assert_eq!(
            (settings.model.api_key.reveal(), settings.model.base_url.as_str()),
            ("n", "http://h/v1")
        );
        assert_eq!((settings.turns, settings.target.as_str()), (1, "bob"));
        assert_eq!(settings.request_timeout, Duration::from_millis(1500));
        assert!(settings.goal.starts_with("Design a robust"));
    }

    #[test]
    fn what_is_missing_or_no_number_is_named() {
        let text = read(&[]).unwrap_err().text();
        assert!(
            text.contains("NOVITA_API_KEY") && text.contains("OPENAI_API_KEY"),
            "{text}"
        );
        for (name, value) in [
            ("DEMO_TURNS", "many"),
            ("NOVITA_MAX_TOKENS", "-1"),
            ("NOVITA_TEMPERATURE", "warm"),
            ("REQUEST_TIMEOUT_SECONDS", "0"),
            ("REQUEST_TIMEOUT_SECONDS", "inf"),
            ("REPLY_TTL_MS", "1.5"),
        ] {
            let text = read(&[("NOVITA_API_KEY", "secret"), (name, value)]).unwrap_err().text();
            assert!(text.contains(&format!("{name}=")) && !text.contains("secret"), "{text}");
        }
    }
}
