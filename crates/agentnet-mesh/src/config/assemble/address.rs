//! URLs that a file gives.

use url::Url;

/// Reads an `http` or `https` URL that has a host and no user in it.
///
/// # Errors
/// What is wrong, without the URL: it may hold secrets.
pub(crate) fn http_url(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text.trim()).map_err(|_| "is no URL; it begins with http:// or https://")?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none_or(str::is_empty) {
        return Err("is no http or https URL");
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err("must not contain a user or password: errors and logs show URLs; use a header");
    }
    Ok(url)
}
