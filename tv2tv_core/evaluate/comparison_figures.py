"""Figures of the comparison of TV2TV, T2V and Think2V: pairwise preference, Fréchet distance, obedience, plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from itertools import pairwise
from typing import Any

import numpy as np

from tv2tv_core.evaluate.frechet import frechet
from tv2tv_core.evaluate.interventions import HELD, trials
from tv2tv_core.evaluate.moments import ACTIONS
from tv2tv_core.evaluate.stats import clustered

Values = Sequence[dict[str, Any]]
RESAMPLES = 200  # of the Fréchet distance
MEAN = "mean"  # over all horizons
TV2TV, T2V, THINK2V = "TV2TV", "T2V", "Think2V"
TOLD = ", true lines"  # behind a name: it was told what real play did, not asked
PAIRS = ((TV2TV, T2V), (TV2TV, THINK2V), (TV2TV + TOLD, T2V), (THINK2V + TOLD, T2V), (TV2TV + TOLD, THINK2V + TOLD))


def summary(values: dict[str, Values]) -> dict[str, Any]:
    """All figures as plain data from the values of the items."""
    clips, told = values["clips"], values["interventions"]
    labels = list(clips[0]["lpips"])
    return {
        "horizons": [*clips[0]["lpips"][labels[0]], MEAN],
        "lpips": {label: {h: _mean(distances(clips, label, h), clips) for h in (*clips[0]["lpips"][label], MEAN)}
                  for label in labels},
        "preference": [preference(clips, a, b, h) for a, b in PAIRS for h in (*clips[0]["lpips"][a], MEAN)],
        "frechet": frechet_figures(clips, [vector for value in values["real"] for vector in value["features"]]),
        "interventions": {str(held): obedience(told, held) for held in HELD},
        "plans": plans(clips),
    }


def distances(clips: Values, label: str, horizon: str) -> np.ndarray:
    """LPIPS to the true future by moment at one horizon, or the mean over all of them."""
    return np.array([np.mean(list(clip["lpips"][label].values())) if horizon == MEAN else clip["lpips"][label][horizon]
                     for clip in clips])


def preference(clips: Values, a: str, b: str, horizon: str) -> dict[str, Any]:
    """How often `a` is nearer to the true future than `b` (equal counts half), and by how much, over moments."""
    less = distances(clips, b, horizon) - distances(clips, a, horizon)
    return {"a": a, "b": b, "horizon": horizon, "share": _mean((np.sign(less) + 1) / 2, clips), "nearer": _mean(less, clips)}


def frechet_figures(clips: Values, reference: Sequence[Sequence[float]]) -> dict[str, Any]:
    """The distance to real play per kind of clip with a bootstrap interval over moments, and TV2TV's lead over the others.

    Resampled sets repeat windows, which makes their distances larger: only their spread is used, around the distance of all.
    """
    labels = list(clips[0]["features"])
    picks = np.random.default_rng(0).integers(len(clips), size=(RESAMPLES, len(clips)))

    def of(label: str, chosen: Sequence[int]) -> float:
        rows = [vector for i in chosen for vector in clips[i]["features"][label]]
        found = frechet(rows, reference, reference)
        return float("nan") if found is None else found

    whole = {label: of(label, range(len(clips))) for label in labels}
    drawn = {label: np.array([of(label, pick) for pick in picks]) for label in labels}
    pairs = [(a, b) for a, b in PAIRS if a in labels and b in labels]
    return {
        "windows": sum(len(clip["features"][labels[0]]) for clip in clips),
        "reference_windows": len(reference),
        "distance": {label: _around(whole[label], drawn[label]) for label in labels},
        "less": [{"a": a, "b": b, **_around(whole[b] - whole[a], drawn[b] - drawn[a])} for a, b in pairs],
    }


def _around(value: float, drawn: np.ndarray) -> dict[str, Any]:
    if not np.isfinite(value):
        return {"mean": None, "low": None, "high": None}
    low, high = np.quantile(drawn - drawn.mean(), [0.025, 0.975])
    return {"mean": value, "low": value + float(low), "high": value + float(high)}


def obedience(values: Values, held: int) -> dict[str, Any]:
    """Share of instructions followed by TV2TV and Think2V, the ceiling, and TV2TV's lead, with intervals over moments."""
    tables = {label: trials(values, label, held) for label in (TV2TV, THINK2V)}
    ours, theirs = (tables[label].correct for label in (TV2TV, THINK2V))
    return {
        "moments": len(values),
        "chance": 1 / len(ACTIONS),
        "ceiling": _over(tables[TV2TV].ceiling),
        **{label: {"accuracy": _over(table.correct), "relative": _over(table.relative)} for label, table in tables.items()},
        "lead": _over(ours - theirs),
    }


def plans(clips: Values) -> dict[str, Any]:
    """How often the line in force is real play's, over the first four chunks and over all; changes; unreadable rows."""
    found: dict[str, Any] = {"unreadable": sum(clip["unreadable"] for clip in clips)}
    rows = {label: [(clip["lines"][label], clip["real_lines"]) for clip in clips] for label in (TV2TV, THINK2V)}
    rows["real play"] = [(clip["real_lines"], clip["real_lines"]) for clip in clips]
    for label, pairs in rows.items():
        same = [np.array(made) == np.array(real) for made, real in pairs]
        changes = [np.mean([one != other for one, other in pairwise(made)]) for made, _ in pairs]
        found[label] = {
            "first": _mean([row[:4].mean() for row in same], clips), "all": _mean([row.mean() for row in same], clips),
            "changes": _mean(changes, clips),
        }
    return found


def _mean(values: Sequence[float] | np.ndarray, clips: Values) -> dict[str, Any]:
    """Mean by moment; the interval resamples episodes, because moments of one episode resemble each other."""
    return asdict(clustered([float(value) for value in values], [clip["episode"] for clip in clips]))


def _over(table: np.ndarray) -> dict[str, Any] | None:
    """Mean of [moments, K] without nan; the interval resamples moments."""
    moment, column = np.nonzero(~np.isnan(table))
    found = clustered(table[moment, column].tolist(), moment.tolist())
    return None if found is None else asdict(found)


# As text -------------------------------------------------------------------------------------------------------------


def markdown(found: dict[str, Any]) -> str:
    """The figures as four tables."""
    horizons = found["horizons"]
    head = [f"chunk {h}" if h != MEAN else "all four" for h in horizons]
    parts = [f"{found['moments']} moments; weights {', '.join(f'{k} `{v[:12]}`' for k, v in found['weights'].items())}."]
    shares = {(row["a"], row["b"], row["horizon"]): row for row in found["preference"]}
    rows = [[f"{a} over {b}", *(_percent(shares[a, b, h]["share"]) for h in horizons)] for a, b in PAIRS]
    parts += ["Preferred, being nearer to the true future (LPIPS), share of moments:", _table(["", *head], rows)]
    rows = [[label, *(_number(by[h], 3) for h in horizons)] for label, by in found["lpips"].items()]
    parts += ["LPIPS to the true future:", _table(["", *head], rows)]
    distance = found["frechet"]
    rows = [[label, _number(row, 1)] for label, row in distance["distance"].items()]
    rows += [[f"{row['b']} less {row['a']}", _number(row, 1)] for row in distance["less"]]
    words = f"Fréchet distance to real play (AlexNet), {distance['windows']} windows against {distance['reference_windows']}:"
    parts += [words, _table(["", "distance"], rows)]
    rows = []
    for held, row in found["interventions"].items():
        for label in (TV2TV, THINK2V):
            rows.append([f"{label}, chunk {held}", _percent(row[label]["accuracy"]), _percent(row[label]["relative"])])
        rows.append([f"TV2TV less Think2V, chunk {held}", _percent(row["lead"]), ""])
        rows.append([f"truth through the codec, chunk {held}", _percent(row["ceiling"]), ""])
    chance = f"{100 * next(iter(found['interventions'].values()))['chance']:.0f} %"
    rows.append(["T2V (cannot be told): chance", chance, chance])
    parts += ["Instructions followed, inserted at 0 s:", _table(["", "followed", "relative"], rows)]
    rows = [[label, *(_percent(row[name]) for name in ("first", "all", "changes"))]
            for label, row in found["plans"].items() if label != "unreadable"]
    parts += [f"Own plans; {found['plans']['unreadable']} rows of Think2V's could not be read:",
              _table(["", "same line as real play, first 4 chunks", "all 35", "changes at a boundary"], rows)]
    return "\n\n".join(parts) + "\n"


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _percent(row: dict[str, Any] | None) -> str:
    return "–" if row is None else f"{100 * row['mean']:.0f} % [{100 * row['low']:.0f}, {100 * row['high']:.0f}]"


def _number(row: dict[str, Any], digits: int) -> str:
    return "–" if row["mean"] is None else f"{row['mean']:.{digits}f} [{row['low']:.{digits}f}, {row['high']:.{digits}f}]"
