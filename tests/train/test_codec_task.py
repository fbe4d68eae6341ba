"""The codec's training task: repeatable batches, honest measures, an adversary that trains each side alone, export."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tv2tv_core.data.shards import Episode, load_split
from tv2tv_core.errors import InputError, WeightsError
from tv2tv_core.model.checkpoint import load_weights
from tv2tv_core.model.codec import build_codec
from tv2tv_core.model.codec_blocks import flat
from tv2tv_core.train import codec_task
from tv2tv_core.train.codec_task import CodecLoss, CodecTask, as_frames, as_pixels, measure, spaced_chunks
from tv2tv_core.train.trainer import TrainConfig, Trainer, generators

SMALL = {"kind": "pixel", "width": 8, "deep": 16, "blocks": 1}
SMALL_VAE = {"kind": "vae", "widths": [16, 16, 16], "blocks": 1}


def episode(folder: Path, chunks: int, seed: int) -> Episode:
    """A recorded episode of moving stripes: pixels that a codec can learn something about."""
    rng = np.random.default_rng(seed)
    start = rng.integers(99, size=(chunks, 1, 1, 1))
    x = np.arange(160)[None, None, None, :] + 3 * np.arange(4)[None, :, None, None] + start
    shade = (x // 4 % 2 * 200 + np.arange(96)[None, None, :, None] // 2).astype(np.uint8)
    folder.mkdir(parents=True)
    np.save(folder / "frames.npy", np.repeat(shade[..., None], 3, axis=-1))
    (folder / "episode.json").write_text(json.dumps({"chunks": [{} for _ in range(chunks)]}))
    return Episode(folder)


@pytest.fixture
def data(tmp_path) -> Path:
    for name, chunks in (("train/a", 2), ("train/b", 3), ("heldout/c", 2)):
        episode(tmp_path / "data" / name, chunks, ord(name[-1]))
    return tmp_path / "data"


@pytest.fixture
def splits(data) -> dict:
    return {split: load_split(data, split) for split in ("train", "heldout", "heldout_map")}


@pytest.mark.parametrize("architecture", [SMALL, SMALL_VAE], ids=["pixel", "vae"])
def test_a_step_repeats_exactly_and_another_differs(splits, architecture):
    task = CodecTask(architecture, CodecLoss(batch=2, crop=(64, 96)), splits)
    losses = [task.loss(step, 0, *generators(1, step, 0))[0].item() for step in (0, 0, 1)]
    assert losses[0] == losses[1] != losses[2]


def test_a_worn_latent_is_harder_to_give_back(splits):
    """With `wear` the decoder sees what a generator has moved on; the target stays the crisp frame."""
    losses = {wear: CodecTask(SMALL, CodecLoss(batch=4, noise=0.0, blur=0.0, wear=wear), splits) for wear in (0, 8)}
    drawn = {wear: [task.loss(0, 0, *generators(0, step, 0))[1]["l1"] for step in range(4)] for wear, task in losses.items()}
    assert sum(drawn[8]) > 1.03 * sum(drawn[0])


def test_every_chunk_of_every_episode_can_be_drawn_whole(splits):
    task = CodecTask(SMALL, CodecLoss(batch=64), splits)
    drawn = {chunk.tobytes() for chunk in as_pixels(task.batch(np.random.default_rng(0)))}
    assert drawn == {chunk.tobytes() for one in splits["train"] for chunk in one.frames}


def test_a_few_steps_make_held_out_chunks_better(splits, tmp_path):
    task = CodecTask(SMALL, CodecLoss(batch=2, crop=(64, 96), lpips=0.1, noise=0.0, blur=0.0), splits)
    before = task.validate(0)
    config = TrainConfig(steps=40, lr=5e-3, warmup=1, ema=0.5, sheet_minutes=0, checkpoint_minutes=0)
    Trainer(task, config, tmp_path).run()
    after = task.validate(40)
    assert set(before) == {"heldout/lpips", "heldout/lpips_fine", "heldout/psnr"}
    assert after["heldout/psnr"] > before["heldout/psnr"] + 1
    assert after["heldout/lpips"] < before["heldout/lpips"]


def test_pixels_survive_the_way_to_frames_and_back():
    pixels = np.random.default_rng(0).integers(256, size=(2, 4, 8, 8, 3), dtype=np.uint8)
    assert np.array_equal(as_pixels(as_frames(pixels)), pixels)


def test_measures_are_perfect_for_a_perfect_codec_and_known_for_an_offset(splits):
    class Offset(torch.nn.Module):
        def __init__(self, levels):
            super().__init__()
            self.levels = torch.nn.Parameter(torch.tensor(float(levels)))

        def encode(self, frames):
            return frames * 0.5

        def decode(self, latents):
            return latents * 2 + self.levels / 127.5

    task = CodecTask(SMALL, CodecLoss(), splits)
    pixels = spaced_chunks(splits["heldout"], 5)
    eyes = task.perceptual, task.perceptual_fine
    assert measure(Offset(0), pixels, *eyes) == pytest.approx({"lpips": 0.0, "lpips_fine": 0.0, "psnr": 100.0})
    off = measure(Offset(10), np.clip(pixels, 20, 200), *eyes)
    assert off["psnr"] == pytest.approx(20 * np.log10(255 / 10), abs=0.01) and min(off.values()) > 0


def test_the_judge_and_the_codec_train_only_their_own_side(splits):
    task = CodecTask(SMALL, CodecLoss(batch=2, adversarial=0.1, adversarial_from=0), splits)
    frames = task.batch(np.random.default_rng(0))
    fooled, mistaken = task._judged(flat(task.codec.reconstruct(task.codec.encode(frames))), flat(frames))
    fooled.backward(retain_graph=True)
    assert all(parameter.grad is None for parameter in task.root["judge"].parameters())
    assert any(parameter.grad is not None and parameter.grad.any() for parameter in task.codec.parameters())
    task.root.zero_grad(set_to_none=True)
    mistaken.backward()
    assert all(parameter.grad is None for parameter in task.codec.parameters())
    assert all(parameter.grad is not None for parameter in task.root["judge"].parameters())


def test_the_sheet_shows_truth_above_codec(splits):
    task = CodecTask(SMALL, CodecLoss(), splits)
    sheet = task.sample_sheet(0)
    assert sheet.dtype == np.uint8 and sheet.shape == (2 * 2 * 96, 4 * 160, 3)
    assert np.array_equal(sheet[:96, :160], splits["heldout"][0].frames[0, 0])


@pytest.mark.parametrize("architecture", [SMALL, SMALL_VAE], ids=["pixel", "vae"])
def test_exported_weights_decode_as_the_averaged_run_does(data, tmp_path, architecture):
    run = tmp_path / "run"
    task = codec_task.build({"codec": architecture, "loss": {"batch": 1, "crop": [64, 96]}}, data, run)
    trainer = Trainer(task, TrainConfig(steps=3, lr=1e-3, sheet_minutes=0, ema=0.5), run)
    trainer.run()
    codec_task.export(run, tmp_path / "codec.safetensors")
    tensors, config = load_weights(tmp_path / "codec.safetensors")
    codec = build_codec(config)
    codec.load_state_dict(tensors)
    frames = as_frames(spaced_chunks(task.splits["heldout"], 1))
    with trainer.ema.applied(), torch.no_grad():
        expected = task.codec.decode(task.codec.encode(frames))
        torch.testing.assert_close(codec.decode(codec.encode(frames)), expected, atol=2e-2, rtol=0)
    (run / "codec.json").write_text(json.dumps(architecture | {"blocks": 2}))
    with pytest.raises(WeightsError, match="another codec"):
        codec_task.trained_codec(run)
    with pytest.raises(InputError, match="no codec run"):
        codec_task.trained_codec(tmp_path)


def test_a_resumed_run_keeps_to_the_episodes_of_its_start(data, tmp_path):
    first = codec_task.build({"codec": SMALL}, data, tmp_path / "run")
    episode(data / "train/0", 4, 9)
    again = codec_task.build({"codec": SMALL}, data, tmp_path / "run")
    fresh = codec_task.build({"codec": SMALL}, data, tmp_path / "new")
    assert again.ends.tolist() == first.ends.tolist() != fresh.ends.tolist()
    (data / "train/a/episode.json").unlink()
    with pytest.raises(InputError, match="Episode a of this run is gone"):
        codec_task.build({"codec": SMALL}, data, tmp_path / "run")


def test_unknown_settings_and_missing_recordings_are_told(tmp_path):
    with pytest.raises(InputError, match="sharpness"):
        codec_task.build({"loss": {"sharpness": 1}}, tmp_path, tmp_path)
    with pytest.raises(InputError, match="record"):
        codec_task.build({"codec": SMALL}, tmp_path, tmp_path)
