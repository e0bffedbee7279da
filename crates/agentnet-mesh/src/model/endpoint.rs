//! Addresses of the APIs below the base URL of a provider.

use url::Url;

use crate::config::Api;

/// Paths of the APIs; a base URL may end with any of them.
const PATHS: [&str; 3] = ["/chat/completions", "/responses", "/messages"];

/// Address that requests of this API are sent to.
///
/// A base URL is the full address, or ends with a version (`/v1`, `/v4`) or with `/openai`, or `/v1` is put between.
/// Its query is kept.
pub(crate) fn endpoint(api: Api, base_url: &str) -> Result<Url, String> {
    join(base_url, path(api))
}

/// Address of the list of models.
pub(crate) fn models_endpoint(base_url: &str) -> Result<Url, String> {
    join(base_url, "/models")
}

/// Host and port, for messages: never the user, password or query of the address.
pub(crate) fn host(url: &Url) -> String {
    let host = url.host_str().unwrap_or("?");
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn path(api: Api) -> &'static str {
    match api {
        Api::OpenAiChat => PATHS[0],
        Api::OpenAiResponses => PATHS[1],
        Api::AnthropicMessages => PATHS[2],
    }
}

fn join(base_url: &str, path: &str) -> Result<Url, String> {
    let mut url = Url::parse(base_url.trim()).map_err(|error| format!("the base URL is no URL: {error}"))?;
    if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
        return Err("the base URL must begin with http:// or https://".to_owned());
    }
    let mut base = url.path().trim_end_matches('/');
    for known in PATHS {
        base = base.strip_suffix(known).unwrap_or(base);
    }
    let is_full = base.len() < url.path().trim_end_matches('/').len();
    let last = base.rsplit('/').next().unwrap_or_default();
    let joined = match is_full || is_version(last) || last == "openai" {
        true => format!("{base}{path}"),
        false => format!("{base}/v1{path}"),
    };
    url.set_path(&joined);
    Ok(url)
}

/// `v1`, `v4`, `v1beta`.
fn is_version(segment: &str) -> bool {
    segment
        .strip_prefix('v')
        .is_some_and(|rest| rest.starts_with(|first: char| first.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::{endpoint, host, models_endpoint};
    use crate::config::Api;

    #[rstest]
    #[case(
        Api::OpenAiChat,
        "https://api.openai.com/v1",
        "https://api.openai.com/v1/chat/completions"
    )]
    #[case(
        Api::OpenAiChat,
        "https://api.openai.com",
        "https://api.openai.com/v1/chat/completions"
    )]
    #[case(
        Api::OpenAiChat,
        "https://api.openai.com/",
        "https://api.openai.com/v1/chat/completions"
    )]
    #[case(
        Api::OpenAiChat,
        "https://api.novita.ai/openai/",
        "https://api.novita.ai/openai/chat/completions"
    )]
    #[case(Api::OpenAiChat, "http://h:1/x/chat/completions", "http://h:1/x/chat/completions")]
    #[case(Api::OpenAiChat, "https://h/api/paas/v4", "https://h/api/paas/v4/chat/completions")]
    #[case(
        Api::OpenAiChat,
        "https://h/v1beta/openai",
        "https://h/v1beta/openai/chat/completions"
    )]
    #[case(
        Api::OpenAiChat,
        "https://h/v1?api-version=2",
        "https://h/v1/chat/completions?api-version=2"
    )]
    #[case(Api::OpenAiChat, "https://h/video", "https://h/video/v1/chat/completions")]
    #[case(
        Api::OpenAiResponses,
        "https://api.openai.com/v1/",
        "https://api.openai.com/v1/responses"
    )]
    #[case(Api::OpenAiResponses, "https://h/v1/responses", "https://h/v1/responses")]
    #[case(Api::OpenAiResponses, "https://h/v1/chat/completions", "https://h/v1/responses")]
    #[case(
        Api::AnthropicMessages,
        "https://api.anthropic.com",
        "https://api.anthropic.com/v1/messages"
    )]
    #[case(
        Api::AnthropicMessages,
        "http://127.0.0.1:8080/v1",
        "http://127.0.0.1:8080/v1/messages"
    )]
    #[case(Api::AnthropicMessages, "https://h/v1/messages", "https://h/v1/messages")]
    fn addresses(#[case] api: Api, #[case] base: &str, #[case] expected: &str) {
        assert_eq!(endpoint(api, base).unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("https://api.openai.com/v1/chat/completions", "https://api.openai.com/v1/models")]
    #[case("https://api.anthropic.com", "https://api.anthropic.com/v1/models")]
    fn models(#[case] base: &str, #[case] expected: &str) {
        assert_eq!(models_endpoint(base).unwrap().as_str(), expected);
    }

    #[rstest]
    #[case("")]
    #[case("api.openai.com/v1")]
    #[case("file:///etc/passwd")]
    #[case("ftp://h/v1")]
    fn refused(#[case] base: &str) {
        assert!(endpoint(Api::OpenAiChat, base).is_err());
    }

    #[test]
    fn a_shown_host_has_no_password() {
        let url = endpoint(Api::OpenAiChat, "http://user:secret@h:81/v1?key=secret").unwrap();
        assert_eq!(host(&url), "h:81");
    }
}
