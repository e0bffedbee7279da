//! Prompts in files.

use std::path::Path;

use crate::config::text_file;

/// Bytes of a prompt.
const MAX_PROMPT_BYTES: u64 = 1_000_000;

/// Reads a prompt, without the white space around it.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let text = text_file::read(path, MAX_PROMPT_BYTES)?;
    match text.trim() {
        "" => Err("is empty".to_owned()),
        text => Ok(text.to_owned()),
    }
}
