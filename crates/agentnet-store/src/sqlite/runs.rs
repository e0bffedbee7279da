//! Rows in a few sizes of multi-row statement, so that all of them stay in the statement cache.

/// Sizes of a run, largest first. The widest table has 20 columns: 64 rows stay far below SQLite's limit of 32,766 values.
const SIZES: [usize; 3] = [64, 8, 1];

/// Cuts the rows into runs of 64, then of 8, then of 1.
pub(super) fn runs<T>(mut rows: &[T]) -> impl Iterator<Item = &[T]> {
    std::iter::from_fn(move || {
        let size = SIZES.into_iter().find(|size| *size <= rows.len())?;
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
            assert!(runs(&rows).all(|run| SIZES.contains(&run.len())));
            assert_eq!(runs(&rows).flatten().copied().collect::<Vec<_>>(), rows, "{count}");
        }
        assert_eq!(runs(&[0; 137]).map(<[i32]>::len).collect::<Vec<_>>(), [64, 64, 8, 1]);
    }
}
