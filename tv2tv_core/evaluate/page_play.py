"""The parts of a report on what the model does by itself: roll-outs and language."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tv2tv_core.evaluate.page_tables import number, paragraph, percent, share, table
from tv2tv_core.evaluate.plots import Point, lines


def rollout_section(found: Mapping[str, Any], pictures: str) -> str:
    """How frames look over time, and how far clips are from real play as a crowd."""
    distance, motion = found["frechet"], found["dynamic_degree"]
    if not found["clips"]:
        return "<h2>Roll-outs</h2>" + paragraph("The held-out episodes have no stretch without a cut that is long enough.")
    parts = [
        "<h2>Roll-outs: the model plans and acts by itself</h2>",
        paragraph(
            f"{found['clips']} clips of {found['seconds']:g} s"
            + (f" and {found['long_clips']} of {found['long_seconds']:g} s." if found["long_clips"] else ".")
        ),
        table(
            ("", "made", "real play, same moments", "real play through the codec"),
            [
                ["Fréchet distance to other real play", *(_plain(distance[name]) for name in ("made", "real", "codec"))],
                ["dynamic degree, pixels a frame", *(_plain(motion[name], ".2f") for name in ("made", "real")), "—"],
            ],
        ),
        paragraph(
            f"The Fréchet distance is of AlexNet features of {distance['windows']} windows of 16 frames against "
            f"{distance['reference_windows']} of real play. It is not the Fréchet video distance of papers (no I3D) and "
            "cannot be compared with published values. It is too large for few windows, so what counts is how far “made” lies "
            "above “real play”. The dynamic degree is the mean length of the optical flow (DIS)."
        ),
        _drift(found),
        lines(_seconds(found["against_real"]), "second", f"{found['seconds']:g}-s clips, divided by real play", even=1.0),
    ]
    if found["long_against_real"]:
        name = f"{found['long_seconds']:g}-s clips, divided by the mean level of real play"
        parts.append(lines(_seconds(found["long_against_real"]), "second", name, even=1.0))
    return "\n".join([*parts, pictures])


def _drift(found: Mapping[str, Any]) -> str:
    drift = found["drift"]
    names = {
        "short": f"model, {found['seconds']:g} s",
        "short_real": "real play, same moments",
        "long": f"model, {found['long_seconds']:g} s",
        "long_real": "real play, longest stretches",
    }
    rows = [
        [name, str(drift[key]["clips"]), *(number(drift[key][measure], ".2f") for measure in found["measures"])]
        for key, name in names.items()
        if drift[key]["clips"]
    ]
    caption = "drift: the last seconds divided by the first (2 s at each end of the short clips, 8 s of the long ones)"
    return table(("clips", "number", *found["measures"]), rows, caption)


def _seconds(by_measure: Mapping[str, list[float]]) -> dict[str, list[Point]]:
    return {name: [Point(second + 1, value) for second, value in enumerate(row)] for name, row in by_measure.items()}


def language_section(found: Mapping[str, Any]) -> str:
    """Lines at true boundaries against real play, and the variety of plans in roll-outs."""
    rollouts, variety = found["rollouts"], found["variety"]
    parts = [
        "<h2>Language: what the model writes</h2>",
        paragraph(
            "At the boundaries of recorded stretches the model is told the true past and asked for the next line. A bot "
            "played, at random in many things, so compare with the baselines: never changing the plan, and always writing the "
            "commonest recorded line (chosen on these boundaries, so a little better than it could be in earnest)."
        ),
        table(
            ("", "boundaries", "model", "keep the plan", "commonest"),
            [row for way in ("sampled", "likeliest") for row in _agreement(found[way], way)],
            "share of boundaries after which the plan in force agrees with real play",
        ),
        _when(found),
        table(
            ("plans of roll-outs", "chunks", "different lines", "entropy, bits", "chunks with a new line"),
            [
                [name, str(v["chunks"]), str(v["distinct"]), f"{v['bits']:.2f}", share(v["changes"])]
                for name, v in (("model", variety["made"]), ("real play, same moments", variety["real"]))
            ],
        ),
        paragraph(
            f"In roll-outs {rollouts['written']} lines were written; {share(rollouts['valid'])} can be read, "
            f"{rollouts['canonical']} are in canonical form, {rollouts['distinct']} are different. At true boundaries "
            f"{share(found['sampled']['valid'])} of {found['sampled']['written']} can be read."
        ),
    ]
    return "\n".join(part for part in parts if part)


def _agreement(one: Mapping[str, Any], way: str) -> list[list[str]]:
    rows = []
    for where, title in (("all", "all boundaries"), ("changes", "where real play changes")):
        for view, name in (("line", "same line"), ("kind", "same move class")):
            cell = one[where][view]
            figures = [percent(cell[who]) for who in ("model", "keep", "majority")]
            rows.append([f"{way}: {name}, {title}", str(one[where]["boundaries"]), *figures])
    return rows


def _when(found: Mapping[str, Any]) -> str:
    rows = []
    for way in ("sampled", "likeliest"):
        when = found[way]["when"]
        counts = [str(when[name]) for name in ("both", "real_alone", "model_alone", "neither")]
        rows.append([way, percent(when["model"]), percent(when["real"]), percent(when["agree"]), *counts])
    head = ("when the plan changes", "model", "real play", "agree", "both", "real play alone", "model alone", "neither")
    return table(head, rows)


def _plain(value: float | None, form: str = ".1f") -> str:
    return "—" if value is None else f"{value:{form}}"
