"""Recording: what lies on disk, splits that never meet, interruption, and windows that never cross a cut."""
import json
from pathlib import Path

import numpy as np
import pytest

from tv2tv_core.data import recorder
from tv2tv_core.data.shards import SPLITS, Episode, load_split, windows
from tv2tv_core.errors import InputError, StorageError, TV2TVError
from tv2tv_core.plan import is_canonical


def test_episodes_on_disk(world: Path) -> None:
    for split in SPLITS:
        for episode in load_split(world, split):
            n = len(episode)
            assert n == 14 and episode.meta["split"] == split and episode.meta_prompt
            assert episode.frames.shape == (n, 4, 96, 160, 3) and episode.frames.dtype == np.uint8
            assert episode.motion.shape == (n, 4, 3, 48, 80) and episode.motion.dtype == np.float16
            assert episode.poses.shape == (n, 4, 5)
            assert all(is_canonical(line) for line in episode.lines)
            assert episode.cuts[0] and not episode.motion[episode.cuts].any()
            assert episode.frames.std() > 10
            assert set(np.unique(episode.motion[:, :, 2])) <= {0, 1}


def test_splits_share_neither_seed_nor_held_out_map(world: Path) -> None:
    seeds = [e.meta["seed"] for split in SPLITS for e in load_split(world, split)]
    assert len(seeds) == len(set(seeds)) == 4
    maps = {split: {e.map for e in load_split(world, split)} for split in SPLITS}
    assert maps["train"] == maps["heldout"] and not maps["train"] & maps["heldout_map"]


def test_interrupted_recording_goes_on(tmp_path: Path) -> None:
    """Ctrl-C between two episodes keeps the first whole; the next call adds only what is missing."""
    def stop(done: int, total: int, name: str) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recorder.record(tmp_path, ["f1:E1M5"], 8, seed=1, progress=stop, episode_chunks=4)
    (first,) = load_split(tmp_path, "train")
    stamp = (first.folder / "frames.npy").stat().st_mtime_ns
    heard = []
    held = recorder.record(tmp_path, ["f1:E1M5"], 8, seed=1, progress=lambda *a: heard.append(a), episode_chunks=4)
    assert held == 8 and [h[:2] for h in heard] == [(8, 8)]
    assert (first.folder / "frames.npy").stat().st_mtime_ns == stamp
    assert len(load_split(tmp_path, "train")) == 2


def test_a_failed_write_leaves_nothing(tmp_path: Path, world: Path) -> None:
    source = load_split(world, "train")[0]
    recording = recorder.Recording.load(source.folder / "episode.json")
    half = recorder.Episode(list(source.frames[:2]), [source.motion[0], source.motion[1][:1]], source.chunks[:2])
    with pytest.raises(ValueError):                        # frames are written by then, motion cannot be
        recorder.write(tmp_path / "train" / "x", half, recording, "train")
    assert not list((tmp_path / "train").iterdir())
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="free some space"):
        recorder.write(tmp_path / "file" / "x", half, recording, "train")


def _episode(folder: Path, cuts: list[bool]) -> Episode:
    folder.mkdir(parents=True)
    chunks = [{"line": "stand", "cut": cut, "pose": [], "events": [], "moved": 0} for cut in cuts]
    (folder / "episode.json").write_text(json.dumps({"chunks": chunks}))
    return Episode(folder)


def test_windows_never_cross_a_cut(tmp_path: Path) -> None:
    a = _episode(tmp_path / "train" / "a", [True, False, False, True, False])
    b = _episode(tmp_path / "train" / "b", [True])
    _episode(tmp_path / "train" / "c.1.tmp", [True])
    assert [e.folder.name for e in load_split(tmp_path, "train")] == ["a", "b"]
    assert windows([a, b], 1) == [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4), (1, 0)]
    assert windows([a, b], 2) == [(0, 0), (0, 1), (0, 3)]
    assert windows([a, b], 3) == [(0, 0)]
    assert windows([a, b], 4) == []
    assert load_split(tmp_path, "heldout") == []


def test_a_broken_episode_is_named(tmp_path: Path) -> None:
    (tmp_path / "episode.json").write_text("{")
    with pytest.raises(StorageError, match="not a recorded episode"):
        Episode(tmp_path)


@pytest.mark.parametrize("change", [{"maps": ["f9:X"]}, {"maps": []}, {"maps": "f1:E1M5"}, {"chunks": 0},
                                    {"chunks": 10 ** 9}, {"seed": -1}, {"split": "test"}])
def test_bad_requests_are_refused_before_anything_is_written(tmp_path: Path, change: dict) -> None:
    with pytest.raises(InputError, match="allowed|give"):
        recorder.record(tmp_path / "new", **{"maps": ["f1:E1M5"], "chunks": 4, "seed": 1, **change})
    assert not (tmp_path / "new").exists()
    assert issubclass(StorageError, TV2TVError)
