//! Reads the step files: those built into the program, or those of a directory.

use std::borrow::Cow;
use std::fs;
use std::path::PathBuf;

use serde::de::DeserializeOwned;

use crate::error::ConformanceError;

macro_rules! embedded {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_str!(concat!("../spec/", $name)))),*]
    };
}

const EMBEDDED: &[(&str, &str)] = embedded![
    "transcripts/registry_identity_memory.json",
    "transcripts/registry_threads_memory.json",
    "transcripts/registry_dev_auth_memory.json",
    "conformance/registry_identity_memory.json",
    "conformance/registry_threads_memory.json",
    "conformance/registry_dev_auth_memory.json",
    "conformance/registry_mailbox_memory.json",
    "conformance/registry_mailbox_dev_auth_memory.json",
    "conformance/registry_tasks_memory.json",
    "conformance/registry_tasks_dev_auth_memory.json",
    "conformance/agent.json",
];

/// Where the step files come from.
#[derive(Debug, Clone, Default)]
pub struct Spec {
    directory: Option<PathBuf>,
}

impl Spec {
    /// The files that were built in.
    #[must_use]
    pub fn embedded() -> Self {
        Self::default()
    }

    /// The files of a directory that has the layout of `spec/`: `transcripts/` and `conformance/`.
    #[must_use]
    pub fn directory(path: impl Into<PathBuf>) -> Self {
        Self {
            directory: Some(path.into()),
        }
    }

    /// A file below the directory.
    pub(crate) fn read<T: DeserializeOwned>(&self, name: &str) -> Result<T, ConformanceError> {
        let text = match &self.directory {
            Some(directory) => {
                let path = directory.join(name);
                Cow::Owned(fs::read_to_string(&path).map_err(|source| ConformanceError::Unreadable { path, source })?)
            }
            None => {
                let found = EMBEDDED.iter().find(|(embedded, _)| *embedded == name);
                Cow::Borrowed(
                    found
                        .map(|(_, text)| *text)
                        .ok_or_else(|| unusable(name, "there is none"))?,
                )
            }
        };
        serde_json::from_str(&text).map_err(|error| unusable(name, error))
    }
}

/// The error for an invalid step file.
pub(crate) fn unusable(file: &str, why: impl std::fmt::Display) -> ConformanceError {
    ConformanceError::StepFile {
        file: file.to_owned(),
        why: why.to_string(),
    }
}
