//! Watches the configuration and the prompts for changes.
//!
//! Editors replace a file by another one, and mounted configurations are swapped by a symbolic link above the file. So the
//! folders are watched, and the content decides whether anything changed.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use notify::{EventKind, RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::config::Mesh;

/// How long it must be quiet before the files are read.
const DEBOUNCE: Duration = Duration::from_millis(300);
/// When the files of a folder that is never quiet are read all the same.
const MAX_DEBOUNCE: Duration = Duration::from_secs(2);

/// Files cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}: {source}", path.display())]
pub struct WatchError {
    /// The folder that should be watched.
    pub path: PathBuf,
    /// The error of the system.
    pub source: notify::Error,
}

/// Watches files until it is dropped.
pub struct FileWatch {
    watcher: RecommendedWatcher,
    events: Arc<Notify>,
    folders: BTreeSet<PathBuf>,
    files: Vec<PathBuf>,
    /// The content of each file as it was last seen.
    contents: Contents,
    /// When the files are read, if something happened in a folder.
    due: Option<Due>,
}

/// When files are read: once it is quiet, or at the latest.
#[derive(Debug, Clone, Copy)]
struct Due {
    quiet: Instant,
    latest: Instant,
}

/// A hash of each file; `None` for one that cannot be read.
type Contents = BTreeMap<PathBuf, Option<u64>>;

/// The files of a mesh: its own, and those of the prompts.
#[must_use]
pub fn files_of(mesh: &Mesh) -> Vec<PathBuf> {
    let prompts = mesh.agents.iter().filter_map(|agent| agent.prompt_path.clone());
    let files: BTreeSet<PathBuf> = std::iter::once(mesh.path.clone()).chain(prompts).collect();
    files.into_iter().collect()
}

impl FileWatch {
    /// Watches files, which need not exist, in folders that do.
    ///
    /// # Errors
    /// [`WatchError`].
    pub fn start(files: Vec<PathBuf>) -> Result<Self, WatchError> {
        let events = Arc::new(Notify::new());
        let happened = Arc::clone(&events);
        let on_event = move |event: notify::Result<notify::Event>| {
            // Reading a file is an event too. An error may mean lost events.
            if !event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_))) {
                happened.notify_one();
            }
        };
        let watcher = notify::recommended_watcher(on_event).map_err(|source| WatchError {
            path: files.first().map(|file| folder_of(file)).unwrap_or_default(),
            source,
        })?;
        let mut watch = Self {
            watcher,
            events,
            folders: BTreeSet::new(),
            files: Vec::new(),
            contents: Contents::new(),
            due: None,
        };
        watch.watch(files)?;
        Ok(watch)
    }

    /// Watches these files from now on. Changes of files that it watched before are not lost.
    ///
    /// # Errors
    /// [`WatchError`]; folders that can be watched are watched.
    pub fn watch(&mut self, files: Vec<PathBuf>) -> Result<(), WatchError> {
        let folders: BTreeSet<PathBuf> = files.iter().map(|file| folder_of(file)).collect();
        for path in self.folders.difference(&folders) {
            // It may have been deleted.
            let _ = self.watcher.unwatch(path);
        }
        let mut failed = None;
        let mut watched = BTreeSet::new();
        for path in folders {
            let is_new = !self.folders.contains(&path);
            match is_new.then(|| self.watcher.watch(&path, RecursiveMode::NonRecursive)) {
                Some(Err(source)) => failed = failed.or(Some(WatchError { path, source })),
                Some(Ok(())) | None => {
                    watched.insert(path);
                }
            }
        }
        let new: Vec<PathBuf> = files
            .iter()
            .filter(|file| !self.files.contains(file))
            .cloned()
            .collect();
        self.contents.retain(|file, _| files.contains(file));
        self.contents.extend(read(&new));
        self.folders = watched;
        self.files = files;
        failed.map_or(Ok(()), Err)
    }

    /// Returns when the content of a file has changed. May be dropped and called again at any time: no change is lost, and none is
    /// put off.
    pub async fn changed(&mut self) {
        loop {
            let Some(due) = &mut self.due else {
                self.events.notified().await;
                let now = Instant::now();
                self.due = Some(Due {
                    quiet: now + DEBOUNCE,
                    latest: now + MAX_DEBOUNCE,
                });
                continue;
            };
            tokio::select! {
                biased;
                () = tokio::time::sleep_until(due.quiet.min(due.latest)) => {}
                () = self.events.notified() => {
                    due.quiet = Instant::now() + DEBOUNCE;
                    continue;
                }
            }
            self.due = None;
            let contents = read(&self.files);
            if contents != self.contents {
                self.contents = contents;
                return;
            }
        }
    }
}

impl std::fmt::Debug for FileWatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FileWatch")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn read(files: &[PathBuf]) -> Contents {
    let hash = |file: &PathBuf| {
        // Reading a pipe would not end.
        let is_file = std::fs::metadata(file).is_ok_and(|metadata| metadata.is_file());
        let bytes = is_file.then(|| std::fs::read(file).ok()).flatten()?;
        let mut hasher = DefaultHasher::new();
        bytes.hash(&mut hasher);
        Some(hasher.finish())
    };
    files.iter().map(|file| (file.clone(), hash(file))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const DEADLINE: Duration = Duration::from_secs(30);

    async fn expect_change(watch: &mut FileWatch) {
        tokio::time::timeout(DEADLINE, watch.changed()).await.unwrap();
    }

    #[tokio::test]
    async fn a_change_is_seen_however_it_is_made() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mesh.yaml");
        fs::write(&file, "one").unwrap();
        let mut watch = FileWatch::start(vec![file.clone()]).unwrap();
        fs::write(&file, "two").unwrap();
        expect_change(&mut watch).await;
        // As editors save.
        let temporary = folder.path().join(".mesh.yaml.swp");
        fs::write(&temporary, "three").unwrap();
        fs::rename(&temporary, &file).unwrap();
        expect_change(&mut watch).await;
        fs::remove_file(&file).unwrap();
        expect_change(&mut watch).await;
        fs::write(&file, "four").unwrap();
        expect_change(&mut watch).await;
    }

    #[cfg(unix)]
    #[tokio::test]
    async fn a_link_that_points_elsewhere_is_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        for (version, text) in [("v1", "one"), ("v2", "two")] {
            fs::create_dir(path(version)).unwrap();
            fs::write(path(version).join("mesh.yaml"), text).unwrap();
        }
        std::os::unix::fs::symlink("v1", path("data")).unwrap();
        std::os::unix::fs::symlink("data/mesh.yaml", path("mesh.yaml")).unwrap();
        let mut watch = FileWatch::start(vec![path("mesh.yaml")]).unwrap();
        std::os::unix::fs::symlink("v2", path("next")).unwrap();
        fs::rename(path("next"), path("data")).unwrap();
        expect_change(&mut watch).await;
    }

    #[tokio::test]
    async fn what_has_the_same_content_is_no_change() {
        let folder = tempfile::tempdir().unwrap();
        let (file, prompt) = (folder.path().join("mesh.yaml"), folder.path().join("prompt.txt"));
        fs::write(&file, "one").unwrap();
        fs::write(&prompt, "p").unwrap();
        let mut watch = FileWatch::start(vec![file.clone(), prompt.clone()]).unwrap();
        fs::write(&file, "one").unwrap();
        fs::write(folder.path().join("other"), "two").unwrap();
        tokio::select! {
            () = watch.changed() => panic!("nothing changed"),
            () = tokio::time::sleep(DEBOUNCE * 3) => {}
        }
        // The change is not lost with the future that was dropped.
        fs::write(&prompt, "q").unwrap();
        expect_change(&mut watch).await;
    }

    #[tokio::test]
    async fn a_change_is_seen_in_a_busy_folder_by_a_busy_caller() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("mesh.yaml");
        fs::write(&file, "one").unwrap();
        let mut watch = FileWatch::start(vec![file.clone()]).unwrap();
        fs::write(&file, "two").unwrap();
        let mut rounds = 0;
        while tokio::time::timeout(DEBOUNCE / 10, watch.changed()).await.is_err() {
            rounds += 1;
            fs::write(folder.path().join("log"), rounds.to_string()).unwrap();
            assert!(rounds < 1_000, "the change is not seen");
        }
    }

    #[tokio::test]
    async fn files_that_join_later_are_watched_too() {
        let root = tempfile::tempdir().unwrap();
        let other = root.path().join("prompts");
        fs::create_dir(&other).unwrap();
        let (file, prompt) = (root.path().join("mesh.yaml"), other.join("a.txt"));
        fs::write(&file, "one").unwrap();
        let mut watch = FileWatch::start(vec![file.clone()]).unwrap();
        watch.watch(vec![file, prompt.clone()]).unwrap();
        fs::write(&prompt, "new").unwrap();
        expect_change(&mut watch).await;
    }

    #[test]
    fn a_folder_that_does_not_exist_is_told() {
        let root = tempfile::tempdir().unwrap();
        let error = FileWatch::start(vec![root.path().join("none/mesh.yaml")]).unwrap_err();
        assert!(error.to_string().contains("cannot watch"), "{error}");
    }
}
