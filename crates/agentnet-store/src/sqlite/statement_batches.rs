//! Rows in a few sizes of multi-row statement, so that all of them stay in the statement cache. Each statement is a call to the
//! connection's thread and back, so a batch is to need few of them.

/// The largest run. The widest table has 20 columns: 64 rows stay far below SQLite's limit of 32,766 values.
const LARGEST: usize = 64;

/// Cuts the rows into runs of 64, then each half as long as the one before, as far as there are rows.
pub(super) fn statement_batches<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        // The largest power of two.
        let size = 1 << rows.len().min(LARGEST).checked_ilog2()?;
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
            assert!(statement_batches(&rows).all(|run| run.len().is_power_of_two() && run.len() <= LARGEST));
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
