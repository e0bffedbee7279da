"""What the schema of compose files cannot see: whether compose file, Dockerfile, .env.example and binary fit together.

Usage: compose_check.py HELP NATS_SERVER: the text of `agentnet registry --help`, and the path of a nats-server, which reads
the configuration that the containers would have. Prints every problem and exits 1, or one line that all is well.
"""

import os
import pathlib
import re
import subprocess
import sys
import tempfile
from urllib.parse import unquote, urlsplit

from ruamel.yaml import YAML

ROOT = pathlib.Path(__file__).resolve().parent.parent
COMPOSE = ROOT / "docker/docker-compose.yml"
# Laid over the first by a second `-f`.
WEBSOCKET = ROOT / "docker/docker-compose.websocket.yml"
# What an installation that follows the documents relies on.
PROMISED = {
    "AGENTNET_TOKEN": "agentnet_secret_token",
    "NATS_URL": "nats://agentnet_secret_token@nats:4222",
    "POSTGRES_DB": "agentnet",
    "POSTGRES_USER": "agentnet",
    "POSTGRES_PASSWORD": "change_me_local",
    "DEV_AUTH": "false",
}
NATS_PORTS = {"4222", "8222"}
WEBSOCKET_PORT = "4280"
OLDEST_NATS = (2, 11)
# Read by the image of PostgreSQL, and by every service of ours beside what its help lists.
OTHER_SETTINGS = {"POSTGRES_DB", "POSTGRES_USER", "POSTGRES_PASSWORD", "LOG_LEVEL", "RUST_LOG", "AGENTNET_DATA_DIR"}


def main(help_text, nats_server):
    compose, overlay = (YAML(typ="safe").load(path.read_text(encoding="utf-8")) for path in (COMPOSE, WEBSOCKET))
    settings = settings_of(help_text)
    values, offered = env_file(ROOT / ".env.example")
    dockerfile = (ROOT / "docker/Dockerfile").read_text(encoding="utf-8")
    services = compose["services"]
    problems = [
        *check_services(compose, set(values) | set(overlay["services"]["nats"]["environment"])),
        *check_names(services, settings, values, offered),
        *check_promises(values),
        *check_addresses(services, values),
        *check_nats(services["nats"]),
        *check_websocket(services["nats"], overlay, values, nats_server),
        *check_registry(services, dockerfile),
        *check_build(services["registry"]["build"], dockerfile),
    ]
    for problem in problems:
        print(f"compose-check: {problem}", file=sys.stderr)
    if problems:
        return 1
    print(f"compose-check: {len(services)} services, {len(values) + len(offered)} settings fit together")
    return 0


def settings_of(help_text):
    """The registry's settings by the name of their variable, with their default, None where it has none."""
    text = " ".join(help_text.split())
    settings = {}
    for entry in re.split(r"(?= --[a-z])", text):
        named = re.search(r"\[env: ([A-Z][A-Z0-9_]*(?:, [A-Z][A-Z0-9_]*)*)=?[^\]]*\]", entry)
        default = re.search(r"\[default: ([^\]]*)\]", entry)
        for name in named.group(1).split(", ") if named else []:
            settings[name] = default.group(1) if default else None
    if "DATABASE_URL" not in settings or "REGISTRY_SERVER_ID" not in settings:
        sys.exit("compose-check: the help of `agentnet registry` lists no settings; has its form changed?")
    return settings


def env_file(path):
    """What the file sets, references replaced as compose does it, and what it offers behind a `#`."""
    values, offered = {}, {}
    for line in path.read_text(encoding="utf-8").splitlines():
        found = re.fullmatch(r"(#?)([A-Z][A-Z0-9_]*)=(.*)", line)
        if found and found[1]:
            offered[found[2]] = found[3]
        elif found:
            values[found[2]] = expand(found[3], values)
        elif line.strip() and not line.startswith("#"):
            sys.exit(f"compose-check: {path.name}: `{line}` is neither NAME=VALUE nor a comment")
    return values, offered


def expand(text, values):
    def value(reference):
        if reference[1] not in values and reference[2] is None:
            sys.exit(f"compose-check: .env.example: {reference[1]} is used before it is set")
        return values.get(reference[1]) or reference[2] or ""

    return re.sub(r"\$\{([A-Z0-9_]+)(?::-([^}]*))?\}", value, text)


def check_services(compose, variables):
    """What holds for every service."""
    for name, service in compose["services"].items():
        if (COMPOSE.parent / service["env_file"]).resolve() != ROOT / ".env":
            yield f"{name}: env_file is not the .env that the documents tell to make from .env.example"
        if service.get("restart") != "unless-stopped":
            yield f"{name}: it does not come back after a crash"
        for volume in service.get("volumes", []):
            if volume.split(":")[0] not in compose["volumes"]:
                yield f"{name}: its volume {volume} is not declared"
        text = str(service)
        if re.search(r"(?<!\$)\$(?!\$)", text):
            yield f"{name}: `$` is replaced by compose, which does not read .env here; write `$$`"
        for used in re.findall(r"\$\$\{?([A-Z_]+)", text):
            if used not in variables:
                yield f"{name}: it uses {used}, which .env.example does not set"


def check_names(services, settings, values, offered):
    """Every name that is set means something to somebody."""
    used = set(re.findall(r"\$\$\{?([A-Z_]+)", str(services)))
    known = set(settings) | used | OTHER_SETTINGS
    for name in [*values, *offered, *services["registry"].get("environment", {})]:
        if name not in known:
            yield f"{name} is neither a setting of `agentnet registry` nor used by a service"
    for name, value in offered.items():
        if settings.get(name) not in (None, value):
            yield f".env.example: the default of {name} is {settings[name]}, not {value}"


def check_promises(values):
    for name, value in PROMISED.items():
        if values.get(name) != value:
            yield f".env.example: {name} is `{values.get(name)}`, the documents say `{value}`"
    table = (ROOT / "docs/PROTOCOL.md").read_text(encoding="utf-8")
    if f"| `AGENTNET_TOKEN` | `{PROMISED['AGENTNET_TOKEN']}` |" not in table:
        yield "docs/PROTOCOL.md section 15 has another default for AGENTNET_TOKEN"


def check_addresses(services, values):
    """The URLs lead to services, with the credentials that these ask for."""
    nats, database = urlsplit(values["NATS_URL"]), urlsplit(values["DATABASE_URL"])
    found = (unquote(database.username or ""), unquote(database.password or ""), database.path.lstrip("/"))
    if found != (values["POSTGRES_USER"], values["POSTGRES_PASSWORD"], values["POSTGRES_DB"]):
        yield ".env.example: DATABASE_URL does not agree with POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB"
    if unquote(nats.username or "") != values["AGENTNET_TOKEN"]:
        yield ".env.example: NATS_URL does not agree with AGENTNET_TOKEN"
    for url, port in ((nats, 4222), (database, 5432)):
        if url.hostname not in services or url.port != port:
            yield f".env.example: {url.hostname}:{url.port} is no service of the compose file"


def check_nats(nats):
    command = nats["entrypoint"][-1].split()
    version = tuple(int(number) for number in re.match(r"nats:(\d+)\.(\d+)", nats["image"]).groups())
    if version < OLDEST_NATS:
        yield f"nats: {nats['image']} is too old, {OLDEST_NATS[0]}.{OLDEST_NATS[1]} is needed"
    for flag in ("-c", "-js", "-sd", "-m", "--auth"):
        if flag not in command:
            yield f"nats: it is started without {flag}"
    for limit in ("max_buffered_msgs:", "max_buffered_size:"):
        if limit not in command:
            yield f"nats: without {limit[:-1]} it drops from the history what comes in a burst"
    folder = command[command.index("-sd") + 1]
    if folder not in [volume.split(":")[1] for volume in nats["volumes"]]:
        yield f"nats: {folder}, where JetStream stores, is on no volume"
    if {port.split(":")[-1] for port in nats["ports"]} != NATS_PORTS:
        yield f"nats: its ports are not {', '.join(sorted(NATS_PORTS))}"
    if command[command.index("-m") + 1] not in NATS_PORTS or ":8222/healthz" not in nats["healthcheck"]["test"][-1]:
        yield "nats: the health check does not ask the monitoring port"


def check_websocket(nats, overlay, values, nats_server):
    """It is off by itself; turned on, it is on this machine alone and lets in no page but those of the origins named."""
    if list(overlay["services"]) != ["nats"] or set(overlay["services"]["nats"]) != {"environment", "ports"}:
        yield f"{WEBSOCKET.name}: it changes more than the environment and the ports of nats"
    if overlay["services"]["nats"]["ports"] != [f"127.0.0.1:{WEBSOCKET_PORT}:{WEBSOCKET_PORT}"]:
        yield f"{WEBSOCKET.name}: WebSocket has no TLS there, and its port is not on this machine alone"
    environment = {name: values[name] for name in ("AGENTNET_TOKEN", "AGENTNET_WEBSOCKET_ORIGINS")}
    if "websocket" in nats_config(nats, environment, nats_server):
        yield "nats: WebSocket is on without docker-compose.websocket.yml"
    environment |= overlay["services"]["nats"]["environment"]
    for named, origins in (
        ("", ["http://127.0.0.1:4280"]),
        ("http://localhost:8080", ["http://localhost:8080"]),
        ("https://a.example , http://b:1,http://b:2", ["https://a.example", "http://b:1", "http://b:2"]),
    ):
        config = nats_config(nats, environment | {"AGENTNET_WEBSOCKET_ORIGINS": named}, nats_server)
        found = re.search(r"websocket \{ port: (\d+), no_tls: true, allowed_origins: \[(.*)\] \}", config)
        if not found or found[1] != WEBSOCKET_PORT or re.findall(r'"([^"]*)"', found[2]) != origins:
            yield f"nats: with AGENTNET_WEBSOCKET_ORIGINS={named!r} its configuration is: {config}"


def nats_config(nats, environment, nats_server):
    """The configuration that the container's command writes in this environment; nats-server has accepted it."""
    with tempfile.TemporaryDirectory() as folder:
        shell = [word.replace("$$", "$").replace("/tmp/", f"{folder}/") for word in nats["entrypoint"]]
        # Instead of the server, its check of the configuration.
        shell[-1] = shell[-1].replace("exec nats-server", 'exec "$NATS_SERVER" -t')
        environment = {"PATH": os.environ["PATH"], "NATS_SERVER": nats_server, **environment}
        ran = subprocess.run(shell, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode:
            sys.exit(f"compose-check: the command of nats fails: {ran.stderr}")
        return pathlib.Path(folder, "nats.conf").read_text(encoding="utf-8")


def check_registry(services, dockerfile):
    """It can be there several times, and starts when the others are ready."""
    registry = services["registry"]
    for key in ("container_name", "ports", "hostname"):
        if key in registry:
            yield f"registry: with {key} it cannot be scaled"
    for place in (registry["environment"]["REGISTRY_SERVER_ID"], dockerfile):
        if "{hostname}" not in place:
            yield "registry: replicas would share one server id"
    for name in services:
        if name == "registry":
            continue
        if registry["depends_on"].get(name, {}).get("condition") != "service_healthy":
            yield f"registry: it does not wait until {name} is healthy"
        if "healthcheck" not in services[name]:
            yield f"{name}: it has no health check to wait for"
    instructions = re.findall(r"^([A-Z]+) (.*)$", dockerfile.replace("\\\n", " "), re.MULTILINE)
    last = {name: value for name, value in instructions}
    if not re.search(r'CMD \["agentnet", "registry", "--health"\]', last.get("HEALTHCHECK", "")):
        yield "Dockerfile: HEALTHCHECK does not call `agentnet registry --health`"
    if last.get("USER", "root").split(":")[0] in ("root", "0"):
        yield "Dockerfile: it runs as root"
    if (last.get("ENTRYPOINT"), last.get("CMD")) != ('["agentnet"]', '["registry"]'):
        yield "Dockerfile: it does not start `agentnet registry`"


def check_build(build, dockerfile):
    """The files that the build copies are in its context, and its compiler is new enough."""
    context = (COMPOSE.parent / build["context"]).resolve()
    if context != ROOT or (context / build["dockerfile"]).resolve() != ROOT / "docker/Dockerfile":
        yield "registry: the image is not built from the checkout with docker/Dockerfile"
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    allowed = {line[1:] for line in ignored if line.startswith("!")}
    if "*" not in ignored:
        yield ".dockerignore: it does not begin by keeping everything out"
    copied = {
        source
        for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", dockerfile, re.MULTILINE)
        for source in sources.split()
    }
    for source in sorted(copied):
        if source not in allowed or not (ROOT / source).exists():
            yield f"Dockerfile: {source} is not in the build context"
    for file, needed in sorted(embedded()):
        if needed not in copied:
            yield f"Dockerfile: {file} needs {needed}/, which is not copied"
    needed = re.search(r'^rust-version = "([0-9.]+)"', (ROOT / "Cargo.toml").read_text(encoding="utf-8"), re.MULTILINE)
    has = re.search(r"^ARG RUST=([0-9.]+)$", dockerfile, re.MULTILINE)
    number = lambda text: [int(part) for part in text.split(".")]
    if not has or number(has[1]) < number(needed[1]):
        yield f"Dockerfile: Rust {has and has[1]} is older than the {needed[1]} of Cargo.toml"


def embedded():
    """What the crates need from outside `crates/`: where it is named, and the folder at the root that holds it."""
    for path in (ROOT / "crates").rglob("*"):
        shown = path.relative_to(ROOT)
        if path.is_symlink():
            targets = [path.resolve()]
        elif path.suffix == ".rs" and "src" in shown.parts:
            text = path.read_text(encoding="utf-8")
            found = re.findall(r'include(?:_str|_bytes)?!\((?:concat!\()?"(\.\./[^"]*)"', text)
            targets = [(path.parent / target).resolve() for target in found]
        else:
            continue
        for target in targets:
            top = target.relative_to(ROOT).parts[0]
            if top != "crates":
                yield shown, top


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
