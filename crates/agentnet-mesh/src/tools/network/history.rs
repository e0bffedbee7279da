//! Messages of the history that the agent took part in. A model may not read other conversations: what it is told by a
//! peer could make it look for them.

use std::collections::BTreeSet;

use agentnet::protocol::rpc::{HistoryMessage, MessageSearchFilters, MessageSearchRequest, ThreadMessagesRequest};
use serde::Deserialize;
use serde_json::{Value, json};

use super::agents::account_of;
use super::messages::takes_part;
use super::{ToolFailure, cut, own_account, read, registry_failure, thread_of};
use crate::memory::entry::{self, Content};
use crate::memory::names::AccountNames;
use crate::tools::ToolContext;

/// Characters of one message.
const MAX_MESSAGE_CHARS: usize = 2_000;
/// Messages of one page of the registry.
const PAGE: usize = 200;
/// Pages that one search reads in each direction.
const MAX_PAGES: usize = 3;

#[derive(Deserialize)]
struct ThreadArguments {
    thread_id: Option<String>,
    limit: Option<usize>,
    before: Option<String>,
}

pub(super) async fn thread(
    arguments: Value,
    context: &ToolContext,
    names: &AccountNames,
) -> Result<Value, ToolFailure> {
    let ThreadArguments {
        thread_id,
        limit,
        before,
    } = read(arguments)?;
    let current = thread_of(&context.message);
    let thread_id = thread_id.unwrap_or_else(|| current.clone());
    if thread_id != current && !takes_part(&thread_id, context).await? {
        return Err(ToolFailure::new("not_allowed", "you take no part in that conversation"));
    }
    let limit = limit.unwrap_or(20).clamp(1, 50);
    let request = ThreadMessagesRequest {
        thread_id,
        limit,
        cursor: before,
    };
    let page = context.node.thread_messages(&request).await;
    let page = page.map_err(|error| registry_failure(&error, || "there is no such conversation".to_owned()))?;
    let messages = shown(&page.messages, context, names).await?;
    Ok(json!({ "thread_id": page.thread_id, "messages": messages, "next": page.next_cursor }))
}

#[derive(Deserialize)]
struct SearchArguments {
    text: Option<String>,
    from: Option<String>,
    kind: Option<String>,
    since: Option<String>,
    limit: Option<usize>,
}

pub(super) async fn search(
    arguments: Value,
    context: &ToolContext,
    names: &AccountNames,
) -> Result<Value, ToolFailure> {
    let search: SearchArguments = read(arguments)?;
    if search.text.is_none() && search.from.is_none() && search.kind.is_none() && search.since.is_none() {
        return Err(ToolFailure::new(
            "bad_args",
            "give at least one of text, from, kind and since",
        ));
    }
    let own = own_account(context)?;
    let from = match &search.from {
        Some(agent) => Some(account_of(agent, context).await?),
        None => None,
    };
    let mut found = Vec::new();
    let mut is_complete = true;
    if from.as_ref() != Some(&own) {
        is_complete &= collect(context, &search, from.clone(), Some(own.clone()), &mut found).await?;
    }
    if from.is_none() || from.as_ref() == Some(&own) {
        is_complete &= collect(context, &search, Some(own), None, &mut found).await?;
    }
    found.sort_by(|a, b| (&b.sent_at, &b.message_id).cmp(&(&a.sent_at, &a.message_id)));
    found.dedup_by(|a, b| a.message_id == b.message_id);
    let limit = search.limit.unwrap_or(20).clamp(1, 50);
    let is_complete = is_complete && found.len() <= limit;
    found.truncate(limit);
    Ok(json!({ "messages": shown(&found, context, names).await?, "complete": is_complete }))
}

/// Reads the messages of one direction that match; `false` if there may be more.
async fn collect(
    context: &ToolContext,
    search: &SearchArguments,
    from: Option<String>,
    to: Option<String>,
    found: &mut Vec<HistoryMessage>,
) -> Result<bool, ToolFailure> {
    let mut request = MessageSearchRequest {
        filters: MessageSearchFilters {
            from_account_id: from,
            to_account_id: to,
            kind: search.kind.clone(),
            from_ts: search.since.clone(),
            ..Default::default()
        },
        limit: PAGE,
        cursor: None,
    };
    let wanted = search.text.as_deref().map(str::to_lowercase);
    let limit = found.len() + search.limit.unwrap_or(20).clamp(1, 50);
    for _ in 0..MAX_PAGES {
        let page = context.node.search_messages(&request).await;
        let page = page.map_err(|error| registry_failure(&error, || "nothing was found".to_owned()))?;
        for message in page.messages {
            let Some(text) = entry::searchable_text(&message) else {
                continue;
            };
            if wanted
                .as_deref()
                .is_none_or(|wanted| text.to_lowercase().contains(wanted))
            {
                found.push(message);
            }
        }
        match page.next_cursor {
            None => return Ok(true),
            Some(_) if found.len() >= limit => return Ok(false),
            cursor => request.cursor = cursor,
        }
    }
    Ok(false)
}

/// The messages that say something, as the model is shown them.
async fn shown(
    messages: &[HistoryMessage],
    context: &ToolContext,
    names: &AccountNames,
) -> Result<Vec<Value>, ToolFailure> {
    let own = own_account(context)?;
    let accounts = messages
        .iter()
        .flat_map(|message| [&message.from_account_id, &message.to_account_id]);
    let accounts: BTreeSet<String> = accounts.flatten().cloned().collect();
    let known = names.resolve(&context.node, accounts).await;
    let name = |account: &Option<String>, label: Option<&str>| {
        let account = account.as_deref()?;
        Some(if account == own {
            "you".to_owned()
        } else {
            known.name(account, label)
        })
    };
    let rows = messages.iter().filter_map(|message| {
        let (kind, text) = match Content::of(message, &own) {
            Content::Text(text) | Content::Answer(text) | Content::TaskAnswer { text, .. } => (&*message.kind, text),
            Content::Checkpoint(checkpoint) => ("summary", checkpoint.summary),
            Content::Note(text) => ("note", text),
            Content::Frame(frame) => ("reply", entry::end_text(&frame)?),
            Content::Hidden => return None,
        };
        Some(json!({
            "thread_id": message.thread_id,
            "from": name(&message.from_account_id, message.from_agent.as_deref()),
            "to": name(&message.to_account_id, None),
            "kind": kind,
            "sent_at": message.sent_at,
            "text": cut(&text, MAX_MESSAGE_CHARS),
        }))
    });
    Ok(rows.collect())
}
