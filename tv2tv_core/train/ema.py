"""Exponential moving average of the trained parameters, kept in float32 beside the model."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters of `module` that require gradients, by name, each shared parameter once."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


class Ema:
    """Shadow copies of the trainable parameters of one module.

    The decay warms up as min(decay, (1 + n) / (10 + n)) over the updates n, so that an early average is not stuck at
    the random start. A decay of 0 makes the shadow equal to the parameters.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module, self.decay = module, decay
        self.shadow: dict[str, Tensor] = {
            name: parameter.detach().float().clone() for name, parameter in trainable(module).items()
        }

    @torch.no_grad()
    def update(self, updates: int) -> None:
        """Moves the shadow towards the parameters after optimizer update number `updates` (from 0)."""
        decay = min(self.decay, (1 + updates) / (10 + updates))
        current = trainable(self.module)
        names = list(self.shadow)
        torch._foreach_lerp_(
            [self.shadow[name] for name in names], [current[name].detach().float() for name in names], 1 - decay
        )

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The module computes with the averaged parameters inside this context, with its own again after it."""
        current = trainable(self.module)
        kept = {name: current[name].data for name in self.shadow}
        try:
            for name, value in self.shadow.items():
                current[name].data = value.to(current[name].dtype)
            yield
        finally:
            for name, value in kept.items():
                current[name].data = value
