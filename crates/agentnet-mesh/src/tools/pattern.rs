//! The globs that allow an agent its tools.

use globset::{GlobBuilder, GlobMatcher};

/// The globs of an agent: `network.*`, `mcp.files.read_*`, `disk`, `*`. A dot is a character like any other.
pub(super) struct ToolPatterns {
    patterns: Vec<ToolPattern>,
}

struct ToolPattern {
    glob: String,
    matcher: GlobMatcher,
}

impl ToolPatterns {
    /// Compiles globs. One that is malformed allows nothing; `agentnet mesh check` refuses it.
    pub(super) fn new(globs: &[String]) -> Self {
        let patterns = globs.iter().filter_map(|glob| match compile(glob) {
            Ok(matcher) => Some(ToolPattern {
                glob: glob.clone(),
                matcher,
            }),
            Err(problem) => {
                tracing::warn!(glob = glob.as_str(), problem, "ignored a malformed glob of tools");
                None
            }
        });
        Self {
            patterns: patterns.collect(),
        }
    }

    /// Whether a tool is allowed.
    pub(super) fn allows(&self, config_name: &str) -> bool {
        self.patterns
            .iter()
            .any(|pattern| pattern.matcher.is_match(config_name))
    }

    /// Whether a tool whose name begins like this could be allowed.
    pub(super) fn may_allow_below(&self, prefix: &str) -> bool {
        self.patterns.iter().any(|pattern| {
            let fixed = pattern
                .glob
                .split(['*', '?', '[', '{', '\\'])
                .next()
                .unwrap_or_default();
            let has_meta = fixed.len() < pattern.glob.len();
            fixed.starts_with(prefix) || (has_meta && prefix.starts_with(fixed))
        })
    }

    /// The globs that allow none of these tools.
    pub(super) fn unmatched<'a>(&self, config_names: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
        self.patterns
            .iter()
            .filter(|pattern| !config_names.clone().any(|name| pattern.matcher.is_match(name)))
            .map(|pattern| pattern.glob.clone())
            .collect()
    }
}

/// Compiles one glob; the error says what is wrong with it.
pub(super) fn compile(glob: &str) -> Result<GlobMatcher, String> {
    GlobBuilder::new(glob)
        .literal_separator(false)
        .build()
        .map(|glob| glob.compile_matcher())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn patterns(globs: &[&str]) -> ToolPatterns {
        ToolPatterns::new(&globs.iter().map(|glob| (*glob).to_owned()).collect::<Vec<_>>())
    }

    #[rstest]
    #[case(&["network.*"], "network.ask", true)]
    #[case(&["network.*"], "network", false)]
    #[case(&["mcp.files.read_*"], "mcp.files.read_file", true)]
    #[case(&["mcp.files.read_*"], "mcp.files.write_file", false)]
    #[case(&["mcp.*"], "mcp.files.a/b", true)]
    #[case(&["*"], "disk", true)]
    #[case(&["disk"], "disk2", false)]
    #[case(&["{disk,free}"], "free", true)]
    #[case(&[], "disk", false)]
    #[case(&["[", "disk"], "disk", true)]
    fn a_glob_allows_tools(#[case] globs: &[&str], #[case] name: &str, #[case] expected: bool) {
        assert_eq!(patterns(globs).allows(name), expected);
    }

    #[rstest]
    #[case(&["mcp.files.read_*"], true)]
    #[case(&["mcp.files.read_file"], true)]
    #[case(&["mcp.*"], true)]
    #[case(&["*"], true)]
    #[case(&["*.read"], true)]
    #[case(&["mcp.f?les.x"], true)]
    #[case(&["mcp.web.*"], false)]
    #[case(&["network.*", "disk"], false)]
    #[case(&["mcp"], false)]
    fn a_server_is_needed_if_a_glob_may_allow_its_tools(#[case] globs: &[&str], #[case] expected: bool) {
        assert_eq!(patterns(globs).may_allow_below("mcp.files."), expected);
    }

    #[test]
    fn globs_without_a_tool_are_found() {
        let names = ["network.ask", "disk"];
        assert_eq!(
            patterns(&["network.*", "dsik"]).unmatched(names.iter().copied()),
            ["dsik"]
        );
    }
}
