//! Text files that a user names: the configuration, prompts.

use std::fs::{self, File, FileType};
use std::io::{self, Read};
use std::path::Path;

/// Reads a text file of at most so many bytes.
///
/// # Errors
/// Why it cannot be used.
pub(crate) fn read(path: &Path, max_bytes: u64) -> Result<String, String> {
    let cannot_read = |error: io::Error| format!("cannot be read: {error}");
    // Opening a FIFO waits for its writer, and a device may have no end.
    let kind = fs::metadata(path).map_err(cannot_read)?.file_type();
    if !kind.is_file() {
        return Err(format!("is {}, not a regular file", name_of(kind)));
    }
    let mut file = File::open(path).map_err(cannot_read)?.take(max_bytes + 1);
    let mut text = String::new();
    let outcome = file.read_to_string(&mut text);
    // First: the end may be in the middle of a character.
    if file.limit() == 0 {
        return Err(format!("has more than {max_bytes} bytes"));
    }
    outcome.map_err(cannot_read)?;
    Ok(text)
}

#[cfg(unix)]
fn name_of(kind: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt as _;

    match kind {
        kind if kind.is_dir() => "a directory",
        kind if kind.is_fifo() => "a FIFO (named pipe)",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_char_device() || kind.is_block_device() => "a device",
        _ => "something else",
    }
}

#[cfg(not(unix))]
fn name_of(kind: FileType) -> &'static str {
    if kind.is_dir() { "a directory" } else { "something else" }
}
