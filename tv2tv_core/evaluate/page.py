"""The report as one HTML file that needs nothing else: styles, plots, pictures and videos are inside. No script."""

from __future__ import annotations

import base64
import html
from collections.abc import Mapping, Sequence
from typing import Any

from tv2tv_core.evaluate.page_play import language_section, rollout_section
from tv2tv_core.evaluate.page_tables import few, table
from tv2tv_core.evaluate.page_truth import codec_section, intervention_section, prediction_section
from tv2tv_core.evaluate.returns import RETURNS, return_section

Pictures = Mapping[str, Sequence[tuple[str, str, bytes]]]
"""Per group of items: (key of the item, "jpg" or "mp4", content)."""

# Nothing may be fetched, whatever a name in the figures contains.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; media-src data:"
_STYLE = """
:root{color-scheme:light dark;--ink:#1c1c1e;--dim:#6b6b70;--paper:#fff;--line:#d9d9de;--soft:#f4f4f6}
@media(prefers-color-scheme:dark){:root{--ink:#e8e8ea;--dim:#a0a0a6;--paper:#161618;--line:#37373c;--soft:#202024}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1180px;
margin:2rem auto;padding:0 1rem}
h1{font-size:1.6rem}h2{margin-top:2.6rem;border-bottom:1px solid var(--line)}h3{margin-top:1.6rem}p,li{max-width:52rem}
table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums;font-size:13.5px}
th,td{padding:.25rem .6rem;border-bottom:1px solid var(--line);text-align:right}th:first-child,td:first-child{text-align:left}
th{background:var(--soft)}caption{text-align:left;color:var(--dim);padding:.3rem 0}.dim{color:var(--dim)}
.wide{overflow-x:auto}img,video{max-width:100%;height:auto;border:1px solid var(--line);image-rendering:auto}
figure{margin:1rem 0}figcaption{color:var(--dim);font-size:13px}svg{max-width:100%;height:auto}
svg text{font:11px system-ui,sans-serif;fill:var(--dim)}.grid{stroke:var(--line)}.chance{stroke:var(--dim);stroke-dasharray:4 3}
.whisker{stroke:var(--ink);stroke-width:1.5}.mark{stroke:#2563eb;stroke-width:3}.key{margin-right:.8em;white-space:nowrap}
.key i{display:inline-block;width:.8em;height:.8em;margin-right:.3em;border-radius:2px}
.heat td{text-align:center;padding:.15rem .3rem}
details{margin:1rem 0}summary{cursor:pointer;color:var(--dim)}code{background:var(--soft);padding:.1em .3em}
"""


def page(result: Mapping[str, Any], pictures: Pictures) -> str:
    """The whole page from what `report.json` holds, and the pictures that items kept."""
    shown = {name: "".join(_picture(*one) for one in group) for name, group in pictures.items()}
    title = f"Report on preset {result['preset']}"
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        _about(result),
        _headline(result["headline"]),
        intervention_section(result["interventions"], shown.get("interventions", "")),
        prediction_section(result["prediction"], shown.get("prediction", "")),
        codec_section(result["codec"], shown.get("codec", "")),
        rollout_section(result["rollouts"], shown.get("rollouts/made", "") + shown.get("rollouts/long", "")),
        return_section(result["returns"], shown.get(RETURNS, "")),
        language_section(result["language"]),
        _made_with(result),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width,initial-scale=1"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head><body>\n{body}\n</body></html>\n"
    )


def _picture(key: str, ending: str, content: bytes) -> str:
    data = base64.b64encode(content).decode()
    name = html.escape(key, quote=True)
    if ending == "mp4":
        media = f'<video controls loop muted playsinline preload="auto" src="data:video/mp4;base64,{data}"></video>'
    else:
        media = f'<img alt="{name}" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{media}<figcaption>{name}</figcaption></figure>"


def _about(result: Mapping[str, Any]) -> str:
    settings = ", ".join(f"{name} {value:g}" for name, value in result["settings"].items())
    splits = "; ".join(
        f"{split}: {found['episodes']} episodes, {found['chunks']} chunks of {', '.join(found['maps'])}"
        for split, found in result["data"]["splits"].items()
    )
    lines = [
        f"Weights {result['model_hash'][:12]}, {settings}, on {result['device']}; {result['minutes']} minutes of measuring.",
        f"Recordings in {result['data']['folder']}, none of which training saw: {splits}.",
        *result["data"]["used_before"],
        "LPIPS: 0 is the same picture, lower is better. Intervals hold 95 %, by resampling moments, episodes or clips, "
        "whose values resemble each other; * marks those of fewer than five, which say little. One set of weights, one seed.",
    ]
    return "".join(f"<p>{html.escape(line)}</p>" for line in lines)


def _headline(rows: Sequence[Mapping[str, Any]]) -> str:
    forms = {"share": "{:.0%}", "lpips": "{:.3f}", "ratio": "{:.2f}", "distance": "{:.1f}"}

    def cells(row: Mapping[str, Any]) -> list[str]:
        form = forms[row["unit"]].format
        interval = f"{form(row['low'])} … {form(row['high'])}{few(row)}" if row.get("low") is not None else ""
        other = "" if row["against"] is None else f"{form(row['against'])} ({row['against_what']})"
        return [row["what"], form(row["mean"]), interval, other]

    return "<h2>Headline</h2>" + table(("", "figure", "95 % interval", "compare with"), [cells(row) for row in rows])


def _made_with(result: Mapping[str, Any]) -> str:
    extent = ", ".join(f"{name} {value}" for name, value in result["extent"].items())
    return (
        "<h2>How it was made</h2><p><code>python3 launch.py evaluate</code> with the flags <code>--preset</code>, "
        "<code>--data</code>, <code>--count</code> or <code>--quick</code>; all figures are in <code>report.json</code>.</p>"
        f'<p class="dim">{html.escape(extent)}</p>'
    )
