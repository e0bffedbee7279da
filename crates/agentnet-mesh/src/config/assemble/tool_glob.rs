//! Patterns of tools: `network.*`, `mcp.files.read_*`, `status_page`.

use globset::{GlobBuilder, GlobMatcher};

use crate::config::quote::quote;
use crate::config::similar;

/// Tools of the network, as patterns see them.
const NETWORK_TOOLS: [&str; 11] = [
    "network.list_online",
    "network.get_profile",
    "network.ask",
    "network.send",
    "network.thread",
    "network.search",
    "network.note",
    "network.task_assign",
    "network.task_status",
    "network.task_list",
    "network.task_cancel",
];
/// Beginning of the names of tools of MCP servers.
const MCP_PREFIX: &str = "mcp.";

/// The tools that patterns can match. Those of MCP servers are not known before the servers run.
pub(crate) struct KnownTools {
    names: Vec<String>,
    mcp_servers: Vec<String>,
}

impl KnownTools {
    /// The tools of the network, of the file, and of the MCP servers.
    pub(crate) fn new<'a>(
        tools: impl IntoIterator<Item = &'a String>,
        mcp_servers: impl IntoIterator<Item = &'a String>,
    ) -> Self {
        let network = NETWORK_TOOLS.iter().map(|name| (*name).to_owned());
        Self {
            names: tools.into_iter().cloned().chain(network).collect(),
            mcp_servers: mcp_servers.into_iter().cloned().collect(),
        }
    }

    /// Checks that a pattern can match a tool.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn check(&self, pattern: &str) -> Result<(), String> {
        let matcher = matcher(pattern)?;
        if self.names.iter().any(|name| matcher.is_match(name)) {
            return Ok(());
        }
        let any_tool = |server: &String| matcher.is_match(format!("{MCP_PREFIX}{server}.tool"));
        if self.mcp_servers.iter().any(any_tool) {
            return Ok(());
        }
        if let Some(rest) = pattern.strip_prefix(MCP_PREFIX) {
            return self.check_mcp(rest);
        }
        let hint = similar::hint(pattern, self.names.iter().map(String::as_str));
        Err(format!("{} matches no tool{hint}", quote(pattern)))
    }

    /// Checks the part of a pattern after `mcp.`.
    fn check_mcp(&self, rest: &str) -> Result<(), String> {
        let Some((server, _)) = rest.split_once('.') else {
            let server = if rest.is_empty() { "SERVER" } else { rest };
            return Err(format!(
                "tools of an MCP server are named {}",
                quote(&format!("mcp.{server}.*"))
            ));
        };
        let matcher = matcher(server)?;
        if self.mcp_servers.iter().any(|name| matcher.is_match(name)) {
            return Ok(());
        }
        let hint = similar::hint(server, self.mcp_servers.iter().map(String::as_str));
        Err(format!("unknown MCP server {}{hint}", quote(server)))
    }
}

/// What a pattern matches: `*` any characters, `?` one, `[ab]` and `{a,b}` a choice.
fn matcher(pattern: &str) -> Result<GlobMatcher, String> {
    GlobBuilder::new(pattern)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| format!("{} is no pattern: {}", quote(pattern), error.kind()))
}

/// Whether one of the patterns matches a tool.
pub(super) fn any_matches(patterns: &[String], tool: &str) -> bool {
    patterns
        .iter()
        .any(|pattern| matcher(pattern).is_ok_and(|matcher| matcher.is_match(tool)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[test]
    fn the_tools_of_the_network_are_known() {
        let mut tools: Vec<String> = crate::tools::network::network_tools()
            .iter()
            .map(|tool| tool.config_name().to_owned())
            .collect();
        let mut known = NETWORK_TOOLS.map(str::to_owned).to_vec();
        tools.sort();
        known.sort();
        assert_eq!(tools, known);
    }

    fn check(pattern: &str) -> Result<(), String> {
        KnownTools::new(&["disk".to_owned()], &["files".to_owned(), "web".to_owned()]).check(pattern)
    }

    #[rstest]
    #[case("*")]
    #[case("network.*")]
    #[case("network.ask")]
    #[case("network.{ask,send}")]
    #[case("disk")]
    #[case("d?sk")]
    #[case("mcp.*")]
    #[case("mcp.*.read_*")]
    #[case("mcp.files.read_*")]
    #[case("mcp*")]
    fn patterns_of_known_tools_are_fine(#[case] pattern: &str) {
        assert_eq!(check(pattern), Ok(()));
    }

    #[rstest]
    #[case("dsk", "\"dsk\" matches no tool (known: disk, network.list_online")]
    #[case("network.aks", "did you mean \"network.ask\"?")]
    #[case("mcp.files", "tools of an MCP server are named \"mcp.files.*\"")]
    #[case("mcp.", "tools of an MCP server are named \"mcp.SERVER.*\"")]
    #[case(
        "mcp.file.*",
        "unknown MCP server \"file\" (known: files, web); did you mean \"files\"?"
    )]
    #[case("a[", "\"a[\" is no pattern: ")]
    fn others_are_refused(#[case] pattern: &str, #[case] message: &str) {
        let error = check(pattern).unwrap_err();
        assert!(error.contains(message), "{error}");
    }
}
