"""A task small enough for tests, with everything that must survive a kill: dropout, a buffer, random data."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from tv2tv_core.train.trainer import ParameterGroup, TrainConfig, Trainer, all_parameters


class TinyTask:
    """Fits a random linear map through a small network with dropout and batch norm."""

    name = "tiny"

    def __init__(self, batch: int = 4, dropout: float = 0.2, norm: bool = True, die_at: int | None = None) -> None:
        torch.manual_seed(5)
        layers = [nn.Linear(6, 16), nn.BatchNorm1d(16) if norm else nn.Identity(), nn.Tanh(), nn.Dropout(dropout)]
        self.net = nn.Sequential(*layers, nn.Linear(16, 2))
        self.samples_per_micro, self.die_at, self.died = batch, die_at, False
        self.true = torch.randn(6, 2)
        self.seen: list[Tensor] = []

    def modules(self) -> nn.Module:
        return self.net

    def parameter_groups(self) -> list[ParameterGroup]:
        return all_parameters(self.net)

    def loss(
        self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        if step == self.die_at:
            self.die()
        x = torch.randn(self.samples_per_micro, 6, generator=rng)
        x = x + torch.from_numpy(numpy_rng.normal(size=tuple(x.shape)).astype(np.float32)) * 0.1
        self.seen.append(x)
        loss = (self.net(x) - x @ self.true).square().mean()
        return loss, {"twice": 2 * float(loss.detach())}

    def die(self) -> None:
        raise RuntimeError("power cut")

    def sample_sheet(self, step: int) -> np.ndarray | None:
        return np.full((4, 6, 3), step % 256, np.uint8)

    def validate(self, step: int) -> dict[str, float]:
        return {"error": float((self.net(torch.eye(6)) - self.true).square().mean())}


class Killed(TinyTask):
    """Dies as a killed process does: without any chance to tidy up."""

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def config(**changes: object) -> TrainConfig:
    """Twenty steps with a checkpoint after each one."""
    values: dict = {"steps": 20, "seed": 3, "warmup": 4, "ema": 0.9, "log_every": 3, "validate_every": 5, "lr": 0.02}
    values |= {"cooldown": 0.5, "checkpoint_minutes": 1e-9, "sheet_minutes": 0.0, "threads": 1}
    return TrainConfig(**(values | changes))


if __name__ == "__main__":
    Trainer(Killed(die_at=int(sys.argv[2])), config(), Path(sys.argv[1])).run()
