//! The JWT of a member on a network in operator mode (PROTOCOL.md section 23.8).
//!
//! Before each connection the registry is asked for a new one, over a short connection with the credential that can do nothing
//! else. So a member that was away for long gets in again, and what an operator has granted or taken counts. While no registry
//! answers, the last JWT is used until it ends.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use agentnet_keys::MemberJwts;
use agentnet_protocol::nats_jwt::{VerifiedJwt, has_form, peek};
use agentnet_protocol::nkey::Nkey;
use agentnet_protocol::rpc::RenewReply;
use parking_lot::Mutex;

/// A member's JWTs, and where they are kept.
pub(crate) struct Renewal {
    account_id: Arc<str>,
    nkey: Arc<Nkey>,
    jwts: Mutex<MemberJwts>,
    /// The identity file; the JWTs are kept beside it.
    file: Option<PathBuf>,
}

impl Renewal {
    pub(crate) fn new(account_id: Arc<str>, nkey: Arc<Nkey>, jwts: MemberJwts, file: Option<PathBuf>) -> Self {
        Self {
            account_id,
            nkey,
            jwts: Mutex::new(jwts),
            file,
        }
    }

    pub(crate) fn account_id(&self) -> &str {
        &self.account_id
    }

    pub(crate) fn nkey(&self) -> &Arc<Nkey> {
        &self.nkey
    }

    /// The JWT that the member logs in with.
    pub(crate) fn jwt(&self) -> Option<String> {
        self.jwts.lock().jwt.clone()
    }

    /// The JWT that can only ask for a new one.
    pub(crate) fn renewal_jwt(&self) -> Option<String> {
        self.jwts.lock().renewal_jwt.clone()
    }

    /// Takes the JWTs of a reply, if they are of the own key.
    pub(crate) async fn keep(&self, reply: RenewReply) {
        let public = self.nkey.public();
        let own = |jwt: Option<String>| {
            let jwt = jwt.filter(|jwt| has_form(jwt))?;
            let read = peek(&jwt).filter(|read| read.subject == public)?;
            Some((jwt, read))
        };
        let Some((jwt, read)) = own(reply.jwt) else { return };
        let changed = {
            let mut jwts = self.jwts.lock();
            let before = jwts.jwt.as_deref().and_then(peek);
            jwts.jwt = Some(jwt);
            if let Some((renewal_jwt, _)) = own(reply.renewal_jwt) {
                jwts.renewal_jwt = Some(renewal_jwt);
            }
            is_worth_keeping(before.as_ref(), &read, unix_seconds()).then(|| jwts.clone())
        };
        if let (Some(jwts), Some(file)) = (changed, self.file.clone()) {
            let kept = tokio::task::spawn_blocking(move || jwts.keep(&file)).await;
            match kept {
                Ok(Ok(())) => {}
                // It is of use only while no registry answers.
                Ok(Err(error)) => tracing::debug!(%error, "the renewed credential is not kept"),
                Err(error) => tracing::debug!(%error, "the renewed credential is not kept"),
            }
        }
    }
}

/// Whether a new JWT allows something else than the one before, or the one before has passed half of its time.
fn is_worth_keeping(before: Option<&VerifiedJwt>, new: &VerifiedJwt, now: i64) -> bool {
    let Some(before) = before else { return true };
    let rights = |jwt: &VerifiedJwt| jwt.claims().map(|claims| claims.get("nats").raw().to_owned());
    let half = |jwt: &VerifiedJwt| {
        jwt.expires_at
            .map(|end| jwt.issued_at + end.saturating_sub(jwt.issued_at) / 2)
    };
    rights(before) != rights(new) || half(before).is_some_and(|half| now >= half)
}

fn unix_seconds() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use agentnet_protocol::nats_jwt::{Claims, UserRights, user};
    use agentnet_protocol::nats_key::{KeyKind, NatsKey};
    use agentnet_protocol::permissions::Permissions;

    use super::*;

    fn jwt(publish: &str, issued_at: i64, expires_at: Option<i64>) -> VerifiedJwt {
        let nkey = Nkey::from_seed(&[2; 32]).public();
        let claims = Claims {
            subject: &nkey,
            audience: None,
            name: "acct_1",
            issued_at,
            expires_at,
        };
        let permissions = Permissions {
            publish: vec![publish.to_owned()],
            subscribe: Vec::new(),
        };
        let rights = UserRights {
            permissions: &permissions,
            transports: &[],
            subscriptions: None,
            issuer_account: None,
        };
        let jwt = user(&claims, &rights, &NatsKey::from_seed(KeyKind::Account, &[1; 32])).unwrap();
        peek(&jwt).unwrap()
    }

    #[test]
    fn files_are_written_when_something_changes() {
        let known = jwt("a", 1000, Some(2000));
        let same = jwt("a", 1100, Some(2100));
        assert!(is_worth_keeping(None, &same, 1100));
        assert!(!is_worth_keeping(Some(&known), &same, 1499));
        assert!(is_worth_keeping(Some(&known), &same, 1500));
        assert!(is_worth_keeping(Some(&known), &jwt("b", 1100, Some(2100)), 1100));
        assert!(!is_worth_keeping(Some(&jwt("a", 1, None)), &same, i64::MAX));
    }
}
