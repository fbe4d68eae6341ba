"""One report on a preset: codec, prediction, roll-outs and steering on recordings that training never saw.

Figures go to `report.json`, pictures to PNG files, and a text with both to `report.md`, all in one folder.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tv2tv_core.data.arena import Arena
from tv2tv_core.data.recording import Recording
from tv2tv_core.data.shards import Episode, load_split
from tv2tv_core.data.starts import list_starts, load_start
from tv2tv_core.engine.backend import Backend
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate import rollouts, steering
from tv2tv_core.evaluate.backend_predictor import BackendPredictor
from tv2tv_core.evaluate.codec_quality import codec_quality
from tv2tv_core.evaluate.prediction import Past, predict_suite
from tv2tv_core.evaluate.report_text import markdown
from tv2tv_core.media.atomic import atomic_file, check_writable, shown, storage_error
from tv2tv_core.media.sheet import contact_sheet, save_png
from tv2tv_core.presets import Preset
from tv2tv_core.settings import GenerationSettings, resolve

HELD_OUT = ("heldout", "heldout_map")
CONTEXT = 4  # true chunks before a prediction
SHEET_CHUNKS = 8
FORMAT = 1


@dataclass(frozen=True)
class Extent:
    """How much is evaluated. `windows`: predictions per split; `moments`: where actions begin in steering."""

    windows: int
    codec_chunks: int
    horizons: tuple[int, ...] = (1, 4, 8)
    rollouts: int = 8
    rollout_chunks: int = 35  # 8 s
    moments: int = 16
    steering_chunks: int = 4
    seed: int = 0

    @staticmethod
    def full(count: int) -> Extent:
        """`count` windows of prediction per split, everything else at its default."""
        return Extent(windows=count, codec_chunks=4 * count)

    @staticmethod
    def quick() -> Extent:
        """A first look: at most five minutes on two cores."""
        return Extent(windows=8, codec_chunks=48, horizons=(1, 4), rollouts=3, moments=4, steering_chunks=3)


@dataclass(frozen=True, eq=False)
class _Work:
    """What every section needs: the backend, its settings, where to write, how much, and the progress."""

    backend: Backend
    settings: GenerationSettings
    out: Path
    extent: Extent
    tick: Callable[[], None]


def evaluate(
    preset: Preset, data: Path, out: Path, extent: Extent, load: Callable[[Preset], Backend] | None = None
) -> dict[str, object]:
    """Evaluate a preset at its own settings on the held-out recordings under `data`; write the report into `out`.

    Returns what `report.json` holds. `load` replaces the loading of the backend. Raises InputError when there are no
    held-out recordings, WeightsError and StorageError.
    """
    splits = {split: load_split(data, split) for split in HELD_OUT}
    if not splits["heldout"]:
        raise InputError(
            f"There are no held-out recordings in {shown(data)}: give another --data, "
            "or record some with `python3 launch.py record --out DIR`."
        )
    _prepare(out)
    began = time.monotonic()
    backend = (load or _load)(preset)
    settings = resolve(preset.settings)
    with tqdm(total=_total(extent, backend, splits), unit="chunk", desc="evaluate", file=sys.stderr) as bar:
        work = _Work(backend, settings, out, extent, lambda: bar.update(1))
        result: dict[str, object] = {
            "format": FORMAT,
            "preset": preset.name,
            "model_hash": backend.spec.model_hash,
            "settings": {name: getattr(settings, name) for name in ("steps", "guidance", "temperature", "top_p")},
            "extent": asdict(extent),
            "codec": _codec(work, splits),
            "prediction": _prediction(work, splits),
            "rollouts": _rollouts(work, splits["heldout"]),
            "steering": _steering(work, splits["heldout"]),
        }
    result["minutes"] = round((time.monotonic() - began) / 60, 1)
    _write(out / "report.json", json.dumps(result, indent=1) + "\n")
    _write(out / "report.md", markdown(result))
    return result


# The sections ---------------------------------------------------------------------------------------------------------


def _codec(work: _Work, splits: dict[str, list[Episode]]) -> dict[str, object]:
    codec = getattr(work.backend, "codec", None)
    found: dict[str, object] = {}
    if codec is None:  # a backend that draws without one
        return found
    for split, episodes in splits.items():
        if not episodes:
            continue
        scores, true, made = codec_quality(codec, episodes, _codec_chunks(work.extent, split), work.tick)
        found[split] = {score.metric: asdict(score) for score in scores}
        if split == "heldout":
            shown = np.linspace(0, len(true) - 1, min(len(true), SHEET_CHUNKS)).round().astype(int)
            rows = [("true frames", true[shown, -1]), ("encoded and decoded", made[shown, -1])]
            save_png(work.out / "codec.png", contact_sheet(rows, every=1))
    return found


def _prediction(work: _Work, splits: dict[str, list[Episode]]) -> dict[str, object]:
    extent = work.extent
    predictor = BackendPredictor(work.backend, work.settings, work.tick)
    found: dict[str, object] = {}
    for split, episodes in splits.items():
        if not episodes:
            continue
        table = predict_suite(predictor, episodes, extent.horizons, _windows(extent, split), extent.seed, CONTEXT)
        found[split] = table.as_dict() | {"table": table.markdown()}
    rows = []
    ahead = max(extent.horizons)
    for episode, first in rollouts.choose_windows(splits["heldout"], CONTEXT + ahead, 4, extent.seed):
        recording, now = splits["heldout"][episode], first + CONTEXT
        past = Past(np.array(recording.frames[first:now]), tuple(recording.lines[first:now]), recording.meta_prompt)
        made = predictor(past, recording.lines[now : now + ahead], extent.seed)
        rows += [
            (f"{recording.folder.name}, chunk {now}: true", np.array(recording.frames[now : now + ahead])),
            ("predicted under the true plan lines", made),
        ]
    save_png(work.out / "prediction.png", contact_sheet(rows, every=2, columns=16))
    return found


def _rollouts(work: _Work, episodes: Sequence[Episode]) -> dict[str, object]:
    extent, spec = work.extent, work.backend.spec
    made, real, rows = [], [], []
    for number, (episode, first) in enumerate(_rollout_windows(extent, episodes)):
        recording = episodes[episode]
        last = first + 1 + extent.rollout_chunks
        start, prompt = np.array(recording.frames[first]), recording.meta_prompt
        rollout = rollouts.roll_out(
            work.backend, start, prompt, extent.rollout_chunks, work.settings, extent.seed + number, work.tick
        )
        made.append(rollout)
        real.append(np.array(recording.frames[first + 1 : last]))
        rows.append((f"{recording.folder.name}, chunk {first}: real play", np.concatenate([start[None], real[-1]])))
        rows.append(("model, its own plan", np.concatenate([start[None], rollout.frames])))
    if not made:
        return {}
    # Two frames a second: every second chunk is 0.46 s.
    sheet = [(label, clip[::2, -1]) for label, clip in rows]
    save_png(work.out / "rollouts.png", contact_sheet(sheet, every=1))
    shares = rollouts.plan_shares(made)
    return {
        "clips": len(made),
        "seconds": round(float(extent.rollout_chunks * spec.chunk_frames / spec.fps), 2),
        "plan": asdict(shares) | {"valid_share": shares.valid_share, "straight_share": shares.straight_share},
        "repeated_in_recordings": rollouts.repeated_share(episodes),
        "drift": rollouts.drift([clip.frames for clip in made], real, spec.fps),
        "lines": [list(clip.lines) for clip in made],
    }


def _steering(work: _Work, episodes: Sequence[Episode]) -> dict[str, object]:
    extent = work.extent
    steered: list[steering.Steered] = []
    arenas: dict[str, Arena] = {}
    try:
        for moment in moments(episodes, extent.moments, extent.seed):
            name = moment.recording.map
            if name not in arenas:
                arenas[name] = Arena(name)
            truth = steering.true_futures(moment, steering.LINES, extent.steering_chunks, arenas[name])
            steered.append(
                steering.steer(
                    work.backend, moment, truth, steering.LINES, work.settings, seed=extent.seed, on_chunk=work.tick
                )
            )
    finally:
        for arena in arenas.values():
            arena.close()
    for number, one in enumerate(steered[:4]):
        save_png(work.out / f"steering-{number + 1}.png", contact_sheet(steering.rows([one]), every=1))
    save_png(work.out / "steering.png", contact_sheet(steering.rows(steered[:4], steering.LINES[:2]), every=1))
    horizons = [chunk for chunk in (1, 2, 4) if chunk <= extent.steering_chunks]
    return {
        "moments": [one.name for one in steered],
        "lines": list(steering.LINES),
        "scores": [asdict(steering.score(steered, horizon)) for horizon in horizons],
    }


def moments(episodes: Sequence[Episode], count: int, seed: int) -> list[steering.Moment]:
    """`count` moments where actions begin: the start frames that ship, then moments of held-out episodes."""
    found = []
    for name in list_starts()[:count]:
        start = load_start(name)
        found.append(steering.Moment(name, start.frames, start.meta_prompt, start.recording, start.chunk + 1))
    # Two chunks in a row without a cut: a moment is nothing that a respawn has just made.
    for episode, first in rollouts.choose_windows(episodes, 2, count - len(found), seed):
        recorded = episodes[episode]
        found.append(
            steering.Moment(
                f"{recorded.folder.name}, chunk {first + 1}",
                np.array(recorded.frames[first + 1]),
                recorded.meta_prompt,
                Recording.from_json(recorded.meta),
                first + 2,
            )
        )
    return found


# Small parts ----------------------------------------------------------------------------------------------------------


def _windows(extent: Extent, split: str) -> int:
    return extent.windows if split == "heldout" else max(1, extent.windows // 2)


def _codec_chunks(extent: Extent, split: str) -> int:
    return extent.codec_chunks if split == "heldout" else max(1, extent.codec_chunks // 2)


def _rollout_windows(extent: Extent, episodes: Sequence[Episode]) -> list[tuple[int, int]]:
    return rollouts.choose_windows(episodes, extent.rollout_chunks + 1, extent.rollouts, extent.seed)


def _total(extent: Extent, backend: Backend, splits: dict[str, list[Episode]]) -> int:
    """About how many chunks will be made, for the bar."""
    held = [split for split, episodes in splits.items() if episodes]
    with_codec = getattr(backend, "codec", None) is not None
    codec = sum(_codec_chunks(extent, split) for split in held) if with_codec else 0
    predicted = (sum(_windows(extent, split) for split in held) + 4) * max(extent.horizons)
    clips = len(_rollout_windows(extent, splits["heldout"])) * extent.rollout_chunks
    return codec + predicted + clips + extent.moments * len(steering.LINES) * extent.steering_chunks


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise storage_error(out, error) from error
    check_writable(out / "report.json")


def _write(path: Path, text: str) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _load(preset: Preset) -> Backend:
    from tv2tv_core.engine.load import load_backend

    return load_backend(preset)
