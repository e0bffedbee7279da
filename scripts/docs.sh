#!/usr/bin/env bash
# Builds the documentation as one searchable book, with mdBook: target/book/html/index.html. Fails if a page of docs/ is not
# in docs/SUMMARY.md, or if a page links to a file or a heading that is not there (scripts/check_links.py).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

version=0.5.4
mdbook=.tools/mdbook/bin/mdbook
book=target/book

python3 scripts/check_links.py
if [ "$("$mdbook" --version 2>/dev/null)" != "mdbook v$version" ]; then
    # Only building needs the network and some minutes.
    CARGO_TARGET_DIR=target/mdbook cargo install --quiet --locked --root .tools/mdbook --version "$version" mdbook
    rm -rf target/mdbook
fi
rm -rf "$book"
mkdir -p "$book/src"
# The same layout as here, so that the links between the pages, and to files that they show, stay as they are.
cp book.toml "$book"
cp ./*.md LICENSE-* "$book/src"
cp -r --parents docs examples crates/agentnet/examples bindings/python/benches bench/results "$book/src"
sed -E 's/\]\(([A-Z])/](docs\/\1/; s/\]\(\.\.\//](/' docs/SUMMARY.md >"$book/src/SUMMARY.md"
rm "$book/src/docs/SUMMARY.md"
# mdBook makes README.md the page index.html, and leaves links to it behind.
mv "$book/src/README.md" "$book/src/index.md"
find "$book/src" -name '*.md' -exec sed -i -E 's/\]\((\.\.\/)?README\.md/](\1index.md/g' {} +
"$mdbook" build "$book"
echo "docs: $book/html/index.html"
