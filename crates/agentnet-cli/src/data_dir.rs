//! The data directory: where it is on this platform.

use std::path::{Path, PathBuf};

use agentnet_protocol::signature::key_file_name;

use crate::exit::Failure;

/// The directory of the secure mode in a data directory.
pub(crate) const SECURE_DIR: &str = "secure";
/// The directory of the members' identities in a data directory.
const IDENTITIES_DIR: &str = "identities";

/// The identity of the operator that `agentnet up --secure` makes.
pub(crate) fn operator_file(data_dir: &Path) -> PathBuf {
    data_dir.join(SECURE_DIR).join("operator.json")
}

/// The identity that `agentnet join` makes of a member with this username.
pub(crate) fn identity_file(data_dir: &Path, username: &str) -> PathBuf {
    data_dir
        .join(IDENTITIES_DIR)
        .join(key_file_name(Some(username), username))
}

/// A data directory. One that the user named explicitly is used as it is.
#[derive(Debug)]
pub(crate) struct DataLocation {
    pub(crate) path: PathBuf,
    pub(crate) is_explicit: bool,
}

/// The data directory: the flag, `AGENTNET_DATA_DIR`, the platform's default.
///
/// # Errors
/// As [`default_dir`].
pub(crate) fn choose(flag: Option<PathBuf>) -> Result<DataLocation, Failure> {
    let explicit = flag
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| variable("AGENTNET_DATA_DIR"));
    match explicit {
        Some(path) => Ok(DataLocation {
            path,
            is_explicit: true,
        }),
        None => Ok(DataLocation {
            path: default_dir()?,
            is_explicit: false,
        }),
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| !path.as_os_str().is_empty())
}

/// The data directory without a flag: `AGENTNET_DATA_DIR`, else the platform's default.
///
/// # Errors
/// Neither the variable nor a home directory is set.
pub(crate) fn default_dir() -> Result<PathBuf, Failure> {
    platform_dir(
        variable("AGENTNET_DATA_DIR"),
        variable("XDG_DATA_HOME"),
        variable("HOME"),
        cfg!(target_os = "macos"),
    )
    .ok_or_else(|| {
        Failure::error("there is no place for the data: neither HOME nor XDG_DATA_HOME is set")
            .hint("name one with --data-dir DIR or AGENTNET_DATA_DIR")
    })
}

fn platform_dir(ours: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>, macos: bool) -> Option<PathBuf> {
    if ours.is_some() {
        return ours;
    }
    if macos {
        return home.map(|home| home.join("Library/Application Support/agentnet"));
    }
    // The XDG specification: relative paths are ignored.
    let base = xdg
        .filter(|path| path.is_absolute())
        .or_else(|| home.map(|home| home.join(".local/share")));
    base.map(|base| base.join("agentnet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_platform_decides_unless_told() {
        let path = |text: &str| Some(PathBuf::from(text));
        for (ours, xdg, home, macos, expected) in [
            (path("/d"), path("/x"), path("/h"), false, path("/d")),
            (None, path("/x"), path("/h"), false, path("/x/agentnet")),
            (
                None,
                path("relative"),
                path("/h"),
                false,
                path("/h/.local/share/agentnet"),
            ),
            (None, None, path("/h"), false, path("/h/.local/share/agentnet")),
            (
                None,
                path("/x"),
                path("/h"),
                true,
                path("/h/Library/Application Support/agentnet"),
            ),
            (None, None, None, false, None),
        ] {
            assert_eq!(platform_dir(ours, xdg, home, macos), expected);
        }
    }
}
