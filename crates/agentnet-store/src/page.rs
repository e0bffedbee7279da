//! Pages of rows: one row more than asked for is fetched, to know whether there are more.

use crate::error::StoreError;
use crate::model::Page;

/// The `LIMIT` of a statement whose rows [`page`] reads.
pub(crate) fn fetch_limit(limit: usize) -> i64 {
    i64::try_from(limit.max(1)).unwrap_or(i64::MAX).saturating_add(1)
}

/// Reads the rows of a page that was fetched with [`fetch_limit`].
pub(crate) fn page<R, T>(
    rows: &[R],
    limit: usize,
    read: impl Fn(&R) -> Result<T, StoreError>,
) -> Result<Page<T>, StoreError> {
    let limit = limit.max(1);
    let items = rows.iter().take(limit).map(read).collect::<Result<_, _>>()?;
    Ok(Page {
        items,
        more: rows.len() > limit,
    })
}
