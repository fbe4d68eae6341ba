"""Rectified flow: straight paths from noise (t = 0) to clean latents (t = 1), and the Euler steps back along them."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor

TIME_SPREAD = 1.4  # t = sigmoid(N(shift, 1.4²)), the paper's with shift 0
MIN_REMAINING = 0.5  # velocity loss divides by (1 − t); in pixels, what is left to do near the clean end is only denoising


def sample_times(shape: tuple[int, ...], generator: torch.Generator, device: torch.device | str = "cpu", *,
                 shift: float = 0.0, at_start: float = 0.0) -> Tensor:
    """Flow times in [0, 1): logit-normal around `shift`, and a share `at_start` of exact zeros.

    Few-step sampling stands or falls with its first estimate, made from noise alone.
    """
    times = torch.sigmoid(torch.randn(shape, generator=generator) * TIME_SPREAD + shift)
    from_noise = torch.rand(shape, generator=generator) < at_start
    return times.masked_fill(from_noise, 0.0).to(device)


def mix(clean: Tensor, noise: Tensor, time: Tensor) -> Tensor:
    """x_t = t · clean + (1 − t) · noise; `time` broadcasts over the trailing axes of `clean`."""
    time = _expand(time, clean)
    return time * clean + (1 - time) * noise


def clean_from_velocity(velocity: Tensor, noisy: Tensor, time: Tensor) -> Tensor:
    """The clean latent that a velocity at x_t leads to: x_t + (1 − t) · v."""
    return noisy + velocity * (1 - _expand(time, noisy))


def velocity_loss(predicted_clean: Tensor, clean: Tensor, time: Tensor, weight: Tensor | float = 1.0) -> Tensor:
    """Mean squared velocity error per item of `time`: |x̂ − x|² / (1 − t)², the divisor bounded from below.

    `weight`, which broadcasts to the latents, multiplies each error."""
    error = (weight * (predicted_clean.float() - clean.float()).square()).flatten(time.dim()).mean(-1)
    return error / (1 - time).clamp(min=MIN_REMAINING).square()


def euler(
    predict_clean: Callable[[Tensor, Tensor], Tensor], noise: Tensor, steps: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Integrate from noise [B, ...] to clean in `steps` equal steps.

    `predict_clean(x_t, t [B])` gives the network's clean estimate. Yields (x after the step, that estimate); the last x
    is the result.
    """
    if steps < 1:
        raise ValueError(f"steps is {steps}; at least 1 is needed")
    x = noise
    for step in range(steps):
        now = torch.full((noise.shape[0],), step / steps, device=noise.device)
        predicted = predict_clean(x, now).to(x.dtype)
        # Written as an interpolation towards the estimate: the last step lands on it exactly.
        x = x + (predicted - x) / (steps - step)
        yield x, predicted


def _expand(time: Tensor, like: Tensor) -> Tensor:
    return time.reshape(time.shape + (1,) * (like.dim() - time.dim()))
