//! Prompts in files.

use std::fs::File;
use std::io::Read;
use std::path::Path;

/// Bytes of a prompt.
const MAX_PROMPT_BYTES: u64 = 1_000_000;

/// Reads a prompt, without the white space around it.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn read(path: &Path) -> Result<String, String> {
    let mut text = String::new();
    let file = File::open(path).map_err(|error| format!("cannot be read: {error}"))?;
    if file.metadata().is_ok_and(|metadata| !metadata.is_file()) {
        return Err("is no file".to_owned());
    }
    let mut file = file.take(MAX_PROMPT_BYTES + 1);
    file.read_to_string(&mut text)
        .map_err(|error| format!("cannot be read: {error}"))?;
    if file.limit() == 0 {
        return Err(format!("has more than {MAX_PROMPT_BYTES} bytes"));
    }
    match text.trim() {
        "" => Err("is empty".to_owned()),
        text => Ok(text.to_owned()),
    }
}
