//! The configuration of nats-server for each authority.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use agentnet::protocol::nats_key::{KeyKind, NatsKey};
use agentnet::protocol::permissions::{Grant, Role};
use agentnet_keys::MemberIdentity;
use agentnet_registry::{Authority, BrokerUser, CALLOUT_ANSWERS, CALLOUT_SUBJECT, OperatorMode, write_users_file};

use super::Kind;

/// Lines of the configuration, and the settings of the registry.
pub(super) fn set_up(kind: Kind, folder: &Path, registries: &[MemberIdentity; 2]) -> (String, Authority) {
    match kind {
        Kind::File => file(folder, &registries[0]),
        Kind::Jwt => jwt(folder),
        Kind::JwtAlone => {
            let (config, mut authority) = jwt(folder);
            if let Authority::Jwt(signing) = &mut authority {
                (signing.sys_creds, signing.operator_key) = (None, None);
            }
            (config, authority)
        }
        Kind::Callout | Kind::CalloutAlone => callout(kind, folder, registries),
    }
}

fn registry_user(identity: &MemberIdentity) -> BrokerUser {
    let grant = Grant {
        role: Role::Registry,
        account_id: &identity.account_id,
        capabilities: &[],
        may_send_to: None,
    };
    BrokerUser::new(&identity.nkey().public(), &grant).unwrap()
}

fn file(folder: &Path, identity: &MemberIdentity) -> (String, Authority) {
    let users = folder.join("users.conf");
    write_users_file(&users, &[registry_user(identity)]).unwrap();
    // A path of an include is relative to the file that includes it; both are in the folder for temporary files.
    let included = PathBuf::from("..").join(folder.file_name().unwrap()).join("users.conf");
    let pid = folder.join("nats.pid");
    let config = format!(
        "pid_file: {pid:?}\nmax_control_line: 64KB\nsystem_account: SYS\n\
         accounts {{\n  SYS {{ users: [] }}\n  AGENTNET {{\n    jetstream: enabled\n    include {included:?}\n  }}\n}}\n"
    );
    (config, Authority::file(users, pid))
}

/// The servers keep their default of `max_control_line`.
fn jwt(folder: &Path) -> (String, Authority) {
    let mode = OperatorMode::load_or_create(folder).unwrap();
    let config = mode.server_config(&folder.join("accounts")).unwrap();
    let mut authority = mode.authority();
    if let Authority::Jwt(signing) = &mut authority {
        signing.max_control_line = 4096;
    }
    (config, authority)
}

fn callout(kind: Kind, folder: &Path, registries: &[MemberIdentity; 2]) -> (String, Authority) {
    let private = |name: &str, key: &NatsKey| {
        let path = folder.join(name);
        fs::write(&path, key.seed_text()).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        path
    };
    let issuer = NatsKey::from_seed(KeyKind::Account, &[1; 32]);
    let sys = NatsKey::from_seed(KeyKind::User, &[2; 32]);
    let user = |identity: &MemberIdentity| {
        let BrokerUser {
            nkey, mut permissions, ..
        } = registry_user(identity);
        permissions.publish.push(CALLOUT_ANSWERS.to_owned());
        permissions
            .subscribe
            .push(format!("{CALLOUT_SUBJECT} agentnet-registry"));
        let (publish, subscribe) = (permissions.publish, permissions.subscribe);
        format!("{{ nkey: {nkey}, permissions: {{ publish: {publish:?}, subscribe: {subscribe:?} }} }}")
    };
    let [first, second] = registries.each_ref().map(|identity| identity.nkey().public());
    let config = format!(
        "system_account: SYS\naccounts {{\n  SYS {{ users: [ {{ nkey: {sys} }} ] }}\n  AGENTNET {{\n    jetstream: enabled\n    \
         users: [\n      {}\n      {}\n    ]\n  }}\n}}\n\
         authorization {{ auth_callout {{ issuer: {issuer}, account: AGENTNET, auth_users: [ {first}, {second} ], \
         allowed_accounts: [ AGENTNET ] }} }}\n",
        user(&registries[0]),
        user(&registries[1]),
        sys = sys.public(),
        issuer = issuer.public(),
    );
    let mut authority = Authority::callout(private("issuer.nk", &issuer));
    if let Authority::Callout(signing) = &mut authority
        && kind == Kind::Callout
    {
        signing.sys_creds = Some(private("sys.nk", &sys));
    }
    (config, authority)
}
