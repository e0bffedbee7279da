//! Reading members of requests, with their bounds.

use super::{RpcError, opt_trimmed, owned};
use crate::json::{Object, Value};
use crate::limits::{TooLarge, check_bytes};

/// An integer within its bounds; its default where it is absent or unreadable.
pub(super) fn number(
    object: &Object<'_>,
    name: &'static str,
    default: i64,
    min: i64,
    max: i64,
) -> Result<i64, RpcError> {
    let read = object.get(name).int();
    let read = read.map_err(|_| RpcError::with_text(format!("{name} is out of range")))?;
    Ok(read.map_or(default, |value| {
        i64::try_from(value.clamp(i128::from(min), i128::from(max))).unwrap_or(default)
    }))
}

/// A text, trimmed, that has a bound; empty means absent.
pub(super) fn bounded(object: &Object<'_>, name: &'static str, max: usize) -> Result<Option<String>, RpcError> {
    let value = object.get(name);
    check_bytes(name, &value.text(), max)?;
    Ok(opt_trimmed(value))
}

/// Bytes of an id that a session chooses for a request.
const MAX_TOKEN_BYTES: usize = 64;

/// Random text of a session that names what it asks for: the names of leases begin with it.
pub(super) fn token(object: &Object<'_>, name: &'static str) -> Result<Option<String>, RpcError> {
    let is_usable = |token: &String| {
        let mut bytes = token.bytes();
        bytes.all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
    };
    match bounded(object, name, MAX_TOKEN_BYTES)? {
        Some(token) if !is_usable(&token) => Err(RpcError::with_text(format!(
            "{name} must be of letters, digits, - and _"
        ))),
        token => Ok(token),
    }
}

/// The items of an array member, of bounded number; anything else has none.
pub(super) fn items<'a>(
    object: &Object<'a>,
    name: &'static str,
    max: usize,
) -> Result<impl Iterator<Item = Value<'a>> + use<'a>, RpcError> {
    let items: Vec<Value<'a>> = object.get(name).as_array().into_iter().flatten().collect();
    if items.len() > max {
        return Err(TooLarge {
            member: name,
            size: items.len(),
            max,
            unit: "entries",
        }
        .into());
    }
    Ok(items.into_iter())
}

pub(super) fn texts(
    object: &Object<'_>,
    name: &'static str,
    max: usize,
    max_bytes: usize,
) -> Result<Vec<String>, RpcError> {
    items(object, name, max)?
        .map(|item| {
            let text = owned(item);
            check_bytes(name, &text, max_bytes)?;
            Ok(text)
        })
        .collect()
}
