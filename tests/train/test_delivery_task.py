"""Training Smooth and Sharpen: batches are what they say, a few steps learn, and the same step is the same step."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from tv2tv_core.data.pairs import CLIP_TICS, LARGE_TICS, Clip, load_clips
from tv2tv_core.errors import InputError, WeightsError
from tv2tv_core.model.delivery_net import load_net
from tv2tv_core.train.delivery_task import (
    GAPS,
    SharpenConfig,
    SharpenTask,
    SmoothConfig,
    SmoothTask,
    mirrored,
    pairs_in,
    shrunk,
)
from tv2tv_core.train.run import export
from tv2tv_core.train.run_state import write_checkpoint
from tv2tv_core.train.trainer import generators


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip for training and one held out: a picture that slides two pixels a tic."""
    folder = tmp_path_factory.mktemp("pairs")
    for split, seed in (("train", 0), ("heldout", 1)):
        rough = np.random.default_rng(seed).integers(0, 255, (48, 120, 3), dtype=np.uint8).repeat(8, 0).repeat(8, 1)
        large = np.stack([rough[:, 8 * k : 8 * k + 640] for k in range(CLIP_TICS)])
        path = folder / split / "a-0000"
        path.mkdir(parents=True)
        np.save(path / "small.npy", large.reshape(CLIP_TICS, 96, 4, 160, 4, 3).mean((2, 4)).round().astype(np.uint8))
        np.save(path / "large.npy", large[:LARGE_TICS])
        (path / "clip.json").write_text("{}")
    return folder


@pytest.fixture(scope="module")
def clips(root: Path) -> tuple[list[Clip], list[Clip]]:
    return pairs_in(root)


def step(task: SmoothTask | SharpenTask, number: int) -> torch.Tensor:
    """The loss of one step, its gradients set."""
    torch.manual_seed(0)
    loss, values = task.loss(number, 0, *generators(0, number, 0))
    task.modules().zero_grad()
    loss.backward()
    assert all(np.isfinite(value) for value in values.values())
    return loss.detach()


@pytest.mark.parametrize("kind", ["smooth", "sharpen"])
def test_a_few_steps_learn_and_every_step_repeats(clips: tuple[list[Clip], list[Clip]], kind: str) -> None:
    def task() -> SmoothTask | SharpenTask:
        if kind == "smooth":
            made = SmoothTask(SmoothConfig(batch=1, width=64), *clips)
            # Untrained it already explains a picture that slides: a tint is something to unlearn.
            torch.nn.init.constant_(made.root["smooth"].colour.conv.bias, 0.5)
            return made
        return SharpenTask(SharpenConfig(batch=1, side=16), *clips)

    first = task()
    assert torch.equal(step(first, 4), step(task(), 4))
    optimizer = torch.optim.Adam(first.modules().parameters(), 1e-3)
    before = step(first, 4)
    for _ in range(8):
        step(first, 4)
        optimizer.step()
    assert step(first, 4) < before


def test_every_kind_of_window_hides_what_is_asked_for(clips: tuple[list[Clip], list[Clip]]) -> None:
    task = SmoothTask(SmoothConfig(batch=1), *clips)
    for gap in GAPS:
        window = task.window([(clips[0][0], 4)], gap)
        assert window.frames.shape == (1, len(gap.tics), 3, 96, 160) and window.flow.shape == (1, 2, 2, 96, 160)
        apart = gap.tics[gap.known[1]] - gap.tics[gap.known[0]]
        assert float(window.flow[0, 0, 0, 30:60, 40:120].median()) == pytest.approx(-2 * apart, abs=0.5)
        turned = mirrored(window)
        assert float(turned.flow[0, 0, 0, 30:60, 40:120].median()) == pytest.approx(2 * apart, abs=0.5)
    assert sum(gap.share for gap in GAPS) == pytest.approx(1)


def test_small_frames_in_training_are_the_recorded_ones(clips: tuple[list[Clip], list[Clip]]) -> None:
    task = SharpenTask(SharpenConfig(batch=2, side=16, frames=2), *clips)
    large, small = task.batch(np.random.default_rng(0))
    assert large.shape == (2, 2, 3, 64, 64) and small.shape == (2, 2, 3, 16, 16)
    whole = torch.from_numpy(np.array(clips[0][0].large))[None].movedim(-1, 2).float()
    recorded = torch.from_numpy(np.array(clips[0][0].small[:LARGE_TICS])).movedim(-1, 1).float()
    assert (shrunk(whole, 4)[0] - recorded).abs().max() <= 0.5


def test_held_out_figures_and_pictures(clips: tuple[list[Clip], list[Clip]]) -> None:
    smooth, sharpen = SmoothTask(SmoothConfig(), *clips), SharpenTask(SharpenConfig(), *clips)
    with torch.no_grad():
        assert set(smooth.validate(0)) == {"middle/psnr", "middle/lpips", "next/psnr", "next/lpips"}
        assert set(sharpen.validate(0)) == {"psnr", "lpips"}
        assert smooth.sample_sheet(0).shape == (96, 4 * 160, 3)
        assert sharpen.sample_sheet(0).shape == (384, 3 * 640, 3)


def test_two_runs_make_one_weight_file(clips: tuple[list[Clip], list[Clip]], tmp_path: Path) -> None:
    smooth = SmoothTask(SmoothConfig(batch=1, width=64), *clips)
    sharpen = SharpenTask(SharpenConfig(batch=1, side=16), *clips)
    smooth_run, sharpen_run = tmp_path / "smooth", tmp_path / "sharpen"
    for task, run in ((smooth, smooth_run), (sharpen, sharpen_run)):
        tensors = {f"model.{name}": value for name, value in task.modules().state_dict().items()}
        write_checkpoint(run / "checkpoints", 1, tensors, {})
    with pytest.raises(WeightsError, match="smooth and a sharpen run"):
        export(smooth_run, tmp_path / "net.safetensors")
    assert export(smooth_run, tmp_path / "net.safetensors", sharpen_run) <= 12e6
    found = load_net(tmp_path / "net.safetensors")
    for mine, stored in ((smooth.root["smooth"], found.smooth), (sharpen.root["sharpen"], found.sharpen)):
        for name, value in mine.state_dict().items():
            torch.testing.assert_close(stored.state_dict()[name], value, atol=2e-3, rtol=2e-3)


def test_no_pairs_no_training(tmp_path: Path) -> None:
    assert load_clips(tmp_path, "train") == []
    with pytest.raises(InputError, match=r"tv2tv_core\.data\.pairs"):
        pairs_in(tmp_path)
