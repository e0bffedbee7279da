//! Who is behind the account ids of one page of rows: usernames for people, the ids themselves where a program may read them.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;

use agentnet::RegistryClient;
use agentnet_protocol::rpc::ProfileRequest;
use futures::StreamExt as _;
use futures::stream;
use tokio::time::{Instant, timeout_at};

use crate::output::Output;
use crate::output::cell::clean;

/// How long all look-ups of a page may take: after that ids stand for the names that are not known.
const PATIENCE: Duration = Duration::from_millis(500);
/// How many are asked for at once.
const TOGETHER: usize = 32;

/// The usernames of some accounts.
#[derive(Debug)]
pub(crate) struct Who {
    names: HashMap<String, String>,
    output: Output,
}

impl Who {
    /// Asks the registry for these accounts, each once; for none where ids are to be shown: away from a terminal, and with
    /// `--wide`.
    pub(crate) async fn are<'a>(
        registry: &RegistryClient,
        accounts: impl IntoIterator<Item = &'a str>,
        output: Output,
    ) -> Self {
        let mut who = Self::nobody(output);
        if output.is_terminal() && !output.is_wide() {
            let registry = registry.clone().with_timeout(PATIENCE);
            let accounts: BTreeSet<&str> = accounts.into_iter().filter(|id| !id.is_empty()).collect();
            let ask = |account: &str| {
                let (registry, account) = (registry.clone(), account.to_owned());
                async move {
                    let request = ProfileRequest {
                        account_id: Some(account.clone()),
                        username: None,
                    };
                    let found = registry.call(&request).await.ok()?;
                    Some((account, found.profile.username)).filter(|(_, name)| !name.is_empty())
                }
            };
            let mut found = stream::iter(accounts).map(ask).buffer_unordered(TOGETHER);
            let deadline = Instant::now() + PATIENCE;
            while let Ok(Some(answer)) = timeout_at(deadline, found.next()).await {
                who.names.extend(answer);
            }
        }
        who
    }

    /// Knows no names.
    pub(crate) fn nobody(output: Output) -> Self {
        Self {
            names: HashMap::new(),
            output,
        }
    }

    /// `@name`, or the account id as the output shows it.
    pub(crate) fn is(&self, account: Option<&str>) -> String {
        match account.and_then(|id| self.names.get(id)) {
            Some(name) => format!("@{}", clean(name)),
            None => self.output.account(account),
        }
    }
}
