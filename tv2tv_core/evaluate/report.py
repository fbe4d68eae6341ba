"""One report on a preset: interventions, prediction, codec, roll-outs and language on recordings that training never saw.

Figures go to `report.json`, and with plots, sheets and videos into one self-contained `report.html`. Every finished item is
on disk at once: a run that was killed goes on where it stopped.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tv2tv_core.data.recorder import SPLIT_SEEDS
from tv2tv_core.data.shards import Episode
from tv2tv_core.engine.backend import Backend
from tv2tv_core.evaluate import figures, play_suites, suites
from tv2tv_core.evaluate.extent import SPLITS, Extent, Work
from tv2tv_core.evaluate.items import Item, run_groups
from tv2tv_core.evaluate.moments import GameFutures, TrueFutures
from tv2tv_core.evaluate.page import page
from tv2tv_core.evaluate.pictures import file_name
from tv2tv_core.evaluate.place import Place
from tv2tv_core.evaluate.results import Results
from tv2tv_core.evaluate.returns import RETURNS, return_items, returns
from tv2tv_core.presets import Preset
from tv2tv_core.settings import resolve

__all__ = ["Extent", "evaluate"]

FORMAT = 2
FUTURES = "futures"  # folder beside the splits
_SEED_STEP = 1_000_003  # of `data.recorder`
USED_BEFORE = {
    2: "The held-out episodes of this recording served to choose composition, step count and checkpoint of the weights that "
    "ship: figures on them are optimistic. Its held-out map did not.",
    7: "These recordings are for choosing: the weights that ship (a6cea620d471) and those before (21d1a6e6d8b0, 85d61c5b8003, "
    "81245ef2bedb, f25b1e3ff976) were chosen by interventions on 12 or 15 moments of them, the first three also by LPIPS on 12 "
    "or 16 windows a split, 72ebafdc661a by LPIPS on 24, so figures on them are a little optimistic. 2728ad37c129 was not.",
}
"""What is known of recordings by the seed of `launch.py record`."""


def evaluate(
    preset: Preset,
    data: Path,
    out: Path,
    extent: Extent,
    load: Callable[[Preset], Backend] | None = None,
    futures: Callable[[Path], TrueFutures] = GameFutures,
) -> dict[str, Any]:
    """Evaluate a preset at its own settings on the held-out recordings under `data`; write the report into `out`.

    Returns what `report.json` holds. `load` and `futures` replace the loading of the backend and the game. Raises
    InputError when there are no held-out recordings, WeightsError and StorageError.
    """
    place = Place.open(data, out, "report", SPLITS)
    splits = place.splits
    backend = (load or _load)(preset)
    settings = resolve(preset.settings)
    truths = futures(place.data / FUTURES)
    work = Work(backend, settings, splits, truths, extent)
    about = {
        "format": FORMAT,
        "model_hash": backend.spec.model_hash,
        "device": str(getattr(backend, "device", "cpu")).split(":")[0],
        "settings": {name: getattr(settings, name) for name in ("steps", "guidance", "temperature", "top_p")},
        "recordings": {split: [_identity(episode) for episode in episodes] for split, episodes in splits.items()},
        "seed": extent.seed,
    }
    results = Results(place.out, about)
    groups = _groups(work)
    try:
        values, seconds = run_groups(groups, results, "evaluate")
    finally:
        truths.close()
    result = {**about, "preset": preset.name, "extent": asdict(extent), "data": _data(place.data, splits)}
    result |= _figures(values, backend)
    result["minutes"] = round(seconds / 60, 1)
    result["headline"] = figures.headline(result)
    place.write_figures("report", result)
    place.write("report.html", page(result, _pictures(groups, results)))
    return result


def _groups(work: Work) -> dict[str, list[Item]]:
    """All items, cheap and telling ones first."""
    play = play_suites.rollout_items(work)
    return {
        "prediction": suites.prediction_items(work),
        "codec": suites.codec_items(work),
        "interventions": suites.intervention_items(work),
        "language": play_suites.language_items(work),
        RETURNS: return_items(work),
        **{
            name: [item for item in play if item.key.startswith(name)]
            for name in (play_suites.ROLLOUT, play_suites.REALITY, play_suites.LONG)
        },
    }


def _figures(values: dict[str, list[dict[str, Any]]], backend: Backend) -> dict[str, Any]:
    made, long, real = (values[name] for name in (play_suites.ROLLOUT, play_suites.LONG, play_suites.REALITY))
    fps, chunk_frames = float(backend.spec.fps), backend.spec.chunk_frames
    return {
        "interventions": figures.interventions(values["interventions"], fps, chunk_frames),
        "prediction": figures.prediction(values["prediction"]),
        "codec": figures.codec(values["codec"]),
        "rollouts": figures.rollouts(made, long, real, fps, chunk_frames),
        "language": figures.language(values["language"], made, long),
        "returns": returns(values[RETURNS]),
    }


def _pictures(groups: dict[str, list[Item]], results: Results) -> dict[str, list[tuple[str, str, bytes]]]:
    """Per group of items the pictures that were kept: (key of the item, "jpg" or "mp4", content)."""
    found: dict[str, list[tuple[str, str, bytes]]] = {}
    for name, items in groups.items():
        for item in items:
            for ending in ("jpg", "mp4"):
                content = results.file(file_name(item.key, ending))
                if content is not None:
                    found.setdefault(name, []).append((item.key, ending, content))
    return found


def _identity(episode: Episode) -> list[object]:
    digest = hashlib.sha256(json.dumps([episode.meta["ops"], episode.lines]).encode()).hexdigest()
    return [episode.folder.name, len(episode), digest[:16]]


def _data(data: Path, splits: dict[str, list[Episode]]) -> dict[str, Any]:
    seeds = {split: _seeds(split, episodes) for split, episodes in splits.items()}
    known = sorted({seed for found in seeds.values() for seed in found} & set(USED_BEFORE))
    return {
        "folder": data.name,
        "splits": {
            split: {
                "episodes": len(episodes),
                "chunks": sum(map(len, episodes)),
                "maps": sorted({episode.map for episode in episodes}),
                "seeds": seeds[split],
            }
            for split, episodes in splits.items()
        },
        "used_before": [USED_BEFORE[seed] for seed in known],
    }


def _seeds(split: str, episodes: Sequence[Episode]) -> list[int]:
    """The seeds that `launch.py record` was called with."""
    return sorted({(int(episode.meta["seed"]) - SPLIT_SEEDS[split]) // _SEED_STEP for episode in episodes})


def _load(preset: Preset) -> Backend:
    from tv2tv_core.engine.load import load_backend

    return load_backend(preset)
