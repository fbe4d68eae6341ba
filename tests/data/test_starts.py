"""Start frames: what ships is whole, and its recording really leads to it."""
from pathlib import Path

import numpy as np
import pytest

from tv2tv_core.data.futures import true_frames, true_future
from tv2tv_core.data.shards import load_split
from tv2tv_core.data.starts import list_starts, load_start, save_start
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.plan import Action, is_canonical


def test_at_least_four_starts_ship() -> None:
    names = list_starts()
    assert len(names) >= 4
    for name in names:
        start = load_start(name)
        assert start.frames.shape == (4, 96, 160, 3) and start.frames.std() > 10
        assert start.recording.chunks() == start.chunk + 1
        assert start.meta_prompt and all(is_canonical(line) for line in start.lines)
        assert start.recording.lines()[-1] == start.lines[-1]


@pytest.mark.parametrize("name", list_starts())
def test_a_shipped_start_replays_to_its_frames(name: str) -> None:
    """Seed and operations are enough: whoever has the engine can render what really follows a start."""
    start = load_start(name)
    assert np.array_equal(true_frames(start.recording, start.chunk, 1)[0], start.frames)


def test_save_and_load(world: Path, tmp_path: Path) -> None:
    episode = load_split(world, "heldout")[0]
    save_start("small-room", episode, 5, tmp_path)
    start = load_start("small-room", tmp_path)
    assert list_starts(tmp_path) == ["small-room"]
    assert np.array_equal(start.frames, episode.frames[5])
    assert true_future(start.recording, start.chunk + 1, Action(), 1).shape == (1, 4, 96, 160, 3)
    (tmp_path / "small-room.png").write_bytes(b"no picture")
    with pytest.raises(StorageError, match="restore"):
        load_start("small-room", tmp_path)


def test_bad_names_and_chunks(world: Path, tmp_path: Path) -> None:
    episode = load_split(world, "heldout")[0]
    for name, chunk in (("../x", 1), ("Hall", 1), ("hall", 99)):
        with pytest.raises(InputError):
            save_start(name, episode, chunk, tmp_path)
    with pytest.raises(InputError, match="unknown start"):
        load_start("nowhere", tmp_path)
    assert not list(tmp_path.iterdir())
