"""Returns: who turns away and back should see what was there before. The clip is compared with its own earlier picture, so
this asks for memory alone, however far the clip is from the truth by then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from tv2tv_core.data.shards import Episode
from tv2tv_core.evaluate.backend_predictor import go_on, true_history
from tv2tv_core.evaluate.extent import HELD_OUT, SHOWN, Work
from tv2tv_core.evaluate.interventions import CONTEXT
from tv2tv_core.evaluate.items import Item, Measured, Tick
from tv2tv_core.evaluate.metrics import lpips
from tv2tv_core.evaluate.moments import STAND
from tv2tv_core.evaluate.page_tables import number, paragraph, table
from tv2tv_core.evaluate.pictures import file_name, sheet_jpeg
from tv2tv_core.evaluate.prediction import Past
from tv2tv_core.evaluate.rollouts import choose_windows
from tv2tv_core.evaluate.stats import clustered

RETURNS = "returns"
AWAY, BACK = "stand, turn right 45", "stand, turn left 45"
TURNS = {"90": 2, "180": 4}  # degrees → chunks on the way there
REST = 2  # chunks of standing before: who ran still slides, and a picture that is not at rest cannot be compared


def return_items(work: Work) -> list[Item]:
    """One item per moment of the held-out episodes."""
    episodes = work.splits[HELD_OUT]
    places = choose_windows(episodes, CONTEXT, work.extent.late_moments, work.extent.seed)
    return [_return(work, episodes[episode], first, n < SHOWN) for n, (episode, first) in enumerate(places)]


def _return(work: Work, episode: Episode, first: int, shown: bool) -> Item:
    name = f"{episode.folder.name}/{first}"
    key = f"{RETURNS}/{name}"

    def run(_: object, tick: Tick) -> Measured:
        past = Past(np.array(episode.frames[first : first + CONTEXT]), tuple(episode.lines[first : first + CONTEXT]),
                    episode.meta_prompt)
        player = work.player(RETURNS, name)
        rest = go_on(work.backend, true_history(work.backend, past), [STAND] * REST, work.settings, player.seed, tick)
        before, found, rows = rest.chunks[-1].frames[-1:], {}, []
        for degrees, chunks in TURNS.items():
            there_and_back = [AWAY] * chunks + [BACK] * chunks
            grown = go_on(work.backend, rest, there_and_back, work.settings, player.seed, tick).chunks[-2 * chunks :]
            away, after = grown[chunks - 1].frames[-1:], grown[-1].frames[-1:]
            found[degrees] = {"away": float(lpips(away, before)[0]), "back": float(lpips(after, before)[0])}
            rows.append((f"{name}: {degrees}° and back", np.concatenate((before, *(chunk.frames[-1:] for chunk in grown)))))
        return {"moment": name, "turns": found}, {file_name(key, "jpg"): sheet_jpeg(rows)} if shown else {}

    return Item(key, REST + 2 * sum(TURNS.values()) + CONTEXT, run)


def returns(values: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """By turn: LPIPS to the picture before, turned away and back again."""
    moments = [value["moment"] for value in values]
    found = {
        degrees: {
            where: asdict(estimate)
            for where in ("away", "back")
            if (estimate := clustered([value["turns"][degrees][where] for value in values], moments)) is not None
        }
        for degrees in TURNS
    }
    return {"moments": len(values), "turns": found if values else {}}


def return_section(found: Mapping[str, Any], pictures: str) -> str:
    """The part of the report."""
    if not found["moments"]:
        return ""
    rows = [[f"{degrees}°", number(one["away"]), number(one["back"])] for degrees, one in found["turns"].items()]
    said = (f"Who turns away and back should find what was there. LPIPS to the model's own picture before the turn, "
            f"{found['moments']} moments; away is what a model without memory would have at the end too.")
    return "<h2>Turning away and back</h2>" + paragraph(said) + table(("turn", "turned away", "back again"), rows) + pictures
