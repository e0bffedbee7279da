//! The request of an HTTP tool: a template of the configuration, filled with the model's arguments.
//!
//! Arguments are percent-encoded and go into single segments of the path, single query parameters and texts of the JSON body. Scheme,
//! host, port and headers have no parameters. An argument cannot add or remove a segment of the path, and not make one `.` or `..`.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value};
use url::Url;

use super::super::clip::Redactor;
use super::super::template::{MissingArgument, Template};
use crate::config::{HttpTool, Secret};

/// Everything but what RFC 3986 calls unreserved.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');
/// Bytes of a URL.
const MAX_URL_BYTES: usize = 16 * 1024;
/// Headers that the client sets itself.
const RESERVED_HEADERS: [&str; 6] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "upgrade",
    "proxy-authorization",
];

/// The request with places for arguments.
pub(super) struct RequestTemplate {
    method: Method,
    /// Scheme, host and port, with the path `/`.
    origin: Url,
    segments: Vec<Template>,
    /// Names, encoded, and values; those of the URL first.
    query: Vec<(String, Template)>,
    secret_query: BTreeMap<String, Result<Secret, String>>,
    headers: Vec<(HeaderName, Result<Secret, String>)>,
    body: Option<BodyTemplate>,
}

/// A request that can be sent.
pub(super) struct PreparedRequest {
    pub(super) method: Method,
    pub(super) url: Url,
    /// For the host of the URL alone.
    pub(super) secret_headers: HeaderMap,
    /// JSON text.
    pub(super) body: Option<Vec<u8>>,
    /// The secrets in it.
    pub(super) redactor: Redactor,
}

/// Why a request is not sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum FillError {
    /// The model's arguments do not fit.
    BadArguments(String),
    /// The configuration is incomplete: a variable that is not set.
    Config(String),
}

impl From<MissingArgument> for FillError {
    fn from(missing: MissingArgument) -> Self {
        Self::BadArguments(format!("the argument {:?} is missing", missing.0))
    }
}

impl RequestTemplate {
    /// Checks the configuration of a request.
    pub(super) fn compile(tool: &HttpTool) -> Result<Self, String> {
        let method = tool
            .method
            .parse::<Method>()
            .map_err(|_| format!("{:?} is not an HTTP method", tool.method))?;
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(format!("the method {method} is not allowed"));
        }
        let (origin, target) = split_origin(&tool.url)?;
        let target = target.split('#').next().unwrap_or_default();
        let (path, url_query) = target.split_once('?').unwrap_or((target, ""));
        let segments: Vec<Template> = path
            .strip_prefix('/')
            .unwrap_or(path)
            .split('/')
            .map(Template::parse)
            .collect();
        let literals = segments.iter().filter(|segment| !segment.has_parameters());
        for segment in literals {
            let text = segment.fill(&Map::new(), str::to_owned).unwrap_or_default();
            if is_dot_segment(&text) || text.contains('\\') {
                return Err(format!("url: the path segment {text:?} is not allowed"));
            }
        }
        let mut query = Vec::new();
        for pair in url_query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if Template::parse(name).has_parameters() {
                return Err("url: the name of a query parameter cannot be an argument".to_owned());
            }
            query.push((name.to_owned(), Template::parse(value)));
        }
        query.extend(
            tool.query
                .iter()
                .map(|(name, value)| (encode(name), Template::parse(value))),
        );
        let headers = tool.headers.iter().map(|(name, value)| compile_header(name, value));
        Ok(Self {
            method,
            origin,
            segments,
            query,
            secret_query: tool.secret_query.clone(),
            headers: headers.collect::<Result<Vec<_>, String>>()?,
            body: tool.body.as_ref().map(BodyTemplate::parse),
        })
    }

    /// The URL without a path, for the checks of the configuration.
    pub(super) fn origin(&self) -> &Url {
        &self.origin
    }

    /// The parameters of all parts.
    pub(super) fn parameters(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.segments.iter().flat_map(Template::parameters).collect();
        names.extend(self.query.iter().flat_map(|(_, value)| value.parameters()));
        if let Some(body) = &self.body {
            body.collect_parameters(&mut names);
        }
        names
    }

    /// The request with the arguments in it.
    pub(super) fn fill(&self, arguments: &Map<String, Value>) -> Result<PreparedRequest, FillError> {
        let mut redactor = Redactor::default();
        let path = self.fill_path(arguments)?;
        let query = self.fill_query(arguments, &mut redactor)?;
        let mut url = self.origin.clone();
        url.set_path(&path);
        url.set_query((!query.is_empty()).then_some(&query));
        if url.as_str().len() > MAX_URL_BYTES {
            return Err(FillError::BadArguments(format!(
                "the URL has more than {MAX_URL_BYTES} bytes"
            )));
        }
        let segments = url.path_segments().map_or(0, Iterator::count);
        if url.origin() != self.origin.origin() || segments != self.segments.len() {
            return Err(FillError::BadArguments(
                "the arguments change the form of the URL".to_owned(),
            ));
        }
        let mut secret_headers = HeaderMap::new();
        for (name, value) in &self.headers {
            let secret = value.as_ref().map_err(|variable| not_set(variable))?;
            redactor.add(secret.reveal());
            let value = header_value(name, secret).map_err(FillError::Config)?;
            secret_headers.insert(name.clone(), value);
        }
        let body = self.body.as_ref().map(|body| {
            let json = body.fill(arguments).unwrap_or(Value::Null);
            json.to_string().into_bytes()
        });
        Ok(PreparedRequest {
            method: self.method.clone(),
            url,
            secret_headers,
            body,
            redactor,
        })
    }

    fn fill_path(&self, arguments: &Map<String, Value>) -> Result<String, FillError> {
        let mut path = String::new();
        for template in &self.segments {
            let segment = template.fill(arguments, encode)?;
            if template.has_parameters() && (segment.is_empty() || is_dot_segment(&segment)) {
                let names: Vec<&str> = template.parameters().collect();
                let problem = format!(
                    "{:?} cannot be empty, \".\" or \"..\" in the path of a URL",
                    names.join(", ")
                );
                return Err(FillError::BadArguments(problem));
            }
            path.push('/');
            path.push_str(&segment);
        }
        Ok(path)
    }

    fn fill_query(&self, arguments: &Map<String, Value>, redactor: &mut Redactor) -> Result<String, FillError> {
        let mut pairs = Vec::new();
        for (name, template) in &self.query {
            // A parameter whose argument is absent is left out.
            if let Ok(value) = template.fill(arguments, encode) {
                pairs.push(format!("{name}={value}"));
            }
        }
        for (name, value) in &self.secret_query {
            let secret = value.as_ref().map_err(|variable| not_set(variable))?;
            let encoded = encode(secret.reveal());
            redactor.add(secret.reveal());
            redactor.add(&encoded);
            pairs.push(format!("{}={encoded}", encode(name)));
        }
        Ok(pairs.join("&"))
    }
}

fn not_set(variable: &str) -> FillError {
    FillError::Config(format!("the variable {variable} is not set"))
}

fn encode(text: &str) -> String {
    utf8_percent_encode(text, ENCODED).to_string()
}

/// Whether a URL parser would take a segment for this or the parent folder.
fn is_dot_segment(segment: &str) -> bool {
    matches!(segment.to_ascii_lowercase().replace("%2e", ".").as_str(), "." | "..")
}

/// Splits a URL behind its host and port, which must have no parameters.
fn split_origin(text: &str) -> Result<(Url, &str), String> {
    let (scheme, rest) = text
        .split_once("://")
        .ok_or("url: begins with neither http:// nor https://")?;
    if !matches!(scheme.to_ascii_lowercase().as_str(), "http" | "https") {
        return Err("url: begins with neither http:// nor https://".to_owned());
    }
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    if authority.contains(['{', '}']) {
        return Err("url: scheme, host and port cannot have parameters".to_owned());
    }
    if authority.contains(['@', '\\']) {
        return Err("url: a user or password does not belong here, use headers".to_owned());
    }
    let origin = Url::parse(&format!("{scheme}://{authority}/")).map_err(|error| format!("url: {error}"))?;
    if origin.host_str().is_none() {
        return Err("url: names no host".to_owned());
    }
    Ok((origin, target))
}

fn compile_header(name: &str, value: &Result<Secret, String>) -> Result<(HeaderName, Result<Secret, String>), String> {
    let header = header_name(name)?;
    if let Ok(secret) = value {
        header_value(&header, secret)?;
    }
    Ok((header, value.clone()))
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    let header = name
        .parse::<HeaderName>()
        .map_err(|_| format!("headers: {name:?} is not the name of a header"))?;
    if RESERVED_HEADERS.contains(&header.as_str()) {
        return Err(format!("headers: {header} is set by the client"));
    }
    Ok(header)
}

fn header_value(name: &HeaderName, secret: &Secret) -> Result<HeaderValue, String> {
    let mut value = HeaderValue::from_str(secret.reveal())
        .map_err(|_| format!("headers: the value of {name} has characters that a header cannot have"))?;
    value.set_sensitive(true);
    Ok(value)
}

/// A JSON body whose texts are templates.
enum BodyTemplate {
    Plain(Value),
    Text(Template),
    List(Vec<BodyTemplate>),
    Object(Vec<(String, BodyTemplate)>),
}

impl BodyTemplate {
    fn parse(body: &Value) -> Self {
        match body {
            Value::String(text) => Self::Text(Template::parse(text)),
            Value::Array(items) => Self::List(items.iter().map(Self::parse).collect()),
            Value::Object(members) => Self::Object(
                members
                    .iter()
                    .map(|(name, value)| (name.clone(), Self::parse(value)))
                    .collect(),
            ),
            plain => Self::Plain(plain.clone()),
        }
    }

    fn collect_parameters<'a>(&'a self, names: &mut Vec<&'a str>) {
        match self {
            Self::Plain(_) => {}
            Self::Text(template) => names.extend(template.parameters()),
            Self::List(items) => items.iter().for_each(|item| item.collect_parameters(names)),
            Self::Object(members) => members.iter().for_each(|(_, value)| value.collect_parameters(names)),
        }
    }

    /// The value; `None` where an argument is absent: the member or item around it is left out. A text that is one parameter
    /// becomes the argument itself, of its own type.
    fn fill(&self, arguments: &Map<String, Value>) -> Option<Value> {
        match self {
            Self::Plain(value) => Some(value.clone()),
            Self::Text(template) => match template.sole_parameter() {
                Some(name) => arguments.get(name).filter(|argument| !argument.is_null()).cloned(),
                None => template.fill(arguments, str::to_owned).ok().map(Value::String),
            },
            Self::List(items) => Some(items.iter().filter_map(|item| item.fill(arguments)).collect()),
            Self::Object(members) => {
                let filled = members
                    .iter()
                    .filter_map(|(name, value)| Some((name.clone(), value.fill(arguments)?)));
                Some(Value::Object(filled.collect()))
            }
        }
    }
}

#[cfg(test)]
mod tests;
