"""The report: every section and every picture that it names is there, and nothing runs without recordings."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.evaluate.recordings import Panning, write_episode
from tests.evaluate.test_codec_quality import Through
from tests.fakes import FakeBackend
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.evaluate import steering
from tv2tv_core.evaluate.report import Extent, evaluate
from tv2tv_core.presets import Preset

SMALL = Extent(windows=1, codec_chunks=2, horizons=(1,), rollouts=1, rollout_chunks=5, moments=1, steering_chunks=1)
PRESET = Preset("tiny", "Tiny", Path("none.safetensors"), {"steps": 1})


class WithCodec(FakeBackend):
    """A fake of the usual size whose codec is perfect."""

    codec = Through()


def never(preset: Preset) -> FakeBackend:
    raise AssertionError("the backend is loaded only when there is something to evaluate")


@pytest.fixture
def world(tmp_path: Path) -> Path:
    for number in range(2):
        write_episode(tmp_path / "world" / "heldout" / f"room-{number}", Panning.make(chunks=9, seed=number))
    return tmp_path / "world"


def test_a_whole_report(world: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(steering, "LINES", steering.LINES[:2])
    out = tmp_path / "deep" / "report"
    result = evaluate(PRESET, world, out, SMALL, load=lambda preset: WithCodec(160, 96))
    assert json.loads((out / "report.json").read_text()) == json.loads(json.dumps(result))
    assert result["codec"]["heldout"]["lpips"]["mean"] == 0 and "heldout_map" not in result["codec"]
    assert result["prediction"]["heldout"]["windows"] == 1
    assert result["rollouts"]["plan"]["chunks"] == 5 and result["rollouts"]["repeated_in_recordings"] == 0.5
    [score] = result["steering"]["scores"]
    assert score["trials"] + score["left_out"] == 2
    text = (out / "report.md").read_text()
    pictures = set(re.findall(r"\]\((.+?)\)", text))
    assert pictures == {"codec.png", "prediction.png", "rollouts.png", "steering.png"}
    assert all((out / name).stat().st_size > 1000 for name in pictures) and (out / "steering-1.png").exists()
    assert {path.suffix for path in out.iterdir()} == {".json", ".md", ".png"}


def test_without_recordings_it_says_how_to_make_some(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="record --out"):
        evaluate(PRESET, tmp_path, tmp_path / "out", SMALL, load=never)
    assert not (tmp_path / "out").exists()


def test_a_folder_that_cannot_be_is_told_before_the_work(world: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StorageError, match="file"):
        evaluate(PRESET, world, tmp_path / "file", SMALL, load=never)


def test_quick_is_smaller_than_full() -> None:
    quick, full = Extent.quick(), Extent.full(64)
    assert full.windows == 64 and quick.windows < full.windows and quick.rollouts < full.rollouts
