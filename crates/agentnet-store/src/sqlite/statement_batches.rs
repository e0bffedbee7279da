//! Splits rows into batches for multi-row statements. Few batch sizes keep all statements in the statement cache; large batches
//! keep the number of statements low, since each one is a call to the connection's thread and back.

/// Rows of the largest batch. The widest table has 46 columns: 64 rows stay far below SQLite's limit of 32,766 values.
const MAX_BATCH_ROWS: usize = 64;

/// Splits rows into batches of 64, then into smaller powers of two.
pub(super) fn statement_batches<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        // The largest power of two.
        let size = 1 << rows.len().min(MAX_BATCH_ROWS).checked_ilog2()?;
        let (run, rest) = rows.split_at(size);
        rows = rest;
        Some(run)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_once_in_order() {
        for count in [0, 1, 7, 8, 63, 64, 65, 137, 200] {
            let rows: Vec<usize> = (0..count).collect();
            assert!(statement_batches(&rows).all(|run| run.len().is_power_of_two() && run.len() <= MAX_BATCH_ROWS));
            assert_eq!(
                statement_batches(&rows).flatten().copied().collect::<Vec<_>>(),
                rows,
                "{count}"
            );
        }
        assert_eq!(
            statement_batches(&[0; 55]).map(<[i32]>::len).collect::<Vec<_>>(),
            [32, 16, 4, 2, 1]
        );
        assert_eq!(
            statement_batches(&[0; 137]).map(<[i32]>::len).collect::<Vec<_>>(),
            [64, 64, 8, 1]
        );
    }
}
