//! Tools of the file, and MCP servers.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::address::http_url;
use super::provider::{check_header, headers};
use super::{Assembly, placeholder};
use crate::config::file::{HttpFile, McpServerFile, MethodFile, SecretText, ShellFile, ToolFile};
use crate::config::key_path::KeyPath;
use crate::config::quote::shorten;
use crate::config::{CommandTool, HttpTool, McpServer, Secret, ToolAction, ToolConfig, variables};

/// Characters of a tool's name that the APIs of models allow.
const MAX_TOOL_NAME: usize = 64;
/// Characters of an MCP server's name: `mcp__SERVER__TOOL` leaves half for the tool.
const MAX_SERVER_NAME: usize = 24;
/// Beginnings of the names that models know other tools by: `network_ask`, `mcp__files__read`.
const RESERVED_PREFIXES: [&str; 2] = ["network_", "mcp__"];

/// Checks the MCP servers.
pub(crate) fn mcp_servers(
    assembly: &mut Assembly<'_>,
    files: BTreeMap<String, McpServerFile>,
) -> BTreeMap<String, McpServer> {
    let servers = files.into_iter().map(|(name, file)| {
        let path = KeyPath::of(["mcp_servers", &name]);
        if !is_tool_name(&name, MAX_SERVER_NAME) || name.contains("__") {
            let message = format!(
                "the name of an MCP server has at most {MAX_SERVER_NAME} letters, digits, `-` and `_`, and no `__`"
            );
            assembly.problem(&path, message);
        }
        let server = mcp_server(assembly, file, &path);
        (name, server)
    });
    servers.collect()
}

fn mcp_server(assembly: &mut Assembly<'_>, file: McpServerFile, path: &KeyPath) -> McpServer {
    let headers = headers(assembly, file.headers, &path.key("headers"));
    let cwd = assembly.working_directory(file.cwd.as_deref(), &path.key("cwd"));
    for name in file.env.keys().filter(|name| !variables::is_name(name)) {
        assembly.problem(&path.key("env").key(name), "is no name of an environment variable");
    }
    match (file.command, file.url) {
        (Some(argv), None) => {
            if argv.first().is_some_and(String::is_empty) {
                assembly.problem(&path.key("command").index(0), "is no program");
            }
            if !headers.is_empty() {
                assembly.problem(&path.key("headers"), "is for servers with `url`");
            }
            let env = file.env.into_iter().map(|(name, value)| (name, Secret::new(value)));
            McpServer::Command {
                argv,
                cwd,
                env: env.collect(),
            }
        }
        (None, Some(url)) => {
            if let Err(message) = http_url(&url) {
                assembly.problem(&path.key("url"), message);
            }
            for (name, is_given) in [("cwd", cwd.is_some()), ("env", !file.env.is_empty())] {
                if is_given {
                    assembly.problem(&path.key(name), "is for servers with `command`");
                }
            }
            McpServer::Http { url, headers }
        }
        (_, url) => {
            assembly.needs_one_of(["command", "url"], path);
            McpServer::Http {
                url: url.unwrap_or_default(),
                headers,
            }
        }
    }
}

/// Checks the tools.
pub(crate) fn tools(assembly: &mut Assembly<'_>, files: BTreeMap<String, ToolFile>) -> BTreeMap<String, ToolConfig> {
    let mut tools = BTreeMap::new();
    for (name, file) in files {
        let path = KeyPath::of(["tools", &name]);
        if !is_tool_name(&name, MAX_TOOL_NAME) {
            let message = format!("the name of a tool has at most {MAX_TOOL_NAME} letters, digits, `-` and `_`");
            assembly.problem(&path, message);
        }
        if let Some(prefix) = RESERVED_PREFIXES.iter().find(|prefix| name.starts_with(**prefix)) {
            assembly.problem(
                &path,
                format!("names that begin with {prefix} are those of other tools"),
            );
        }
        let parameters_path = path.key("parameters");
        let parameters = parameters(assembly, file.parameters, &parameters_path);
        let arguments = match assembly.is_broken(&parameters_path) {
            true => Arguments::unknown(),
            false => Arguments::of(&parameters),
        };
        let action = match (file.http, file.shell) {
            (Some(http), None) => ToolAction::Http(http_tool(assembly, http, &arguments, &path.key("http"))),
            (None, Some(shell)) => ToolAction::Command(command_tool(assembly, shell, &arguments, &path.key("shell"))),
            _ => {
                assembly.needs_one_of(["http", "shell"], &path);
                ToolAction::Command(CommandTool {
                    argv: Vec::new(),
                    cwd: None,
                    env: Vec::new(),
                })
            }
        };
        let tool = ToolConfig {
            description: file.description,
            parameters,
            timeout: Duration::from_secs_f64(file.timeout_seconds),
            max_result_bytes: file.max_result_bytes,
            action,
        };
        tools.insert(name, tool);
    }
    tools
}

fn is_tool_name(name: &str, limit: usize) -> bool {
    (1..=limit).contains(&name.len())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Checks the schema of a tool's arguments.
fn parameters(assembly: &mut Assembly<'_>, parameters: Option<Value>, path: &KeyPath) -> Value {
    let Some(mut schema) = parameters else {
        return json!({ "type": "object", "properties": {}, "additionalProperties": false });
    };
    let Some(object) = schema.as_object_mut() else {
        assembly.problem(path, "is no JSON Schema of an object");
        return schema;
    };
    let kind = object.entry("type").or_insert_with(|| "object".into());
    if *kind != "object" {
        assembly.problem(path, "must have `type: object`: models give arguments by name");
    } else if let Err(error) = jsonschema::validator_for(&schema) {
        let message = format!("is no JSON Schema: {}", shorten(&error.masked().to_string()));
        assembly.problem(path, message);
    }
    schema
}

/// The arguments of a tool.
struct Arguments {
    /// `None` where the schema that names them is broken.
    names: Option<Vec<String>>,
}

impl Arguments {
    fn of(parameters: &Value) -> Self {
        let properties = parameters["properties"].as_object();
        let names = properties.into_iter().flatten().map(|(name, _)| name.clone());
        Self {
            names: parameters.is_object().then(|| names.collect()),
        }
    }

    fn unknown() -> Self {
        Self { names: None }
    }

    /// Checks that the placeholders of a text are arguments.
    fn check(&self, assembly: &mut Assembly<'_>, names: &[&str], path: &KeyPath) {
        let Some(arguments) = &self.names else { return };
        for name in names {
            if !arguments.iter().any(|known| known == name) {
                let hint = crate::config::similar::hint(name, arguments.iter().map(String::as_str));
                assembly.problem(path, format!("{{{name}}} is no argument of the tool{hint}"));
            }
        }
    }
}

fn http_tool(assembly: &mut Assembly<'_>, file: HttpFile, arguments: &Arguments, path: &KeyPath) -> HttpTool {
    let host = check_url(assembly, &file.url, arguments, &path.key("url"));
    for (name, value) in &file.query {
        arguments.check(assembly, &placeholder::in_text(value), &path.key("query").key(name));
        if file.secret_query.contains_key(name) {
            assembly.problem(&path.key("query").key(name), "is in `secret_query` too");
        }
    }
    if let Some(body) = &file.body {
        arguments.check(assembly, &placeholder::in_json(body), &path.key("body"));
        let has_no_body = matches!(file.method, MethodFile::Get | MethodFile::Head);
        if has_no_body && !assembly.is_broken(&path.key("method")) {
            let message = format!("a {} request has no body", file.method.name());
            assembly.problem(&path.key("body"), message);
        }
    }
    let allow_hosts = allowed_hosts(assembly, file.allow_hosts, host, &path.key("allow_hosts"));
    HttpTool {
        method: file.method.name().to_owned(),
        url: file.url,
        query: file.query,
        headers: secret_headers(assembly, file.headers, &path.key("headers")),
        secret_query: file
            .secret_query
            .into_iter()
            .map(|(name, secret)| (name, secret.into_result()))
            .collect(),
        body: file.body,
        allow_hosts,
        allow_private: file.allow_private,
    }
}

fn secret_headers(
    assembly: &mut Assembly<'_>,
    headers: BTreeMap<String, SecretText>,
    path: &KeyPath,
) -> BTreeMap<String, Result<Secret, String>> {
    let headers = headers.into_iter().map(|(name, secret)| {
        let secret = secret.into_result();
        let value = secret.as_ref().map_or("", Secret::reveal);
        check_header(assembly, &name, value, &path.key(&name));
        (name, secret)
    });
    headers.collect()
}

/// Checks the URL of a tool; returns its host.
fn check_url(assembly: &mut Assembly<'_>, url: &str, arguments: &Arguments, path: &KeyPath) -> Option<String> {
    let authority_start = url.find("://").map_or(0, |at| at + 3);
    let authority_length = url[authority_start..].find(['/', '?', '#']);
    let authority_end = authority_length.map_or(url.len(), |length| authority_start + length);
    if url[..authority_end].contains(['{', '}']) {
        assembly.problem(path, "an argument cannot stand in scheme, host or port");
        return None;
    }
    let names = placeholder::in_text(url);
    arguments.check(assembly, &names, path);
    match http_url(url) {
        Ok(url) => url.host_str().map(str::to_owned),
        Err(message) => {
            assembly.problem(path, message);
            None
        }
    }
}

/// Checks the hosts that a tool may ask.
fn allowed_hosts(
    assembly: &mut Assembly<'_>,
    hosts: Vec<String>,
    url_host: Option<String>,
    path: &KeyPath,
) -> Vec<String> {
    let Some(url_host) = url_host else {
        return hosts;
    };
    if hosts.is_empty() {
        return vec![url_host];
    }
    for (index, host) in hosts.iter().enumerate() {
        if !is_host_pattern(host) {
            let message = "write a host or `*.name`, without scheme, port and path";
            assembly.problem(&path.index(index), message);
        }
    }
    let is_allowed = hosts.iter().any(|host| {
        let host = host.to_ascii_lowercase();
        match host.strip_prefix('*') {
            Some(suffix) => url_host.ends_with(suffix),
            None => host == url_host,
        }
    });
    if !is_allowed && !assembly.is_broken_within(path) {
        assembly.problem(path, "does not allow the host of `url`");
    }
    hosts.iter().map(|host| host.to_ascii_lowercase()).collect()
}

/// Whether a text is a host or `*.name`.
fn is_host_pattern(host: &str) -> bool {
    let name = host.strip_prefix("*.").unwrap_or(host);
    let address = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
    if let Some(address) = address {
        return address.parse::<std::net::Ipv6Addr>().is_ok() && name == host;
    }
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
}

fn command_tool(assembly: &mut Assembly<'_>, file: ShellFile, arguments: &Arguments, path: &KeyPath) -> CommandTool {
    let argv_path = path.key("argv");
    for (index, argument) in file.argv.iter().enumerate() {
        let names = placeholder::in_text(argument);
        let path = argv_path.index(index);
        if argument.contains('\0') {
            assembly.problem(&path, "contains a NUL character");
        }
        if index > 0 {
            arguments.check(assembly, &names, &path);
        } else if argument.is_empty() {
            assembly.problem(&path, "is no program");
        } else if argument.contains(['{', '}']) {
            assembly.problem(&path, "an argument cannot choose the program");
        }
    }
    for (index, name) in file.env.iter().enumerate() {
        if !variables::is_name(name) {
            let message = "is no name of an environment variable";
            assembly.problem(&path.key("env").index(index), message);
        }
    }
    CommandTool {
        cwd: assembly.working_directory(file.cwd.as_deref(), &path.key("cwd")),
        argv: file.argv,
        env: file.env,
    }
}
