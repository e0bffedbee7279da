//! Cutting replies to what the server takes (PROTOCOL.md section 0, decision 4).

use agentnet_protocol::rpc::RpcError;

/// Renders as many items as fit into `max` bytes.
///
/// `render` gets the items and, if some were left out, the last item that counts as shown, for the cursor. An item that
/// does not fit even alone is shown in the short form that `shorten` gives; if that is too large as well, it is passed over.
///
/// # Errors
/// An error reply if not even a reply without items fits.
pub(crate) fn fit<T: Clone>(
    max: usize,
    items: Vec<T>,
    shorten: impl FnOnce(&T) -> T,
    render: impl Fn(Vec<T>, Option<&T>) -> String,
) -> Result<String, RpcError> {
    let all = render(items.clone(), None);
    if all.len() <= max {
        return Ok(all);
    }
    let (mut fits, mut too_many) = (0, items.len());
    let mut best = None;
    while fits + 1 < too_many {
        let middle = usize::midpoint(fits, too_many);
        let cut = render(items[..middle].to_vec(), items[..middle].last());
        if cut.len() <= max {
            (fits, best) = (middle, Some(cut));
        } else {
            too_many = middle;
        }
    }
    if let Some(best) = best {
        return Ok(best);
    }
    let first = items.first().ok_or(TOO_LARGE)?;
    let after = (items.len() > 1).then_some(first);
    [render(vec![shorten(first)], after), render(Vec::new(), Some(first))]
        .into_iter()
        .find(|reply| reply.len() <= max)
        .ok_or(TOO_LARGE)
}

/// Not even an empty reply fits.
pub(crate) const TOO_LARGE: RpcError = RpcError::new("the reply exceeds the server's max_payload");

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(max: usize, items: &[&str]) -> Result<String, RpcError> {
        let items = items.iter().map(|item| (*item).to_owned()).collect();
        fit(
            max,
            items,
            |item| item[..1].to_owned(),
            |items, after| format!("{}|{}", items.join(","), after.map_or("", String::as_str)),
        )
    }

    #[test]
    fn as_many_items_as_fit() {
        for (max, expected) in [
            (100, "aa,bb,cc,dd|"),
            (12, "aa,bb,cc,dd|"),
            (11, "aa,bb,cc|cc"),
            (10, "aa,bb|bb"),
            (8, "aa,bb|bb"),
            (7, "aa|aa"),
            (5, "aa|aa"),
        ] {
            assert_eq!(reply(max, &["aa", "bb", "cc", "dd"]).unwrap(), expected, "{max}");
        }
    }

    #[test]
    fn an_item_that_never_fits_is_shortened_or_passed_over() {
        assert_eq!(reply(3, &["aaaaaaaa"]).unwrap(), "a|");
        assert_eq!(reply(6, &["aaaa", "b"]).unwrap(), "a|aaaa");
        assert_eq!(reply(5, &["aaaa", "b"]).unwrap(), "|aaaa");
        assert_eq!(reply(4, &["aaaa", "b"]).unwrap_err(), TOO_LARGE);
        assert_eq!(reply(0, &[]).unwrap_err(), TOO_LARGE);
    }

    #[test]
    fn the_cut_is_the_largest_possible() {
        let items: Vec<String> = (0..200).map(|n| n.to_string().repeat(n % 7 + 1)).collect();
        let texts: Vec<&str> = items.iter().map(String::as_str).collect();
        for max in [50, 333, 1000] {
            let cut = reply(max, &texts).unwrap();
            let shown = cut.split('|').next().unwrap().split(',').count();
            let one_more = format!("{}|{}", texts[..=shown].join(","), texts[shown]);
            assert!(cut.len() <= max && one_more.len() > max, "{max}: {shown}");
        }
    }
}
