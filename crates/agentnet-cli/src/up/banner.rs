//! The banner of `agentnet up`: addresses, files and the next steps.

use agentnet_nats::{DEFAULT_NATS_URL, DEVELOPMENT_TOKEN, IDENTITY_SCHEME, Login, NatsUrl};
use agentnet_protocol::json::ObjectWriter;

use super::address::host_port;
use super::nats_config::ServerSettings;
use super::stack::Stack;
use super::websocket::{WebOrigin, WebSocketSettings};
use crate::connection::default_nats_url;
use crate::data_dir;
use crate::exit::Failure;
use crate::output::{Output, Tint};

/// The banner for people.
pub(crate) fn text(stack: &Stack, output: Output) -> String {
    let name = |text: &str| output.tint(Tint::Dim, &format!("  {text:<10}"));
    let url = shown(stack);
    let mut lines = vec![
        output.tint(Tint::Bold, concat!("agentnet ", env!("CARGO_PKG_VERSION"), " is up")),
        String::new(),
    ];
    lines.push(format!("{}{}", name("URL"), output.tint(Tint::Green, &url)));
    if let Some(secure) = &stack.secure {
        lines.push(format!(
            "{}on: the token is not accepted; each agent needs an invite",
            name("Secure")
        ));
        lines.push(format!("{}{}", name("Operator"), secure.operator.display()));
    }
    if let Some(nats) = &stack.nats {
        if let Some(websocket) = &nats.settings.websocket {
            let url = websocket_url(websocket, &nats.settings);
            lines.push(format!("{}{}", name("WebSocket"), output.tint(Tint::Green, &url)));
            lines.push(format!("{}{}", name("Origins"), shown_origins(websocket)));
        }
        let (program, server) = (&nats.program, &nats.server);
        lines.push(format!(
            "{}nats-server {}, pid {}, {}",
            name("Broker"),
            program.version,
            server.pid(),
            program.path.display()
        ));
        if let Some(port) = nats.settings.monitor_port {
            let address = host_port(nats.settings.monitor_host(), port);
            lines.push(format!("{}http://{address}", name("Monitor")));
        }
        lines.push(format!("{}{}", name("Log"), nats.settings.log.display()));
    }
    lines.push(format!("{}{}", name("Data"), stack.data_dir.path().display()));
    lines.push(format!("{}{}", name("History"), stack.registry.database));
    lines.push(String::new());
    lines.push(stack.registry.ready_line().to_owned());
    lines.push(String::new());
    lines.push("Try it in another terminal:".to_owned());
    let commands = match &stack.secure {
        Some(_) => secure_commands(stack),
        None => token_commands(stack, &url),
    };
    lines.extend(commands.into_iter().map(|command| format!("  {command}")));
    lines.push(String::new());
    lines.push(output.tint(Tint::Dim, "Ctrl-C stops everything; messages are kept."));
    lines.join("\n")
}

fn token_commands(stack: &Stack, url: &str) -> Vec<String> {
    let mut commands = Vec::new();
    // Commands would find the identity of an operator of another network first.
    let finds_identity = default_nats_url(None).starts_with(IDENTITY_SCHEME);
    if finds_identity || !is_default(&stack.url) {
        commands.push(format!("export AGENTNET_NATS_URL='{url}'"));
    }
    if stack.registry.dev_auth() {
        commands.push("export DEV_AUTH=true".to_owned());
    }
    let tries = [
        "agentnet echo",
        "agentnet list",
        r#"agentnet request --to-username echo '{"text":"hi"}'"#,
    ];
    commands.extend(tries.map(str::to_owned));
    commands
}

/// In secure mode, commands of this machine find the operator's identity in the data directory by themselves.
fn secure_commands(stack: &Stack) -> Vec<String> {
    let data_dir = stack.data_dir.path();
    let is_found = data_dir::default_dir()
        .and_then(|default| {
            default
                .canonicalize()
                .map_err(|error| Failure::error(error.to_string()))
        })
        .is_ok_and(|default| default == data_dir);
    let mut commands = Vec::new();
    if !is_found {
        commands.push(format!("export AGENTNET_DATA_DIR='{}'", data_dir.display()));
    }
    let tries = [
        "agentnet invite echo      # prints a code: once, for one agent",
        "agentnet join CODE        # there, or on another machine: makes its identity",
        "agentnet echo             # joins as @echo, by that identity",
        "agentnet members          # who may use the network",
    ];
    commands.extend(tries.map(str::to_owned));
    commands
}

/// The banner as a JSON document.
pub(crate) fn document(stack: &Stack) -> String {
    let mut out = ObjectWriter::new();
    stack.registry.describe(&mut out).text("url", &shown(stack));
    if let Some(secure) = &stack.secure {
        out.bool("secure", true)
            .text("operator_identity", &secure.operator.to_string_lossy());
    }
    out.text("data_dir", &stack.data_dir.path().to_string_lossy());
    if let Some(nats) = &stack.nats {
        let mut server = ObjectWriter::new();
        server
            .text("path", &nats.program.path.to_string_lossy())
            .text("version", &nats.program.version)
            .int("pid", nats.server.pid())
            .text("host", &nats.settings.host)
            .int("port", nats.settings.port)
            .text("log", &nats.settings.log.to_string_lossy());
        if let Some(websocket) = &nats.settings.websocket {
            out.text("websocket_url", &websocket_url(websocket, &nats.settings));
            server.raw("websocket", &websocket_document(websocket));
        }
        out.raw("nats_server", &server.finish());
    }
    out.finish()
}

/// The URL for people and programs to use, as far as it is no secret.
fn shown(stack: &Stack) -> String {
    match (&stack.secure, &stack.nats) {
        (Some(_), Some(nats)) => nats.settings.plain_url(),
        _ => shown_url(&stack.url),
    }
}

/// The URL. Its token is shown only if it is the public development token.
fn shown_url(url: &str) -> String {
    match NatsUrl::parse(url) {
        Ok(parsed) if *parsed.login() != Login::Token(DEVELOPMENT_TOKEN.to_owned()) => {
            parsed.redacted().replace("***@", "TOKEN@")
        }
        _ => url.to_owned(),
    }
}

/// The URL for browsers of this machine, its token shown as in [`shown_url`].
fn websocket_url(websocket: &WebSocketSettings, settings: &ServerSettings) -> String {
    let token = match settings.token() {
        Some(DEVELOPMENT_TOKEN) => DEVELOPMENT_TOKEN,
        _ => "TOKEN",
    };
    websocket.url().replacen("://", &format!("://{token}@"), 1)
}

/// The pages that may connect.
fn shown_origins(websocket: &WebSocketSettings) -> String {
    if websocket.origins.is_empty() {
        return "none: no web page may connect until its origin is named with --websocket-origin URL".to_owned();
    }
    let origins: Vec<&str> = websocket.origins.iter().map(WebOrigin::as_str).collect();
    origins.join(", ")
}

fn websocket_document(websocket: &WebSocketSettings) -> String {
    let origins: Vec<&str> = websocket.origins.iter().map(WebOrigin::as_str).collect();
    let mut out = ObjectWriter::new();
    out.text("host", &websocket.address.host)
        .int("port", websocket.address.port)
        .bool("tls", websocket.tls.is_some())
        .raw("allowed_origins", &serde_json::json!(origins).to_string());
    out.finish()
}

/// Whether other commands use this address by default.
fn is_default(url: &str) -> bool {
    url == DEFAULT_NATS_URL || url == DEFAULT_NATS_URL.replace("localhost", "127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_well_known_token_is_shown() {
        assert_eq!(
            shown_url("nats://agentnet_secret_token@127.0.0.1:4222"),
            "nats://agentnet_secret_token@127.0.0.1:4222"
        );
        assert_eq!(shown_url("nats://mine@127.0.0.1:4222"), "nats://TOKEN@127.0.0.1:4222");
        assert_eq!(shown_url("nats://127.0.0.1:4222"), "nats://127.0.0.1:4222");
    }

    #[test]
    fn the_default_address_needs_no_export() {
        assert!(is_default("nats://agentnet_secret_token@127.0.0.1:4222"));
        assert!(!is_default("nats://agentnet_secret_token@127.0.0.1:4333"));
    }
}
