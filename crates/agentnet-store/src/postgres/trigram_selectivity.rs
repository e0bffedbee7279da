//! Finds the selective parts of a searched text: those that few names contain.
//!
//! The index of trigrams intersects a list of rows for each trigram of a pattern. Names of one fleet begin alike
//! (`worker_1`, `worker_2`, …): the lists of `wor`, `ork`, `rke`, … hold every row, and walking them costs a hundred times
//! what the rest does. So the index is asked for the rare parts alone, and each row that it finds is compared with the
//! whole text. What is rare is read off the names that `ANALYZE` sampled.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use sqlx::PgPool;

use super::value::read;
use crate::case_fold::fold_case;

/// Age at which the sample is read again: selectivity changes slowly.
const SAMPLE_TTL: Duration = Duration::from_secs(60);
/// A part is rare if fewer than one in so many of the sampled names contain it.
const RARE_ONE_IN: usize = 20;
/// Smaller samples are not used.
const MIN_SAMPLE_SIZE: usize = 50;
/// Limits of the text that is examined, in bytes, and of the parts that are searched for: a few are as good as all.
const MAX_SCANNED_BYTES: usize = 100;
const MAX_PARTS: usize = 4;

const SAMPLED: &str = "SELECT name FROM pg_stats, \
     unnest(histogram_bounds::text::text[] || most_common_vals::text::text[]) AS name \
     WHERE schemaname = current_schema() AND tablename = 'agent_accounts' AND attname IN ('username', 'display_name')";

/// The names that the last `ANALYZE` sampled.
#[derive(Debug, Default)]
pub(super) struct Sample {
    last: Mutex<Option<(Instant, Arc<[String]>)>>,
}

impl Sample {
    /// The parts of a folded text that are rare in names; none when all or nothing of it is.
    pub(super) async fn rare_parts(&self, pool: &PgPool, text: &str) -> Vec<String> {
        rare_parts(text, &self.names(pool).await)
    }

    async fn names(&self, pool: &PgPool) -> Arc<[String]> {
        let last = self.last.lock().clone();
        match last {
            Some((at, names)) if at.elapsed() < SAMPLE_TTL => names,
            _ => {
                // It is a hint and no more: without it the whole text is asked for.
                let names: Vec<String> = sqlx::query_scalar(SAMPLED)
                    .fetch_all(pool)
                    .await
                    .unwrap_or_else(|error| {
                        tracing::debug!(%error, "no sample of names");
                        Vec::new()
                    });
                let names: Arc<[String]> = names.into_iter().map(|name| fold_case(&read(name))).collect();
                *self.last.lock() = Some((Instant::now(), Arc::clone(&names)));
                names
            }
        }
    }
}

/// The longest runs of letters and digits in the beginning of the text of which each three are rare. Other characters are
/// left out: the index takes what follows one as the start of a word, and many names have words that start alike.
fn rare_parts(text: &str, names: &[String]) -> Vec<String> {
    if names.len() < MIN_SAMPLE_SIZE {
        return Vec::new();
    }
    let is_rare = |part: &str| names.iter().filter(|name| name.contains(part)).count() * RARE_ONE_IN < names.len();
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (start, three) in text.as_bytes().windows(3).enumerate().take(MAX_SCANNED_BYTES) {
        let range = start..start + 3;
        if three.iter().all(u8::is_ascii_alphanumeric) && is_rare(&text[range.clone()]) {
            match parts.last_mut() {
                Some(part) if part.end == start + 2 => part.end = range.end,
                _ => parts.push(range),
            }
        }
    }
    parts.sort_by_key(|part| Reverse(part.len()));
    let mut parts: Vec<&str> = parts.into_iter().map(|part| &text[part]).collect();
    parts.dedup();
    parts.truncate(MAX_PARTS);
    parts.retain(|part| *part != text);
    parts.into_iter().map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use agentnet_testkit::Postgres;
    use sqlx::Connection as _;
    use sqlx::postgres::PgConnection;

    use super::*;
    use crate::OpenOptions;
    use crate::contract::sample::any_account;
    use crate::model::AccountQuery;
    use crate::postgres::PostgresStore;
    use crate::postgres::accounts::page_query;
    use crate::store::Accounts as _;

    async fn run(server: &Postgres, sql: &'static str) {
        let mut connection = PgConnection::connect(&server.url()).await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
    }

    #[test]
    fn what_names_share_is_left_out() {
        let fleet: Vec<String> = (0..100).map(|n| format!("worker_{}", 100_000 + n * 9_000)).collect();
        let few: Vec<String> = fleet[..20].to_vec();
        for (text, names, parts) in [
            ("worker_345678", &fleet, vec!["345678"]),
            ("worker345678", &fleet, vec!["er345678"]),
            ("345678-worker", &fleet, vec!["345678"]),
            ("worker", &fleet, vec![]),
            ("345678", &fleet, vec![]),
            ("zzz", &fleet, vec![]),
            ("or", &fleet, vec![]),
            ("worker_7", &fleet, vec![]),
            ("worker-a-b", &fleet, vec![]),
            ("größe_worker_ärger", &fleet, vec!["rger"]),
            ("abc worker def", &fleet, vec!["abc", "def"]),
            ("worker_345678", &few, vec![]),
        ] {
            assert_eq!(rare_parts(text, names), parts, "{text}");
        }
        let long = "abcd ef1 ".repeat(100_000) + "worker";
        assert!(rare_parts(&long, &fleet).len() <= MAX_PARTS);
    }

    /// The index is asked for what the names of a fleet do not share; what it finds is compared with the whole text.
    #[tokio::test]
    async fn names_that_begin_alike_are_found_by_the_rest() {
        let server = Postgres::launch().await.unwrap();
        let store = PostgresStore::open(&server.url(), &OpenOptions::default())
            .await
            .unwrap();
        run(
            &server,
            "INSERT INTO agent_accounts (account_id, username, display_name, created_at, updated_at, display_name_search, \
             capabilities_search) SELECT 'acct_' || n, 'worker_' || n, CASE n WHEN 150777 THEN 'Worker_123456' ELSE 'w' END, \
             now(), now(), CASE n WHEN 150777 THEN 'worker_123456' ELSE 'w' END, '{}' FROM generate_series(100000, 199999) AS n",
        )
        .await;
        run(&server, "ANALYZE agent_accounts").await;
        for (text, found) in [
            ("worker_123456", vec!["worker_123456", "worker_150777"]),
            ("WORKER_12345", vec!["worker_123450", "worker_123451", "worker_123452"]),
            ("worker-123456", vec![]),
            ("123456_worker", vec![]),
            ("orker", vec!["worker_100000", "worker_100001", "worker_100002"]),
        ] {
            let query = AccountQuery {
                text: text.into(),
                limit: 3,
                ..any_account()
            };
            let page = store.accounts(&query).await.unwrap();
            let names: Vec<_> = page.items.iter().map(|account| account.username.as_str()).collect();
            assert_eq!(names, found, "{text}");
        }
        let query = AccountQuery {
            text: "worker_123456".into(),
            ..any_account()
        };
        let rare = store.sample.rare_parts(store.pool().unwrap(), &query.text).await;
        assert_eq!(rare, ["123456"]);
        let sql = page_query(&query, &rare).into_string();
        assert!(sql.contains("username LIKE $1 AND strpos(a.username, $2) > 0"), "{sql}");
    }
}
