"""The paper's comparison at our scale: TV2TV, T2V and Think2V from the same held-out moments, with the same noise.

Clips of 8 s begin with one start chunk. Under the *true lines* TV2TV is told each line when its time comes and Think2V all of
them beforehand; T2V can be told nothing. By itself each plans as it learnt to. Interventions are inserted at 0 s as in
`interventions.py`: TV2TV is told, Think2V's plan is rewritten and everything is read anew, T2V cannot follow.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np

from tv2tv_core.data.shards import Episode
from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.native import NativeBackend
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate import comparison_figures as figures
from tv2tv_core.evaluate.backend_predictor import go_on, true_history
from tv2tv_core.evaluate.comparison_figures import T2V, THINK2V, TOLD, TV2TV
from tv2tv_core.evaluate.extent import HELD_OUT, Extent, Work
from tv2tv_core.evaluate.frechet import WINDOW, window_features
from tv2tv_core.evaluate.interventions import CONTEXT, HELD, INSERTIONS, Inserted, compare
from tv2tv_core.evaluate.items import Item, Measured, Tick, run_groups
from tv2tv_core.evaluate.metrics import lpips
from tv2tv_core.evaluate.moments import GameFutures, Moment, TrueFutures, Truth
from tv2tv_core.evaluate.place import Place
from tv2tv_core.evaluate.prediction import Past, repeat_last_frame
from tv2tv_core.evaluate.results import Results
from tv2tv_core.evaluate.rollouts import choose_windows
from tv2tv_core.evaluate.variants import Beforehand, Silent, Start, held_plan, planned, play, reborn
from tv2tv_core.media.atomic import shown
from tv2tv_core.presets import Preset
from tv2tv_core.settings import resolve
from tv2tv_core.whole_plan import PLAN_CHUNKS

CHUNKS = PLAN_CHUNKS  # of a clip: 8 s
HORIZONS = (1, 4, 16, 35)
NAMES = (TV2TV, T2V, THINK2V)
REPEAT = "repeat the start frame"
REFERENCE = 16  # windows of real play per episode for the Fréchet distance


@dataclass(frozen=True, eq=False)
class Contest:
    """The three players by name, and what the evaluation shares."""

    players: dict[str, Backend]
    work: Work


def compare_variants(
    preset: Preset, weights: tuple[Path, Path, Path], data: Path, out: Path, count: int,
    load: Callable[[Preset], Backend], futures: Callable[[Path], TrueFutures] = GameFutures,
) -> str:
    """Compare the weight files of TV2TV, T2V and Think2V at `count` held-out moments; returns the table as Markdown.

    Writes comparison.json and comparison.md into `out`, resumably. `preset` gives the generation settings. Raises InputError
    without held-out recordings or for a model that is not ours, WeightsError and StorageError.
    """
    place = Place.open(data, out, "comparison")
    episodes = place.splits[HELD_OUT]
    players = dict(zip(NAMES, (_player(preset, path, kind, load) for path, kind in zip(
        weights, (NativeBackend, Silent, Beforehand), strict=True)), strict=True))
    truths = futures(place.data / "futures")
    settings = resolve(preset.settings)
    work = Work(players[TV2TV], settings, place.splits, truths, Extent.full(count))
    about = {
        "format": 1,
        "weights": {name: player.spec.model_hash for name, player in players.items()},
        "settings": asdict(settings),
        "recordings": [[episode.folder.name, len(episode)] for episode in episodes],
    }
    try:
        values, seconds = run_groups(items(Contest(players, work), count), Results(place.out, about), "compare")
    finally:
        truths.close()
    found = {**about, "minutes": round(seconds / 60, 1), "moments": count} | figures.summary(values)
    table = figures.markdown(found)
    place.write_figures("comparison", found)
    place.write("comparison.md", table)
    return table


def _player(preset: Preset, path: Path, kind: type[NativeBackend], load: Callable[[Preset], Backend]) -> NativeBackend:
    backend = load(replace(preset, name=path.stem, weights=path.expanduser().absolute(), recipe=None))
    if not isinstance(backend, NativeBackend):
        raise InputError(f"{shown(path)} is not a model of `train tv2tv`; export one with `train export`.")
    return reborn(kind, backend)


def items(contest: Contest, count: int) -> dict[str, list[Item]]:
    """Clips, real play beside them, and interventions, at `count` moments each."""
    episodes = contest.work.splits[HELD_OUT]
    places = choose_windows(episodes, CHUNKS + 1, count, 0)
    taken = [(episodes[episode], first) for episode, first in places]
    moments = choose_windows(episodes, CONTEXT + max(INSERTIONS) + max(HELD), count, 0)  # those of the report
    return {
        "clips": [_clips(contest, episode, first) for episode, first in taken],
        "real": [_real(episode, [first for other, first in taken if other is episode]) for episode in episodes],
        "interventions": [_intervention(contest, Moment(HELD_OUT, episodes[episode], first + CONTEXT))
                          for episode, first in moments],
    }


# Clips ---------------------------------------------------------------------------------------------------------------


def _clips(contest: Contest, episode: Episode, first: int) -> Item:
    name, work = f"{episode.folder.name}/{first}", contest.work

    def run(_: object, tick: Tick) -> Measured:
        start = Start(episode.meta_prompt, np.array(episode.frames[first]), work.player("comparison", name).seed)
        real = np.array(episode.frames[first + 1 : first + 1 + CHUNKS])
        lines = list(episode.lines[first + 1 : first + 1 + CHUNKS])
        clips = {}
        for label, player in contest.players.items():
            clips[label] = play(player, start, None, CHUNKS, work.settings, tick)
            if label != T2V:
                clips[label + TOLD] = play(player, start, lines, CHUNKS, work.settings, tick)
        still = repeat_last_frame(Past(start.frames[None], ("",), ""), lines)
        distances = {label: _distances(clip.frames, real) for label, clip in clips.items()} | {REPEAT: _distances(still, real)}
        return {
            "episode": episode.folder.name,
            "first": first,
            "real_lines": lines,
            "lines": {label: list(clip.lines) for label, clip in clips.items()},
            "unreadable": clips[THINK2V].unreadable,
            "lpips": distances,
            "features": {label: window_features(clip.frames) for label, clip in clips.items()},
        }, {}

    return Item(f"clips/{name}", 5 * CHUNKS + 40, run)


def _distances(made: np.ndarray, real: np.ndarray) -> dict[str, float]:
    """LPIPS to the true future by chunk, mean over its four frames."""
    return {str(h): round(float(lpips(made[h - 1], real[h - 1]).mean()), 5) for h in HORIZONS}


def _real(episode: Episode, taken: list[int]) -> Item:
    """Real play that no clip is compared with, for the Fréchet distance."""
    key = f"real/{episode.folder.name}/{REFERENCE}/{'-'.join(map(str, taken))}"

    def run(_: object, tick: Tick) -> Measured:
        free = [place for place in range(0, len(episode) - WINDOW + 1, WINDOW)
                if not episode.cuts[place + 1 : place + WINDOW].any()
                and all(place + WINDOW <= first + 1 or place > first + CHUNKS for first in taken)]
        chosen = [free[at] for at in np.linspace(0, len(free) - 1, min(len(free), REFERENCE)).round().astype(int)]
        return {"features": [vector for place in chosen for vector in window_features(
            np.array(episode.frames[place : place + WINDOW]))]}, {}

    return Item(key, 30, run)


# Interventions -------------------------------------------------------------------------------------------------------


def _intervention(contest: Contest, moment: Moment) -> Item:
    work = contest.work

    def run(truth: Truth, tick: Tick) -> Measured:
        seed = work.player("interventions", moment.name).seed
        first = moment.chunk - CONTEXT
        past = Past(np.array(moment.episode.frames[first : moment.chunk]), tuple(moment.episode.lines[first : moment.chunk]),
                    moment.episode.meta_prompt)
        told = true_history(contest.players[TV2TV], past)

        def hold(label: str, line: str) -> np.ndarray:
            backend, history = contest.players[label], told
            if label == THINK2V:
                prompt = planned(past.meta_prompt, held_plan(past.lines[1:], line))
                history = true_history(backend, replace(past, meta_prompt=prompt))
            grown = go_on(backend, history, [line] * max(HELD), work.settings, seed, tick)
            return np.stack([chunk.frames for chunk in grown.chunks[-max(HELD) :]])

        made = {label: np.stack([hold(label, line) for line in truth.lines]) for label in (TV2TV, THINK2V)}
        before = np.array(moment.episode.frames[moment.chunk - 1, -1])
        inserted = Inserted({label: truth.lines for label in made}, made, told.chunks[-1].frames[-1])
        return {"moment": moment.name, "episode": moment.episode.folder.name,
                **compare(inserted, truth, before, work.codec)}, {}

    return Item(f"interventions/{moment.name}", 180, run, prepare=lambda: work.futures(moment, HELD))
