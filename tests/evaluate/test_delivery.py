"""Delivery figures: the temporal measures mean what they say, and a run writes its table, figures and pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.media.delivery_nets import PlainNet
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate import delivery
from tv2tv_core.evaluate.delivery import evaluate_delivery, flicker, true_flows, warp_error
from tv2tv_core.evaluate.yardsticks import blend, flow_warp


def sliding(count: int = 4, step: int = 4, seed: int = 0) -> np.ndarray:
    """A scene that moves left, uint8 [n, 96, 160, 3]."""
    wide = np.random.default_rng(seed).integers(0, 255, (12, 40, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
    return np.stack([wide[:, step * k : step * k + 160] for k in range(count)])


def test_errors_that_move_with_the_picture_do_not_flicker() -> None:
    true = sliding()
    flows = true_flows(true)
    assert warp_error(true, flows).max() < 6
    rng = np.random.default_rng(1)
    pattern = rng.integers(-20, 20, (96, 320, 1))
    riding = np.stack([np.clip(t + pattern[:, 4 * k : 4 * k + 160], 0, 255) for k, t in enumerate(true.astype(int))])
    restless = np.stack([np.clip(t + rng.integers(-20, 20, (96, 160, 1)), 0, 255) for t in true.astype(int)])
    assert flicker(true, true, flows).max() == 0
    assert flicker(riding.astype(np.uint8), true, flows).mean() < 0.6 * flicker(restless.astype(np.uint8), true, flows).mean()


def test_flow_beats_blending_where_things_move() -> None:
    first, middle, second = sliding(3, 4)
    errors = [np.abs(way(first, second).astype(int) - middle)[8:-8, 16:-16].mean() for way in (flow_warp, blend)]
    assert errors[0] < 0.5 * errors[1]


def test_a_run_leaves_a_table_figures_and_pictures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(delivery, "rife", lambda enlarged=1: None)
    monkeypatch.setattr(delivery, "real_esrgan", lambda: None)
    folder = tmp_path / "pairs" / "heldout" / "a-0000"
    folder.mkdir(parents=True)
    small = sliding(32, 2)
    np.save(folder / "small.npy", small)
    np.save(folder / "large.npy", small[:8].repeat(4, 1).repeat(4, 2))
    (folder / "clip.json").write_text("{}")
    text = evaluate_delivery(tmp_path / "pairs", tmp_path / "out", 1, PlainNet())
    found = json.loads((tmp_path / "out" / "delivery.json").read_text())
    between = found["between"]
    assert found["clips"] == 1
    assert between["network"]["LPIPS"] == pytest.approx(between["blending"]["LPIPS"], abs=0.01)
    assert found["large"]["network"]["PSNR"] == 100 and found["large"]["truth"]["flicker"] == 0
    assert "| DIS flow |" in text
    assert all((tmp_path / "out" / name).is_file() for name in ("smooth.png", "sharpen.png"))


def test_no_pairs_no_figures(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="held-out pairs"):
        evaluate_delivery(tmp_path, tmp_path / "out", 1, PlainNet())
