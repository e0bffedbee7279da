//! Appending a batch of which some rows may be refused: the whole at once, and only when that fails its halves, down to the
//! rows that are the cause.

use sqlx::{Connection as _, Database};

use crate::model::{Appended, NewMessage, Refused};

/// What a failed append means to its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// The database refuses a row of it, now and later.
    Refused,
    /// There was no room for it; for a smaller one there may be.
    NoRoom,
    /// The database cannot be worked with.
    Broken,
}

/// Rows that may find no room, one alone at a time, before the database counts as full.
const FULL_AFTER: usize = 3;

/// A backend's way to append.
pub(crate) trait Append {
    type Database: Database;

    /// Stores the messages and adds them to their threads; returns how many are new.
    fn append<'a>(
        &'a self,
        connection: &'a mut <Self::Database as Database>::Connection,
        messages: &'a [NewMessage],
    ) -> impl Future<Output = Result<usize, sqlx::Error>> + Send + 'a;

    /// What an error of [`Append::append`] means.
    fn verdict(error: &sqlx::Error) -> Verdict;
}

/// Appends within the transaction that the connection is in.
///
/// # Errors
/// What stops the whole batch: the database is broken or full.
pub(crate) async fn append<A: Append>(
    backend: &A,
    connection: &mut <A::Database as Database>::Connection,
    messages: &[NewMessage],
) -> Result<Appended, sqlx::Error> {
    let mut outcome = Appended::default();
    let mut parts = vec![messages];
    while let Some(part) = parts.pop() {
        let mut savepoint = connection.begin().await?;
        let error = match backend.append(&mut savepoint, part).await {
            Ok(stored) => {
                savepoint.commit().await?;
                outcome.stored += stored;
                outcome.duplicates += part.len() - stored;
                continue;
            }
            Err(error) => error,
        };
        let verdict = A::verdict(&error);
        if verdict == Verdict::Broken {
            return Err(error);
        }
        savepoint.rollback().await?;
        if let [new] = part {
            outcome.refused.push(Refused {
                message_id: new.message.message_id.clone(),
                reason: error.to_string(),
                lasting: verdict == Verdict::Refused,
            });
            let nothing_fits = outcome.stored + outcome.duplicates == 0;
            let no_room = outcome.refused.iter().filter(|refused| !refused.lasting).count();
            if nothing_fits && (no_room == FULL_AFTER || (no_room > 0 && no_room == messages.len())) {
                return Err(error);
            }
        } else {
            let (first, second) = part.split_at(part.len() / 2);
            parts.extend([second, first]);
        }
    }
    Ok(outcome)
}
