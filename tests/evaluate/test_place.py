"""Where an evaluation reads and writes: refused at once where it cannot be, and written whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.evaluate.recordings import Panning, write_episode
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.evaluate.extent import HELD_OUT, SPLITS
from tv2tv_core.evaluate.place import Place


def test_it_holds_the_recordings_and_absolute_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for split in SPLITS:
        write_episode(tmp_path / "data" / split / "one", Panning.make(chunks=3))
    place = Place.open(Path("data"), Path("new/out"), "report", SPLITS)
    assert (place.data, place.out) == (tmp_path / "data", tmp_path / "new" / "out")
    assert {split: len(episodes[0]) for split, episodes in place.splits.items()} == dict.fromkeys(SPLITS, 3)
    assert set(Place.open(Path("data"), Path("new/out"), "report").splits) == {HELD_OUT}
    place.write_figures("report", {"minutes": 1.5})
    assert json.loads((place.out / "report.json").read_text()) == {"minutes": 1.5}
    with pytest.raises(ValueError, match="JSON"):
        place.write_figures("report", {"minutes": float("nan")})
    assert [path.name for path in place.out.iterdir()] == ["report.json"]


def test_it_refuses_before_the_work(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no held-out recordings.*launch.py record"):
        Place.open(tmp_path, tmp_path / "out", "report")
    assert not (tmp_path / "out").exists()
    write_episode(tmp_path / HELD_OUT / "one", Panning.make(chunks=3))
    (tmp_path / "file").touch()
    with pytest.raises(StorageError):
        Place.open(tmp_path, tmp_path / "file", "report")
    (tmp_path / "out" / "report.json").mkdir(parents=True)
    with pytest.raises(StorageError):
        Place.open(tmp_path, tmp_path / "out", "report")
