"""Training a codec: L1 + LPIPS (+ a late, small patch discriminator) on recorded chunks."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tv2tv_core.data.shards import Episode, load_split
from tv2tv_core.errors import InputError, WeightsError
from tv2tv_core.evaluate.lpips import Lpips
from tv2tv_core.model.checkpoint import save_weights
from tv2tv_core.model.codec import PixelCodec, build_codec
from tv2tv_core.model.codec_blocks import flat
from tv2tv_core.model.codec_vae import VaeCodec
from tv2tv_core.train.run_state import ema_of, load_partly
from tv2tv_core.train.trainer import ParameterGroup, all_parameters
from tv2tv_core.train.wear import wear

VALIDATION_CHUNKS = 48
SHEET_CHUNKS = 4
ARCHITECTURE = "codec.json"


@dataclass(frozen=True)
class CodecLoss:
    """Weights and ranges of the codec's training; `batch` chunks are cropped to `crop` (H, W), multiples of 16.

    noise: largest standard deviation added to pixel latents, blur: share of latents that are slightly blurred, wear: up to how
    many times they were moved there and back by parts of a pixel, all so that the decoder copes with latents that a generator
    drew and moved on from chunk to chunk. kl: weight of the VAE's divergence.
    adversarial: weight of the discriminator's opinion, from step adversarial_from on (0 = no discriminator).
    """

    batch: int = 8
    crop: tuple[int, int] = (96, 160)
    lpips: float = 1.0
    noise: float = 0.05
    blur: float = 0.2
    wear: int = 0
    kl: float = 1e-5
    adversarial: float = 0.0
    adversarial_from: int = 1000


class PatchDiscriminator(nn.Module):
    """A hinge discriminator over overlapping patches of a chunk: 12 planes in, one score per 4x4 pixels out."""

    def __init__(self, width: int = 48) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(12, width, 4, stride=2, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, 2 * width, 4, stride=2, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 2 * width, 3, padding=1),
            nn.GroupNorm(8, 2 * width),
            nn.LeakyReLU(0.2),
            nn.Conv2d(2 * width, 1, 3, padding=1),
        )

    def forward(self, planes: Tensor) -> Tensor:
        """[B, 12, H, W] → [B, 1, H/4, W/4], larger where it looks real."""
        return self.layers(planes)


class CodecTask:
    """One codec, trained to give back recorded frames."""

    def __init__(self, architecture: dict[str, Any], loss: CodecLoss, splits: dict[str, list[Episode]]) -> None:
        """`splits` needs "train"; "heldout" and "heldout_map", where given, are measured by `validate`."""
        torch.manual_seed(0)
        self.settings, self.splits, self.architecture = loss, splits, architecture
        self.codec = build_codec(architecture)
        self.name = f"codec-{architecture.get('kind', 'pixel')}"
        self.samples_per_micro = loss.batch
        self.root = nn.ModuleDict({"codec": self.codec})
        if loss.adversarial > 0:
            self.root["judge"] = PatchDiscriminator()
        self.root.to(memory_format=torch.channels_last)
        self.perceptual, self.perceptual_fine = Lpips().eval(), Lpips(upsample=2).eval()
        self.ends = np.cumsum([len(episode) for episode in splits["train"]])
        if not len(self.ends):
            raise InputError("No episodes to train the codec on. Record some: python3 launch.py record.")

    def modules(self) -> nn.Module:
        """The codec, and the discriminator when there is one."""
        return self.root

    def parameter_groups(self) -> list[ParameterGroup]:
        """Everything at one rate."""
        return all_parameters(self.root)

    def batch(self, rng: np.random.Generator) -> Tensor:
        """Random chunks of the training episodes, cropped: float [B, 4, 3, h, w] in [-1, 1]."""
        height, width = self.settings.crop
        chosen = []
        for index in rng.integers(self.ends[-1], size=self.settings.batch):
            episode = int(np.searchsorted(self.ends, index, side="right"))
            frames = self.splits["train"][episode].frames
            chunk = frames[index - self.ends[episode]]
            y, x = (4 * int(rng.integers((full - size) // 4 + 1)) for full, size in ((96, height), (160, width)))
            chosen.append(chunk[:, y : y + height, x : x + width])
        return as_frames(np.stack(chosen))

    def loss(
        self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The reconstruction loss of one random batch, with its parts."""
        device = next(self.codec.parameters()).device
        frames = self.batch(numpy_rng).to(device)
        extra = frames.new_zeros(())
        if isinstance(self.codec, PixelCodec):
            worn = wear(self.codec.encode(frames), int(numpy_rng.integers(self.settings.wear + 1)), rng)
            made = self.codec.reconstruct(self._disturbed(worn, rng))
        else:
            mean, log_variance = self.codec.posterior(frames)
            noise = torch.randn(mean.shape, generator=rng).to(mean)
            made = self.codec.reconstruct(mean + noise * (0.5 * log_variance).exp())
            self.codec.track_spread(mean)
            extra = self.settings.kl * self.codec.divergence(mean.float(), log_variance.float())
        total, parts = self.compare(step, made.float(), frames, numpy_rng)
        return total + extra, parts

    def compare(self, step: int, made: Tensor, frames: Tensor, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of decoded frames [B, 4, 3, h, w] against true ones, with its parts."""
        l1 = (made - frames).abs().mean()
        perceived = self._perceived(made, frames, rng)
        total = l1 + self.settings.lpips * perceived
        parts = {"l1": float(l1.detach()), "lpips": float(perceived.detach())}
        if "judge" in self.root and step >= self.settings.adversarial_from:
            fooled, mistaken = self._judged(flat(made), flat(frames))
            total = total + self.settings.adversarial * fooled + mistaken
            parts |= {"fooled": float(fooled.detach()), "mistaken": float(mistaken.detach())}
        return total, parts

    def _perceived(self, made: Tensor, frames: Tensor, rng: np.random.Generator) -> Tensor:
        """LPIPS of two of the four frames, at random whole or as a quarter at twice the size.

        AlexNet looks every 4 pixels: at its own size alone it leaves faint stripes of that period unpunished.
        """
        pick = torch.from_numpy(rng.permutation(4)[:2])
        made, frames = made[:, pick].flatten(0, 1), frames[:, pick].flatten(0, 1)
        if rng.random() < 0.5:
            return self.perceptual(made, frames).mean()
        height, width = (size // 2 for size in frames.shape[-2:])
        y, x = int(rng.integers(height + 1)), int(rng.integers(width + 1))
        return self.perceptual_fine(
            made[..., y : y + height, x : x + width], frames[..., y : y + height, x : x + width]
        ).mean()

    def _disturbed(self, latents: Tensor, rng: torch.Generator) -> Tensor:
        """Pixel latents as a generator might draw them: some blurred, all slightly noisy, each to its own degree."""
        count = len(latents)
        strength = torch.rand(count, 1, 1, 1, generator=rng)
        blurred = (torch.rand(count, 1, 1, 1, generator=rng) < self.settings.blur).to(latents)
        sigma = torch.rand(count, 1, 1, 1, generator=rng) * self.settings.noise
        noise = torch.randn(latents.shape, generator=rng)
        soft = F.avg_pool2d(F.pad(latents, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
        latents = latents + 0.7 * strength.to(latents) * blurred * (soft - latents)
        return latents + (noise * sigma).to(latents)

    def _judged(self, made: Tensor, real: Tensor) -> tuple[Tensor, Tensor]:
        """(how little the codec fools the judge, how often the judge is mistaken); each trains only its own side."""
        judge = self.root["judge"]
        frozen = {name: value.detach() for name, value in judge.named_parameters()}
        fooled = -torch.func.functional_call(judge, frozen, (made,)).float().mean()
        on_real, on_made = judge(real).float(), judge(made.detach()).float()
        return fooled, 0.5 * (F.relu(1 - on_real).mean() + F.relu(1 + on_made).mean())

    def validate(self, step: int) -> dict[str, float]:
        """LPIPS, LPIPS at twice the size and PSNR (dB) on the same evenly spaced chunks of each held-out split every time."""
        found = {}
        for split, episodes in self.splits.items():
            if split != "train" and episodes:
                frames = spaced_chunks(episodes, VALIDATION_CHUNKS)
                figures = measure(self.codec, frames, self.perceptual, self.perceptual_fine)
                found |= {f"{split}/{key}": value for key, value in figures.items()}
        return found

    def sample_sheet(self, step: int) -> np.ndarray | None:
        """Rows of truth above codec, all four frames of a few held-out chunks, uint8 HWC."""
        episodes = self.splits.get("heldout") or self.splits["train"]
        frames = spaced_chunks(episodes, SHEET_CHUNKS)
        rows = np.stack([frames, as_pixels(reconstruct(self.codec, frames))], axis=1).reshape(-1, *frames.shape[1:])
        return np.concatenate([np.concatenate(list(row), axis=1) for row in rows], axis=0)


def as_frames(pixels: np.ndarray) -> Tensor:
    """uint8 [B, 4, H, W, 3] → float [B, 4, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.ascontiguousarray(pixels)).movedim(-1, 2).float().div_(127.5).sub_(1)


def as_pixels(frames: Tensor) -> np.ndarray:
    """float [B, 4, 3, H, W] in [-1, 1] → uint8 [B, 4, H, W, 3], rounded."""
    return frames.add(1).mul(127.5).round().clamp(0, 255).byte().movedim(2, -1).cpu().numpy()


def spaced_chunks(episodes: list[Episode], count: int) -> np.ndarray:
    """`count` chunks (or all, if fewer) evenly spaced over the episodes: uint8 [count, 4, 96, 160, 3]."""
    ends = np.cumsum([len(episode) for episode in episodes])
    chosen = np.linspace(0, ends[-1] - 1, min(count, int(ends[-1]))).round().astype(int)
    where = np.searchsorted(ends, chosen, side="right")
    return np.stack(
        [episodes[e].frames[i - ends[e]] for e, i in zip(where, chosen, strict=True)]
    )


@torch.no_grad()
def reconstruct(codec: nn.Module, pixels: np.ndarray, batch: int = 8) -> Tensor:
    """Encode and decode uint8 chunks [n, 4, 96, 160, 3] → float [n, 4, 3, 96, 160] on the CPU."""
    device = next(codec.parameters()).device
    parts = [as_frames(pixels[i : i + batch]).to(device) for i in range(0, len(pixels), batch)]
    return torch.cat([codec.decode(codec.encode(part)).cpu() for part in parts])


@torch.no_grad()
def measure(codec: nn.Module, pixels: np.ndarray, perceptual: nn.Module, fine: nn.Module) -> dict[str, float]:
    """Means over uint8 chunks [n, 4, 96, 160, 3]: "lpips" per frame, "lpips_fine" (twice the size), "psnr" (dB)."""
    made = as_pixels(reconstruct(codec, pixels))
    error = np.square((made.astype(np.float64) - pixels) / 255).mean(axis=(1, 2, 3, 4))
    pairs = [(as_frames(made[i : i + 1])[0], as_frames(pixels[i : i + 1])[0]) for i in range(len(pixels))]
    return {
        "lpips": float(np.mean([perceptual(*pair).mean().item() for pair in pairs])),
        "lpips_fine": float(np.mean([fine(*pair).mean().item() for pair in pairs])),
        "psnr": float(np.mean(-10 * np.log10(np.maximum(error, 1e-10)))),
    }


def build(config: dict[str, Any], data_root: Path, run_dir: Path) -> CodecTask:
    """The task from {"codec": {"kind": …, sizes}, "loss": {…CodecLoss}}, on the recordings in `data_root`.

    Raises InputError for unknown loss settings and when there are no recordings.
    """
    settings = loss_settings(config)
    splits = {split: load_split(data_root, split) for split in ("train", "heldout", "heldout_map")}
    _pin(splits, run_dir / "episodes.json")
    architecture = dict(config.get("codec") or {"kind": "pixel"})
    (run_dir / ARCHITECTURE).write_text(json.dumps(architecture), encoding="utf-8")
    return CodecTask(architecture, settings, splits)


def loss_settings(config: dict[str, Any]) -> CodecLoss:
    """The `loss` part of a config. Raises InputError for unknown settings."""
    known = {field.name for field in fields(CodecLoss)}
    given = dict(config.get("loss") or {})
    if unknown := sorted(set(given) - known):
        raise InputError(f"Unknown codec loss settings {', '.join(unknown)}: use {', '.join(sorted(known))}.")
    if "crop" in given:
        given["crop"] = tuple(given["crop"])
    return CodecLoss(**given)


def _pin(splits: dict[str, list[Episode]], path: Path) -> None:
    """Keeps to the episodes of the run's first start, so that a resumed run repeats although recording went on."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({split: [e.folder.name for e in found] for split, found in splits.items()}))
    for split, names in json.loads(path.read_text()).items():
        by_name = {episode.folder.name: episode for episode in splits[split]}
        if gone := [name for name in names if name not in by_name]:
            raise InputError(f"Episode {gone[0]} of this run is gone. Put it back, or start in a new run folder.")
        splits[split] = [by_name[name] for name in names]


def architecture_of(run_dir: Path) -> dict[str, Any]:
    """What codec a run trains. Raises InputError when the folder holds no codec run."""
    try:
        return json.loads((run_dir / ARCHITECTURE).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise InputError(f"{run_dir} holds no codec run. Train one: python3 launch.py train codec.") from error


def trained_codec(run_dir: Path) -> tuple[PixelCodec | VaeCodec, dict[str, Any]]:
    """The averaged codec of a run's newest checkpoint, in evaluation mode, and its architecture.

    Raises InputError when the folder holds no codec run, WeightsError when it has no checkpoint that fits.
    """
    architecture = architecture_of(run_dir)
    codec = build_codec(architecture)
    averaged = {k.removeprefix("codec."): v for k, v in ema_of(run_dir).items() if k.startswith("codec.")}
    report = load_partly(codec, averaged)
    if report["missing"] or report["mismatched"]:
        raise WeightsError(f"The checkpoint in {run_dir} is of another codec. Train in a new run folder.")
    return codec.eval(), architecture


def export(run_dir: Path, path: Path, int8: bool = False) -> None:
    """Writes the averaged codec of a run as shipped weights (half precision or int8 rows) with its architecture."""
    codec, architecture = trained_codec(run_dir)
    save_weights(path, dict(codec.state_dict()), architecture, int8)
