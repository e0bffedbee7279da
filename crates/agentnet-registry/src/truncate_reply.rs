//! Truncates replies to the size that the server takes (PROTOCOL.md section 0, decision 4).

use agentnet_protocol::rpc::RpcError;

/// Not even a reply without items fits.
pub(crate) const TOO_LARGE: RpcError = RpcError::new("the reply exceeds the server's max_payload");

/// The number of items that fit into `max` bytes.
///
/// `ends` are the sizes of the first item, of the first two, and so on, with the commas between them. `overhead` is the size of
/// a reply that shows so many items, without the items themselves; it is larger when a cursor follows the last one shown.
pub(crate) fn items_that_fit(max: usize, ends: &[usize], mut overhead: impl FnMut(usize) -> usize) -> usize {
    let mut fits = |count: usize| {
        let items = count
            .checked_sub(1)
            .and_then(|last| ends.get(last))
            .copied()
            .unwrap_or(0);
        overhead(count) + items <= max
    };
    if fits(ends.len()) {
        return ends.len();
    }
    let (mut most, mut too_many) = (0, ends.len());
    while most + 1 < too_many {
        let middle = usize::midpoint(most, too_many);
        if fits(middle) {
            most = middle;
        } else {
            too_many = middle;
        }
    }
    most
}

/// Encodes as many items as fit into `max` bytes.
///
/// `encode` encodes a reply, and gives the items back; its second argument is the key of the last item that counts as shown if
/// some were left out, for the cursor. A first item that does not fit even alone is shown in the form that `shorten` returns;
/// if that is too large as well, it is skipped.
///
/// # Errors
/// [`TOO_LARGE`]
pub(crate) fn truncate_reply<K, T>(
    max: usize,
    items: Vec<(K, T)>,
    shorten: impl FnOnce(&T) -> T,
    mut encode: impl FnMut(Vec<T>, Option<&K>) -> (String, Vec<T>),
) -> Result<String, RpcError> {
    let (keys, items): (Vec<K>, Vec<T>) = items.into_iter().unzip();
    let (text, items) = encode(items, None);
    if text.len() <= max {
        return Ok(text);
    }
    let (mut items, ends) = measure(items, &mut encode);
    let count = items_that_fit(max, &ends, |count| {
        let after = count.checked_sub(1).filter(|_| count < keys.len());
        encode(Vec::new(), after.map(|last| &keys[last])).0.len()
    });
    if count > 0 {
        items.truncate(count);
        return Ok(encode(items, keys.get(count - 1)).0);
    }
    let first = items.first().ok_or(TOO_LARGE)?;
    let after = keys.first().filter(|_| keys.len() > 1);
    let short = encode(vec![shorten(first)], after).0;
    if short.len() <= max {
        return Ok(short);
    }
    let skipped = encode(Vec::new(), keys.first()).0;
    if skipped.len() <= max {
        Ok(skipped)
    } else {
        Err(TOO_LARGE)
    }
}

/// Measures each item once; returns the items, and the sizes of the first, of the first two, and so on.
pub(crate) fn measure<K, T>(
    items: Vec<T>,
    encode: &mut impl FnMut(Vec<T>, Option<&K>) -> (String, Vec<T>),
) -> (Vec<T>, Vec<usize>) {
    let empty = encode(Vec::new(), None).0.len();
    let mut measured = Vec::with_capacity(items.len());
    let mut ends: Vec<usize> = Vec::with_capacity(items.len());
    for item in items {
        let (text, one) = encode(vec![item], None);
        let comma_before = ends.last().map_or(0, |end| end + 1);
        ends.push(comma_before + text.len() - empty);
        measured.extend(one);
    }
    (measured, ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(max: usize, items: &[&str]) -> Result<String, RpcError> {
        let items = items.iter().map(|item| (*item, (*item).to_owned())).collect();
        truncate_reply(
            max,
            items,
            |item| item[..1].to_owned(),
            |items, after| (format!("{}|{}", items.join(","), after.unwrap_or(&"")), items),
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
    fn an_item_that_never_fits_is_shortened_or_skipped() {
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
