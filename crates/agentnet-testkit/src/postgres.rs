//! A real PostgreSQL for one test.

use std::fs;
use std::os::unix::fs::chown;
use std::path::PathBuf;
use std::time::Duration;

use rustix::process::Signal;
use tempfile::TempDir;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::{Instant, sleep};

use crate::error::StartError;
use crate::locate::find_postgres;
use crate::port::PortLease;
use crate::process::{ServerProcess, User, log_tail, run_to_end};
use crate::template::{SUPERUSER, Templates};

const PROGRAM: &str = "postgres";
/// The longest wait until a server accepts connections, recovery after a crash included.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(15);
const DROP_TIMEOUT: Duration = Duration::from_secs(5);
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// The system's limit for the path of a Unix socket, with room for PostgreSQL's file name.
const MAX_SOCKET_FOLDER_LEN: usize = 80;

/// A PostgreSQL server on 127.0.0.1 with a new, empty cluster in a temporary folder, copied from a template that is made
/// once for each PostgreSQL installation.
///
/// When the test runs as root the server runs as `postgres` or `nobody`, since PostgreSQL refuses root. It does not
/// call fsync: its data survives every crash of the server, not one of the machine. Dropping the handle ends
/// the server at once and removes the folder.
#[derive(Debug)]
pub struct Postgres {
    // Dropped in this order: the server must be gone before its folder is removed.
    process: Option<ServerProcess>,
    lease: PortLease,
    password: String,
    user: Option<User>,
    programs: PathBuf,
    /// The default settings of PostgreSQL: fsync on, default buffer sizes.
    durable: bool,
    folder: TempDir,
}

impl Postgres {
    /// Creates a cluster, starts the server and returns once it accepts connections.
    ///
    /// # Errors
    /// [`StartError`]: PostgreSQL is not installed, or it did not start (with its log).
    pub async fn launch() -> Result<Self, StartError> {
        Self::launch_with(false).await
    }

    /// Like [`Postgres::launch`], with PostgreSQL's default settings, fsync included. For benchmarks.
    ///
    /// # Errors
    /// As [`Postgres::launch`].
    pub async fn launch_durable() -> Result<Self, StartError> {
        Self::launch_with(true).await
    }

    async fn launch_with(durable: bool) -> Result<Self, StartError> {
        let programs = find_postgres()?;
        let user = unprivileged_user()?;
        let folder = tempfile::Builder::new()
            .prefix("agentnet-pg-")
            .tempdir()
            .map_err(StartError::io("make a temporary folder"))?;
        let lease = PortLease::take().map_err(StartError::io("find a free port"))?;
        if let Some(user) = user {
            chown(folder.path(), Some(user.uid), Some(user.gid)).map_err(StartError::io("give the folder away"))?;
        }
        let (templates, data_dir) = (Templates::of_this_user(&programs, user), data_dir(&folder));
        let password = finished(
            "copy a cluster",
            spawn_blocking(move || templates.copy_to(&data_dir)).await,
        )?;
        let mut server = Self {
            process: None,
            lease,
            password,
            user,
            programs,
            durable,
            folder,
        };
        server.start().await?;
        Ok(server)
    }

    /// URL of the `postgres` database, for its superuser.
    pub fn url(&self) -> String {
        self.database_url("postgres")
    }

    /// Creates an empty database and returns its URL. `name`: a plain word.
    ///
    /// # Errors
    /// [`StartError::Ended`] with the output of `createdb`, for instance for a name that exists.
    pub async fn create_database(&self, name: &str) -> Result<String, StartError> {
        let args = vec![
            "--host=127.0.0.1".to_owned(),
            format!("--port={}", self.port()),
            format!("--username={SUPERUSER}"),
            name.to_owned(),
        ];
        self.run_tool("createdb", "run createdb", args).await?;
        Ok(self.database_url(name))
    }

    /// Runs statements in the `postgres` database, with `psql`, as its superuser.
    ///
    /// # Errors
    /// [`StartError::Ended`] with the output of `psql`.
    pub async fn execute(&self, sql: &str) -> Result<(), StartError> {
        let args = [
            "--no-psqlrc",
            "--quiet",
            "--set=ON_ERROR_STOP=1",
            "--command",
            sql,
            "--dbname",
            &self.url(),
        ];
        self.run_tool("psql", "run psql", args.map(str::to_owned).to_vec())
            .await
    }

    async fn run_tool(&self, tool: &'static str, what: &'static str, args: Vec<String>) -> Result<(), StartError> {
        let (programs, password, user) = (self.programs.clone(), self.password.clone(), self.user);
        let log = self.folder.path().join(format!("{tool}.log"));
        let work = move || run_to_end(&programs, tool, args, Some(("PGPASSWORD", &password)), &log, user);
        finished(what, spawn_blocking(work).await)
    }

    /// TCP port; the same after a stop or a crash.
    pub fn port(&self) -> u16 {
        self.lease.port()
    }

    /// Process id, unless it was stopped or killed.
    pub fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(ServerProcess::id)
    }

    /// Everything that the server has logged, over all its starts.
    pub fn log(&self) -> String {
        let bytes = fs::read(self.log_path()).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Stops the server (a "fast" shutdown: open connections are closed) and returns when it has ended.
    pub async fn stop(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.stop(Signal::INT, STOP_TIMEOUT).await;
        }
    }

    /// Kills the server with SIGKILL, as a crash would, and returns when it is gone.
    pub fn kill9(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill9();
        }
    }

    /// Starts a stopped or killed server again, with its data and on its port. Does nothing if it runs.
    ///
    /// # Errors
    /// [`StartError`] when it does not get ready.
    pub async fn start(&mut self) -> Result<(), StartError> {
        let end = Instant::now() + READY_TIMEOUT;
        if let Some(process) = &mut self.process
            && process.ended().map_err(StartError::io("wait for postgres"))?.is_none()
        {
            return Ok(());
        }
        while Instant::now() < end {
            let logged_before = self.log().len();
            let mut process = self.spawn()?;
            let status = loop {
                if let Some(status) = process.ended().map_err(StartError::io("wait for postgres"))? {
                    break status;
                }
                if self.is_ready(process.id()) {
                    self.process = Some(process);
                    return Ok(());
                }
                if Instant::now() >= end {
                    return Err(self.not_ready());
                }
                sleep(POLL_INTERVAL).await;
            };
            let log = self.log();
            let log = log.get(logged_before..).unwrap_or_default();
            // The children of a server that was just killed need a moment to end.
            let leftovers = [
                "pre-existing shared memory block",
                "lock file \"postmaster.pid\" already exists",
            ];
            if !leftovers.iter().any(|text| log.contains(text)) {
                return Err(StartError::Ended {
                    program: PROGRAM,
                    status: status.to_string(),
                    log: log_tail(log),
                });
            }
            sleep(POLL_INTERVAL).await;
        }
        Err(self.not_ready())
    }

    fn not_ready(&self) -> StartError {
        StartError::NotReady {
            program: PROGRAM,
            deadline: READY_TIMEOUT,
            log: log_tail(&self.log()),
        }
    }

    fn spawn(&self) -> Result<ServerProcess, StartError> {
        let socket_folder = self.folder.path().to_string_lossy();
        let socket_folder = if socket_folder.len() <= MAX_SOCKET_FOLDER_LEN {
            socket_folder.as_ref()
        } else {
            ""
        };
        let mut args = vec!["-D".to_owned(), self.data_dir().to_string_lossy().into_owned()];
        let place = [
            format!("port={}", self.port()),
            "listen_addresses=127.0.0.1".to_owned(),
            format!("unix_socket_directories={socket_folder}"),
        ];
        let quick = [
            "fsync=off",
            "full_page_writes=off",
            "max_connections=200",
            // A test's data is small, without replication or archiving.
            "shared_buffers=16MB",
            "max_wal_size=256MB",
            "wal_level=minimal",
            "max_wal_senders=0",
        ];
        let quick = quick.into_iter().filter(|_| !self.durable).map(str::to_owned);
        args.extend(
            place
                .into_iter()
                .chain(quick)
                .flat_map(|setting| ["-c".to_owned(), setting]),
        );
        let program = self.programs.join(PROGRAM);
        ServerProcess::spawn(&program, &args, &self.log_path(), self.user)
            .map_err(StartError::io(format!("start {}", program.display())))
    }

    /// Whether the server `pid` itself has written that it accepts connections: the first and eighth line of its file.
    fn is_ready(&self, pid: u32) -> bool {
        let text = fs::read_to_string(self.data_dir().join("postmaster.pid")).unwrap_or_default();
        let lines: Vec<_> = text.lines().map(str::trim).collect();
        lines.first() == Some(&pid.to_string().as_str()) && lines.get(7) == Some(&"ready")
    }

    fn database_url(&self, name: &str) -> String {
        format!(
            "postgres://{SUPERUSER}:{}@127.0.0.1:{}/{name}",
            self.password,
            self.port()
        )
    }

    fn data_dir(&self) -> PathBuf {
        data_dir(&self.folder)
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("postgres.log")
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        // An "immediate" shutdown: the server ends its children, which a SIGKILL would orphan.
        if let Some(mut process) = self.process.take() {
            process.stop_blocking(Signal::QUIT, DROP_TIMEOUT);
        }
    }
}

fn data_dir(folder: &TempDir) -> PathBuf {
    folder.path().join("data")
}

/// The outcome of work on a blocking thread, which can also panic.
fn finished<T>(doing: &str, outcome: Result<Result<T, StartError>, JoinError>) -> Result<T, StartError> {
    outcome.unwrap_or_else(|gone| Err(StartError::io(doing)(std::io::Error::other(gone))))
}

/// The user to run as when we are root; `None` when we are not.
pub(crate) fn unprivileged_user() -> Result<Option<User>, StartError> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let passwd = fs::read_to_string("/etc/passwd").map_err(StartError::io("read /etc/passwd"))?;
    let user = ["postgres", "nobody"].iter().find_map(|name| user_in(&passwd, name));
    user.map(Some).ok_or(StartError::NoUnprivilegedUser)
}

/// The entry of `name` in the text of /etc/passwd.
fn user_in(passwd: &str, name: &str) -> Option<User> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let fields = fields.into_iter().find(|fields| fields.first() == Some(&name))?;
    Some(User {
        uid: fields.get(2)?.parse().ok()?,
        gid: fields.get(3)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read_from_passwd() {
        let passwd = "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65533:n:/:/bin/false\nodd:*:-2:-2:o:/:/bin/false\n";
        assert_eq!(user_in(passwd, "nobody"), Some(User { uid: 65534, gid: 65533 }));
        assert_eq!(user_in(passwd, "odd"), None);
        assert_eq!(user_in(passwd, "postgres"), None);
    }
}
