//! `agentnet join`: uses an invite, and keeps the identity that it makes.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use agentnet::{ConnectError, RegistryError};
use agentnet_keys::{KeyFileError, MemberIdentity};
use agentnet_nats::{Backoff, MemberLogin, NatsUrl, is_refusal};
use agentnet_protocol::invite::{Invite, MAX_INVITE_BYTES};
use agentnet_protocol::json::ObjectWriter;
use agentnet_protocol::nats_jwt::has_form;
use agentnet_protocol::rpc::{EnrollReply, EnrollRequest, Request as _, decode_reply};
use agentnet_protocol::subject::issued;
use async_nats::Client;
use async_nats::client::RequestErrorKind;
use clap::Args;
use tokio::time::{Instant, sleep, timeout};

use crate::args::not_blank;
use crate::data_dir::{default_dir, identity_file};
use crate::exit::{Exit, Failure};
use crate::failures::{connect_failure, key_failure, registry_failure, reply_failure};
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::spinner::Spinner;
use crate::signals::StopSignals;

/// The name of the connection in the server's list.
const CONNECTION_NAME: &str = "agentnet-join";
/// How long a refused credential is tried again: the server reads its users shortly after they were made.
const REFUSED_TIMEOUT: Duration = Duration::from_secs(4);
const RETRY: Backoff = Backoff::new(Duration::from_millis(50), Duration::from_millis(500));
/// Timeout of the enrolment.
const ENROLMENT_TIMEOUT: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "\
The keys are made on this machine and stay here: the network gets their public halves. With `-` the code is read from standard \
input, so that it stays out of the shell's history.")]
pub(crate) struct Join {
    /// The code of `agentnet invite`; `-` reads it from standard input
    #[arg(value_name = "CODE", value_parser = not_blank)]
    code: String,
    /// Where to keep the identity [default: identities/NAME.json in the data directory]
    #[arg(long, value_name = "FILE")]
    identity_file: Option<PathBuf>,
}

impl Join {
    pub(crate) async fn run(self, _global: &Global, output: Output) -> Result<(), Exit> {
        let invite = Invite::decode(&self.code()?).map_err(|error| Failure::refused(error.to_string()))?;
        check(&invite)?;
        let is_default = self.identity_file.is_none();
        let path = match self.identity_file {
            Some(path) => path,
            None => identity_file(&default_dir()?, &invite.username),
        };
        let spinner = Spinner::start(output, format!("joining as @{}", clean(&invite.username)));
        let joined = StopSignals::listen()?
            .unless(async { Ok(join(&invite, &path).await?) })
            .await?;
        spinner.end();
        if output.is_json() {
            return Ok(output.document(&document(&joined, &path))?);
        }
        let username = clean(&joined.username).into_owned();
        output.line(format!(
            "joined as @{username} ({}, {})",
            joined.role, joined.account_id
        ))?;
        output.note(format!("identity: {}", path.display()));
        output.note(match is_default {
            true => format!("commands find it by the name: agentnet send --as {username} --to-username NAME TEXT"),
            false => format!(
                "commands use it with --identity, or: export AGENTNET_IDENTITY='{}'",
                path.display()
            ),
        });
        output.note(format!("programs connect to: identity:{}", path.display()));
        Ok(())
    }

    /// The code: the argument, or standard input.
    fn code(&self) -> Result<String, Failure> {
        if self.code.trim() != "-" {
            return Ok(self.code.clone());
        }
        let mut text = String::new();
        let limit = MAX_INVITE_BYTES as u64 + 1024;
        io::stdin()
            .take(limit)
            .read_to_string(&mut text)
            .map_err(|error| Failure::error(format!("the code cannot be read from standard input: {error}")))?;
        Ok(text)
    }
}

/// Checks what this version can do with the invite.
fn check(invite: &Invite) -> Result<(), Failure> {
    if invite.ca_pem.is_some() {
        return Err(Failure::refused(
            "the invite names a certificate authority of its own, which this version cannot use",
        ));
    }
    let is_address = |url: &String| url.starts_with("nats://") || url.starts_with("tls://");
    match invite.urls.iter().all(is_address) {
        true => Ok(()),
        false => Err(Failure::refused(
            "the invite names an address that is no nats:// or tls:// URL",
        )),
    }
}

/// Makes the identity, and enrols it. Without an enrolment, no file is left.
async fn join(invite: &Invite, path: &Path) -> Result<EnrollReply, Failure> {
    let known = MemberIdentity::load(path).map_err(key_failure)?;
    if known.is_some_and(|known| known.account_id != invite.account_id) {
        return Err(
            Failure::refused(format!("{} is the identity of another member", path.display()))
                .hint("name another file with --identity-file"),
        );
    }
    // Written before the enrolment: what is enrolled must not be lost.
    let pending = pending_path(path);
    if let Some(enrolled) = finish_interrupted(invite, &pending, path).await? {
        return Ok(enrolled);
    }
    let mut identity = MemberIdentity::of_invite(invite);
    identity.replace(&pending).map_err(key_failure)?;
    match enrol(invite, &identity).await {
        Ok(enrolled) => {
            let usable = |jwt: &Option<String>| jwt.clone().filter(|jwt| has_form(jwt));
            (identity.jwt, identity.renewal_jwt) = (usable(&enrolled.jwt), usable(&enrolled.renewal_jwt));
            if identity.jwt.is_some() {
                identity.replace(&pending).map_err(key_failure)?;
            }
            keep(&pending, path)?;
            wait_until_known(&identity).await?;
            Ok(enrolled)
        }
        Err(failure) => {
            // It is of no use, and nobody else's.
            let _ = fs::remove_file(&pending);
            Err(failure)
        }
    }
}

fn pending_path(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".pending");
    PathBuf::from(name)
}

fn keep(pending: &Path, path: &Path) -> Result<(), Failure> {
    fs::rename(pending, path).map_err(|source| {
        key_failure(KeyFileError::Write {
            path: path.to_owned(),
            source,
        })
    })
}

/// A join that was killed between the enrolment and the end has left its identity: it is a member then.
async fn finish_interrupted(invite: &Invite, pending: &Path, path: &Path) -> Result<Option<EnrollReply>, Failure> {
    let Ok(Some(identity)) = MemberIdentity::load(pending) else {
        return Ok(None);
    };
    if identity.account_id != invite.account_id || !is_known(&identity).await {
        return Ok(None);
    }
    keep(pending, path)?;
    Ok(Some(enrolled(invite)))
}

/// The reply that was lost.
fn enrolled(invite: &Invite) -> EnrollReply {
    EnrollReply {
        status: EnrollReply::ENROLLED.to_owned(),
        account_id: invite.account_id.clone(),
        username: invite.username.clone(),
        role: invite.role.as_str().to_owned(),
        ..EnrollReply::default()
    }
}

async fn enrol(invite: &Invite, identity: &MemberIdentity) -> Result<EnrollReply, Failure> {
    let client = connect_to_enrol(invite).await?;
    let subject = issued(&EnrollRequest::subject(), &invite.invite_id);
    let body = identity.enrolment(invite).encode();
    let request = async_nats::Request::new()
        .payload(body.into())
        .timeout(Some(ENROLMENT_TIMEOUT));
    let reply = client.send_request(subject, request).await;
    let outcome = match &reply {
        Ok(reply) => decode_reply::<EnrollRequest>(&reply.payload).map_err(reply_failure),
        Err(error) if error.kind() == RequestErrorKind::NoResponders => {
            return Err(registry_failure(&RegistryError::NoRegistry {
                rpc: EnrollRequest::NAME,
            }));
        }
        Err(error) => Err(Failure::error(format!("the registry did not answer: {error}"))
            .with_code("registry_timeout")
            .hint("try again: an invite that was not used can still be used")),
    };
    match outcome {
        // The enrolment may have been made, and its reply lost.
        Err(_) if reply.is_err() && is_known(identity).await => Ok(enrolled(invite)),
        outcome => outcome,
    }
}

/// Connects with the credential of the invite. It ends with the enrolment, which is no failure to log: hence no client of the SDK.
async fn connect_to_enrol(invite: &Invite) -> Result<Client, Failure> {
    let mut login = MemberLogin::of_invite(&invite.invite_id, &invite.join_seed);
    if let Some(jwt) = invite.join_jwt.clone() {
        login = login.with_jwt(jwt);
    }
    let url = NatsUrl::parse(&invite.urls.join(",")).map_err(|error| connect_failure(error.into()))?;
    connect_while_refused(&url.with_member(login))
        .await
        .map_err(|error| match error {
            ConnectError::Refused { .. } => Failure::refused(format!(
                "the server does not know this invite: it was used, has been replaced, or has expired (at {})",
                invite.expires_at
            ))
            .with_code("invite_invalid")
            .hint("ask for another one: agentnet invite NAME"),
            error => connect_failure(error),
        })
}

/// Connects; a refusal is tried again for a while.
async fn connect_while_refused(url: &NatsUrl) -> Result<Client, ConnectError> {
    let end = Instant::now() + REFUSED_TIMEOUT;
    let mut backoff = RETRY;
    loop {
        match connect(url).await {
            Err(ConnectError::Refused { .. }) if Instant::now() < end => sleep(backoff.next_delay()).await,
            outcome => return outcome,
        }
    }
}

async fn connect(url: &NatsUrl) -> Result<Client, ConnectError> {
    let unreachable = |why: String| ConnectError::Unreachable {
        url: url.redacted(),
        why,
    };
    let limit = url.connect_timeout();
    let dialled = agentnet_nats::dial(url, || agentnet_nats::options(url, CONNECTION_NAME));
    match timeout(limit, dialled).await {
        Err(_) => Err(unreachable(format!("no answer within {} s", limit.as_secs()))),
        Ok(Err(error)) if is_refusal(&error) => Err(ConnectError::Refused { url: url.redacted() }),
        Ok(Err(error)) => Err(unreachable(error.to_string())),
        Ok(Ok(client)) => Ok(client),
    }
}

/// Waits until the server has the new member, so that the next command gets in.
async fn wait_until_known(identity: &MemberIdentity) -> Result<(), Failure> {
    let url = NatsUrl::of_member(identity).map_err(|error| connect_failure(error.into()))?;
    if let Err(error) = connect_while_refused(&url).await {
        // It is enrolled all the same.
        tracing::warn!(%error, "the server does not let the new member in yet");
    }
    Ok(())
}

/// Whether the server lets the identity in.
async fn is_known(identity: &MemberIdentity) -> bool {
    match NatsUrl::of_member(identity) {
        Ok(url) => connect(&url).await.is_ok(),
        Err(_) => false,
    }
}

fn document(joined: &EnrollReply, path: &Path) -> String {
    let mut out = ObjectWriter::new();
    out.text("status", &joined.status)
        .text("account_id", &joined.account_id)
        .text("username", &joined.username)
        .text("role", &joined.role)
        .texts("capabilities", &joined.capabilities)
        .text("identity_file", &path.to_string_lossy())
        .text("nats_url", &format!("identity:{}", path.display()));
    out.finish()
}
