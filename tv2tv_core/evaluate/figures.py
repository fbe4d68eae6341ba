"""From the values of all items to the figures of a report: plain data, the same whatever order or run the values came from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from tv2tv_core.evaluate.appearance import MEASURES, against, against_level, change
from tv2tv_core.evaluate.extent import SPLITS
from tv2tv_core.evaluate.frechet import frechet
from tv2tv_core.evaluate.intervention_figures import intervention_figures
from tv2tv_core.evaluate.interventions import CANONICAL, CONTEXT, INSERTIONS, PARAPHRASE
from tv2tv_core.evaluate.language import agreement, in_force, variety
from tv2tv_core.evaluate.prediction import Score, tabulate
from tv2tv_core.evaluate.rollouts import RollOut, plan_shares

Values = Sequence[dict[str, Any]]
SHORT_EDGE, LONG_EDGE = 2, 8  # seconds at both ends of a clip that tell how far it drifted


def interventions(values: Values, fps: float, chunk_frames: int) -> dict[str, Any]:
    """By split, then by insertion (its time in seconds as text)."""
    found: dict[str, Any] = {}
    for split in _splits(values):
        by_time = {}
        for after in INSERTIONS:
            here = [value for value in values if value["split"] == split and value["after"] == after]
            if here:
                by_time[f"{after * chunk_frames / fps:.1f}"] = intervention_figures(here)
        found[split] = by_time
    return found


def prediction(values: Values) -> dict[str, Any]:
    """By split: all scores with intervals, and where the model is ahead of both trivial predictors."""
    found = {}
    for split in _splits(values):
        here = [value for value in values if value["split"] == split]
        groups = [value["episode"] for value in here]
        scores = tabulate([value["scores"] for value in here], groups)
        found[split] = {
            "windows": len(here),
            "episodes": len(set(groups)),
            "context": CONTEXT,
            "scores": [asdict(score) for score in scores],
            "better_than_both": _verdicts(scores),
        }
    return found


def _verdicts(scores: Sequence[Score]) -> dict[str, bool]:
    """Per horizon: is the model's LPIPS lower than that of both trivial predictors?"""
    cells = {(score.predictor, score.horizon): score.mean for score in scores if score.metric == "lpips"}
    rivals = ("repeat last frame", "repeat last motion")
    horizons = sorted({horizon for name, horizon in cells if name == "model"})
    return {str(h): all(cells["model", h] < cells[rival, h] for rival in rivals) for h in horizons}


def codec(values: Values) -> dict[str, Any]:
    """By split: mean with the 10 % and 90 % quantiles over chunks, per metric."""
    return {value["split"]: {"chunks": value["chunks"], "scores": value["scores"]} for value in values}


def rollouts(made: Values, long: Values, real: Values, fps: float, chunk_frames: int) -> dict[str, Any]:
    """Fréchet distances, drift over short and long clips, and what was written."""
    reference = [vector for value in real for vector in value["features"]]
    crowd = {
        name: [vector for value in made for vector in value["features"].get(name, [])] for name in ("made", "codec", "real")
    }
    seconds = [value["real"] for value in real]
    return {
        "clips": len(made),
        "seconds": max((round(value["chunks"] * chunk_frames / fps, 2) for value in made), default=0),
        "long_clips": len(long),
        "long_seconds": max((round(value["chunks"] * chunk_frames / fps, 2) for value in long), default=0),
        "frechet": {
            "windows": len(crowd["made"]),
            "reference_windows": len(reference),
            **{name: frechet(rows, reference, reference) for name, rows in crowd.items()},
        },
        "against_real": against([value["made"] for value in made], [value["real"] for value in made]),
        "long_against_real": against_level([value["made"] for value in long], seconds) if long and seconds else None,
        "drift": {
            "short": change([value["made"] for value in made], SHORT_EDGE),
            "short_real": change([value["real"] for value in made], SHORT_EDGE),
            "long": change([value["made"] for value in long], LONG_EDGE),
            "long_real": change(seconds, LONG_EDGE),
        },
        "dynamic_degree": _motion(made),
        "measures": list(MEASURES),
    }


def _motion(made: Values) -> dict[str, float | None]:
    """Mean optical flow in pixels per frame, of the clips and of real play from the same moments."""
    found = {}
    for side in ("made", "real"):
        values = [value for clip in made for value in clip[side]["motion"]]
        found[side] = sum(values) / len(values) if values else None
    return found


def language(asked: Values, made: Values, long: Values) -> dict[str, Any]:
    """What was written at true boundaries and in roll-outs."""
    clips = [RollOut([], tuple(value["written"]), value["unusable"]) for value in (*made, *long)]
    shares = plan_shares(clips)
    stretches = [value["asked"] for value in asked]
    whole = [value for value in made if value["chunks"]]
    return {
        "sampled": agreement(stretches, "sampled"),
        "likeliest": agreement(stretches, "likeliest"),
        "rollouts": {**asdict(shares), "valid": shares.valid_share, "straight_share": shares.straight_share},
        "variety": {
            "made": variety([in_force(value["written"]) for value in whole]),
            "real": variety([value["real_lines"][: value["chunks"]] for value in whole]),
        },
    }


def headline(found: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of the headline table: what, the figure with its interval if any, what it is to be compared with."""
    rows: list[dict[str, Any]] = []
    for after, at in found["interventions"].get("heldout", {}).items():
        for wording, name in ((CANONICAL, "canonical lines"), (PARAPHRASE, "held-out words")):
            for held, figures in at["wordings"].get(wording, {}).items():
                what = f"instruction followed, inserted at {after} s, chunk {held}, {name}"
                rows.append(_row(what, figures["accuracy"], figures["ceiling"], "truth through the codec", "share"))
    for split, name in (("heldout", "held-out episodes"), ("heldout_map", "held-out map")):
        for score in found["prediction"].get(split, {}).get("scores", []):
            if score["metric"] == "lpips" and score["predictor"] == "model":
                rivals = _rivals(found["prediction"][split]["scores"], score["horizon"])
                what = f"LPIPS to the true future, chunk {score['horizon']}, {name}"
                rows.append(_row(what, score, rivals, "better trivial predictor", "lpips"))
    drift, distance = found["rollouts"]["drift"], found["rollouts"]["frechet"]
    for span, seconds in (("short", found["rollouts"]["seconds"]), ("long", found["rollouts"]["long_seconds"])):
        for measure in ("brightness", "contrast"):
            real = drift[f"{span}_real"][measure]
            if drift[span][measure]:
                what = f"{measure}, end over beginning of {seconds:g} s"
                rows.append(_row(what, drift[span][measure], real, "real play", "ratio"))
    if distance["made"] is not None:
        real = {"mean": distance["real"]}
        rows.append(_row("Fréchet distance (AlexNet)", {"mean": distance["made"]}, real, "real play", "distance"))
    for degrees, turn in found["returns"]["turns"].items():
        what = f"LPIPS to the picture before, after {degrees}° away and back"
        rows.append(_row(what, turn["back"], turn["away"], "turned away", "lpips"))
    sampled = found["language"]["sampled"]
    if sampled["valid"] is not None:
        rows.append(_row("plan lines that can be read", {"mean": sampled["valid"]}, None, "", "share"))
    return rows


def _row(what: str, figure: dict[str, Any], other: dict[str, Any] | None, of: str, unit: str) -> dict[str, Any]:
    kept = {name: figure[name] for name in ("mean", "low", "high", "groups") if name in figure}
    return {"what": what, "unit": unit, **kept, "against": None if other is None else other["mean"], "against_what": of}


def _rivals(scores: Sequence[dict[str, Any]], horizon: int) -> dict[str, Any]:
    trivial = ("repeat last frame", "repeat last motion")
    wanted = [s for s in scores if s["horizon"] == horizon and s["metric"] == "lpips" and s["predictor"] in trivial]
    return min(wanted, key=lambda score: score["mean"])


def _splits(values: Values) -> list[str]:
    return [split for split in SPLITS if any(value["split"] == split for value in values)]
