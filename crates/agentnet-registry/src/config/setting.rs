//! One row of the table of settings.

use std::fmt;

use super::RegistryConfig;

/// One setting: its names, default, help text and limits.
#[non_exhaustive]
pub struct Setting {
    /// The environment variable.
    pub variable: &'static str,
    /// The flag of `agentnet registry`, without dashes; `None` where the command has another one.
    pub flag: Option<&'static str>,
    /// The kind of value, as `--help` shows it.
    pub value_name: &'static str,
    /// The default as text; empty where there is none.
    pub default: &'static str,
    /// The description in `--help`.
    pub help: &'static str,
    pub(super) set: fn(&mut RegistryConfig, &str) -> Result<(), String>,
    pub(super) limit: fn(&mut RegistryConfig),
}

impl Setting {
    /// Parses a value into the configuration.
    ///
    /// # Errors
    /// What is wrong with the value.
    pub(super) fn set(&self, config: &mut RegistryConfig, value: &str) -> Result<(), String> {
        (self.set)(config, value.trim())
    }

    /// Raises the value to its minimum, or lowers it to its maximum.
    pub(super) fn limit(&self, config: &mut RegistryConfig) {
        (self.limit)(config);
    }
}

impl fmt::Debug for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Setting").field(&self.variable).finish()
    }
}

pub(super) const NO_LIMIT: fn(&mut RegistryConfig) = |_| {};

pub(super) fn assign<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

pub(super) fn at_least<T: PartialOrd>(place: &mut T, minimum: T) {
    if *place < minimum {
        *place = minimum;
    }
}
