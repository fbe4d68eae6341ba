"""Pairs: every tic of a recording, large and small alike; an episode that does not replay is left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest

from tv2tv_core.data.arena import FRAME_SIZE
from tv2tv_core.data.pairs import CLIP_CHUNKS, CLIP_TICS, LARGE_TICS, load_clips, record_pairs, spread
from tv2tv_core.data.shards import load_split
from tv2tv_core.errors import InputError


def test_pairs_are_the_recorded_frames_and_those_between(world: Path, tmp_path: Path) -> None:
    assert record_pairs(world, tmp_path, "heldout", 2) == 2
    episode = load_split(world, "heldout")[0]
    clips = load_clips(tmp_path, "heldout")
    assert len(clips) == 2
    for clip in clips:
        first = int(clip.folder.name.rsplit("-", 1)[1])
        recorded = np.concatenate(list(episode.frames[first : first + CLIP_CHUNKS]))
        assert clip.small.shape == (CLIP_TICS, 96, 160, 3) and np.array_equal(clip.small[1::2], recorded)
        assert clip.large.shape == (LARGE_TICS, 384, 640, 3)
        for small, large in zip(clip.small, clip.large, strict=False):
            assert np.array_equal(cv2.resize(large, FRAME_SIZE, interpolation=cv2.INTER_AREA), small)
    told: list[tuple] = []
    assert record_pairs(world, tmp_path, "heldout", 2, lambda *now: told.append(now)) == 2 and told == []


def test_an_episode_that_does_not_replay_is_left_out(world: Path, tmp_path: Path) -> None:
    source = next((world / "heldout").iterdir())
    altered = tmp_path / "world" / "heldout" / source.name
    shutil.copytree(source, altered)
    frames = np.load(altered / "frames.npy")
    frames[:, :, 40, 40] ^= 1
    np.save(altered / "frames.npy", frames)
    told: list[str] = []
    assert record_pairs(tmp_path / "world", tmp_path / "out", "heldout", 1, lambda _, __, words: told.append(words)) == 0
    assert "does not replay" in told[0] and load_clips(tmp_path / "out", "heldout") == []
    assert json.loads((altered / "episode.json").read_text())["split"] == "heldout"


def test_clips_are_spread_and_do_not_overlap() -> None:
    chosen = spread(list(range(0, 100)), 5)
    assert len(chosen) == 5 and min(np.diff(chosen)) >= CLIP_CHUNKS
    assert spread([3, 4, 5], 3) == [3] and spread([], 3) == []


def test_no_recordings_no_pairs(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="record"):
        record_pairs(tmp_path, tmp_path / "out", "train", 1)
