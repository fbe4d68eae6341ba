"""True futures of all actions: from the real game, in order, and kept for the next model."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from tv2tv_core.data.arena import Arena
from tv2tv_core.data.futures import true_future
from tv2tv_core.data.shards import Episode
from tv2tv_core.evaluate.moments import ACTIONS, OTHER_WEAPON, STAND, SWITCH, GameFutures, Moment
from tv2tv_core.plan import Action, parse


def recorded(folder: Path, weapon: str | None) -> Episode:
    """A short real episode that ends with a weapon in hand."""
    with Arena("f1:E1M5") as arena:
        arena.begin(7, bots=0)
        arena.act(Action(weapon=weapon))
        for _ in range(5):
            arena.act(Action())
        log = arena.recording
    folder.mkdir(parents=True)
    chunks = [{"line": line, "cut": not number} for number, line in enumerate(log.lines())]
    meta = {**log.to_json(), "meta_prompt": "a hall", "chunks": chunks}
    (folder / "episode.json").write_text(json.dumps(meta), encoding="utf-8")
    return Episode(folder)


def test_futures_are_the_games_own_and_are_kept(tmp_path: Path) -> None:
    moment = Moment("heldout", recorded(tmp_path / "hall", "shotgun"), 6)
    futures = GameFutures(tmp_path / "futures")
    truth = futures(moment, (1, 2))
    futures.close()
    names = list(ACTIONS)
    assert truth.frames.shape == (len(ACTIONS), 2, 4, 96, 160, 3) and truth.chunks == (1, 2) and not truth.died.any()
    # Who holds the shotgun switches to something else.
    assert truth.lines[names.index(SWITCH)] == OTHER_WEAPON and truth.lines[names.index("jump")] == ACTIONS["jump"]
    log = moment.episode.meta
    for name in ("turn left 45", STAND):
        expected = true_future(_recording(log), 6, parse(ACTIONS[name]), 2)
        assert np.array_equal(truth.frames[names.index(name)], expected)
    assert not np.array_equal(truth.at(2)[names.index("forward")], truth.at(2)[names.index(STAND)])

    [kept] = (tmp_path / "futures").iterdir()
    again = GameFutures(tmp_path / "futures")
    again._play = None  # a second look needs no game
    same = again(moment, (1, 2))
    assert np.array_equal(same.frames, truth.frames) and same.lines == truth.lines and same.chunks == truth.chunks
    kept.write_bytes(kept.read_bytes()[:1000])  # what a full disk leaves is not taken for the truth
    fresh = GameFutures(tmp_path / "futures")
    assert np.array_equal(fresh(moment, (1, 2)).frames, truth.frames)
    fresh.close()


def _recording(meta: dict) -> object:
    from tv2tv_core.data.recording import Recording

    return Recording.from_json(meta)
