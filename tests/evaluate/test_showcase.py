"""The showcase: a recorded stretch of middling motion without a cut, side by side, as a still and a video."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.media.delivery_nets import PlainNet
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.showcase import DELIVERY, showcase, typical
from tv2tv_core.media.video import count_frames


def recorded(folder: Path, steps: list[int], name: str = "episode") -> np.ndarray:
    """An episode whose scene moves so many pixels a frame in each of its chunks, uint8 [n, 4, 96, 160, 3]."""
    wide = np.random.default_rng(0).integers(0, 255, (12, 80, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    places = np.cumsum([step for step in steps for _ in range(4)])
    frames = np.stack([wide[:, place : place + 160] for place in places]).reshape(len(steps), 4, 96, 160, 3)
    path = folder / "heldout" / name
    path.mkdir(parents=True)
    np.save(path / "frames.npy", frames)
    chunks = [{"line": "stand", "cut": index == 0, "pose": [[0] * 5] * 4} for index in range(len(steps))]
    (path / "episode.json").write_text(json.dumps({"chunks": chunks, "meta_prompt": "x", "map": "f1:E1M5"}))
    return frames


def test_it_shows_a_typical_stretch_side_by_side(tmp_path: Path) -> None:
    recorded(tmp_path, [0, 0, 0, 0], "dull")
    frames = recorded(tmp_path, [1, 1, 7, 7], "lively")
    assert np.array_equal(typical(tmp_path, 2), np.concatenate(frames[:2]))
    still, video = showcase(tmp_path, tmp_path, 2, PlainNet())
    assert still.stat().st_size > 1000 and count_frames(video) == DELIVERY.count(8) == 15


def test_without_recordings_it_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no 2 held-out chunks"):
        showcase(tmp_path, tmp_path, 2, PlainNet())
