"""Roll-outs and language as items: clips of the model's own plan beside real play, and its lines at true boundaries."""

from __future__ import annotations

from typing import Any

import numpy as np

from tv2tv_core.data.shards import Episode
from tv2tv_core.evaluate.appearance import by_second
from tv2tv_core.evaluate.codec_quality import reconstruct
from tv2tv_core.evaluate.extent import HELD_OUT, SHOWN, Work
from tv2tv_core.evaluate.frechet import WINDOW, window_features
from tv2tv_core.evaluate.interventions import CONTEXT
from tv2tv_core.evaluate.items import Item, Measured, Tick
from tv2tv_core.evaluate.language import boundaries
from tv2tv_core.evaluate.pictures import file_name, mosaic, mp4, sheet_jpeg
from tv2tv_core.evaluate.rollouts import RollOut, choose_windows, roll_out
from tv2tv_core.media.encode import enlarge

ROLLOUT, LONG, REALITY, LANGUAGE = "rollouts/made", "rollouts/long", "rollouts/real", "language"
_SHEET_COLUMNS = 16


def rollout_items(work: Work) -> list[Item]:
    """Clips with real play from the same moment, longer clips, and real play by itself, all on the held-out episodes."""
    extent, episodes = work.extent, work.splits[HELD_OUT]
    places = choose_windows(episodes, extent.rollout_chunks + 1, extent.rollouts, extent.seed)
    found = [_rollout(work, episodes[episode], first, number < SHOWN) for number, (episode, first) in enumerate(places)]
    long = choose_windows(episodes, 2, extent.long_rollouts, extent.seed)
    found += [_long_rollout(work, episodes[episode], first, number < SHOWN) for number, (episode, first) in enumerate(long)]
    return found + [
        _reality(work, recorded, [first for episode, first in places if episode == number])
        for number, recorded in enumerate(episodes)
    ]


def _rollout(work: Work, episode: Episode, first: int, shown: bool) -> Item:
    chunks, name = work.extent.rollout_chunks, f"{episode.folder.name}/{first}"
    key = f"{ROLLOUT}/{name}/{chunks}"

    def run(_: object, tick: Tick) -> Measured:
        made = _made(work, episode, first, chunks, tick)
        real = np.array(episode.frames[first + 1 : first + 1 + chunks])
        fps = work.backend.spec.fps
        features = {"made": window_features(made.frames), "real": window_features(real)}
        if work.codec is not None:
            whole = len(real) // WINDOW * WINDOW
            features["codec"] = window_features(reconstruct(work.codec, real[:whole])) if whole else []
        value = {
            **_plan(made),
            "before": episode.lines[first],
            "real_lines": list(episode.lines[first + 1 : first + 1 + chunks]),
            "made": by_second(made.frames, fps),
            "real": by_second(real, fps),
            "features": features,
        }
        files = {}
        if shown and len(made.frames):
            rows = [(f"{name}: real play", real[:, -1]), ("model, its own plan", made.frames[:, -1])]
            files[file_name(key, "jpg")] = sheet_jpeg(rows, every=2, columns=_SHEET_COLUMNS)
            files[file_name(key, "mp4")] = _side_by_side(real[: len(made.frames)], made.frames, work)
        return value, files

    return Item(key, chunks * 3 // 2 + 20, run)


def _long_rollout(work: Work, episode: Episode, first: int, shown: bool) -> Item:
    chunks, name = work.extent.long_chunks, f"{episode.folder.name}/{first}"
    key = f"{LONG}/{name}/{chunks}"

    def run(_: object, tick: Tick) -> Measured:
        made = _made(work, episode, first, chunks, tick)
        value = {**_plan(made), "made": by_second(made.frames, work.backend.spec.fps)}
        files = {}
        if shown and len(made.frames):
            every = max(1, chunks // _SHEET_COLUMNS)
            row = (f"{name}: one frame every {every * 4 / float(work.backend.spec.fps):.1f} s", made.frames[:, -1])
            files[file_name(key, "jpg")] = sheet_jpeg([row], every=every)
        return value, files

    return Item(key, chunks * 3 // 2, run)


def _reality(work: Work, episode: Episode, taken: list[int]) -> Item:
    """Real play: second by second over the longest stretch without a cut, and windows that no roll-out is compared with."""
    extent = work.extent
    key = f"{REALITY}/{episode.folder.name}/{extent.reference_windows}/{extent.rollout_chunks}/{'-'.join(map(str, taken))}"

    def run(_: object, tick: Tick) -> Measured:
        starts = [*np.flatnonzero(episode.cuts).tolist(), len(episode)]
        first, end = max(zip(starts, starts[1:], strict=False), key=lambda pair: pair[1] - pair[0])
        firsts = [
            place
            for place in range(first, end - WINDOW + 1, WINDOW)
            if all(place + WINDOW <= at + 1 or place >= at + 1 + extent.rollout_chunks for at in taken)
        ]
        count = min(len(firsts), extent.reference_windows)
        chosen = [firsts[place] for place in np.linspace(0, len(firsts) - 1, count).round().astype(int)] if count else []
        features = [vector for place in chosen for vector in window_features(np.array(episode.frames[place : place + WINDOW]))]
        return {"real": by_second(np.array(episode.frames[first:end]), work.backend.spec.fps), "features": features}, {}

    return Item(key, 10 + extent.reference_windows, run)


def language_items(work: Work) -> list[Item]:
    """Stretches of real play at whose boundaries the model is asked for the next line."""
    extent, episodes = work.extent, work.splits[HELD_OUT]
    places = choose_windows(episodes, CONTEXT + extent.stretch_chunks, extent.stretches, extent.seed)
    return [_stretch(work, episodes[episode], first) for episode, first in places]


def _stretch(work: Work, episode: Episode, first: int) -> Item:
    count, name = work.extent.stretch_chunks, f"{episode.folder.name}/{first}"

    def run(_: object, tick: Tick) -> Measured:
        player = work.player(LANGUAGE, name)
        return {"asked": boundaries(player, episode, first, CONTEXT, count, tick)}, {}

    return Item(f"{LANGUAGE}/{name}/{count}", 2 * count, run)


def _made(work: Work, episode: Episode, first: int, chunks: int, tick: Tick) -> RollOut:
    start, name = np.array(episode.frames[first]), f"{episode.folder.name}/{first}"
    seed = work.player("rollouts", name).seed
    return roll_out(work.backend, start, episode.meta_prompt, chunks, work.settings, seed, tick)


def _plan(made: RollOut) -> dict[str, Any]:
    return {"chunks": len(made.frames), "written": list(made.lines), "unusable": made.unusable}


def _side_by_side(real: np.ndarray, made: np.ndarray, work: Work) -> bytes:
    clips = [("real play", real), ("model, its own plan", made)]
    large = [(label, np.stack([enlarge(frame, 2) for frame in clip.reshape(-1, *clip.shape[-3:])])) for label, clip in clips]
    return mp4(mosaic(large, 2), work.backend.spec.fps)
