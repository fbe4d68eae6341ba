"""The decoder's stage: chains stand behind what was decoded, the reference learns, runs repeat and resume."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.footage_files import write_footage
from tv2tv_core.errors import InputError
from tv2tv_core.model.codec_blocks import flat
from tv2tv_core.model.reference import Reference
from tv2tv_core.train.codec_task import trained_codec
from tv2tv_core.train.decoder_task import DecoderTask
from tv2tv_core.train.run import train
from tv2tv_core.train.trainer import TrainConfig, Trainer, generators

SMALL = {"codec": {"width": 8, "deep": 16, "blocks": 1}, "chain": 2,
         "loss": {"batch": 4, "lpips": 0.1, "wear": 2, "adversarial_from": 1}}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_footage(tmp_path / "data")


@pytest.fixture
def speckled(data: Path) -> Path:
    """The same drift, of specks that are too fine for the latents: only earlier frames know them."""
    specks = np.random.default_rng(0).integers(0, 256, (96, 400, 3), dtype=np.uint8)
    for path in data.rglob("frames.npy"):
        shape = np.load(path).shape
        np.save(path, np.stack([specks[:, 2 * t : 2 * t + 160] for t in range(4 * shape[0])]).reshape(shape))
    return data


def task(data: Path, run: Path, **changes: object) -> DecoderTask:
    run.mkdir(parents=True, exist_ok=True)
    return DecoderTask(SMALL | changes, data, run)


def test_a_step_repeats_exactly_and_another_differs(data: Path, tmp_path: Path) -> None:
    one = task(data, tmp_path / "run")
    losses = [one.loss(step, 0, *generators(1, step, 0))[0].item() for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_each_chunk_stands_behind_what_the_last_one_lost(data: Path, tmp_path: Path) -> None:
    """The made-up frames drift by two pixels each: the reference is the detail that was handed in, so far to the left."""
    one = task(data, tmp_path / "run")
    at = one.held_out.windows(3)[:2]
    details: list[torch.Tensor] = []
    for number, link in enumerate(one._links(one.held_out, at, details)):
        seen = link.reference.detail[:, -1, ..., :-12]
        torch.testing.assert_close(seen[..., 2:], details[-1][..., 8:-4][..., 2:], atol=0.02, rtol=0)
        assert (link.reference.share[..., 4:-32] > 0.99).all()
        torch.testing.assert_close(link.latents[..., 2:-8], one.codec.encode(link.truth)[..., 2:-8], atol=0.15, rtol=0)
        details.append(torch.full_like(details[0], 0.1 * (number + 1)))
    assert number == 1 and (seen - 0.1).abs().max() < 1e-3


def test_detail_is_taken_from_the_reference(speckled: Path, tmp_path: Path) -> None:
    """What the latents cannot know comes out nearer to the truth with a reference than without one, before any training and
    after it; and the gate learns."""
    one = task(speckled, tmp_path / "run", loss={"batch": 4, "lpips": 0.0, "noise": 0.0, "blur": 0.0, "adversarial": 0.0})

    @torch.no_grad()
    def errors() -> tuple[float, float]:
        link = next(one._links(one.held_out, one.held_out.windows(3)[:2], []))
        plain, made = one.codec.decode_with(link.latents, link.reference)
        return (plain - link.truth).abs().mean().item(), (made - link.truth).abs().mean().item()

    plain, told = errors()
    assert told < 0.8 * plain
    config = TrainConfig(steps=8, lr=3e-3, warmup=1, ema=0.5, sheet_minutes=0, checkpoint_minutes=0)
    Trainer(one, config, tmp_path / "run").run()
    assert errors()[1] < told
    found = one.validate(8)
    assert set(found) == {"heldout/lpips", "heldout/lpips_fine", "heldout/psnr", "first/lpips", "last/lpips"}
    assert one.sample_sheet(30).shape == (2 * 3 * 96, 2 * 160, 3)
    codec, architecture = trained_codec(tmp_path / "run")
    assert architecture["reference"] and codec.upsampler.gate.conv.weight.abs().max() > 0


def test_what_is_let_through_is_the_next_detail(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = task(data, tmp_path / "run")
    made, seen = [], []
    both = one.codec.both

    def watched(latents: torch.Tensor, reference: Reference | None) -> tuple[torch.Tensor, torch.Tensor]:
        found = both(latents, reference)
        if reference is not None:
            seen.append(reference)
            made.append([frames.detach().clamp(-1, 1)[:, -1] for frames in found])
        return found

    monkeypatch.setattr(one.codec, "both", watched)
    one.loss(0, 0, *generators(0, 0, 0))
    plain, whole = made[0]
    torch.testing.assert_close(seen[1].detail[:, -1, ..., 2:-14], (whole - plain)[..., 10:-6], atol=0.02, rtol=0)


def test_killed_and_resumed_equals_unbroken(data: Path, tmp_path: Path) -> None:
    config = TrainConfig(steps=4, lr=1e-3, warmup=1, checkpoint_minutes=0, sheet_minutes=0)
    whole = Trainer(task(data, tmp_path / "a"), config, tmp_path / "a")
    whole.run()
    Trainer(task(data, tmp_path / "b"), replace(config, steps=2), tmp_path / "b").run()
    second = Trainer(task(data, tmp_path / "b"), config, tmp_path / "b")
    second.run()
    for (name, a), b in zip(whole.module.state_dict().items(), second.module.state_dict().values(), strict=True):
        assert torch.equal(a, b), name


def test_what_is_drawn_is_softer_than_the_truth_and_what_is_copied_is_not_all_trusted(data: Path, tmp_path: Path) -> None:
    one = task(data, tmp_path / "run", loss={"batch": 4, "noise": 0.0, "blur": 0.0, "adversarial": 0.0})
    target = torch.rand(2, 12, 48, 80, generator=torch.Generator().manual_seed(0)) * 2 - 1
    motion = torch.zeros(2, 4, 3, 48, 80)
    picture = torch.zeros(2, 3, 96, 160)
    shares, detail = [], []
    for seed in range(8):
        made, reference = one._generated(target, target, picture, motion, torch.Generator().manual_seed(seed))
        assert reference.share.max() == 0  # nothing was in view
        detail.append((made - torch.nn.functional.avg_pool2d(made, 3, 1, 1)).std().item())
        motion_seen = motion.clone()
        motion_seen[:, :, 2] = 1
        still = flat(target.unflatten(1, (4, 3))[:, -1:].expand(-1, 4, -1, -1, -1))
        rng = torch.Generator().manual_seed(seed)
        shares += one._generated(target, still, picture, motion_seen, rng)[1].share.amax((1, 2, 3))
    assert min(detail) < 0.6 * max(detail)
    assert 0.8 <= min(shares) < max(shares) <= 1 and np.std(shares) > 0.02


def test_unfit_settings_are_refused(data: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="only pixel"):
        task(data, tmp_path / "run", codec={"kind": "vae"})
    with pytest.raises(InputError, match="chain=0"):
        task(data, tmp_path / "run", chain=0)
    with pytest.raises(InputError, match="no setting 'chian'"):
        task(data, tmp_path / "run", chian=3)
    with pytest.raises(InputError, match="Unknown codec loss"):
        task(data, tmp_path / "run", loss={"batches": 1})
    with pytest.raises(InputError, match="whole frames"):
        task(data, tmp_path / "run", loss={"crop": [64, 96]})


def test_the_decoder_is_of_the_codec_that_it_starts_from(data: Path, tmp_path: Path) -> None:
    settings = ["trainer.steps=1", "trainer.bf16=false", "trainer.sheet_minutes=0", "loss.batch=2", "loss.lpips=0"]
    train("codec", tmp_path / "codec", data, [*settings, "codec.width=8", "codec.deep=16", "codec.blocks=1"])
    train("decoder", tmp_path / "decoder", data, [*settings, "chain=2", f"init={tmp_path / 'codec'}"])
    assert trained_codec(tmp_path / "decoder")[1] == {"kind": "pixel", "width": 8, "deep": 16, "blocks": 1, "reference": True}
    on = [*settings[1:], "trainer.steps=2", "chain=2"]
    assert train("decoder", tmp_path / "decoder", data, on).step == 2  # and goes on without being told again
