"""A whole plan as one text, written before the first frame: a numbered row wherever the plan line changes."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tv2tv_core.plan import PlanError, parse

PLAN_CHUNKS = 35  # chunks that a whole plan is for: 8 s
_ROW = re.compile(r"([0-9]{1,3}): (.+)")


def write_plan(lines: Sequence[str]) -> str:
    """Rows such as `3: run forward` from the plan line of every chunk, counted from 1; a line holds until the next row."""
    rows = [f"{n}: {line}" for n, line in enumerate(lines, 1) if n == 1 or line != lines[n - 2]]
    return "\n".join(rows)


def read_plan(text: str, chunks: int) -> tuple[list[str | None], int]:
    """The line of each of `chunks` chunks (None before the first row), and how many rows could not be read.

    A row whose number is not higher than that of the row before it, or whose line is no plan line, is left out.
    """
    found: list[str | None] = [None] * chunks
    last = bad = 0
    for row in filter(None, map(str.strip, text.split("\n"))):
        match = _ROW.fullmatch(row)
        number = int(match[1]) if match else 0
        if number <= last or not _readable(match[2]):
            bad += 1
            continue
        last = number
        found[number - 1 :] = [match[2]] * max(0, chunks - number + 1)
    return found[:chunks], bad


def _readable(line: str) -> bool:
    try:
        parse(line)
    except PlanError:
        return False
    return True
