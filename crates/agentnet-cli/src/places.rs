//! Where data lives on this platform.

use std::path::PathBuf;

use crate::ended::Failure;

/// A data directory, and whether somebody named it: such a one is used as it is.
#[derive(Debug)]
pub(crate) struct DataPlace {
    pub(crate) path: PathBuf,
    pub(crate) named: bool,
}

/// The data directory: the flag, `AGENTNET_DATA_DIR`, the platform's.
///
/// # Errors
/// As [`data_dir`].
pub(crate) fn data_place(flag: Option<PathBuf>) -> Result<DataPlace, Failure> {
    let named = flag
        .filter(|path| !path.as_os_str().is_empty())
        .or_else(|| variable("AGENTNET_DATA_DIR"));
    match named {
        Some(path) => Ok(DataPlace { path, named: true }),
        None => Ok(DataPlace {
            path: data_dir()?,
            named: false,
        }),
    }
}

fn variable(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .map(PathBuf::from)
        .filter(|path| !path.as_os_str().is_empty())
}

/// The directory for data that nobody named: `AGENTNET_DATA_DIR`, else the platform's.
///
/// # Errors
/// Where neither that nor a home directory is known.
pub(crate) fn data_dir() -> Result<PathBuf, Failure> {
    choose(
        variable("AGENTNET_DATA_DIR"),
        variable("XDG_DATA_HOME"),
        variable("HOME"),
        cfg!(target_os = "macos"),
    )
    .ok_or_else(|| {
        Failure::trouble("there is no place for the data: neither HOME nor XDG_DATA_HOME is set")
            .hint("name one with --data-dir DIR or AGENTNET_DATA_DIR")
    })
}

fn choose(ours: Option<PathBuf>, xdg: Option<PathBuf>, home: Option<PathBuf>, macos: bool) -> Option<PathBuf> {
    if ours.is_some() {
        return ours;
    }
    if macos {
        return home.map(|home| home.join("Library/Application Support/agentnet"));
    }
    // The XDG rule: relative paths do not count.
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
            assert_eq!(choose(ours, xdg, home, macos), expected);
        }
    }
}
