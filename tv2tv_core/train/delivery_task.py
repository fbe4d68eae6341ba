"""Training the delivery networks, smooth (frames between frames) and sharpen (super-resolution), with L1 + LPIPS on pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tv2tv_core.data.pairs import FULL_FPS, Clip, load_clips
from tv2tv_core.errors import InputError, WeightsError
from tv2tv_core.evaluate.lpips import Lpips
from tv2tv_core.evaluate.metrics import lpips, psnr
from tv2tv_core.model.checkpoint import load_weights
from tv2tv_core.model.delivery_net import SHARPEN, SMOOTH, as_frames, as_pixels, save_net
from tv2tv_core.model.interpolator import Interpolator, Window, both_flows
from tv2tv_core.model.sharpener import Sharpener, bicubic
from tv2tv_core.train import run_state
from tv2tv_core.train.trainer import ParameterGroup, all_parameters

VALIDATION_CLIPS = 16
SHEET_CLIPS = 4
KEPT_FLOWS = 4000


@dataclass(frozen=True)
class Gap:
    """A kind of window: `tics` of every frame, the two `known` frames among them, how often it is drawn."""

    tics: tuple[int, ...]
    known: tuple[int, int]
    share: float

    @property
    def fps(self) -> float:
        """Frame rate of the window."""
        return FULL_FPS / (self.tics[1] - self.tics[0])


# Halving, quartering, a slower camera (wide motion), and going on where no second frame is known.
GAPS = (
    Gap((0, 1, 2), (0, 2), 0.65),
    Gap((0, 2, 4), (0, 2), 0.15),
    Gap((0, 1, 2, 3, 4), (0, 4), 0.06),
    Gap((0, 1, 2), (0, 1), 0.14),
)


@dataclass(frozen=True)
class SmoothConfig:
    """`batch` windows of one kind per step, cropped to `width` columns (a multiple of 16, at most 160); loss weights.

    `moved`: weight of the error of moved pixels alone, which keeps the painting from doing the moving's work.
    """

    batch: int = 4
    width: int = 96
    lpips: float = 0.5
    moved: float = 0.3


@dataclass(frozen=True)
class SharpenConfig:
    """`batch` clips of `frames` frames per step, cropped to `side` small pixels; loss weights.

    `twice`: weight of the 2x output beside the 4x one. `lpips` applies to one frame of each clip.
    """

    batch: int = 4
    frames: int = 3
    side: int = 32
    lpips: float = 0.3
    twice: float = 0.5


class SmoothTask:
    """The interpolator, trained to give back tics that it was not shown."""

    name = "smooth"

    def __init__(self, config: SmoothConfig, train: Sequence[Clip], heldout: Sequence[Clip]) -> None:
        torch.manual_seed(0)
        self.config, self.train, self.heldout = config, train, heldout
        self.samples_per_micro = config.batch
        self.root = nn.ModuleDict({"smooth": Interpolator()}).to(memory_format=torch.channels_last)
        self.perceptual = Lpips().eval()
        self._flows: dict[tuple, np.ndarray] = {}

    def modules(self) -> nn.Module:
        """The network."""
        return self.root

    def parameter_groups(self) -> list[ParameterGroup]:
        """Everything at one rate."""
        return all_parameters(self.root)

    def window(self, clips: Sequence[tuple[Clip, int]], gap: Gap) -> Window:
        """Windows of one kind that begin at the given tics of the given clips."""
        tics = np.array(gap.tics)
        frames = np.stack([clip.small[start + tics] for clip, start in clips])
        flows = np.stack([self._flow(clip, start, gap) for clip, start in clips])
        return Window(as_frames(frames), gap.known, torch.from_numpy(flows).float(), gap.fps)

    def _flow(self, clip: Clip, start: int, gap: Gap) -> np.ndarray:
        a, b = (start + gap.tics[k] for k in gap.known)
        key = (clip.folder, a, b)
        if key not in self._flows:
            if len(self._flows) >= KEPT_FLOWS:
                self._flows.pop(next(iter(self._flows)))
            self._flows[key] = both_flows(clip.small[a], clip.small[b]).astype(np.float16)
        return self._flows[key]

    def loss(
        self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """L1 + LPIPS of the missing frames of one random batch, and L1 of what moving alone gives."""
        config = self.config
        gap = GAPS[int(numpy_rng.choice(len(GAPS), p=[g.share for g in GAPS]))]
        # Every fourth tic: their flows are met again, and computing flows costs as much as learning from them.
        starts = np.arange(0, len(self.train[0].small) - gap.tics[-1], 4)
        chosen = [(self.train[int(numpy_rng.integers(len(self.train)))], int(numpy_rng.choice(starts)))
                  for _ in range(config.batch)]
        whole = self.window(chosen, gap)
        x = int(numpy_rng.integers(whole.frames.shape[-1] - config.width + 1))
        if numpy_rng.random() < 0.5:
            whole = mirrored(whole)
        window = Window(whole.frames[..., x : x + config.width], gap.known, whole.flow[..., x : x + config.width], gap.fps)
        made, moved = self.root["smooth"](window)
        missing = [k for k in range(len(gap.tics)) if k not in gap.known]
        truth, made, moved = window.frames[:, missing], made[:, missing].float(), moved[:, missing].float()
        # Explosions and flashes cannot be foreseen: samples count less the more their two known frames differ.
        apart = (window.frames[:, gap.known[0]] - window.frames[:, gap.known[1]]).abs().mean((1, 2, 3))
        trust = 0.1 / (0.1 + apart)
        l1, of_moved = (((x - truth).abs().mean((1, 2, 3, 4)) * trust).mean() for x in (made, moved))
        shown = int(numpy_rng.integers(len(missing)))
        perceived = (self.perceptual(made[:, shown], truth[:, shown]) * trust).mean()
        total = l1 + config.lpips * perceived + config.moved * of_moved
        return total, {"l1": float(l1.detach()), "lpips": float(perceived.detach()), "moved": float(of_moved.detach())}

    def filled(self, gap: Gap, clips: Sequence[Clip], start: int) -> tuple[np.ndarray, np.ndarray]:
        """(made, true) frames of windows at tic `start` of the clips, uint8 [n, T, 96, 160, 3]."""
        window = self.window([(clip, start) for clip in clips], gap)
        return as_pixels(self.root["smooth"](window)[0]), as_pixels(window.frames)

    def validate(self, step: int) -> dict[str, float]:
        """PSNR (dB) and LPIPS of the middle frame 17.5 → 35 and of one extrapolated frame, on held-out clips."""
        found = {}
        for name, gap in (("middle", GAPS[0]), ("next", GAPS[3])):
            made, true = self.filled(gap, self.heldout[:VALIDATION_CLIPS], 8)
            at = next(k for k in range(len(gap.tics)) if k not in gap.known)
            found |= {f"{name}/psnr": float(psnr(made[:, at], true[:, at]).mean()),
                      f"{name}/lpips": float(lpips(made[:, at], true[:, at]).mean())}
        return found

    def sample_sheet(self, step: int) -> np.ndarray | None:
        """Held-out clips, one a row: first frame, made middle, true middle, last frame."""
        made, true = self.filled(GAPS[0], self.heldout[:SHEET_CLIPS], 8)
        rows = [np.concatenate([t[0], m[1], t[1], t[2]], axis=1) for m, t in zip(made, true, strict=True)]
        return np.concatenate(rows, axis=0)


class SharpenTask:
    """The super-resolution network, trained to give back what the engine drew at 640x384."""

    name = "sharpen"

    def __init__(self, config: SharpenConfig, train: Sequence[Clip], heldout: Sequence[Clip]) -> None:
        torch.manual_seed(0)
        self.config, self.train, self.heldout = config, train, heldout
        self.samples_per_micro = config.batch
        self.root = nn.ModuleDict({"sharpen": Sharpener()}).to(memory_format=torch.channels_last)
        self.perceptual, self.perceptual_fine = Lpips().eval(), Lpips(upsample=2).eval()

    def modules(self) -> nn.Module:
        """The network."""
        return self.root

    def parameter_groups(self) -> list[ParameterGroup]:
        """Everything at one rate."""
        return all_parameters(self.root)

    def batch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        """Random crops: (large [B, T, 3, 4·side, 4·side], small [B, T, 3, side, side]) in [-1, 1]."""
        config, chosen = self.config, []
        for _ in range(config.batch):
            large = self.train[int(rng.integers(len(self.train)))].large
            step = int(rng.integers(1, 3))  # 35 and 17.5 frames/s
            start = int(rng.integers(len(large) - (config.frames - 1) * step))
            y, x = (4 * int(rng.integers(full // 4 - config.side + 1)) for full in large.shape[1:3])
            crop = large[start : start + config.frames * step : step, y : y + 4 * config.side, x : x + 4 * config.side]
            chosen.append(crop[:, :, ::-1] if rng.random() < 0.5 else crop)
        big = as_frames(np.stack(chosen))
        return big, shrunk(big, 4)

    def loss(
        self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """L1 of both outputs + LPIPS of one frame of the large one, and of how it changes over time."""
        large, small = self.batch(numpy_rng)
        made = self.root["sharpen"](small)
        l1 = (made[4] - large).abs().mean()
        twice = (made[2] - shrunk(large, 2)).abs().mean()
        # The error should stand still: detail that flickers is worse than detail that is missing.
        flicker = (made[4] - large).diff(dim=1).abs().mean()
        at = int(numpy_rng.integers(large.shape[1]))
        perceived = self._perceived(made[4][:, at], large[:, at], numpy_rng)
        total = l1 + self.config.twice * twice + 0.3 * flicker + self.config.lpips * perceived
        return total, {"l1": float(l1.detach()), "twice": float(twice.detach()), "lpips": float(perceived.detach())}

    def _perceived(self, made: Tensor, true: Tensor, rng: np.random.Generator) -> Tensor:
        """LPIPS of pictures [B, 3, H, W], at random whole or as a quarter at twice the size.

        AlexNet looks every 4 pixels, which is just the period of a 4x head: at its own size alone a grid goes unpunished.
        """
        if rng.random() < 0.5:
            return self.perceptual(made, true).mean()
        half = made.shape[-1] // 2
        y, x = (int(rng.integers(half + 1)) for _ in range(2))
        return self.perceptual_fine(*(p[..., y : y + half, x : x + half] for p in (made, true))).mean()

    def _pairs(self, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(true, made, bicubic) first frames of held-out clips, uint8 [n, 384, 640, 3]."""
        true, made, plain = [], [], []
        for clip in self.heldout[:count]:
            large = as_frames(clip.large[None, :3])
            small = shrunk(large, 4)
            true.append(clip.large[1])
            made.append(as_pixels(self.root["sharpen"](small, (4,))[4])[0, 1])
            plain.append(as_pixels(bicubic(small[:, 1], 4)[None])[0, 0])
        return np.stack(true), np.stack(made), np.stack(plain)

    def validate(self, step: int) -> dict[str, float]:
        """PSNR (dB) and LPIPS at 640x384 on held-out clips."""
        true, made, _ = self._pairs(VALIDATION_CLIPS // 2)
        return {"psnr": float(psnr(made, true).mean()), "lpips": float(lpips(made, true).mean())}

    def sample_sheet(self, step: int) -> np.ndarray | None:
        """Held-out frames, one a row: bicubic, sharpened, true."""
        true, made, plain = self._pairs(2)
        return np.concatenate([np.concatenate(row, axis=1) for row in zip(plain, made, true, strict=True)], axis=0)


def export_delivery(run_dir: Path, base: Path | None, out: Path) -> int:
    """Write the averaged network of a smooth or sharpen run as shipped weights; returns the file's bytes.

    base: the run of the other network, or a delivery weight file that holds it. Raises WeightsError when one is missing.
    """
    tensors: dict[str, Tensor] = {}
    for source in (base, run_dir):
        if source is not None:
            tensors |= load_weights(source)[0] if source.is_file() else run_state.ema_of(source)
    net = {SMOOTH: Interpolator(), SHARPEN: Sharpener()}
    report = run_state.load_partly(nn.ModuleDict(net), tensors)
    if report["missing"] or report["mismatched"]:
        first = (report["missing"] + report["mismatched"])[0]
        raise WeightsError(f"{first} is in none of the given runs; name a smooth and a sharpen run with --run and --base")
    return save_net(out, net)


def mirrored(window: Window) -> Window:
    """The window seen in a mirror: columns swapped, and the sideways part of its flow turned round."""
    flow = window.flow.flip(-1) * torch.tensor([-1.0, 1.0]).view(1, 1, 2, 1, 1)
    return Window(window.frames.flip(-1), window.known, flow, window.fps)


def shrunk(frames: Tensor, scale: int) -> Tensor:
    """Frames [B, T, 3, H, W] with every `scale` x `scale` block averaged, as the recorder makes small frames."""
    return torch.nn.functional.avg_pool2d(frames.flatten(0, 1), scale).unflatten(0, frames.shape[:2])


def pairs_in(data: Path) -> tuple[list[Clip], list[Clip]]:
    """(training, held-out) clips in `data`. Raises InputError when either is missing."""
    found = load_clips(data, "train"), load_clips(data, "heldout")
    if not all(found):
        raise InputError(f"{data} holds no pairs to train on; make them: python -m tv2tv_core.data.pairs --out {data}, "
                         "for --split train and --split heldout")
    return found


