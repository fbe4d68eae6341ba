"""The delivery networks with their weights: frames in as uint8 pictures, frames out, a few at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tv2tv_core.errors import WeightsError
from tv2tv_core.model.checkpoint import load_weights, save_weights
from tv2tv_core.model.interpolator import Interpolator, Window, both_flows
from tv2tv_core.model.sharpener import Sharpener
from tv2tv_core.model.steady import steadied

SMOOTH, SHARPEN = "smooth", "sharpen"
_BUILDERS: dict[str, type[nn.Module]] = {SMOOTH: Interpolator, SHARPEN: Sharpener}


@dataclass(frozen=True, eq=False)
class DeliveryNet:
    """Both networks, ready to run; frames are uint8 [H, W, 3] RGB."""

    smooth: Interpolator
    sharpen: Sharpener

    def between(self, pairs: Sequence[tuple[np.ndarray, np.ndarray]], factor: int, fps: float) -> np.ndarray:
        """`factor` - 1 evenly spaced frames between each pair: uint8 [n, factor - 1, H, W, 3].

        fps: the rate at which the pair's frames follow each other. The result of one pair does not depend on the others.
        """
        frames = torch.zeros(len(pairs), factor + 1, 3, *pairs[0][0].shape[:2])
        for number, pair in enumerate(pairs):
            frames[number, [0, factor]] = as_frames(np.stack(pair)[None])[0]
        flows = torch.from_numpy(np.stack([both_flows(*pair) for pair in pairs]))
        made = self._filled(Window(frames, (0, factor), flows, fps * factor))[:, 1:-1]
        for between, pair in zip(made, pairs, strict=True):
            if np.array_equal(*pair):  # a still picture stays as it is, to the last bit
                between[:] = pair[0]
        return made

    def after(self, first: np.ndarray, second: np.ndarray, count: int, fps: float) -> np.ndarray:
        """The next `count` frames at the same rate `fps`, as the motion from `first` to `second` goes on: [count, H, W, 3]."""
        frames = torch.zeros(1, 2 + count, 3, *first.shape[:2])
        frames[0, :2] = as_frames(np.stack([first, second])[None])[0]
        flows = torch.from_numpy(both_flows(first, second))[None]
        return self._filled(Window(frames, (0, 1), flows, fps))[0, 2:]

    def _filled(self, window: Window) -> np.ndarray:
        with torch.inference_mode():
            return as_pixels(self.smooth(window)[0])

    def enlarged(self, frames: np.ndarray, scale: int) -> np.ndarray:
        """Consecutive frames uint8 [T, H, W, 3] at 2 or 4 times the size, steadied along their motion."""
        with torch.inference_mode():
            made = self.sharpen(as_frames(frames[None]), (scale,))[scale][0]
            large = made.add(1).mul(127.5).movedim(1, -1).contiguous().numpy()
        return steadied(large, frames).round().clip(0, 255).astype(np.uint8)


def as_frames(pixels: np.ndarray) -> Tensor:
    """uint8 [B, T, H, W, 3] → float [B, T, 3, H, W] in [-1, 1]."""
    return torch.from_numpy(np.array(pixels)).movedim(-1, 2).float().div_(127.5).sub_(1)


def as_pixels(frames: Tensor) -> np.ndarray:
    """float [B, T, 3, H, W] in [-1, 1] → uint8 [B, T, H, W, 3], rounded."""
    return frames.float().add(1).mul(127.5).round().clamp(0, 255).byte().movedim(2, -1).contiguous().cpu().numpy()


def save_net(path: Path, net: dict[str, nn.Module]) -> int:
    """Write both networks as one weight file in half precision; returns its bytes. Raises StorageError."""
    tensors = {f"{name}.{key}": value for name, module in net.items() for key, value in module.state_dict().items()}
    save_weights(path, tensors, {"delivery": sorted(net)})
    return path.stat().st_size


def load_net(path: Path, expected_sha256: str | None = None) -> DeliveryNet:
    """The networks of a weight file, on the CPU. Raises WeightsError when it is missing, altered or of another kind."""
    tensors, config = load_weights(path, expected_sha256)
    if config.get("delivery") != sorted(_BUILDERS):
        raise WeightsError(f"{path} holds no delivery networks; restore it: `git checkout -- assets`")
    return DeliveryNet(**{name: _filled(path, name, tensors) for name in _BUILDERS})


def _filled(path: Path, name: str, tensors: dict[str, Tensor]) -> Any:
    module = _BUILDERS[name]()
    own = {key.removeprefix(f"{name}."): value for key, value in tensors.items() if key.startswith(f"{name}.")}
    try:
        module.load_state_dict(own)
    except RuntimeError as error:
        raise WeightsError(f"{path} does not fit this version's {name} network; restore the original file") from error
    return module.eval().to(memory_format=torch.channels_last)
