"""Tables of a report as HTML text. Every cell is escaped."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any


FEW = 5  # groups; below this a bootstrap interval says little


def table(head: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "", classes: str = "") -> str:
    """A table of plain text cells; nothing without rows."""
    if not rows:
        return ""
    top = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    name = f' class="{html.escape(classes, quote=True)}"' if classes else ""
    return f'<div class="wide"><table{name}>{title}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>'


def heat(names: Sequence[str], counts: Sequence[Sequence[int]], caption: str) -> str:
    """A square table of counts, darker where more of the row lies; rows are what was asked, columns what it looked like."""
    top = "<th></th>" + "".join(f"<th>{html.escape(name)}</th>" for name in names)
    body = ""
    for name, row in zip(names, counts, strict=True):
        total = max(1, sum(row))
        cells = "".join(f'<td style="background:rgba(217,119,6,{value / total:.2f})">{value or ""}</td>' for value in row)
        body += f"<tr><td>{html.escape(name)}</td>{cells}</tr>"
    return (
        f'<div class="wide"><table class="heat"><caption>{html.escape(caption)}</caption>'
        f"<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def paragraph(text: str) -> str:
    """Plain text as a paragraph."""
    return f"<p>{html.escape(text)}</p>"


def percent(estimate: Mapping[str, Any] | None) -> str:
    """A share with its interval, e.g. "55% [47%, 64%]"."""
    if estimate is None:
        return "—"
    return f"{estimate['mean']:.0%} [{estimate['low']:.0%}, {estimate['high']:.0%}]{few(estimate)}"


def number(estimate: Mapping[str, Any] | None, form: str = ".3f") -> str:
    """A mean with its interval."""
    if estimate is None:
        return "—"
    return f"{estimate['mean']:{form}} [{estimate['low']:{form}}, {estimate['high']:{form}}]{few(estimate)}"


def few(estimate: Mapping[str, Any]) -> str:
    """A star where an interval comes from too few groups to mean much."""
    return "*" if estimate.get("groups", FEW) < FEW else ""


def share(value: float | None) -> str:
    """A share without an interval."""
    return "—" if value is None else f"{value:.0%}"
