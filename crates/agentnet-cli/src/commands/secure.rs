//! `agentnet secure export`: what a NATS server of one's own needs for a network in secure mode (PROTOCOL.md section 23.8).

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use agentnet_keys::MemberIdentity;
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::nats_key::KeyKind;
use agentnet_protocol::permissions::{Grant, Role};
use agentnet_protocol::subject::{REGISTRY_ACCOUNT_PREFIX, REGISTRY_GROUP};
use agentnet_registry::{BrokerUser, CALLOUT_ANSWERS, CALLOUT_SUBJECT, load_or_create_key, write_users_file};
use clap::{Args, Subcommand};

use crate::args::not_blank;
use crate::exit::{Exit, Failure};
use crate::failures::key_failure;
use crate::global::Global;
use crate::output::Output;

/// A network in secure mode on NATS servers of one's own.
#[derive(Debug, Args)]
pub(crate) struct Secure {
    #[command(subcommand)]
    command: SecureCommand,
}

#[derive(Debug, Subcommand)]
enum SecureCommand {
    /// Make the keys of a registry, and print what the NATS servers need to know
    Export(Export),
}

impl Secure {
    pub(crate) async fn run(self, _global: &Global, output: Output) -> Result<(), Exit> {
        match self.command {
            SecureCommand::Export(export) => export.run(output),
        }
    }
}

#[derive(Debug, Args)]
#[command(after_help = "\
Keys that are there already are kept. No secret is printed: seeds are in the files of the directory, which are its owner's \
alone. Run it again with another --server-id for a second registry.")]
struct Export {
    /// How the servers learn who may do what: file (their configuration includes a file that the registry writes), jwt (servers
    /// in operator mode, managed NATS) or callout (their configuration is static, they ask the registry)
    #[arg(long, value_name = "KIND", value_parser = ["file", "jwt", "callout"])]
    authority: String,
    /// Directory of the keys
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Address of the servers; may be given several times
    #[arg(long = "url", value_name = "URL", value_parser = not_blank, default_value = "nats://127.0.0.1:4222")]
    urls: Vec<String>,
    /// Name of the registry; each has its own
    #[arg(long, value_name = "NAME", value_parser = not_blank, default_value = "registry")]
    server_id: String,
}

impl Export {
    fn run(self, output: Output) -> Result<(), Exit> {
        let unusable = |error: io::Error| Failure::error(format!("{} cannot be used: {error}", self.dir.display()));
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.dir)
            .map_err(unusable)?;
        let dir = fs::canonicalize(&self.dir).map_err(unusable)?;
        let identity_file = dir.join(format!("{}.json", self.server_id));
        let registry = self.registry(&identity_file)?;
        let text = match self.authority.as_str() {
            "file" => file(&dir, &registry),
            "jwt" => jwt(&dir),
            _ => callout(&dir, &registry),
        };
        let text = text.map_err(unusable)?;
        let operator_file = dir.join("operator.json");
        let command = format!(
            "agentnet registry --server-id {} --identity {} --operator-file {} {}",
            self.server_id,
            shell(&identity_file),
            shell(&operator_file),
            text.flags
        );
        if output.is_json() {
            let mut out = ObjectWriter::new();
            out.text("authority", &self.authority)
                .text("configuration", &text.servers)
                .text("registry_command", &command)
                .text("identity_file", &identity_file.to_string_lossy())
                .text("operator_file", &operator_file.to_string_lossy());
            return Ok(output.document(&out.finish())?);
        }
        output.line(format!("{}\n# The registry:\n# {command}", text.servers.trim_end()))?;
        Ok(())
    }

    /// The registry as a user of the broker; its identity is made where there is none.
    fn registry(&self, file: &Path) -> Result<BrokerUser, Failure> {
        let account_id = format!("{REGISTRY_ACCOUNT_PREFIX}{}", self.server_id);
        let identity = match MemberIdentity::load(file).map_err(key_failure)? {
            Some(mut identity) => {
                identity.urls.clone_from(&self.urls);
                identity
            }
            None => {
                let role = Role::Registry.as_str().to_owned();
                MemberIdentity::generate(self.urls.clone(), account_id.clone(), "registry".to_owned(), role)
            }
        };
        let grant = Grant {
            role: Role::Registry,
            account_id: &account_id,
            capabilities: &[],
            may_send_to: None,
        };
        let user = BrokerUser::new(&identity.nkey().public(), &grant)
            .map_err(|error| Failure::refused(error.to_string()).hint("give --server-id a name of A-Z a-z 0-9 _ -"))?;
        identity.replace(file).map_err(key_failure)?;
        Ok(user)
    }
}

/// What the servers need, and the flags of the registry.
struct Exported {
    servers: String,
    flags: String,
}

fn file(dir: &Path, registry: &BrokerUser) -> io::Result<Exported> {
    let users = dir.join("users.conf");
    if !users.exists() {
        write_users_file(&users, std::slice::from_ref(registry))?;
    }
    Ok(Exported {
        servers: format!(
            "# In the configuration of nats-server. The registry writes users.conf: let the server read it at\n\
             # {users}\n\
             # (an include is relative to the file that it stands in), and let the registry write it.\n\
             pid_file: \"/run/nats-server.pid\"\n\
             max_control_line: 64KB\n\
             system_account: SYS\n\
             accounts {{\n    SYS {{ users: [] }}\n    AGENTNET {{\n        jetstream: enabled\n        include \"users.conf\"\n    \
             }}\n}}\n",
            users = users.display()
        ),
        flags: format!(
            "--authority file --users-file {} --nats-pid-file /run/nats-server.pid",
            shell(&users)
        ),
    })
}

fn jwt(dir: &Path) -> io::Result<Exported> {
    let path = dir.join("signing.nk");
    let public = load_or_create_key(&path, KeyKind::Account)?.public();
    Ok(Exported {
        servers: format!(
            "# With the operator's nsc (managed NATS: add this signing key to the account by its console):\n\
             nsc add account AGENTNET\n\
             nsc edit account AGENTNET --sk {public} --js-mem-storage -1 --js-disk-storage -1\n\
             nsc push --account AGENTNET\n\
             # In the configuration of the servers, for members with more than about fifteen capabilities (then the registry\n\
             # gets --max-control-line 65536 too):\n\
             # max_control_line: 64KB\n\
             # With --sys-creds FILE and --operator-key FILE the registry cuts revoked members off at once; without them they\n\
             # go on for up to 15 minutes, until their credential ends.\n"
        ),
        flags: format!(
            "--authority jwt --authority-key {} --authority-account ACCOUNT   # its public key: nsc describe account AGENTNET",
            shell(&path)
        ),
    })
}

fn callout(dir: &Path, registry: &BrokerUser) -> io::Result<Exported> {
    let (issuer_file, sys_file) = (dir.join("issuer.nk"), dir.join("sys.nk"));
    let issuer = load_or_create_key(&issuer_file, KeyKind::Account)?.public();
    let sys = load_or_create_key(&sys_file, KeyKind::User)?.public();
    let mut permissions = registry.permissions.clone();
    permissions.publish.push(CALLOUT_ANSWERS.to_owned());
    permissions
        .subscribe
        .push(format!("{CALLOUT_SUBJECT} {REGISTRY_GROUP}"));
    Ok(Exported {
        servers: format!(
            "# In the configuration of each server; further registries are users and auth_users of the same kind.\n\
             system_account: SYS\n\
             accounts {{\n    SYS {{ users: [ {{ nkey: {sys} }} ] }}\n    AGENTNET {{\n        jetstream: enabled\n        users: [\n            \
             {{ nkey: {nkey}, permissions: {{\n                publish: {publish:?}\n                subscribe: {subscribe:?}\n            }} }}\n        ]\n    }}\n}}\n\
             authorization {{\n    auth_callout {{\n        issuer: {issuer}\n        account: AGENTNET\n        auth_users: [ {nkey} ]\n        \
             allowed_accounts: [ AGENTNET ]\n    }}\n}}\n",
            nkey = registry.nkey,
            publish = permissions.publish,
            subscribe = permissions.subscribe,
        ),
        flags: format!(
            "--authority callout --authority-key {} --sys-creds {}",
            shell(&issuer_file),
            shell(&sys_file)
        ),
    })
}

/// A path as a word of a shell.
fn shell(path: &Path) -> String {
    format!("'{}'", path.to_string_lossy().replace('\'', "'\\''"))
}
