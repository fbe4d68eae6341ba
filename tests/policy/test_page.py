"""The page's own code: small files that say what they are, and no way for text to become code."""

from __future__ import annotations

import re

from tests.policy.source import ROOT

PAGE = ROOT / "assets" / "studio"
FILE_LINES = 400
LINE_LENGTH = 140
DRAWING = re.compile(r"\"=?[Mm]\d[\d\sA-Za-z.,-]+\"")  # the path of an icon
UNSAFE = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|\beval\(|new Function|srcdoc"
)
OUTSIDE = re.compile(r"(?:https?:)?//[a-z0-9-]+\.[a-z]|@import|@font-face")
SVG = "http://www.w3.org/2000/svg"  # a name, not an address


def texts(*suffixes: str) -> dict[str, str]:
    found = {path.name: path.read_text(encoding="utf-8") for path in sorted(PAGE.iterdir()) if path.suffix in suffixes}
    assert found
    return found


def test_every_module_and_sheet_says_what_it_is():
    assert [name for name, text in texts(".js").items() if not text.startswith("// ")] == []
    assert [name for name, text in texts(".css").items() if not text.startswith("/* ")] == []


def test_files_and_lines_keep_their_budget():
    sizes = {name: text.count("\n") for name, text in texts(".js", ".css").items()}
    assert {name: lines for name, lines in sizes.items() if lines > FILE_LINES} == {}
    rows = [(name, n, row) for name, text in texts(".js").items() for n, row in enumerate(text.split("\n"), 1)]
    long = [row for row in rows if len(row[2]) > LINE_LENGTH and not DRAWING.search(row[2])]
    assert [f"{name}:{number} {len(row)}" for name, number, row in long] == []


def test_text_never_becomes_markup_or_code():
    assert [name for name, text in texts(".js").items() if UNSAFE.search(text)] == []


def test_nothing_is_fetched_from_elsewhere():
    found = {name: OUTSIDE.findall(text.replace(SVG, "")) for name, text in texts(".js", ".css", ".svg").items()}
    assert {name: rows for name, rows in found.items() if rows} == {}
