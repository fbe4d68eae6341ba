"""Everything from nothing to measured weights in one time box: recording, every stage of training, export, evaluation."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tv2tv_core.data.recorder import record_world
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.extent import Extent
from tv2tv_core.evaluate.report import evaluate
from tv2tv_core.media.atomic import atomic_file
from tv2tv_core.presets import Preset, load
from tv2tv_core.train.run import export, train
from tv2tv_core.train.trainer import Outcome

SHARES = {"record": 0.12, "codec": 0.06, "decoder": 0.06, "motion": 0.28, "stem": 0.23, "tv2tv": 0.15}
"""Of the time box; the evaluation has the rest. Motion and stem are what a picture depends on most."""
STARTS = {"codec": (), "decoder": ("codec",), "motion": (), "stem": ("motion",), "tv2tv": ("motion", "stem")}
"""Which earlier stages' weights a stage starts from."""
BOX = "box.json"
DONE = "done"  # an empty file in the folder of a stage that has had its share
SHORTEST = 5.0  # minutes: less trains nothing


@dataclass(frozen=True)
class Whole:
    """What one run of everything is: its folder, its time box in minutes, how many chunks to record at most and by which
    seed, and settings for every stage (`trainer.device=cuda`) or for one (`stem.batch=32`)."""

    run: Path
    minutes: float
    chunks: int = 30_000
    seed: int = 3
    overrides: tuple[str, ...] = ()

    @property
    def data(self) -> Path:
        """Where the recordings lie."""
        return self.run / "recordings"


class _TimeUp(Exception):
    """The recorder's share is over; whole episodes stay."""


def measure_quickly(preset: Preset, data: Path, out: Path) -> None:
    """The quick evaluation of `launch.py evaluate --quick`."""
    evaluate(preset, data, out, Extent.quick())


def train_all(whole: Whole, measure: Callable[[Preset, Path, Path], None] = measure_quickly) -> Outcome:
    """Run every stage that is not done, each for its share of the box, and measure what came of it: `measure` gets the
    preset, the recordings and the folder of the report.

    Leaves `weights.safetensors`, `preset.yaml` and `report/report.html` in the run's folder. The same call after a stop goes
    on where it stood: recorded episodes and trained minutes count over all calls. Raises InputError when the box is shorter
    than SHORTEST, when the run was begun with another box, and what the stages raise.
    """
    if whole.minutes < SHORTEST:
        raise InputError(f"a time box of {whole.minutes:g} minutes trains nothing; allowed are {SHORTEST:g} or more")
    _remember(whole)
    _record(whole)
    ended = Outcome(0, "finished", whole.run)
    for stage, before in STARTS.items():
        done = whole.run / stage / DONE
        if done.exists():
            continue
        settings = [f"trainer.minutes={whole.minutes * SHARES[stage]}", *_settings(whole, stage)]
        if before:
            settings.append("init=" + ",".join(str(whole.run / name) for name in before))
        ended = train(stage, whole.run / stage, whole.data, settings)
        if ended.reason != "finished":
            return ended
        done.touch()
    measure(preset_of(whole), whole.data, whole.run / "report")
    return ended


def preset_of(whole: Whole) -> Preset:
    """Export the run's weights and the preset that names them; the studio takes it with `--preset` from `presets/`."""
    weights = whole.run / "weights.safetensors"
    export(whole.run / "tv2tv", weights, whole.run / "stem", whole.run / "decoder", whole.run / "codec")
    place = whole.run / "preset.yaml"
    with atomic_file(place) as fresh:
        fresh.write_text("title: My own model\nweights: weights.safetensors\nsettings: {steps: 1}\n", encoding="utf-8")
    return load(str(place))


def _settings(whole: Whole, stage: str) -> list[str]:
    """The overrides that are for `stage`: its own without its name, and those that name no stage."""
    own = [text.removeprefix(f"{stage}.") for text in whole.overrides if text.startswith(f"{stage}.")]
    return [text for text in whole.overrides if text.split(".")[0] not in STARTS] + own


def _remember(whole: Whole) -> None:
    """The box stays with the run: another one would cut finished stages anew."""
    asked: dict[str, Any] = {"minutes": whole.minutes, "chunks": whole.chunks, "seed": whole.seed}
    path = whole.run / BOX
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        if {name: kept.get(name) for name in asked} != asked:
            raise InputError(f"{whole.run} was begun with {kept}; go on with the same or use a new folder")
        return
    whole.run.mkdir(parents=True, exist_ok=True)
    with atomic_file(path) as fresh:
        fresh.write_text(json.dumps(asked), encoding="utf-8")


def _record(whole: Whole) -> None:
    done = whole.data / DONE
    if done.exists():
        return
    end = time.monotonic() + 60 * whole.minutes * SHARES["record"]

    def watch(held: int, _wanted: int, _episode: str) -> None:
        if held and time.monotonic() > end:
            raise _TimeUp

    try:
        record_world(whole.data, whole.chunks, whole.seed, watch)
    except _TimeUp:
        pass  # what is whole is what there is
    done.touch()
