"""Checks the documents: every page of docs/ is in docs/SUMMARY.md, and every relative link leads to a file and a heading that exist.

Prints every problem and exits 1, or one line that all is well.
"""

import pathlib
import re
import sys
from urllib.parse import unquote

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINK = re.compile(r"(?<!\!)\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)


def main():
    pages = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("bindings/*/README.md"), *ROOT.glob("sdks/*/README.md"), *ROOT.glob("crates/*/README.md")])
    texts = {page: FENCE.sub("", page.read_text(encoding="utf-8")) for page in pages}
    summary = ROOT / "docs/SUMMARY.md"
    listed = {(summary.parent / link).resolve() for link in LINK.findall(texts[summary])}
    problems = [
        f"docs/SUMMARY.md: {page.name} is not listed"
        for page in pages
        if page.parent == summary.parent and page != summary and page not in listed
    ]
    links = 0
    for page, text in texts.items():
        for link in LINK.findall(re.sub(r"`[^`\n]*`", "", text)):
            if re.match(r"[a-z]+:", link):
                continue
            links += 1
            target, _, heading = link.partition("#")
            path = (page.parent / unquote(target)).resolve() if target else page
            shown = page.relative_to(ROOT)
            if not path.exists():
                problems.append(f"{shown}: {link}: there is no such file")
            elif heading and path.suffix == ".md" and unquote(heading) not in headings(path, texts):
                problems.append(f"{shown}: {link}: there is no such heading")
    for problem in problems:
        print(f"links: {problem}", file=sys.stderr)
    if problems:
        return 1
    print(f"links: {len(pages)} pages, {links} links lead somewhere")
    return 0


def headings(path, texts):
    """The anchors of a page, as GitHub and mdBook make them."""
    text = texts.get(path) or FENCE.sub("", path.read_text(encoding="utf-8"))
    anchors, seen = set(re.findall(r'<a (?:id|name)="([^"]+)"', text)), {}
    for title in re.findall(r"^#+ +(.*?) *#*$", text, re.MULTILINE):
        title = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title).replace("`", "")
        anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
        number = seen.get(anchor, 0)
        seen[anchor] = number + 1
        anchors.add(f"{anchor}-{number}" if number else anchor)
    return anchors


if __name__ == "__main__":
    sys.exit(main())
