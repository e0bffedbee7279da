//! Paths of values in a configuration: `agents[0].model.provider`.

use std::fmt;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Segment {
    /// An entry of a mapping.
    Key(String),
    /// An element of a list, from 0.
    Index(usize),
}

/// A path from the root of the configuration to a value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct KeyPath(Vec<Segment>);

impl KeyPath {
    /// A path of mapping keys.
    pub(crate) fn of<const N: usize>(keys: [&str; N]) -> Self {
        Self(keys.into_iter().map(|key| Segment::Key(key.to_owned())).collect())
    }

    /// The path of an entry of the mapping at this path.
    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(Segment::Key(key.to_owned()))
    }

    /// The path of an element of the list at this path.
    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(Segment::Index(index))
    }

    fn with(&self, segment: Segment) -> Self {
        let mut segments = self.0.clone();
        segments.push(segment);
        Self(segments)
    }

    /// The steps from the root.
    pub(crate) fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Reads a path as `--set` takes it: keys separated by `.`, elements of lists as `[0]` or `[key]`, keys with other
    /// characters in double quotes: `agents.planner.limits.max_steps`, `prices."qwen2.5".input`.
    ///
    /// # Errors
    /// What is wrong with the text.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut segments = Vec::new();
        let mut rest = text.trim();
        loop {
            let (key, after) = if let Some(quoted) = rest.strip_prefix('"') {
                quoted
                    .split_once('"')
                    .ok_or("a double quote of the path is not closed")?
            } else {
                rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()))
            };
            if key.is_empty() {
                return Err("the path has an empty key".to_owned());
            }
            segments.push(Segment::Key(key.to_owned()));
            rest = after;
            while let Some(inner) = rest.strip_prefix('[') {
                let (index, after) = inner.split_once(']').ok_or("a `[` of the path is not closed")?;
                segments.push(
                    index
                        .parse()
                        .map_or_else(|_| Segment::Key(index.to_owned()), Segment::Index),
                );
                rest = after;
            }
            if rest.is_empty() {
                return Ok(Self(segments));
            }
            rest = rest
                .strip_prefix('.')
                .ok_or("after a key, the path goes on with `.` or `[`")?;
        }
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Index(index) => write!(formatter, "[{index}]")?,
                Segment::Key(key) => {
                    if place > 0 {
                        formatter.write_str(".")?;
                    }
                    let is_plain = !key.is_empty()
                        && key
                            .bytes()
                            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
                    if is_plain {
                        formatter.write_str(&super::quote::shorten(key))?;
                    } else {
                        write!(formatter, "{:?}", super::quote::shorten(key))?;
                    }
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case("version", "version")]
    #[case("agents[0].model.provider", "agents[0].model.provider")]
    #[case("agents.planner.limits", "agents.planner.limits")]
    #[case("agents[planner].limits", "agents.planner.limits")]
    #[case("prices.\"qwen2.5\".input", "prices.\"qwen2.5\".input")]
    #[case("a[1][2]", "a[1][2]")]
    fn paths_are_read_and_written(#[case] text: &str, #[case] shown: &str) {
        assert_eq!(KeyPath::parse(text).unwrap().to_string(), shown);
    }

    #[rstest]
    #[case("")]
    #[case("a..b")]
    #[case("a[0")]
    #[case("a[0]b")]
    #[case("\"a")]
    #[case(".a")]
    fn malformed_paths_are_refused(#[case] text: &str) {
        assert!(KeyPath::parse(text).is_err());
    }
}
