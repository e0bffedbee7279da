//! A PostgreSQL cluster that is made once and copied for every test: `initdb` costs half a second of work, a copy a tenth.
//!
//! 1. The template lies in the system's temporary folder, under a name that says which installation made it, for which
//!    user and with which options. Another version of PostgreSQL finds no template of its own and makes one.
//! 2. It is made in a folder beside it, under a file lock, and moved into place when it is complete: a template that
//!    exists was finished. Whoever is killed on the way leaves a folder that the next maker removes.
//! 3. It comes with a count of its files and bytes. A copy that counts otherwise, since something has tidied the
//!    temporary folder up, is thrown away, and the template is made anew.

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
/// What `initdb` is told. Part of the template's name: a change makes a new template.
const OPTIONS: [&str; 4] = [
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    "--locale=C",
    // A file of the default 16 MB would be two fifths of what is copied.
    "--wal-segsize=1",
];
/// Somebody else may be making the template anew while it is copied; more often than this something is wrong with it.
const TRIES: usize = 5;

/// Where the templates of one PostgreSQL installation and user are.
#[derive(Debug)]
pub(crate) struct Templates {
    root: PathBuf,
    programs: PathBuf,
    user: Option<User>,
}

/// How much a cluster is: enough to notice that files are missing or cut off.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Size {
    files: u64,
    bytes: u64,
}

/// What lies beside a template.
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

    /// Makes `target`, which must not exist, a new cluster that belongs to the server's user. Returns the superuser's
    /// password. Blocks.
    pub(crate) fn copy_to(&self, target: &Path) -> Result<String, StartError> {
        self.make_root()
            .map_err(StartError::io(format!("make {}", self.root.display())))?;
        let template = self.root.join(self.name()?);
        let mut problem = None;
        for _ in 0..TRIES {
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

    /// The folder of all templates: ours alone to write, and open to pass through for the user that `initdb` runs as.
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

    /// A name for what this installation makes for this user. A package that is upgraded replaces its executables.
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

    /// Copies the template if it is there and whole.
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

    /// Makes the template unless it is whole: another process may have made it while this one waited for the lock.
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

    /// Runs `initdb` in the folder `staging`. It syncs what it writes: the template outlives a crash of the machine whole.
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

    /// Three words and an end of line, without which it was cut off.
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
