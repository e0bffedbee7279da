//! A PostgreSQL cluster that is created once and copied for every test: `initdb` takes half a second, a copy a tenth of that.
//!
//! 1. The template lies in the system's temporary folder, under a name made of the installation, the user and the
//!    options. Another version of PostgreSQL creates its own template.
//! 2. It is created in a folder beside it, under a file lock, and moved into place when it is complete, so an existing
//!    template is complete. A process that is killed meanwhile leaves a folder that the next process removes.
//! 3. It has a count of its files and bytes. A copy with another count, because a clean-up of the temporary folder removed
//!    files, is discarded, and the template is created anew.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use crate::error::StartError;
use crate::port::random_number;
use crate::process::{User, run_to_end};

/// The superuser of every cluster.
pub(crate) const SUPERUSER: &str = "agentnet";
/// The options of `initdb`. Part of the template's name: a change creates a new template.
const OPTIONS: [&str; 4] = [
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    // A file of the default 16 MB would be two fifths of the copy.
    "--wal-segsize=1",
];
/// Another process may recreate the template during a copy; after this many attempts the template is considered broken.
const MAX_COPY_ATTEMPTS: usize = 5;

/// The templates of one PostgreSQL installation and user.
#[derive(Debug)]
pub(crate) struct Templates {
    root: PathBuf,
    programs: PathBuf,
    user: Option<User>,
}

/// Number of files and bytes of a cluster, to detect missing or truncated files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    files: u64,
    bytes: u64,
}

/// The files beside a template.
#[derive(Debug, PartialEq, Eq)]
struct Manifest {
    password: String,
    size: Size,
}

impl Templates {
    /// The templates of this machine's user, in the temporary folder.
    pub(crate) fn of_this_user(programs: &Path, user: Option<User>) -> Self {
        let owner = rustix::process::getuid().as_raw();
        Self {
            root: std::env::temp_dir().join(format!("agentnet-testkit-postgres-{owner}")),
            programs: programs.to_owned(),
            user,
        }
    }

    /// Creates a cluster in `target`, which must not exist, owned by the server's user. Returns the superuser's password.
    /// Blocks.
    pub(crate) fn copy_to(&self, target: &Path) -> Result<String, StartError> {
        self.make_root()
            .map_err(StartError::io(format!("make {}", self.root.display())))?;
        let template = self.root.join(self.name()?);
        let mut problem = None;
        for _ in 0..MAX_COPY_ATTEMPTS {
            match self.try_copy(&template, target) {
                Ok(password) => return Ok(password),
                Err(error) => problem = Some(error),
            }
            if target.exists() {
                fs::remove_dir_all(target).map_err(StartError::io("remove an incomplete copy"))?;
            }
            self.make(&template)?;
        }
        let problem = problem.unwrap_or_else(|| io::Error::other("it is never complete"));
        Err(StartError::io(format!("copy the cluster in {}", template.display()))(
            problem,
        ))
    }

    /// The folder of all templates: writable only for this user, and searchable for the user of `initdb`.
    fn make_root(&self) -> io::Result<()> {
        if let Err(error) = DirBuilder::new().mode(0o711).create(&self.root)
            && error.kind() != io::ErrorKind::AlreadyExists
        {
            return Err(error);
        }
        let found = fs::symlink_metadata(&self.root)?;
        let ours = found.is_dir() && found.uid() == rustix::process::getuid().as_raw();
        if !ours || found.permissions().mode() & 0o022 != 0 {
            return Err(io::Error::other("it belongs to somebody else; remove it or set TMPDIR"));
        }
        Ok(())
    }

    /// The template's name for this installation and user. An upgrade of the package changes the executables, and so the name.
    fn name(&self) -> Result<String, StartError> {
        let mut hasher = DefaultHasher::new();
        (OPTIONS, SUPERUSER, self.user.map(|user| (user.uid, user.gid))).hash(&mut hasher);
        for program in ["initdb", "postgres"] {
            let path = self.programs.join(program);
            let found = fs::metadata(&path).map_err(StartError::io(format!("look at {}", path.display())))?;
            (path, found.ino(), found.len(), found.mtime(), found.mtime_nsec()).hash(&mut hasher);
        }
        Ok(format!("template-{:016x}", hasher.finish()))
    }

    /// Copies the template if it exists and is complete.
    fn try_copy(&self, template: &Path, target: &Path) -> io::Result<String> {
        let manifest = Manifest::read(template)?;
        let mut copied = Size::default();
        copy_folder(&template.join("data"), target, self.user, &mut copied)?;
        if copied != manifest.size {
            return Err(io::Error::other(format!(
                "it has {copied:?} instead of {:?}",
                manifest.size
            )));
        }
        Ok(manifest.password)
    }

    /// Creates the template unless it is complete: another process may have created it while this one waited for the lock.
    fn make(&self, template: &Path) -> Result<(), StartError> {
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(self.root.join("lock"));
        let lock = lock.map_err(StartError::io("open the templates' lock"))?;
        lock.lock().map_err(StartError::io("lock the templates"))?;
        if is_whole(template) {
            return Ok(());
        }
        let staging = self.root.join("staging");
        for leftover in [&staging, template] {
            match fs::remove_dir_all(leftover) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(StartError::io(format!("remove {}", leftover.display()))(error));
                }
                _ => {}
            }
        }
        let password = format!("{:016x}", random_number());
        self.init(&staging, &password)?;
        let written = || {
            let manifest = Manifest {
                password,
                size: measure(&staging.join("data"))?,
            };
            manifest.write(&staging)?;
            fs::rename(&staging, template)
        };
        written().map_err(StartError::io("put the new template in place"))
    }

    /// Runs `initdb` in the folder `staging`, with fsync, so that the template survives a crash of the machine.
    fn init(&self, staging: &Path, password: &str) -> Result<(), StartError> {
        let password_file = staging.join("password");
        let prepared = || {
            DirBuilder::new().mode(0o700).create(staging)?;
            fs::write(&password_file, password)?;
            hand_over(&password_file, self.user)?;
            hand_over(staging, self.user)
        };
        prepared().map_err(StartError::io(format!("prepare {}", staging.display())))?;
        let args = OPTIONS.map(str::to_owned).into_iter().chain([
            format!("--pgdata={}", staging.join("data").display()),
            format!("--username={SUPERUSER}"),
            format!("--pwfile={}", password_file.display()),
        ]);
        run_to_end(
            &self.programs,
            "initdb",
            args.collect(),
            None,
            &staging.join("initdb.log"),
            self.user,
        )
    }
}

impl Manifest {
    fn read(template: &Path) -> io::Result<Self> {
        let text = fs::read_to_string(template.join("manifest"))?;
        Self::parse(&text).ok_or_else(|| io::Error::other("its manifest cannot be read"))
    }

    /// Three words and a line end; without the line end the file is truncated.
    fn parse(text: &str) -> Option<Self> {
        let mut words = text.strip_suffix('\n')?.split(' ');
        let (password, files, bytes) = (words.next()?, words.next()?, words.next()?);
        let size = Size {
            files: files.parse().ok()?,
            bytes: bytes.parse().ok()?,
        };
        (words.next().is_none() && !password.is_empty()).then(|| Self {
            password: password.to_owned(),
            size,
        })
    }

    fn write(&self, folder: &Path) -> io::Result<()> {
        let mut options = OpenOptions::new();
        let file = options
            .create_new(true)
            .write(true)
            .mode(0o600)
            .open(folder.join("manifest"))?;
        let Size { files, bytes } = self.size;
        io::Write::write_all(&mut &file, format!("{} {files} {bytes}\n", self.password).as_bytes())?;
        file.sync_all()
    }
}

fn is_whole(template: &Path) -> bool {
    let size = measure(&template.join("data"));
    matches!((Manifest::read(template), size), (Ok(manifest), Ok(size)) if manifest.size == size)
}

fn measure(folder: &Path) -> io::Result<Size> {
    let mut size = Size::default();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            let inner = measure(&entry.path())?;
            size.files += inner.files;
            size.bytes += inner.bytes;
        } else {
            size.files += 1;
            size.bytes += entry.metadata()?.len();
        }
    }
    Ok(size)
}

/// Copies files and folders (a cluster has nothing else) and adds up what it copied. Shares the blocks where the file
/// system can.
fn copy_folder(from: &Path, to: &Path, user: Option<User>, copied: &mut Size) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    hand_over(to, user)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &target, user, copied)?;
        } else {
            // Opened here to own the copy before anything is in it; `io::copy` lets the kernel do the copying.
            let mut source = File::open(entry.path())?;
            let mut sink = OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o600)
                .open(&target)?;
            if let Some(user) = user {
                std::os::unix::fs::fchown(&sink, Some(user.uid), Some(user.gid))?;
            }
            copied.files += 1;
            copied.bytes += io::copy(&mut source, &mut sink)?;
        }
    }
    Ok(())
}

/// Makes the server's user the owner of `path`.
fn hand_over(path: &Path, user: Option<User>) -> io::Result<()> {
    user.map_or(Ok(()), |user| chown(path, Some(user.uid), Some(user.gid)))
}

#[cfg(test)]
mod tests;
