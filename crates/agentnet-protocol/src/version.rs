//! The schema version of an envelope (PROTOCOL.md section 12, check 3).

use crate::json;

/// What a missing or blank version stands for.
pub const DEFAULT: &str = "1.0";
/// The major version that a receiver accepts by default.
pub const SUPPORTED_MAJOR: u32 = 1;

/// Why a schema version is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VersionError {
    /// What stands before the first `.` is no integer.
    #[error("schema_version does not begin with a number")]
    Invalid,
    /// A major version other than the supported one.
    #[error("schema_version has an unsupported major version")]
    Unsupported,
}

impl VersionError {
    /// The wire code.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Invalid => "schema_version_invalid",
            Self::Unsupported => "unsupported_schema_version",
        }
    }
}

/// The trimmed version if its major number is the supported one; a blank text is [`DEFAULT`].
///
/// # Errors
/// [`VersionError`] with the wire code.
pub fn check(version: &str, supported_major: u32) -> Result<&str, VersionError> {
    let version = match json::trim(version) {
        "" => DEFAULT,
        version => version,
    };
    let major = version.split('.').next().unwrap_or_default();
    match json::integer_text(major) {
        None => Err(VersionError::Invalid),
        Some(major) if major == i128::from(supported_major) => Ok(version),
        Some(_) => Err(VersionError::Unsupported),
    }
}
