//! A NATS server in operator mode that belongs to one agentnet network: operator, system account, the network's account, and a
//! resolver (PROTOCOL.md section 23.8). `agentnet up --secure --authority jwt` runs one.
//!
//! | File | Content |
//! |---|---|
//! | `operator.nk` | seed of the operator, which signs the accounts |
//! | `account.nk` | seed of the network's account, which signs the members |
//! | `system.nk` | seed of the system account |
//! | `sys.creds` | credentials of its user, by which the registry revokes members |
//! | `accounts/` | the accounts' JWTs, as the server keeps them |

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use agentnet_protocol::nats_jwt::{Claims, JwtError, Transport, UserRights, account, operator, user};
use agentnet_protocol::nats_key::{Credentials, KeyKind, NatsKey};
use agentnet_protocol::permissions::Permissions;

use super::authority::{Authority, SigningAuthority};

/// `max_control_line` of the servers that are set up here: credentials with many capabilities fit.
pub const CONTROL_LINE_BYTES: usize = 64 * 1024;
/// When the accounts are said to be made: always earlier than what the registry puts in their place, which the server then keeps.
const ISSUED_AT: i64 = 1;

/// The keys of a server in operator mode.
#[derive(Debug, Clone)]
pub struct OperatorMode {
    dir: PathBuf,
    operator: NatsKey,
    account: NatsKey,
    system: NatsKey,
}

impl OperatorMode {
    /// Reads the keys of a directory; those that are missing are made.
    ///
    /// # Errors
    /// A file cannot be read or written, or holds no key.
    pub fn load_or_create(dir: &Path) -> io::Result<Self> {
        let mode = Self {
            operator: load_or_create(&dir.join("operator.nk"), KeyKind::Operator)?,
            account: load_or_create(&dir.join("account.nk"), KeyKind::Account)?,
            system: load_or_create(&dir.join("system.nk"), KeyKind::Account)?,
            dir: dir.to_owned(),
        };
        let sys_creds = mode.sys_creds();
        if !sys_creds.exists() {
            let key = NatsKey::from_seed(KeyKind::User, &rand::random());
            let jwt = mode.system_user(&key.public()).map_err(io::Error::other)?;
            let credentials = Credentials { jwt: Some(jwt), key };
            create_private(&sys_creds, &credentials.text())?;
        }
        Ok(mode)
    }

    fn sys_creds(&self) -> PathBuf {
        self.dir.join("sys.creds")
    }

    /// How a registry on this server tells it who may do what.
    #[must_use]
    pub fn authority(&self) -> Authority {
        Authority::Jwt(SigningAuthority {
            sys_creds: Some(self.sys_creds()),
            operator_key: Some(self.dir.join("operator.nk")),
            max_control_line: CONTROL_LINE_BYTES,
            ..SigningAuthority::new(self.dir.join("account.nk"))
        })
    }

    /// The user of the system account may do everything there.
    fn system_user(&self, nkey: &str) -> Result<String, JwtError> {
        let everything = Permissions {
            publish: vec![">".to_owned()],
            subscribe: vec![">".to_owned()],
        };
        let rights = UserRights {
            permissions: &everything,
            transports: &[Transport::Standard],
            subscriptions: None,
            issuer_account: None,
        };
        user(&claims(nkey, "sys"), &rights, &self.system)
    }

    /// The part of the server's configuration, with its line break. The accounts' JWTs are kept in `accounts_dir`: a path that the
    /// server can write, relative to its working directory or absolute.
    ///
    /// # Errors
    /// A key is of another kind: not after [`OperatorMode::load_or_create`].
    pub fn server_config(&self, accounts_dir: &Path) -> Result<String, JwtError> {
        let (system, network) = (self.system.public(), self.account.public());
        let operator_jwt = operator(&claims(&self.operator.public(), "agentnet"), &system, &self.operator)?;
        let system_jwt = account(&claims(&system, "SYS"), &[], false, &self.operator)?;
        let network_jwt = account(&claims(&network, "AGENTNET"), &[], true, &self.operator)?;
        let dir = accounts_dir
            .to_string_lossy()
            .replace('\\', "\\\\")
            .replace('"', "\\\"");
        Ok(format!(
            "operator: {operator_jwt}\n\
             system_account: {system}\n\
             resolver {{ type: full, dir: \"{dir}\", allow_delete: false, interval: \"2m\" }}\n\
             resolver_preload {{\n    {system}: {system_jwt}\n    {network}: {network_jwt}\n}}\n"
        ))
    }
}

fn claims<'a>(subject: &'a str, name: &'a str) -> Claims<'a> {
    Claims {
        subject,
        audience: None,
        name,
        issued_at: ISSUED_AT,
        expires_at: None,
    }
}

/// The key of a file; a new one, if there is none.
///
/// # Errors
/// The file cannot be read or written, or holds no key of this kind.
pub fn load_or_create(path: &Path, kind: KeyKind) -> io::Result<NatsKey> {
    match fs::read_to_string(path) {
        Ok(text) => {
            NatsKey::read_seed_of(kind, &text).map_err(|error| io::Error::other(format!("{}: {error}", path.display())))
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let key = NatsKey::from_seed(kind, &rand::random());
            create_private(path, &format!("{}\n", key.seed_text()))?;
            Ok(key)
        }
        Err(error) => Err(io::Error::new(error.kind(), format!("{}: {error}", path.display()))),
    }
}

/// Writes a file that is not there yet, for its owner alone.
fn create_private(path: &Path, text: &str) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_made_once_and_are_the_owners_alone() {
        let dir = tempfile::tempdir().unwrap();
        let made = OperatorMode::load_or_create(dir.path()).unwrap();
        let config = made.server_config(Path::new("accounts")).unwrap();
        let again = OperatorMode::load_or_create(dir.path()).unwrap();
        assert_eq!(again.server_config(Path::new("accounts")).unwrap(), config);
        let secrets = [&made.operator, &made.account, &made.system].map(NatsKey::seed_text);
        assert!(secrets.iter().all(|secret| !config.contains(secret)), "{config}");
        for entry in fs::read_dir(dir.path()).unwrap() {
            let path = entry.unwrap().path();
            #[cfg(unix)]
            {
                use std::os::unix::fs::PermissionsExt as _;
                let mode = fs::metadata(&path).unwrap().permissions().mode();
                assert_eq!(mode & 0o077, 0, "{}", path.display());
            }
        }
        fs::write(dir.path().join("account.nk"), "nonsense").unwrap();
        let error = OperatorMode::load_or_create(dir.path()).unwrap_err().to_string();
        assert!(
            error.contains("account.nk") && error.contains("no seed of NATS"),
            "{error}"
        );
        assert!(!error.contains("nonsense"), "{error}");
    }
}
