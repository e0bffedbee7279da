//! Following a list of the registry from page to page (PROTOCOL.md section 6.1).

/// Pages without an item that may follow each other.
pub const MAX_EMPTY_PAGES: u32 = 100;

/// A list that would never end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndlessList {
    /// The pages go in a circle.
    #[error("a cursor came again")]
    Circle,
    /// [`MAX_EMPTY_PAGES`] pages in a row had no items.
    #[error("{} pages in a row had no items", MAX_EMPTY_PAGES)]
    Empty,
}

/// The cursors of one walk through a list. Without it, a registry that gives cursors for ever would be asked for ever: it is an
/// error when a cursor comes again, and when the items stay away.
#[derive(Debug, Clone)]
pub struct PageWalk {
    /// An earlier cursor. It is renewed after twice as many pages each time, so that a circle of any length meets it.
    kept: Option<String>,
    pages: u64,
    renew_after: u64,
    empty_pages: u32,
}

impl Default for PageWalk {
    fn default() -> Self {
        Self {
            kept: None,
            pages: 0,
            renew_after: 1,
            empty_pages: 0,
        }
    }
}

impl PageWalk {
    /// Where the page behind one with so many items begins; `None` behind the last one.
    ///
    /// # Errors
    /// [`EndlessList`]
    pub fn follow(&mut self, next_cursor: Option<String>, items: usize) -> Result<Option<String>, EndlessList> {
        let Some(cursor) = next_cursor.filter(|cursor| !cursor.is_empty()) else {
            return Ok(None);
        };
        if self.kept.as_ref() == Some(&cursor) {
            return Err(EndlessList::Circle);
        }
        self.empty_pages = if items == 0 { self.empty_pages + 1 } else { 0 };
        if self.empty_pages >= MAX_EMPTY_PAGES {
            return Err(EndlessList::Empty);
        }
        self.pages += 1;
        if self.pages == self.renew_after {
            self.kept = Some(cursor.clone());
            self.pages = 0;
            self.renew_after = self.renew_after.saturating_mul(2);
        }
        Ok(Some(cursor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Follows pages with so many items, whose cursors a function gives by their number from 1.
    fn walk(items: usize, cursor: impl Fn(usize) -> usize) -> (usize, EndlessList) {
        let mut walk = PageWalk::default();
        for page in 1.. {
            if let Err(why) = walk.follow(Some(cursor(page).to_string()), items) {
                return (page, why);
            }
        }
        unreachable!()
    }

    #[test]
    fn a_circle_of_any_length_is_found() {
        assert_eq!(walk(1, |_| 7), (2, EndlessList::Circle));
        for length in 1..100 {
            let (pages, why) = walk(1, |page| page % length);
            assert_eq!(why, EndlessList::Circle, "{length}");
            assert!(pages <= 4 * length, "{length}: {pages}");
            // Behind pages of another order.
            let (_, why) = walk(1, |page| if page < 1_000 { 1_000 + page } else { page % length });
            assert_eq!(why, EndlessList::Circle, "{length}");
        }
    }

    #[test]
    fn items_may_stay_away_only_for_a_while() {
        assert_eq!(walk(0, |page| page), (100, EndlessList::Empty));
        let mut pages = PageWalk::default();
        for page in 0..1_000 {
            let cursor = Some(page.to_string());
            assert_eq!(pages.follow(cursor.clone(), usize::from(page % 100 == 0)), Ok(cursor));
        }
    }

    #[test]
    fn the_last_page_has_no_cursor() {
        for last in [None, Some(String::new())] {
            assert_eq!(PageWalk::default().follow(last, 0), Ok(None));
        }
    }
}
