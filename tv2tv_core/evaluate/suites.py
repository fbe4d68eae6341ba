"""Interventions, prediction and codec as items: what is measured where, and the pictures that are kept of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from tv2tv_core.data.shards import Episode
from tv2tv_core.evaluate import interventions
from tv2tv_core.evaluate.backend_predictor import BackendPredictor
from tv2tv_core.evaluate.codec_quality import codec_quality, reconstruct
from tv2tv_core.evaluate.extent import HELD_OUT, SHOWN, Work
from tv2tv_core.evaluate.interventions import CANONICAL, CONTEXT, HELD, INSERTIONS
from tv2tv_core.evaluate.items import Item, Measured, Tick
from tv2tv_core.evaluate.moments import ACTIONS, Moment, Truth
from tv2tv_core.evaluate.pictures import file_name, mosaic, mp4, sheet_jpeg
from tv2tv_core.evaluate.prediction import BASELINES, cut_out, measure
from tv2tv_core.evaluate.rollouts import choose_windows

Items = list[Item]
SHEET_CHUNKS = 8
FUTURES_COST = 40  # chunks' time that the true futures of a moment and their distances take


# Interventions -------------------------------------------------------------------------------------------------------


def intervention_items(work: Work) -> Items:
    """Every moment at every insertion; the value is `interventions.compare`'s, with `after` and `split`."""
    extent, found = work.extent, []
    for split, episodes in work.splits.items():
        length = CONTEXT + max(INSERTIONS) + max(HELD)
        every, late, worded = extent.moments, extent.late_moments, extent.worded_moments
        if split != HELD_OUT:
            every, late, worded = (min(extent.map_moments, count) for count in (every, late, worded))
        places = choose_windows(episodes, length, every, extent.seed)
        for after in INSERTIONS:
            for number, (episode, first) in enumerate(places[: late if after else every]):
                moment = Moment(split, episodes[episode], first + CONTEXT)
                both = not after and number < worded
                shown = split == HELD_OUT and number < SHOWN and after != INSERTIONS[1]
                found.append(_intervention(work, moment, after, both, shown))
    return found


def _intervention(work: Work, moment: Moment, after: int, both: bool, shown: bool) -> Item:
    point = interventions.insertion_point(moment, after)
    chunks = tuple(range(1, max(HELD) + 1)) if shown else HELD
    key = f"interventions/{moment.name}/{after}/{'both' if both else 'plain'}"

    def run(truth: Truth, tick: Tick) -> Measured:
        lines = interventions.wordings(truth, point, both)
        made = interventions.insert(work.player("interventions", moment.name), moment, after, lines, tick)
        before = np.array(moment.episode.frames[point.chunk - 1, -1])
        value = interventions.compare(made, truth, before, work.codec)
        files = {}
        if shown:
            files[file_name(key, "mp4")] = _intervention_video(work, made, truth)
        return {"split": moment.split, "after": after, "moment": moment.name, **value}, files

    cost = after + len(ACTIONS) * max(HELD) * (2 if both else 1) + FUTURES_COST
    return Item(key, cost, run, prepare=lambda: work.futures(point, chunks))


def _intervention_video(work: Work, made: interventions.Inserted, truth: Truth) -> bytes:
    """Every action twice: the true future above what the model made, seven actions in a row."""
    cells: list[tuple[str, np.ndarray]] = []
    for first in range(0, len(truth.lines), 7):
        rows = range(first, min(first + 7, len(truth.lines)))
        for kind, clips in (("true", truth.frames), ("model", made.frames[CANONICAL])):
            cells += [(f"{kind}: {truth.lines[row]}", clips[row].reshape(-1, *clips.shape[-3:])) for row in rows]
    return mp4(mosaic(cells, 7), work.backend.spec.fps)


# Prediction and codec ------------------------------------------------------------------------------------------------


def prediction_items(work: Work) -> Items:
    """Every window; the value holds by predictor what `prediction.measure` gave, the codec's floor among them."""
    extent, found = work.extent, []
    ahead = max(extent.horizons)
    for split, episodes in work.splits.items():
        places = choose_windows(episodes, CONTEXT + ahead, extent.of(split, extent.windows), extent.seed)
        for number, (episode, first) in enumerate(places):
            far = number < extent.of(split, extent.far_windows)
            horizons = extent.horizons if far else tuple(h for h in extent.horizons if h < ahead) or extent.horizons
            found.append(_prediction(work, split, episodes[episode], first, horizons, far and number < SHOWN))
    return found


def _prediction(work: Work, split: str, episode: Episode, first: int, horizons: tuple[int, ...], shown: bool) -> Item:
    name = f"{split}/{episode.folder.name}/{first}"
    key = f"prediction/{name}/{'-'.join(map(str, horizons))}"

    def run(_: object, tick: Tick) -> Measured:
        past, lines, truth = cut_out(episode, first, CONTEXT, max(horizons))
        player = work.player("prediction", name)
        made = BackendPredictor(work.backend, work.settings, tick)(past, lines, player.seed)
        scores: dict[str, Any] = {"model": measure(made, truth, horizons)}
        scores |= {rival: measure(predict(past, lines), truth, horizons) for rival, predict in BASELINES.items()}
        if work.codec is not None:
            steps = [horizon - 1 for horizon in horizons]
            coded = truth.copy()
            coded[steps] = reconstruct(work.codec, truth[steps])
            scores["truth through the codec"] = measure(coded, truth, horizons)
        files = {}
        if shown:
            rows = [(f"{name}: true", truth[:, -1]), ("predicted under the true plan lines", made[:, -1])]
            files[file_name(key, "jpg")] = sheet_jpeg(rows)
        return {"split": split, "episode": episode.folder.name, "first": first, "scores": scores}, files

    return Item(key, max(horizons) + 4, run)


def codec_items(work: Work) -> Items:
    """The codec alone, one item per split."""
    if work.codec is None:
        return []
    counts = {split: work.extent.of(split, work.extent.codec_chunks) for split in work.splits}
    return [_codec(work, split, count) for split, count in counts.items()]


def _codec(work: Work, split: str, count: int) -> Item:
    key = f"codec/{split}/{count}"

    def run(_: object, tick: Tick) -> Measured:
        scores, true, made = codec_quality(work.codec, work.splits[split], count, tick)
        shown = np.linspace(0, len(true) - 1, min(len(true), SHEET_CHUNKS)).round().astype(int)
        rows = [("true frames", true[shown, -1]), ("encoded and decoded", made[shown, -1])]
        value = {score.metric: {"mean": score.mean, "low": score.low, "high": score.high} for score in scores}
        return {"split": split, "chunks": len(true), "scores": value}, {file_name(key, "jpg"): sheet_jpeg(rows)}

    return Item(key, count, run)
