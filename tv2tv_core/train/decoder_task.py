"""Training a codec's decoder to give back detail that earlier frames knew, in chains of chunks under their true motion.

Each chunk stands behind the one before it as it was decoded, so the decoder learns to live with its own pictures, and which
detail is worth handing on.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from tv2tv_core.errors import InputError
from tv2tv_core.model.geometry import grid
from tv2tv_core.model.motion import warp
from tv2tv_core.model.reference import Reference, displaced, enlarged
from tv2tv_core.train.codec_task import ARCHITECTURE, CodecTask, as_frames, as_pixels, loss_settings
from tv2tv_core.train.footage import Footage
from tv2tv_core.train.losses import TRUSTED_ERROR
from tv2tv_core.train.wear import wear

LOSS = {"batch": 12, "lpips": 0.5, "noise": 0.03, "wear": 3, "adversarial": 0.02, "adversarial_from": 50}
"""What the shipped decoder was trained with, see `codec_task.CodecLoss`."""
VALIDATION_CHAINS = 24
SHEET_CHAINS = 3
LEAST_SHARE = 0.8  # of what can be copied; a generator is never quite sure
BARE = 0.3  # share of chains that begin behind a frame of which nothing more is known than its latents
AROUND = 5  # pixels of the latents over which it is judged what was moved to the right place
SOFTENED = 3  # up to how many times what is not copied is blurred: a generator draws no more


@dataclass(frozen=True)
class Link:
    """One chunk of a chain: what a generator would make, [B, 12, 48, 80], what the decoder may look at, and the true frames
    [B, 4, 3, 96, 160]."""

    latents: Tensor
    reference: Reference
    truth: Tensor


class DecoderTask(CodecTask):
    """A pixel codec with a gate for references, see `CodecTask`; `loss.batch` counts chunks, of which `chain` make a sample."""

    def __init__(self, config: dict[str, Any], data: Path, run_dir: Path) -> None:
        config = dict(config)
        self.chain = int(config.pop("chain", 4))
        architecture = {"kind": "pixel", **(config.pop("codec", None) or {}), "reference": True}
        if architecture["kind"] != "pixel":
            raise InputError(f"the decoder stage got codec.kind={architecture['kind']}; only pixel takes references")
        if self.chain < 1:
            raise InputError(f"the decoder stage got chain={self.chain}; allowed are 1 and more")
        self.footage = Footage.load(data, "train", run_dir)
        self.held_out = Footage.load(data, "heldout", run_dir)
        self.starts = self.footage.windows(self.chain + 1)
        loss = {**LOSS, **(config.pop("loss", None) or {})}
        if config:
            raise InputError(f"the decoder stage has no setting {min(config)!r}; it has chain, codec and loss")
        if "crop" in loss:
            raise InputError("the decoder stage learns on whole frames, whose motion is known; leave loss.crop out")
        super().__init__(architecture, loss_settings({"loss": loss}), {"train": self.footage.episodes,
                                                               "heldout": self.held_out.episodes})
        self.name = "decoder"
        self.samples_per_micro = self.chain * max(1, self.settings.batch // self.chain)
        (run_dir / ARCHITECTURE).write_text(json.dumps(architecture), encoding="utf-8")

    def loss(self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
             ) -> tuple[Tensor, dict[str, float]]:
        """The reconstruction loss of a batch of chains, mean over their chunks, with its parts."""
        at = numpy_rng.choice(self.starts, max(1, self.settings.batch // self.chain))
        worn = int(numpy_rng.integers(self.settings.wear + 1))
        bare = torch.rand(len(at), generator=rng) < BARE
        details: list[Tensor] = []
        losses, parts = [], []
        for link in self._links(self.footage, at, details, worn, bare, rng):
            plain, made = (frames.float() for frames in self.codec.both(link.latents, link.reference))
            details.append(_lost(made, plain))
            total, found = self.compare(step, made, link.truth, numpy_rng)
            losses.append(total)
            parts.append(found)
        return torch.stack(losses).mean(), {name: float(np.mean([found[name] for found in parts])) for name in parts[0]}

    def _links(self, footage: Footage, at: np.ndarray, details: list[Tensor], worn: int = 0, bare: Tensor | None = None,
               rng: torch.Generator | None = None) -> Iterator[Link]:
        """The chunks of chains behind chunks `at`. Whoever iterates appends to `details` what the latents alone lost of the
        last frame of each, [B, 3, 96, 160]. With `rng`, what is not copied is as a generator draws it."""
        device = next(self.codec.parameters()).device
        before = _frames(footage, at).to(device)
        latents = self.codec.encode(before)
        if rng is not None:
            latents = wear(latents, worn, rng)
        with torch.no_grad():
            details.append(before[:, -1] - self.codec.decode(latents)[:, -1])
        if rng is not None:
            details[0] = details[0].masked_fill(bare[:, None, None, None].to(device), 0)
        for link in range(1, self.chain + 1):
            truth = _frames(footage, at + link).to(device)
            latents, reference = self._generated(latents, self.codec.encode(truth), details[-1],
                                                 footage.motion(at + link).to(device), rng)
            yield Link(latents, reference, truth)

    def _generated(self, before: Tensor, target: Tensor, detail: Tensor, motion: Tensor, rng: torch.Generator | None
                   ) -> tuple[Tensor, Reference]:
        """A chunk as a generator makes it: what was in view is moved there from `before`, the rest is drawn."""
        rows, columns = target.shape[-2:]
        scale = target.new_tensor([(columns - 1) / 2, (rows - 1) / 2])
        source = (grid(rows, columns, target) + motion[:, :, :2].movedim(2, -1)) / scale
        moved = warp(before.unflatten(1, (-1, 3))[:, -1], source)
        missed = (moved - target.unflatten(1, (-1, 3))).abs().mean(2)
        missed = F.avg_pool2d(missed, AROUND, 1, AROUND // 2)  # a generator trusts by region, not by pixel
        share = motion[:, :, 2] * (missed < TRUSTED_ERROR)
        drawn = target
        if rng is not None:
            share = share * (LEAST_SHARE + (1 - LEAST_SHARE) * torch.rand(len(share), 1, 1, 1, generator=rng).to(share))
            for _ in range(int(torch.randint(SOFTENED + 1, (), generator=rng))):
                drawn = F.avg_pool2d(F.pad(drawn, (1, 1, 1, 1), mode="replicate"), 3, stride=1)
            drawn = self._disturbed(drawn.cpu(), rng).to(target)
        share = share.to(target)
        made = share[:, :, None] * moved + (1 - share[:, :, None]) * drawn.unflatten(1, (-1, 3))
        shown = displaced(detail, source)
        return made.flatten(1, 2), Reference(shown, enlarged(share, shown))

    @torch.no_grad()
    def _decoded(self, at: np.ndarray) -> Iterator[tuple[Tensor, Tensor]]:
        """Made and true frames [B, 4, 3, 96, 160] of held-out chains, chunk by chunk."""
        details: list[Tensor] = []
        for link in self._links(self.held_out, at, details):
            plain, made = self.codec.decode_with(link.latents, link.reference)
            details.append(_lost(made, plain))
            yield made, link.truth

    def validate(self, step: int) -> dict[str, float]:
        """What `CodecTask.validate` measures, and LPIPS of the first and the last chunk of held-out chains."""
        windows = self.held_out.windows(self.chain + 1)
        at = windows[np.linspace(0, len(windows) - 1, min(VALIDATION_CHAINS, len(windows))).round().astype(int)]
        found = [self.perceptual(made.flatten(0, 1), truth.flatten(0, 1)).mean().item() for made, truth in self._decoded(at)]
        return super().validate(step) | {"first/lpips": found[0], "last/lpips": found[-1]}

    @torch.no_grad()
    def sample_sheet(self, step: int) -> np.ndarray:
        """Rows of truth above decoded, the last frames of the chunks of a few held-out chains, uint8 HWC."""
        windows = self.held_out.windows(self.chain + 1)
        at = windows[np.linspace(0, len(windows) - 1, min(SHEET_CHAINS, len(windows))).round().astype(int)]
        pairs = [(as_pixels(truth)[:, -1], as_pixels(made)[:, -1]) for made, truth in self._decoded(at)]
        rows = [np.concatenate([pair[kind][b] for pair in pairs], axis=1) for b in range(len(at)) for kind in (0, 1)]
        return np.concatenate(rows, axis=0)


def _lost(made: Tensor, plain: Tensor) -> Tensor:
    """What the next chunk may take over of unclamped frames [B, 4, 3, 96, 160], with and without their own reference."""
    return (made.clamp(-1, 1) - plain.clamp(-1, 1))[:, -1].detach().float()


def _frames(footage: Footage, index: np.ndarray) -> Tensor:
    """Recorded frames [B, 4, 3, 96, 160] in [-1, 1] of chunks counted over all episodes."""
    owner = np.searchsorted(footage.starts, index, side="right") - 1
    return as_frames(np.stack([footage.episodes[e].frames[i - footage.starts[e]] for e, i in zip(owner, index, strict=True)]))
