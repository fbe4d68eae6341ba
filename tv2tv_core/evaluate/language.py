"""What the model writes: is it a plan line, does it write when and what real play does, and how varied is it?

At every boundary of a recorded stretch the model is told the true past and asked for the next line. A bot played, at random
in many things, so nobody can agree with it always: the figures mean something beside the baselines only.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from tv2tv_core.engine.backend import Backend, ThinkOptions, Thought
from tv2tv_core.engine.seeds import think_seed
from tv2tv_core.evaluate.backend_predictor import true_history
from tv2tv_core.evaluate.interventions import Player
from tv2tv_core.evaluate.prediction import Past, Recording
from tv2tv_core.evaluate.stats import clustered
from tv2tv_core.plan import PlanError, is_canonical, parse
from tv2tv_core.timeline import ChunkSegment, History, TextSegment


def boundaries(
    player: Player, episode: Recording, first: int, context: int, count: int, tick: Callable[[], None] = lambda: None
) -> list[dict[str, Any]]:
    """Ask at `count` boundaries in a row what comes next, with `context` true chunks from `first` on before the first.

    Each as plain data: `real` the recorded line, `before` the one in force, and what the model wrote at the preset's
    temperature (`sampled`) and at zero (`likeliest`): a line, or None when BOF came straight away.
    """
    now = first + context
    past = Past(np.array(episode.frames[first:now]), tuple(episode.lines[first:now]), episode.meta_prompt)
    history, found = true_history(player.backend, past), []
    for index in range(now, now + count):
        before, real = episode.lines[index - 1], episode.lines[index]
        sampled, likeliest = (_think(player, history, warm) for warm in (player.settings.temperature, 0.0))
        found.append({"real": real, "before": before, "sampled": sampled, "likeliest": likeliest})
        history = _told(player.backend, history, np.array(episode.frames[index]), real)
        tick()
    return found


def _think(player: Player, history: History, temperature: float) -> str | None:
    index = history.chunks[-1].index + 1
    options = ThinkOptions(temperature, player.settings.top_p, think_seed(player.seed, "main", index))
    thoughts = (item for item in player.backend.think(history, options, lambda: None) if isinstance(item, Thought))
    return next(thoughts).line


def _told(backend: Backend, history: History, frames: np.ndarray, line: str) -> History:
    """`history` and one true chunk, with its line where it changes."""
    index = history.chunks[-1].index + 1
    told = backend.begin(history.prompt, frames).segment
    history = history if line == history.plan else history.then(TextSegment(line, "person"))
    return history.then(ChunkSegment(index, told.frames, told.latents))


# Figures -------------------------------------------------------------------------------------------------------------


def agreement(asked: Sequence[Sequence[dict[str, Any]]], way: str) -> dict[str, Any]:
    """How the model's `way` ("sampled" or "likeliest") agrees with real play; `asked[i]` is one stretch of `boundaries`.

    line: the line in force afterwards is the recorded one; kind: it moves and turns the same way. `keep` is the baseline
    that never changes the plan, `majority` the one that always writes the commonest recorded line (or kind): chosen on
    these very boundaries, so it is a little better than any constant answer could be in earnest. `changes` has the same for
    those boundaries alone at which real play changed its plan.
    """
    rows = [(number, row) for number, stretch in enumerate(asked) for row in stretch]
    changed = [(number, row) for number, row in rows if row["real"] != row["before"]]
    written = [row[way] for _, row in rows if row[way] is not None]
    return {
        "boundaries": len(rows),
        "stretches": len(asked),
        "valid": _share([float(readable(line)) for line in written]),
        "canonical": _share([float(is_canonical(line)) for line in written]),
        "written": len(written),
        "all": _agreeing(rows, way),
        "changes": _agreeing(changed, way),
        "when": _when(rows, way),
    }


def _agreeing(rows: Sequence[tuple[int, dict[str, Any]]], way: str) -> dict[str, Any]:
    groups = [number for number, _ in rows]
    found: dict[str, Any] = {"boundaries": len(rows)}
    for name, view in (("line", str), ("kind", kind)):
        real = [view(row["real"]) for _, row in rows]
        common = Counter(real).most_common(1)
        guesses = {
            "model": [view(row[way] if row[way] is not None else row["before"]) for _, row in rows],
            "keep": [view(row["before"]) for _, row in rows],
            "majority": [common[0][0] if common else ""] * len(rows),
        }
        hits = {who: [float(a == b) for a, b in zip(guess, real, strict=True)] for who, guess in guesses.items()}
        found[name] = {who: _estimate(values, groups) for who, values in hits.items()}
        found[name]["commonest"] = common[0][0] if common else None
    return found


def _when(rows: Sequence[tuple[int, dict[str, Any]]], way: str) -> dict[str, Any]:
    """When the plan is changed: shares of boundaries, and the four counts of who changed it."""
    groups = [number for number, _ in rows]
    real = [row["real"] != row["before"] for _, row in rows]
    model = [row[way] is not None and row[way] != row["before"] for _, row in rows]
    pairs = Counter(zip(real, model, strict=True))
    return {
        "real": _estimate([float(each) for each in real], groups),
        "model": _estimate([float(each) for each in model], groups),
        "agree": _estimate([float(a == b) for a, b in zip(real, model, strict=True)], groups),
        "both": pairs[True, True],
        "real_alone": pairs[True, False],
        "model_alone": pairs[False, True],
        "neither": pairs[False, False],
    }


def variety(lines: Sequence[Sequence[str]]) -> dict[str, Any]:
    """How varied plans are: `lines[i]` is the plan in force at each chunk of clip i.

    distinct: different lines; bits: entropy of a chunk's line; changes: share of chunks with another line than the chunk
    before. Compare equal numbers of chunks only: more chunks show more lines.
    """
    flat = [line for clip in lines for line in clip]
    turns = [a != b for clip in lines for a, b in zip(clip, clip[1:], strict=False)]
    counts = Counter(flat)
    bits = -sum(n / len(flat) * math.log2(n / len(flat)) for n in counts.values())
    return {"chunks": len(flat), "distinct": len(counts), "bits": bits + 0.0, "changes": _share([float(t) for t in turns])}


def in_force(written: Sequence[str | None], before: str = "") -> list[str]:
    """The plan in force at each chunk from what was written before it (None: it goes on), beginning with `before`."""
    found: list[str] = []
    for line in written:
        found.append(line if line is not None else (found[-1] if found else before))
    return found


def kind(line: str) -> str:
    """Which way a line moves and turns, without pace, amounts and the rest, e.g. "forward left, turn right"."""
    try:
        action = parse(line)
    except PlanError:
        return "unreadable"
    along = {1: "forward", -1: "back", 0: ""}[action.forward]
    aside = {1: "left", -1: "right", 0: ""}[action.strafe]
    turn = "" if not action.turn else f", turn {'left' if action.turn > 0 else 'right'}"
    return (f"{along} {aside}".strip() or "stand") + turn


def readable(line: str) -> bool:
    """Whether `plan.parse` understands a line."""
    try:
        parse(line)
    except PlanError:
        return False
    return True


def _share(values: Sequence[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _estimate(values: Sequence[float], groups: Sequence[object]) -> dict[str, Any] | None:
    found = clustered(values, groups)
    return None if found is None else asdict(found)
