"""Figures of the interventions: accuracy with intervals, per action, against the ceiling, and what words cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from tv2tv_core.evaluate.interventions import CANONICAL, HELD, PARAPHRASE, Trials, trials
from tv2tv_core.evaluate.moments import ACTIONS
from tv2tv_core.evaluate.stats import clustered, wilson


def intervention_figures(values: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Figures of one insertion from the values of `interventions.compare`, one per moment, as plain data."""
    names = list(ACTIONS)
    found: dict[str, Any] = {
        "moments": len(values),
        "actions": names,
        "chance": 1 / len(names),
        "base": _mean([value["base"] for value in values], range(len(values))),
        "died": int(sum(sum(value["died"]) for value in values)),
        "wordings": {},
        "paraphrase_less": {},
    }
    for wording in (CANONICAL, PARAPHRASE):
        by_held = {held: trials(values, wording, held) for held in HELD}
        if len(by_held[HELD[0]].correct):
            found["wordings"][wording] = {str(held): _figures(one, names) for held, one in by_held.items()}
    if PARAPHRASE in found["wordings"]:
        both = [value for value in values if PARAPHRASE in value["distances"]]
        found["paraphrase_less"] = {str(held): _less(both, held) for held in HELD}
    return found


def _figures(one: Trials, names: list[str]) -> dict[str, Any]:
    tellable = np.where(one.tellable, one.correct, np.nan)
    return {
        "moments": len(one.correct),
        "accuracy": _over(one.correct),
        "relative": _over(one.relative),
        "ceiling": _over(one.ceiling),
        "tellable": _over(tellable),
        "tellable_trials": int((~np.isnan(tellable)).sum()),
        "trials": int((~np.isnan(one.correct)).sum()),
        "per_action": [_action(one, row, name) for row, name in enumerate(names)],
        "confusion": _confusion(one).tolist(),
    }


def _action(one: Trials, row: int, name: str) -> dict[str, Any]:
    def share(values: np.ndarray) -> float | None:
        kept = values[~np.isnan(values)]
        return float(kept.mean()) if len(kept) else None

    column = one.correct[:, row]
    tried = int((~np.isnan(column)).sum())
    low, high = wilson(float(np.nansum(column)), tried)
    counts = _confusion(one)[row]
    return {
        "action": name,
        "tried": tried,
        "accuracy": share(column),
        "low": low,
        "high": high,
        "relative": share(one.relative[:, row]),
        "ceiling": share(one.ceiling[:, row]),
        "tellable": share(np.where(np.isnan(column), np.nan, one.tellable[:, row])),
        "taken_for": list(ACTIONS)[int(counts.argmax())] if counts.any() else None,
    }


def _confusion(one: Trials) -> np.ndarray:
    """int [K, K]: how often instruction i looked most like the true future of j; who died does not count."""
    counts = np.zeros((len(ACTIONS), len(ACTIONS)), int)
    for credits, nearest in zip(one.correct, one.nearest, strict=True):
        for row in np.flatnonzero(~np.isnan(credits)):
            counts[row, nearest[row]] += 1
    return counts


def _less(values: Sequence[dict[str, Any]], held: int) -> dict[str, Any] | None:
    """By how much held-out wordings are followed less often than canonical lines, at the same moments."""
    plain, worded = (trials(values, wording, held).correct for wording in (CANONICAL, PARAPHRASE))
    return _over(plain - worded)


def _over(table: np.ndarray) -> dict[str, Any] | None:
    """Mean of [moments, K] without nan; its interval resamples moments."""
    moment, column = np.nonzero(~np.isnan(table))
    return _mean(table[moment, column], moment.tolist())


def _mean(values: Sequence[float], groups: Sequence[object]) -> dict[str, Any] | None:
    found = clustered(values, groups)
    return None if found is None else asdict(found)
