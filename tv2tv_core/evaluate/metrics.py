"""How close frames are to the true ones: PSNR, SSIM, LPIPS and sharpness of uint8 RGB frames, one value per frame."""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
import torch

from tv2tv_core.evaluate.lpips import Lpips

PSNR_OF_EQUAL = 100.0  # dB; stands for infinity so that means stay finite
_SSIM_SIGMA, _SSIM_RADIUS = 1.5, 5
_SSIM_C1, _SSIM_C2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
_LPIPS_BATCH = 32


def psnr(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Peak signal-to-noise ratio in dB, float64 [...], of uint8 frames [..., H, W, 3]; PSNR_OF_EQUAL for equal ones."""
    _check(frames, truth)
    error = np.square(frames.astype(np.float64) - truth).mean(axis=(-3, -2, -1))
    floor = 255**2 / 10 ** (PSNR_OF_EQUAL / 10)
    return 10 * np.log10(255**2 / np.maximum(error, floor))


def ssim(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Structural similarity in [-1, 1], float64 [...], of uint8 frames [..., H, W, 3], mean over the three channels.

    Wang et al. 2004: Gaussian window of 11 pixels, sigma 1.5, K = (0.01, 0.03), where the window fits into the frame.
    """
    _check(frames, truth)
    if min(truth.shape[-3:-1]) <= 2 * _SSIM_RADIUS:
        raise ValueError(f"SSIM got frames of {truth.shape[-3:-1]} pixels; it needs at least 11 a side")
    flat = zip(frames.reshape(-1, *truth.shape[-3:]), truth.reshape(-1, *truth.shape[-3:]), strict=True)
    return np.array([_ssim_of_frame(a.astype(np.float64), b.astype(np.float64)) for a, b in flat]).reshape(
        truth.shape[:-3]
    )


def _ssim_of_frame(a: np.ndarray, b: np.ndarray) -> float:
    def local_mean(image: np.ndarray) -> np.ndarray:
        size, inside = 2 * _SSIM_RADIUS + 1, slice(_SSIM_RADIUS, -_SSIM_RADIUS)
        return cv2.GaussianBlur(image, (size, size), _SSIM_SIGMA)[inside, inside]

    mean_a, mean_b = local_mean(a), local_mean(b)
    var_a, var_b = local_mean(a * a) - mean_a**2, local_mean(b * b) - mean_b**2
    covariance = local_mean(a * b) - mean_a * mean_b
    likeness = (2 * mean_a * mean_b + _SSIM_C1) * (2 * covariance + _SSIM_C2)
    return float((likeness / ((mean_a**2 + mean_b**2 + _SSIM_C1) * (var_a + var_b + _SSIM_C2))).mean())


def lpips(frames: np.ndarray, truth: np.ndarray, net: Lpips | None = None) -> np.ndarray:
    """LPIPS distance (0 = same), float64 [...], of uint8 frames [..., H, W, 3].

    `net` may be one on another device or with upsampling; by default one on the CPU, loaded once.
    """
    _check(frames, truth)
    net = net or network()
    device = net.shift.device
    flat, flat_truth = (array.reshape(-1, *truth.shape[-3:]) for array in (frames, truth))
    values = []
    with torch.inference_mode():
        for first in range(0, len(flat), _LPIPS_BATCH):
            batch = slice(first, first + _LPIPS_BATCH)
            pair = (as_unit(array[batch], device) for array in (flat, flat_truth))
            values.append(net(*pair).cpu().numpy().astype(np.float64))
    return np.concatenate(values).reshape(truth.shape[:-3]) if values else np.zeros(truth.shape[:-3])


def lpips_to_first(frames: np.ndarray, first: int, net: Lpips | None = None) -> np.ndarray:
    """LPIPS of every frame, uint8 [n, H, W, 3], to each of the `first` ones among them: float64 [n, first].

    Every frame goes through the network once; a pair costs next to nothing.
    """
    _check(frames, frames)
    net = net or network()
    with torch.inference_mode():
        batches = [frames[start : start + _LPIPS_BATCH] for start in range(0, len(frames), _LPIPS_BATCH)]
        rows = torch.cat([net.embed(as_unit(batch, net.shift.device)) for batch in batches])
        # Differences first: the shorter way over scalar products loses all digits where pictures are alike.
        found = torch.stack([(rows - rows[column]).square().sum(1) for column in range(first)], dim=1)
    return found.cpu().numpy().astype(np.float64)


def sharpness(frames: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Energy of the frames' brightness gradients over that of the true frames, float64 [...]; uint8 [..., H, W, 3].

    1 means as sharp as the truth, below 1 blurred, above 1 noisy. It says nothing about where the edges lie. One grey
    level of gradient is added to both, so that a bare wall gives about 1 and not an arbitrary number.
    """
    _check(frames, truth)
    return (_gradient_energy(frames) + 1) / (_gradient_energy(truth) + 1)


def _gradient_energy(frames: np.ndarray) -> np.ndarray:
    grey = frames.astype(np.float64).mean(axis=-1)
    across, along = np.diff(grey, axis=-1), np.diff(grey, axis=-2)
    return np.square(across).mean(axis=(-2, -1)) + np.square(along).mean(axis=(-2, -1))


@cache
def network() -> Lpips:
    """The LPIPS network on the CPU, loaded once."""
    return Lpips()


def as_unit(frames: np.ndarray, device: torch.device) -> torch.Tensor:
    """uint8 frames [n, H, W, 3] as float [n, 3, H, W] in [-1, 1]."""
    tensor = torch.from_numpy(np.ascontiguousarray(frames)).to(device)
    return tensor.permute(0, 3, 1, 2).float() / 127.5 - 1


def _check(frames: np.ndarray, truth: np.ndarray) -> None:
    if frames.dtype != np.uint8 or truth.dtype != np.uint8 or frames.shape != truth.shape:
        raise ValueError(
            f"got {frames.dtype} {frames.shape} and {truth.dtype} {truth.shape}; both must be uint8 and of equal shape"
        )
    if truth.ndim < 3 or truth.shape[-1] != 3:
        raise ValueError(f"got frames of shape {truth.shape}; they must be [..., H, W, 3]")
