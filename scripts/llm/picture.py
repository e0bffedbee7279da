"""Draws the output of a terminal as SVG: docs/duo.svg is `agentnet demo duo` in a real run.

Usage: picture.py COMMAND... >docs/duo.svg. Runs the command and reads what it prints.
"""

import html
import subprocess
import sys

FONT, LINE, MARGIN = 13, 18, 18
# Width of a character of a monospaced font, in its size.
ADVANCE = 0.602


def main(command):
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    lines = [f"$ {' '.join(command)}", *done.stdout.rstrip().splitlines()]
    width = round(max(map(len, lines)) * FONT * ADVANCE) + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}">')
    print(f'<rect width="{width}" height="{height}" rx="8" fill="#16181d"/>')
    print(f'<g font-family="ui-monospace, SFMono-Regular, Menlo, Consolas, \'DejaVu Sans Mono\', monospace" font-size="{FONT}">')
    for number, line in enumerate(lines):
        if line.strip():
            y = MARGIN + number * LINE + FONT
            print(f'<text x="{MARGIN}" y="{y}" fill="{colour(line)}" xml:space="preserve">{html.escape(line)}</text>')
    print("</g>\n</svg>")


def colour(line):
    """Rules and facts are dim, heads of blocks stand out."""
    if set(line.strip()) <= set("─-="):
        return "#3d4451"
    if line.startswith("$"):
        return "#8ec07c"
    if " | " in line:
        return "#7aa2f7" if " A | " in line or "_a |" in line.lower() else "#e0af68"
    return "#6b7280" if line.startswith(("peer=", "trace=")) else "#d5d8de"


if __name__ == "__main__":
    main(sys.argv[1:])
