"""Import circles between the files of a Rust crate.

An edge goes from a file to the file of a module that one of its `crate::` or `super::` paths names, outside tests. `mod` lines
and `self::` paths are not edges. A circle is a strongly connected component of more than one file.

    circles.py SOURCE_DIRECTORY...    prints the circles of each directory
"""

import pathlib
import re
import sys

TOKEN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*|::|[{},;*]|\S")
COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
# String literals can contain text that looks like a path or a brace.
LITERAL = re.compile(r'r(#*)".*?"\1|b?"(?:\\.|[^"\\])*"|b?\'(?:\\.|[^\'\\])\'', re.DOTALL)
TEST_MODULE = re.compile(r"#\[cfg\((?:test|all\(test\b[^\]]*)\)\]\s*(?:pub(?:\([a-z]+\))?\s+)?(mod|use|fn|impl)\b")


def circles(source):
    """The circles of a source directory, largest first, as sorted lists of paths relative to it."""
    files = {}
    for path in sorted(source.rglob("*.rs")):
        parts = path.relative_to(source).with_suffix("").parts
        if "tests" in parts or parts[0] == "bin":
            continue
        files[module(parts)] = path
    codes = {name: Code(name, path.read_text(encoding="utf-8")) for name, path in files.items()}
    graph = {name: set(edges(code, codes)) for name, code in codes.items()}
    found = [component for component in components(graph) if len(component) > 1]
    found.sort(key=lambda component: (-len(component), component))
    return [sorted(str(files[name].relative_to(source)) for name in component) for component in found]


def module(parts):
    """The module path of a file: `a/b.rs` and `a/b/mod.rs` are ("a", "b"), `lib.rs` and `main.rs` the root."""
    if parts[-1] in ("mod", "lib", "main"):
        return () if len(parts) == 1 else parts[:-1]
    return parts


class Code:
    """The paths that a file names."""

    def __init__(self, name, text):
        self.name = name
        tokens = TOKEN.findall(without_tests(text))
        # The paths that `use` binds to names.
        self.aliases = {}
        self.paths = []
        at = 0
        while at < len(tokens):
            token = tokens[at]
            if token == "use":
                at, found = tree(tokens, at + 1, [])
                for path, alias in found:
                    absolute = resolve(name, path)
                    if absolute is not None and path[0] in ("crate", "super"):
                        self.aliases[alias] = absolute
                        self.paths.append(absolute)
                continue
            if tokens[at - 1 : at] != ["::"] and re.match("[A-Za-z_]", token):
                if token in ("crate", "super") or tokens[at + 1 : at + 2] == ["::"]:
                    at, path = straight(tokens, at)
                    if path[0] in ("crate", "super"):
                        absolute = resolve(name, path)
                        # `pub(crate)` and `pub(super)` name nothing.
                        if len(path) > 1 and absolute is not None:
                            self.paths.append(absolute)
                    elif path[0] in self.aliases:
                        self.paths.append((*self.aliases[path[0]], *path[1:]))
                    continue
            at += 1


def edges(code, codes):
    """The modules that a file names by `crate::` and `super::` paths. Re-exports are not followed."""
    for path in code.paths:
        while path not in codes:
            path = path[:-1]
        if path != code.name:
            yield path


def resolve(name, path):
    """A path as a module path from the crate's root; `None` if it leaves the crate."""
    if path[0] == "crate":
        return tuple(path[1:])
    at = list(name)
    rest = list(path)
    while rest and rest[0] == "super":
        if not at:
            return None
        at.pop()
        rest.pop(0)
    return tuple(at + rest)


def straight(tokens, at):
    """Reads a path without braces: returns its end and its parts."""
    path = [tokens[at]]
    while tokens[at + 1 : at + 2] == ["::"] and re.match("[A-Za-z_]", (tokens[at + 2 : at + 3] or [""])[0]):
        at += 2
        path.append(tokens[at])
    return at + 1, path


def tree(tokens, at, prefix):
    """Reads the tree of a `use`: returns its end, and each path in it with its name in this file."""
    path = list(prefix)
    while at < len(tokens):
        token = tokens[at]
        if token == "{":
            found = []
            at += 1
            while at < len(tokens) and tokens[at] != "}":
                if tokens[at] == ",":
                    at += 1
                    continue
                at, inner = tree(tokens, at, path)
                found.extend(inner)
            return at + 1, found
        if token == "*":
            return at + 1, [(path, "*")]
        if token == "::":
            at += 1
            continue
        if not re.match("[A-Za-z_]", token):
            return at + 1, []
        if token != "self":
            path.append(token)
        at += 1
        if tokens[at : at + 1] == ["as"]:
            return at + 2, [(path, tokens[at + 1])]
        if tokens[at : at + 1] != ["::"]:
            return at, [(path, path[-1])] if path else []
        at += 1
    return at, []


def without_tests(text):
    """The code without comments, literals and items compiled only for tests."""
    text = LITERAL.sub('""', COMMENT.sub("", text))
    while found := TEST_MODULE.search(text):
        text = text[: found.start()] + text[item_end(text, found.end()) :]
    return text


def item_end(text, at):
    """The end of an item: after its `;` or its braces."""
    depth = 0
    while at < len(text):
        character = text[at]
        at += 1
        if character == ";" and depth == 0:
            break
        if character == "{":
            depth += 1
        if character == "}":
            depth -= 1
            if depth == 0:
                break
    return at


def components(graph):
    """The strongly connected components, by Tarjan's algorithm, without recursion."""
    index, low, on_stack, stack = {}, {}, set(), []
    for root in graph:
        if root in index:
            continue
        work = [(root, iter(sorted(graph[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        on_stack.add(root)
        while work:
            node, targets = work[-1]
            for target in targets:
                if target not in index:
                    index[target] = low[target] = len(index)
                    stack.append(target)
                    on_stack.add(target)
                    work.append((target, iter(sorted(graph[target]))))
                    break
                if target in on_stack:
                    low[node] = min(low[node], index[target])
            else:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = []
                    while True:
                        member = stack.pop()
                        on_stack.discard(member)
                        component.append(member)
                        if member == node:
                            break
                    yield sorted(component)


def main(directories):
    for directory in directories:
        for circle in circles(pathlib.Path(directory)):
            print(f"{directory}: {len(circle)} files: {' '.join(circle)}")


if __name__ == "__main__":
    main(sys.argv[1:])
