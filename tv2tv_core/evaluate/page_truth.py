"""The parts of a report that compare with the true future: interventions, prediction, codec."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tv2tv_core.evaluate.page_tables import heat, number, paragraph, percent, share, table
from tv2tv_core.evaluate.plots import Bar, Point, bars, lines

_ACTION_HEAD = ("action", "tried", "accuracy", "interval", "relative", "ceiling", "tellable", "held-out words", "looks like")
SPLIT_NAMES = {"heldout": "held-out episodes", "heldout_map": "held-out map"}


def intervention_section(found: Mapping[str, Any], pictures: str) -> str:
    """Accuracy by insertion and wording, per action, and what was taken for what."""
    if not any(found.values()):
        return ""
    parts = [
        "<h2>Interventions: does what is written happen?</h2>",
        paragraph(
            "From held-out moments each of the K actions is inserted and held. The game is replayed up to the same moment and "
            "plays each action too: these are the K true futures. A result is correct when, of all of them, the one of the "
            "instructed action is nearest to what the model made (LPIPS, mean over the frames of the k-th chunk)."
        ),
        paragraph(
            "Inserted at 0 s, right after true history, this measures obedience alone. After 1 s and 3 s the model has gone on "
            "by itself under the true plan lines and its picture is no longer the true one, so the plain measure also counts "
            "drift. “Relative” takes away from each distance how near that true future is to the model's pictures on "
            "average, whatever was instructed: it asks only whether the instruction moves the picture the right way, which is "
            "a weaker claim. A model that does not read the line scores chance in both. The ceiling is the true future itself, "
            "sent through the codec; where that fails, the measure cannot tell the action from another one there. “Where "
            "tellable” counts only trials whose true future is recognised after the codec and is at least 0.03 of LPIPS from "
            "every other one: running at a wall is standing."
        ),
    ]
    for split, by_time in found.items():
        parts.append(f"<h3>{SPLIT_NAMES[split].capitalize()}</h3>")
        parts.append(_overview(by_time))
        for number, (after, at) in enumerate(by_time.items()):
            inside = _per_action(after, at)
            late = number or split != "heldout"
            parts.append(f"<details><summary>Per action, inserted at {after} s</summary>{inside}</details>" if late else inside)
    shown = pictures and paragraph("Every action of one moment, held for four chunks: the true future above the model.")
    return "\n".join([*parts, shown, pictures])


def _overview(by_time: Mapping[str, Any]) -> str:
    rows = []
    for after, at in by_time.items():
        for wording, by_held in at["wordings"].items():
            for held, figures in by_held.items():
                rows.append(
                    [
                        f"{after} s",
                        wording,
                        held,
                        str(figures["moments"]),
                        percent(figures["accuracy"]),
                        f"{percent(figures['tellable'])} of {figures['tellable_trials']}",
                        percent(figures["relative"]),
                        percent(figures["ceiling"]),
                        f"{at['chance']:.0%}",
                    ]
                )
    head = ("inserted at", "wording", "chunk k", "moments", "accuracy", "where tellable", "relative", "ceiling", "chance")
    notes = []
    for after, at in by_time.items():
        less = "; ".join(f"{percent(value)} at k = {held}" for held, value in at["paraphrase_less"].items())
        notes.append(
            f"At {after} s: LPIPS of the model's last frame before the action to the true one {number(at['base'])}."
            + (f" Held-out words are followed less often than canonical lines by {less} (same moments)." if less else "")
            + (f" Left out: {at['died']} trials in which the player died." if at["died"] else "")
        )
    return table(head, rows) + "".join(paragraph(note) for note in notes)


def _per_action(after: str, at: Mapping[str, Any]) -> str:
    parts = []
    for held, figures in at["wordings"].get("canonical", {}).items():
        rows = figures["per_action"]
        parts.append(f"<h4>Per action, inserted at {after} s, chunk {held}</h4>")
        parts.append(
            bars([Bar(r["action"], r["accuracy"], r["low"], r["high"], r["ceiling"]) for r in rows], at["chance"])
            + '<p class="dim">Whiskers: Wilson, 95 %. Blue ticks: ceiling. Dashed: chance.</p>'
        )
        worded = {row["action"]: row for row in at["wordings"].get("paraphrase", {}).get(held, {}).get("per_action", [])}
        parts.append(
            table(
                _ACTION_HEAD,
                [
                    [
                        row["action"],
                        str(row["tried"]),
                        share(row["accuracy"]),
                        f"{row['low']:.0%} … {row['high']:.0%}",
                        share(row["relative"]),
                        share(row["ceiling"]),
                        share(row["tellable"]),
                        share(worded[row["action"]]["accuracy"]) if row["action"] in worded else "—",
                        row["taken_for"] or "—",
                    ]
                    for row in rows
                ],
            )
        )
        parts.append(heat(at["actions"], figures["confusion"], "rows: instructed; columns: nearest true future"))
    return "\n".join(parts)


def prediction_section(found: Mapping[str, Any], pictures: str) -> str:
    """Distance to the true future by horizon, beside the trivial predictors and the codec's floor."""
    parts = [
        "<h2>Prediction under the true plan lines</h2>",
        paragraph(
            "Told the true past, and then the lines that were really played, the model goes on by itself. “Repeat last motion” "
            "follows the optical flow between the last two frames. “Truth through the codec” is the least that can be reached."
        ),
    ]
    for split, one in found.items():
        cells = {(s["predictor"], s["horizon"], s["metric"]): s for s in one["scores"]}
        names = list(dict.fromkeys(key[0] for key in cells))
        horizons = sorted({key[1] for key in cells})
        verdict = "; ".join(
            f"{h} ahead: {'better than both trivial predictors' if one['better_than_both'][str(h)] else 'not better than both'}"
            for h in horizons
        )
        parts += [
            f"<h3>{SPLIT_NAMES[split].capitalize()}</h3>",
            paragraph(f"{one['windows']} windows, {one['episodes']} episodes, {one['context']} true chunks before. {verdict}."),
            lines(
                {
                    name: [
                        Point(h, *(cells[name, h, "lpips"][key] for key in ("mean", "low", "high")))
                        for h in horizons
                        if (name, h, "lpips") in cells
                    ]
                    for name in names
                },
                "chunks ahead",
                "LPIPS to the true future",
            ),
            table(
                ("predictor", "chunks ahead", "windows", "LPIPS", "PSNR, dB", "SSIM", "sharpness"),
                [
                    [name, str(h), str(cells[name, h, "lpips"]["windows"])]
                    + [number(cells[name, h, metric], form) for metric, form in _FORMS.items()]
                    for name in names
                    for h in horizons
                    if (name, h, "lpips") in cells
                ],
            ),
        ]
    return "\n".join([*parts, pictures])


_FORMS = {"lpips": ".3f", "psnr": ".1f", "ssim": ".3f", "sharpness": ".2f"}


def codec_section(found: Mapping[str, Any], pictures: str) -> str:
    """What the codec alone costs."""
    if not found:
        return ""
    names = list(next(iter(found.values()))["scores"])
    rows = [
        [SPLIT_NAMES[split], str(one["chunks"])]
        + [f"{one['scores'][n]['mean']:.3f} ({one['scores'][n]['low']:.3f} … {one['scores'][n]['high']:.3f})" for n in names]
        for split, one in found.items()
    ]
    caption = "mean over chunks (10 % … 90 %); meant are LPIPS ≤ 0.15 and PSNR ≥ 24 dB"
    return "<h2>Codec alone</h2>" + table(("recordings", "chunks", *names), rows, caption) + pictures
