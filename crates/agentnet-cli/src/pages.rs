//! Lists from the registry: one page, or all pages.

use std::time::{Duration, Instant};

use agentnet::{Paged, RegistryClient, RegistryError};
use agentnet_protocol::page_walk::PageWalk;
use agentnet_protocol::rpc::{Request, decode_reply};
use clap::Args;

use crate::args::CallTimeout;
use crate::connection::connect_registry;
use crate::exit::{Exit, Failure};
use crate::failures::{registry_failure, reply_failure};
use crate::global::Global;
use crate::output::Output;
use crate::output::sanitize::clean;
use crate::output::spinner::Spinner;
use crate::signals::StopSignals;

/// Interval of progress notes.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(1);

/// Which part of a list to show.
#[derive(Debug, Default, Args)]
pub(crate) struct PageArgs {
    /// Page to show: the cursor that the page before named (with --json its next_cursor)
    #[arg(long, value_name = "CURSOR", value_parser = crate::args::not_blank)]
    cursor: Option<String>,
    /// Show this page and all that follow (with --json one document a page)
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    timeout: CallTimeout,
}

/// The items of a list, and the cursor of the next page.
pub(crate) struct Listed<T> {
    pub(crate) items: Vec<T>,
    /// The registry that answered.
    pub(crate) registry: RegistryClient,
    next_cursor: Option<String>,
}

impl PageArgs {
    /// Requests the page, or all pages. With `--json`, prints the unchanged replies and returns `None`.
    pub(crate) async fn list<R: Paged>(
        self,
        global: &Global,
        output: Output,
        request: R,
    ) -> Result<Option<Listed<R::Item>>, Exit> {
        self.list_checked(global, output, request, async |_: &RegistryClient| Ok(()))
            .await
    }

    /// As [`PageArgs::list`]. If the list is empty, `check` tests whether the requested object exists.
    pub(crate) async fn list_checked<R: Paged>(
        self,
        global: &Global,
        output: Output,
        mut request: R,
        check: impl AsyncFn(&RegistryClient) -> Result<(), Failure>,
    ) -> Result<Option<Listed<R::Item>>, Exit> {
        request.set_cursor(self.cursor.clone());
        let walk = async {
            let registry = connect_registry(global).await?;
            let registry = registry.with_timeout(self.timeout.duration());
            let mut items = Vec::new();
            let mut noted_at = Instant::now();
            let mut pages = PageWalk::default();
            loop {
                let body = registry
                    .call_raw(&request)
                    .await
                    .map_err(|error| registry_failure(&error))?;
                let reply = decode_reply::<R>(&body).map_err(reply_failure)?;
                let (page, next_cursor) = R::page(reply);
                let next_cursor = pages
                    .follow(next_cursor, page.len())
                    .map_err(|why| registry_failure(&RegistryError::endless::<R>(why)))?;
                if page.is_empty() && self.cursor.is_none() && next_cursor.is_none() {
                    check(&registry).await?;
                }
                if output.is_json() {
                    output.document(&String::from_utf8_lossy(&body))?;
                }
                if !output.is_json() {
                    items.extend(page);
                }
                match next_cursor {
                    Some(cursor) if self.all => request.set_cursor(Some(cursor)),
                    next_cursor => {
                        return Ok(Listed {
                            items,
                            registry,
                            next_cursor,
                        });
                    }
                }
                if noted_at.elapsed() >= PROGRESS_INTERVAL && !output.is_json() {
                    output.note(format!("{} so far", items.len()));
                    noted_at = Instant::now();
                }
            }
        };
        let spinner = Spinner::start(output, format!("waiting for registry.{}", R::NAME));
        let listed = StopSignals::listen()?.unless(walk).await?;
        spinner.end();
        Ok(Some(listed).filter(|_| !output.is_json()))
    }
}

impl<T> Listed<T> {
    /// Prints a hint how to get the next page, if there is one.
    pub(crate) fn hint_next_page(&self, output: Output) {
        self.hint_of_total(output, None);
    }

    /// As [`Listed::hint_next_page`], with the total number of items, which another request returns.
    pub(crate) async fn hint_next_page_with<R: Request>(
        &self,
        output: Output,
        request: &R,
        total: impl Fn(&R::Reply) -> Option<i64>,
    ) {
        if self.next_cursor.is_some() {
            let reply = self.registry.call(request).await.ok();
            self.hint_of_total(output, reply.as_ref().and_then(total));
        }
    }

    fn hint_of_total(&self, output: Output, total: Option<i64>) {
        let Some(cursor) = &self.next_cursor else { return };
        let shown = self.items.len();
        // The total may be behind, or items may have been added since.
        let more = match total.and_then(|total| usize::try_from(total).ok()) {
            Some(total) if total > shown => format!("{shown} of {total} are shown"),
            _ => "there is more".to_owned(),
        };
        output.note(format!(
            "hint: {more}; --all shows the rest, or the next page --cursor {}",
            clean(cursor)
        ));
    }
}
