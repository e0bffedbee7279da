//! Fills the search columns of rows that another program wrote: a database of the Python implementation has none.

use sqlx::{PgConnection, Row as _};

use super::account_row::search_set;
use super::value::{read, stored};
use crate::case_fold::{fold_case, folded_set};

/// Rows that are filled at a time.
const ROWS: i64 = 5_000;

const ACCOUNTS: &str = "SELECT account_id, display_name, ARRAY(SELECT jsonb_array_elements_text(CASE \
     jsonb_typeof(capabilities) WHEN 'array' THEN capabilities ELSE '[]' END)) AS capabilities FROM agent_accounts \
     WHERE capabilities_search IS NULL ORDER BY account_id LIMIT $1";
const FILL_ACCOUNT: &str = "UPDATE agent_accounts SET display_name_search = $2, capabilities_search = $3 \
     WHERE account_id = $1";
const THREADS: &str = "SELECT thread_id FROM agent_threads WHERE thread_id_search IS NULL ORDER BY thread_id LIMIT $1";
const FILL_THREADS: &str = "UPDATE agent_threads t SET thread_id_search = new.search \
     FROM unnest($1::text[], $2::text[]) AS new (thread_id, search) WHERE t.thread_id = new.thread_id";

/// Fills what is missing. Texts are lower-cased here, never by the database, so that both stores find the same.
pub(super) async fn search_columns(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    loop {
        let rows = sqlx::query(ACCOUNTS).bind(ROWS).fetch_all(&mut *connection).await?;
        for row in &rows {
            let id: String = row.try_get("account_id")?;
            let display_name: String = row.try_get("display_name")?;
            let capabilities: Vec<String> = row.try_get("capabilities")?;
            let capabilities: Vec<String> = capabilities.into_iter().map(read).collect();
            sqlx::query(FILL_ACCOUNT)
                .bind(id)
                .bind(stored(&fold_case(&read(display_name))).as_ref())
                .bind(search_set(&folded_set(&capabilities)))
                .execute(&mut *connection)
                .await?;
        }
        if rows.is_empty() {
            break;
        }
    }
    loop {
        let ids: Vec<String> = sqlx::query_scalar(THREADS)
            .bind(ROWS)
            .fetch_all(&mut *connection)
            .await?;
        if ids.is_empty() {
            return Ok(());
        }
        let folded: Vec<String> = ids
            .iter()
            .map(|id| stored(&fold_case(&read(id.clone()))).into_owned())
            .collect();
        sqlx::query(FILL_THREADS)
            .bind(&ids)
            .bind(&folded)
            .execute(&mut *connection)
            .await?;
    }
}
