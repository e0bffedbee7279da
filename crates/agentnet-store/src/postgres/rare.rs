//! Which parts of a searched text are rare in names.
//!
//! The index of trigrams intersects a list of rows for each trigram of a pattern. Names of one fleet begin alike
//! (`worker_1`, `worker_2`, …): the lists of `wor`, `ork`, `rke`, … hold every row, and walking them costs a hundred times
//! what the rest does. So the index is asked for the rare parts alone, and each row that it finds is compared with the
//! whole text. What is rare is read off the names that `ANALYZE` sampled.

use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sqlx::PgPool;

use super::error::failed;
use super::value::read;
use crate::error::StoreError;
use crate::search::fold;

/// For so long a sample is good: what is rare hardly changes.
const GOOD_FOR: Duration = Duration::from_secs(60);
/// A part is rare that fewer than one in so many of the sampled names have.
const RARE: usize = 20;
/// Smaller samples say nothing.
const SMALLEST: usize = 50;

const SAMPLED: &str = "SELECT name FROM pg_stats, unnest(histogram_bounds::text::text[]) AS name \
     WHERE schemaname = current_schema() AND tablename = 'agent_accounts' AND attname = 'username'";

/// The names that `ANALYZE` saw last.
#[derive(Debug, Default)]
pub(super) struct Sample {
    last: Mutex<Option<(Instant, Arc<[String]>)>>,
}

impl Sample {
    /// The parts of a folded text that are rare in usernames; none when all or nothing of it is.
    pub(super) async fn rare_parts(&self, pool: &PgPool, text: &str) -> Result<Vec<String>, StoreError> {
        Ok(rare_parts(text, &self.names(pool).await?))
    }

    async fn names(&self, pool: &PgPool) -> Result<Arc<[String]>, StoreError> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match last {
            Some((at, names)) if at.elapsed() < GOOD_FOR => Ok(names),
            _ => {
                let names: Vec<String> = sqlx::query_scalar(SAMPLED).fetch_all(pool).await.map_err(failed)?;
                let names: Arc<[String]> = names.into_iter().map(|name| fold(&read(name))).collect();
                *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&names)));
                Ok(names)
            }
        }
    }
}

/// The longest runs of letters and digits in the text of which each three are rare. Other characters are left out: the index
/// takes what follows one as the start of a word, and many names have words that start alike.
fn rare_parts(text: &str, names: &[String]) -> Vec<String> {
    if names.len() < SMALLEST {
        return Vec::new();
    }
    let is_rare = |part: &str| names.iter().filter(|name| name.contains(part)).count() * RARE < names.len();
    let mut parts: Vec<Range<usize>> = Vec::new();
    for (start, three) in text.as_bytes().windows(3).enumerate() {
        let range = start..start + 3;
        if three.iter().all(u8::is_ascii_alphanumeric) && is_rare(&text[range.clone()]) {
            match parts.last_mut() {
                Some(part) if part.end == start + 2 => part.end = range.end,
                _ => parts.push(range),
            }
        }
    }
    let parts = parts.into_iter().map(|part| &text[part]);
    parts.filter(|part| *part != text).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

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
    }
}
