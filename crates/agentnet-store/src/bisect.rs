//! Appends a batch of which the database may refuse some rows, by bisection: the whole batch first; if that fails, its halves,
//! down to the rows that cause the failure. The whole batch needs no savepoint, since it fails with its transaction: a savepoint
//! costs PostgreSQL two round trips, and SQLite a copy of every page that the batch changes.

use sqlx::{Connection as _, Database, Transaction};

use crate::model::{Appended, NewMessage, Refused};

/// How a failed append concerns its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowOutcome {
    /// The database refuses one of the rows, now and on a retry.
    Refused,
    /// There is no room for the rows; there may be for fewer.
    NoRoom,
    /// The database cannot be used.
    Broken,
}

/// After so many single rows without room the database counts as full.
const MAX_ROWS_WITHOUT_ROOM: usize = 3;

/// A backend's way to append.
pub(crate) trait Append {
    type Database: Database;

    /// Stores the messages and adds them to their threads; returns how many are new.
    fn append<'a>(
        &'a self,
        connection: &'a mut <Self::Database as Database>::Connection,
        messages: &'a [NewMessage],
    ) -> impl Future<Output = Result<usize, sqlx::Error>> + Send + 'a;

    /// Classifies an error of [`Append::append`].
    fn row_outcome(error: &sqlx::Error) -> RowOutcome;
}

/// Appends in a transaction that `begin` begins, or in two of them, and commits.
///
/// # Errors
/// What stops the whole batch: the database is broken or full.
pub(crate) async fn append<A, F>(
    backend: &A,
    begin: impl Fn() -> F,
    messages: &[NewMessage],
) -> Result<Appended, sqlx::Error>
where
    A: Append,
    F: Future<Output = Result<Transaction<'static, A::Database>, sqlx::Error>>,
{
    let mut transaction = begin().await?;
    let appended = match backend.append(&mut transaction, messages).await {
        Ok(stored) => Appended {
            stored,
            duplicates: messages.len() - stored,
            ..Appended::default()
        },
        Err(error) if A::row_outcome(&error) == RowOutcome::Broken => return Err(error),
        Err(_) => {
            transaction.rollback().await?;
            transaction = begin().await?;
            append_parts(backend, &mut transaction, messages).await?
        }
    };
    transaction.commit().await?;
    Ok(appended)
}

/// Appends what the database takes of a batch that it did not take as a whole, within the transaction that the connection is
/// in.
async fn append_parts<A: Append>(
    backend: &A,
    connection: &mut <A::Database as Database>::Connection,
    messages: &[NewMessage],
) -> Result<Appended, sqlx::Error> {
    let mut appended = Appended::default();
    let mut parts = match messages {
        [_] => vec![messages],
        _ => halves(messages).to_vec(),
    };
    while let Some(part) = parts.pop() {
        let mut savepoint = connection.begin().await?;
        let error = match backend.append(&mut savepoint, part).await {
            Ok(stored) => {
                savepoint.commit().await?;
                appended.stored += stored;
                appended.duplicates += part.len() - stored;
                continue;
            }
            Err(error) => error,
        };
        let outcome = A::row_outcome(&error);
        if outcome == RowOutcome::Broken {
            return Err(error);
        }
        savepoint.rollback().await?;
        if let [new] = part {
            appended.refused.push(Refused {
                message_id: new.message.message_id.clone(),
                reason: error.to_string(),
                lasting: outcome == RowOutcome::Refused,
            });
            let nothing_fits = appended.stored + appended.duplicates == 0;
            let no_room = appended.refused.iter().filter(|refused| !refused.lasting).count();
            if nothing_fits && (no_room == MAX_ROWS_WITHOUT_ROOM || (no_room > 0 && no_room == messages.len())) {
                return Err(error);
            }
        } else {
            parts.extend(halves(part));
        }
    }
    Ok(appended)
}

/// Both halves, the one to begin with last.
fn halves<T>(part: &[T]) -> [&[T]; 2] {
    let (first, second) = part.split_at(part.len() / 2);
    [second, first]
}
