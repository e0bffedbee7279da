"""Checks the architecture: dependencies between crates, import circles inside them, purity of the protocol, size and names.

Usage: arch.py METADATA, the output of `cargo metadata --format-version 1`. Prints every violation and exits 1, or prints one
line of success.
"""

import json
import pathlib
import re
import sys

import circles

# The crates of this workspace that each crate may depend on (build dependencies included, dev-dependencies not).
ALLOWED = {
    "agentnet-protocol": set(),
    "agentnet-keys": {"agentnet-protocol"},
    "agentnet-metrics-http": set(),
    "agentnet-nats": {"agentnet-keys", "agentnet-protocol"},
    "agentnet": {"agentnet-nats", "agentnet-protocol", "agentnet-keys", "agentnet-metrics-http"},
    "agentnet-store": {"agentnet-protocol"},
    "agentnet-registry": {"agentnet-nats", "agentnet-protocol", "agentnet-keys", "agentnet-metrics-http", "agentnet-store"},
    "agentnet-conformance": {"agentnet-protocol"},
    "agentnet-mesh": {"agentnet", "agentnet-protocol"},
    "agentnet-cli": {
        "agentnet-nats",
        "agentnet-protocol",
        "agentnet-keys",
        "agentnet",
        "agentnet-store",
        "agentnet-registry",
        "agentnet-conformance",
        "agentnet-mesh",
        "agentnet-metrics-http",
    },
    "agentnet-testkit": set(),
    # Not part of the product: it may depend on everything that it measures.
    "agentnet-bench": {"agentnet-protocol", "agentnet", "agentnet-store", "agentnet-registry", "agentnet-testkit"},
}
# Forbidden dependencies of a crate, at any depth: (crate, name or prefix*, reason).
FORBIDDEN_BELOW = [
    ("agentnet-protocol", "tokio*", "the protocol is pure: no runtime"),
    ("agentnet-protocol", "async-nats", "the protocol is pure: no NATS"),
    ("agentnet-protocol", "sqlx*", "the protocol is pure: no SQL"),
    ("agentnet-protocol", "libsqlite3-sys", "the protocol is pure: no SQL"),
    ("agentnet-protocol", "rand", "the protocol is pure: randomness is passed in"),
    ("agentnet", "sqlx*", "the SDK stores nothing"),
    ("agentnet", "libsqlite3-sys", "the SDK stores nothing"),
    ("agentnet-mesh", "sqlx*", "agents ask the registry, they store nothing"),
    ("agentnet-mesh", "aws-lc*", "one TLS stack: rustls with ring"),
    ("agentnet-mesh", "native-tls", "one TLS stack: rustls with ring"),
    ("agentnet-mesh", "openssl-sys", "one TLS stack: rustls with ring"),
    ("agentnet-conformance", "sqlx*", "a registry is tested by its replies, not by its database"),
    ("agentnet-testkit", "sqlx*", "the testkit starts databases, it does not query them"),
]
# Paths that the protocol's own code must not name: clocks, randomness and I/O are passed in.
IMPURE = re.compile(
    r"\b(?:SystemTime::now|Instant::now|Utc::now|std::(?:net|fs|process|thread|env)|tokio::|async_nats::|sqlx::)"
)

# The largest import circle of files that a crate may have; of those that are not listed, none.
MAX_CIRCLE = {"agentnet": 6, "agentnet-registry": 3, "agentnet-cli": 3, "agentnet-python": 3}

MAX_FILE = 400
MAX_FUNCTION = 80
MAX_LIB = 50
MAX_INLINE_TESTS = 100
# Folders that are made by builds.
BUILT = {"target", "node_modules", "dist", ".venv", "__pycache__"}
VAGUE_NAMES = {"utils", "util", "common", "helper", "helpers", "manager", "misc"}

# Words that say nothing to a reader, in code, comments and documents.
BANNED = re.compile(r"PATIENCE|\bMOST|MOST\b|LONGEST|\b(?:whom|Whom)\b|\bThey\.")
# A comment on an item that begins with one word, or with two that name nothing ("Its id.", "Which one.").
SHORT_HEAD = re.compile(
    r"///\s+(?:(?:Its|Their|The|A|An|Which|Whose|Who|What|When|Where|Why|How|Since|From|To|In|Of|One|This|That)\s+)?\w+\.\s*$"
)

# The contents of a crate.
CONTENTS = re.compile(r"(?:pub )?mod \w+;$")
FUNCTION = re.compile(r"( *)(?:pub(?:\([a-z]+\))? )?(?:const )?(?:async )?(?:unsafe )?fn (\w+)")

TEST_MODULE = re.compile(r"#\[cfg\((?:test|all\(test\b.*)\)\]")


def main(metadata_path):
    metadata = json.loads(pathlib.Path(metadata_path).read_text(encoding="utf-8"))
    root = pathlib.Path(metadata["workspace_root"])
    members = set(metadata["workspace_members"])
    packages = [package for package in metadata["packages"] if package["id"] in members]
    problems = [
        *check_arrows(packages),
        *check_below(metadata, packages),
        *(problem for package in [*packages, *elsewhere(root)] for problem in check_files(package, root)),
        *(problem for package in [*packages, *elsewhere(root)] for problem in check_circles(package, root)),
        *check_lengths(root),
        *check_words(root),
    ]
    for problem in problems:
        print(f"arch: {problem}", file=sys.stderr)
    if problems:
        print(f"arch: {len(problems)} violation(s) of the architecture", file=sys.stderr)
        return 1
    print(f"arch: {len(packages)} crates keep their arrows, their files their size")
    return 0


def elsewhere(root):
    """Packages outside of the workspace whose files have the same size limits."""
    return [{"name": "agentnet-python", "manifest_path": root / "bindings/python/Cargo.toml"}]


def check_arrows(packages):
    """Direct dependencies between the crates, and on sqlx."""
    names = {package["name"] for package in packages}
    for package in packages:
        name = package["name"]
        if name not in ALLOWED:
            yield f"{name}: unknown crate; list its allowed dependencies in scripts/arch.py"
            continue
        for dependency in package["dependencies"]:
            other, kind = dependency["name"], dependency["kind"] or "normal"
            if (other == "sqlx" or other.startswith("sqlx-")) and name != "agentnet-store":
                yield f"{name} depends on {other} ({kind}): SQL is named only under agentnet-store"
            if other not in names or other == name:
                continue
            if other == "agentnet-cli":
                yield f"{name} depends on agentnet-cli ({kind}): it is the composition root, no crate may depend on it"
            elif kind == "dev":
                continue
            elif other == "agentnet-testkit" and other not in ALLOWED[name]:
                yield f"{name} depends on agentnet-testkit ({kind}): it is for dev-dependencies only"
            elif other not in ALLOWED[name]:
                may = ", ".join(sorted(ALLOWED[name])) or "no crate of this workspace"
                yield f"{name} depends on {other} ({kind}): it may depend on {may}"


def check_below(metadata, packages):
    """Dependencies of a crate at any depth."""
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    names = {package["id"]: package["name"] for package in metadata["packages"]}
    ids = {package["name"]: package["id"] for package in packages}
    for crate, pattern, why in FORBIDDEN_BELOW:
        if crate not in ids:
            continue
        via = {ids[crate]: None}
        queue = [ids[crate]]
        while queue:
            current = queue.pop()
            for dependency in nodes[current]["deps"]:
                kinds = {kind["kind"] for kind in dependency["dep_kinds"]}
                if kinds != {"dev"} and dependency["pkg"] not in via:
                    via[dependency["pkg"]] = current
                    queue.append(dependency["pkg"])
        for package_id in via:
            name = names[package_id]
            if name == pattern or (pattern.endswith("*") and name.startswith(pattern[:-1])):
                yield f"{chain(via, names, package_id)}: {why}"


def chain(via, names, package_id):
    """`crate -> ... -> package`."""
    steps = []
    while package_id is not None:
        steps.append(names[package_id])
        package_id = via[package_id]
    return " -> ".join(reversed(steps))


def check_circles(package, root):
    """Files of one crate that import each other in a circle."""
    source = pathlib.Path(package["manifest_path"]).parent / "src"
    most = MAX_CIRCLE.get(package["name"], 1)
    for circle in circles.circles(source):
        if len(circle) > most:
            yield f"{source.relative_to(root)}: {len(circle)} files import each other, at most {most}: {', '.join(circle)}"


def check_lengths(root):
    """Lines of every source file, tests and scripts included."""
    for path in sources(root, [root / "crates", root / "bindings", root / "scripts", root / "spec", root / "examples", root / "agents"]):
        if path.suffix not in (".rs", ".py", ".pyi"):
            continue
        lines = len(path.read_text(encoding="utf-8").splitlines())
        if lines > MAX_FILE:
            yield f"{path.relative_to(root)}: {lines} lines, at most {MAX_FILE}; split it by what it does"


def sources(root, folders):
    """The files of these folders that no build has made."""
    for path in sorted(path for folder in folders for path in folder.rglob("*")):
        if path.is_file() and not BUILT & set(path.relative_to(root).parts):
            yield path


def check_words(root):
    """Banned words, and comments that say too little."""
    for path in sources(root, [root / "crates", root / "bindings", root / "docs"]):
        if path.suffix not in (".rs", ".py", ".pyi", ".md", ".toml"):
            continue
        lines = path.read_text(encoding="utf-8").splitlines()
        for number, line in enumerate(lines, start=1):
            if found := BANNED.search(line):
                yield f"{path.relative_to(root)}:{number}: `{found.group()}`: say it with the field's word"
            if path.suffix == ".rs" and SHORT_HEAD.match(line.strip()) and not is_comment(lines, number - 2):
                yield f"{path.relative_to(root)}:{number}: `{line.strip()}` says too little"


def is_comment(lines, index):
    return index >= 0 and lines[index].strip().startswith("///")


def check_files(package, root):
    """Size and name of every file of the crate's own code, and the purity of the protocol's."""
    source = pathlib.Path(package["manifest_path"]).parent / "src"
    for path in sorted(source.rglob("*.rs")):
        shown = path.relative_to(root)
        if VAGUE_NAMES & {part.removesuffix(".rs") for part in path.relative_to(source).parts}:
            yield f"{shown}: `{path.stem}` is vague; name the file by its content"
        if path.stem == "tests" or "tests" in path.relative_to(source).parts[:-1]:
            continue
        code, tests = code_lines(path.read_text(encoding="utf-8"))
        others = [line for _, line in code if not CONTENTS.match(line)]
        if path.name == "lib.rs" and path.parent == source and len(others) >= MAX_LIB:
            yield f"{shown}: {len(others)} lines of code beside its modules, under {MAX_LIB}; it is a table of contents"
        for number, name, length in functions(code):
            if length > MAX_FUNCTION:
                yield f"{shown}:{number}: `{name}` has {length} lines of code, at most {MAX_FUNCTION}"
        if tests > MAX_INLINE_TESTS:
            yield f"{shown}: {tests} lines of tests, at most {MAX_INLINE_TESTS}; move them to {path.stem}/tests.rs"
        if package["name"] == "agentnet-protocol":
            for number, line in code:
                if found := IMPURE.search(line):
                    yield f"{shown}:{number}: `{found.group()}`: the protocol reads no clock and does no I/O"


def functions(code):
    """Every function with a body, as (number, name, lines of code): formatted code ends it at the indent of its beginning."""
    for start, (number, line) in enumerate(code):
        found = FUNCTION.match(line)
        # A declaration without a body, or all on one line.
        if not found or line.rstrip().endswith((";", "}")):
            continue
        indent = found[1]
        for end in range(start + 1, len(code)):
            last = code[end][1].rstrip()
            if last == f"{indent}}}":
                yield number, found[2], end - start + 1
            if last == f"{indent}}}" or (last.startswith(f"{indent})") and last.endswith(";")):
                break


def code_lines(text):
    """The lines that are neither blank nor comment, as (number, line), without inline test modules; and how many lines
    those have. Goes by lines: formatted code begins a comment on a line of its own or after code that counts anyway."""
    code, tests = [], 0
    in_comment = 0
    test_indent = None
    lines = text.splitlines()
    for number, line in enumerate(lines, start=1):
        stripped = line.strip()
        if in_comment or stripped.startswith("/*"):
            in_comment += stripped.count("/*") - stripped.count("*/")
            continue
        if not stripped or stripped.startswith("//"):
            continue
        if test_indent is None and TEST_MODULE.fullmatch(stripped) and opens_module(lines[number:]):
            test_indent = line[: len(line) - len(line.lstrip())]
        if test_indent is None:
            code.append((number, line))
            continue
        tests += 1
        if line.rstrip() == test_indent + "}":
            test_indent = None
    return code, tests


def opens_module(following):
    """Whether the attribute that was just read stands on `mod name {`, perhaps with other attributes between."""
    for line in following:
        stripped = line.strip()
        if not stripped or stripped.startswith(("#[", "//")):
            continue
        return re.match(r"(?:pub(?:\([^)]*\))?\s+)?mod\s+\w+\s*\{$", stripped) is not None
    return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
