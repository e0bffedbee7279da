#!/usr/bin/env python3
"""Writes the Python programs of Markdown pages into files, for a type checker.

    python-programs.py PAGE... DIRECTORY

A program is a block that calls `asyncio.run`; shorter blocks show single calls.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path


def main(*arguments: str) -> None:
    *pages, directory = map(Path, arguments)
    for page in pages:
        blocks = re.findall(r"^```python\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
        programs = [block for block in blocks if "asyncio.run(" in block]
        if not programs:
            sys.exit(f"{page} has no program")
        for number, program in enumerate(programs):
            (directory / f"{page.stem.lower()}_{number}.py").write_text(program)


main(*sys.argv[1:])
