//! Lists of the registry, a page at a time or walked to their end (PROTOCOL.md section 6.1 and decision 0.4).

use std::future::IntoFuture;

use agentnet_protocol::AgentInfo;
use agentnet_protocol::page_walk::PageWalk;
use agentnet_protocol::rpc::{
    AccountHit, HistoryMessage, ListReply, ListRequest, MailboxItem, MailboxListReply, MailboxListRequest,
    MemberListReply, MemberListRequest, MemberRecord, MessageSearchReply, MessageSearchRequest, Request, SearchReply,
    SearchRequest, TaskListReply, TaskListRequest, TaskSnapshot, ThreadListReply, ThreadListRequest,
    ThreadMessagesReply, ThreadMessagesRequest, ThreadSummary,
};
use agentnet_protocol::task::TaskState;
use futures::future::BoxFuture;
use futures::stream::{self, BoxStream, StreamExt as _, TryStreamExt as _};

use super::{AgentSdk, SdkError};
use crate::error::RegistryError;
use crate::node::AgentNode;

impl AgentSdk {
    /// Accounts by a part of their name, online ones first.
    pub fn search_profiles(&self, query: impl Into<String>) -> Query<SearchRequest> {
        let query = query.into();
        Query::new(
            self.node(),
            SearchRequest {
                query,
                ..Default::default()
            },
        )
    }

    /// Threads, latest activity first.
    pub fn list_threads(&self) -> Query<ThreadListRequest> {
        Query::new(self.node(), ThreadListRequest::default())
    }

    /// One thread's messages, newest first: await it for a page, or walk them all with [`Query::stream`].
    pub fn thread_messages(&self, thread_id: impl Into<String>) -> Query<ThreadMessagesRequest> {
        let thread_id = thread_id.into();
        Query::new(
            self.node(),
            ThreadMessagesRequest {
                thread_id,
                ..Default::default()
            },
        )
    }

    /// [`AgentSdk::thread_messages`] under its name in the Python implementation.
    pub fn get_thread_messages(&self, thread_id: impl Into<String>) -> Query<ThreadMessagesRequest> {
        self.thread_messages(thread_id)
    }

    /// Messages by filters, newest first.
    pub fn search_messages(&self) -> Query<MessageSearchRequest> {
        Query::new(self.node(), MessageSearchRequest::default())
    }

    /// Tasks, the last changed first (PROTOCOL.md section 22).
    pub fn list_tasks(&self) -> Query<TaskListRequest> {
        Query::new(self.node(), TaskListRequest::default())
    }
}

/// A request of the registry that is answered in pages.
pub trait Paged: Request + Clone + Sync + 'static {
    /// What is listed.
    type Item: Send + 'static;

    /// How many items a page has at most.
    fn set_limit(&mut self, limit: usize);

    /// Where the page begins: the `next_cursor` of the one before.
    fn set_cursor(&mut self, cursor: Option<String>);

    /// The items of a page, and where the next one begins.
    fn page(reply: Self::Reply) -> (Vec<Self::Item>, Option<String>);
}

macro_rules! paged {
    ($request:ty, $reply:ty, $items:ident: $item:ty) => {
        impl Paged for $request {
            type Item = $item;

            fn set_limit(&mut self, limit: usize) {
                self.limit = limit;
            }

            fn set_cursor(&mut self, cursor: Option<String>) {
                self.cursor = cursor;
            }

            fn page(reply: $reply) -> (Vec<$item>, Option<String>) {
                (reply.$items, reply.next_cursor)
            }
        }
    };
}

impl Paged for ListRequest {
    type Item = AgentInfo;

    fn set_limit(&mut self, limit: usize) {
        self.limit = Some(limit);
    }

    fn set_cursor(&mut self, cursor: Option<String>) {
        self.cursor = cursor;
    }

    fn page(reply: ListReply) -> (Vec<AgentInfo>, Option<String>) {
        (reply.agents, reply.next_cursor)
    }
}

paged!(SearchRequest, SearchReply, results: AccountHit);
paged!(ThreadListRequest, ThreadListReply, results: ThreadSummary);
paged!(ThreadMessagesRequest, ThreadMessagesReply, messages: HistoryMessage);
paged!(MessageSearchRequest, MessageSearchReply, messages: HistoryMessage);
paged!(MailboxListRequest, MailboxListReply, messages: MailboxItem);
paged!(MemberListRequest, MemberListReply, members: MemberRecord);
paged!(TaskListRequest, TaskListReply, tasks: TaskSnapshot);

/// A list of the registry: await it for one page, or walk it with [`Query::stream`].
///
/// ```no_run
/// use agentnet::{AgentSdk, TryStreamExt as _};
///
/// # async fn run(sdk: AgentSdk) -> Result<(), agentnet::SdkError> {
/// let page = sdk.thread_messages("ops_1").limit(20).await?;
/// println!("{} of them, more: {}", page.messages.len(), page.next_cursor.is_some());
///
/// let mut all = sdk.thread_messages("ops_1").stream();
/// while let Some(message) = all.try_next().await? {
///     println!("{} {}", message.sent_at, message.payload);
/// }
/// # Ok(()) }
/// ```
///
/// # Errors
/// When awaited, [`SdkError::Registry`]; `cursor_invalid` for a cursor that is not one.
#[derive(Debug, Clone)]
#[must_use = "await it for a page, or walk its stream"]
pub struct Query<R> {
    node: AgentNode,
    request: R,
}

impl<R: Paged> Query<R> {
    pub(super) fn new(node: &AgentNode, request: R) -> Self {
        let node = node.clone();
        Self { node, request }
    }

    /// How many items a page has at most. Default 20 for agents and threads (at most 100), 50 for messages (at most 200).
    pub fn limit(mut self, limit: usize) -> Self {
        self.request.set_limit(limit);
        self
    }

    /// Begins where a page before ended: its `next_cursor`, whole and unchanged.
    pub fn cursor(mut self, cursor: impl Into<String>) -> Self {
        self.request.set_cursor(Some(cursor.into()));
        self
    }

    /// All items from here on, page by page as they are taken. It ends after the first error.
    pub fn stream(self) -> BoxStream<'static, Result<R::Item, SdkError>> {
        let Self { node, request } = self;
        let first = Some((request, PageWalk::default()));
        let pages = stream::try_unfold(first, move |page| {
            let node = node.clone();
            async move {
                let Some((mut request, mut walk)) = page else {
                    return Ok(None);
                };
                let (items, next) = R::page(node.ask(&request).await?);
                let next = walk.follow(next, items.len()).map_err(RegistryError::endless::<R>)?;
                let next = next.map(|cursor| {
                    request.set_cursor(Some(cursor));
                    (request, walk)
                });
                Ok::<_, SdkError>(Some((stream::iter(items).map(Ok), next)))
            }
        });
        pages.try_flatten().boxed()
    }
}

impl<R: Paged> IntoFuture for Query<R> {
    type Output = Result<R::Reply, SdkError>;
    type IntoFuture = BoxFuture<'static, Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { Ok(self.node.ask(&self.request).await?) })
    }
}

impl Query<SearchRequest> {
    /// Only agents with this capability.
    pub fn capability(mut self, capability: impl Into<String>) -> Self {
        self.request.capability = Some(capability.into());
        self
    }

    /// Only agents that are online.
    pub fn online_only(mut self) -> Self {
        self.request.online_only = true;
        self
    }
}

impl Query<ThreadListRequest> {
    /// Only threads with this text in their id, in any case.
    pub fn query(mut self, text: impl Into<String>) -> Self {
        self.request.query = text.into();
        self
    }

    /// Only threads in which this account takes part.
    pub fn participant_account(mut self, account_id: impl Into<String>) -> Self {
        self.request.participant_account_id = Some(account_id.into());
        self
    }

    /// Only threads in which the account of this username takes part.
    pub fn participant_username(mut self, username: impl Into<String>) -> Self {
        self.request.participant_username = Some(username.into());
        self
    }

    /// The limits that the threads are reported against, in estimated tokens. Default: the registry's.
    pub fn limit_tokens(mut self, soft: i64, hard: i64) -> Self {
        self.request.limits.soft = Some(soft);
        self.request.limits.hard = Some(hard);
        self
    }
}

impl Query<MessageSearchRequest> {
    /// Only messages of this thread.
    pub fn thread(mut self, thread_id: impl Into<String>) -> Self {
        self.request.filters.thread_id = Some(thread_id.into());
        self
    }

    /// Only messages from this account.
    pub fn from_account(mut self, account_id: impl Into<String>) -> Self {
        self.request.filters.from_account_id = Some(account_id.into());
        self
    }

    /// Only messages to this account.
    pub fn to_account(mut self, account_id: impl Into<String>) -> Self {
        self.request.filters.to_account_id = Some(account_id.into());
        self
    }

    /// Only messages of this kind: `direct`, `request`, `reply`, `error`, …
    pub fn kind(mut self, kind: impl Into<String>) -> Self {
        self.request.filters.kind = Some(kind.into());
        self
    }

    /// Only messages sent at this time or later; ISO 8601 as in section 3.
    pub fn from_ts(mut self, time: impl Into<String>) -> Self {
        self.request.filters.from_ts = Some(time.into());
        self
    }

    /// Only messages sent at this time or earlier; ISO 8601 as in section 3.
    pub fn to_ts(mut self, time: impl Into<String>) -> Self {
        self.request.filters.to_ts = Some(time.into());
        self
    }
}

impl Query<TaskListRequest> {
    /// Only tasks that are for this account, or that a session of it does or did.
    pub fn assignee_account(mut self, account_id: impl Into<String>) -> Self {
        self.request.assignee_account_id = Some(account_id.into());
        self
    }

    /// Only tasks that this account asked for.
    pub fn coordinator_account(mut self, account_id: impl Into<String>) -> Self {
        self.request.coordinator_account_id = Some(account_id.into());
        self
    }

    /// Only tasks in this state.
    pub fn state(mut self, state: TaskState) -> Self {
        self.request.states = vec![state];
        self
    }

    /// Only parts of this task.
    pub fn parent_task(mut self, task_id: impl Into<String>) -> Self {
        self.request.parent_task_id = Some(task_id.into());
        self
    }

    /// Only tasks for agents with this capability.
    pub fn capability(mut self, capability: impl Into<String>) -> Self {
        self.request.capability = Some(capability.into());
        self
    }
}
