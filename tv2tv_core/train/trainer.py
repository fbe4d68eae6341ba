"""The one trainer: exact resumption, gradient accumulation, EMA, metrics, sample sheets, clean stops."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from tqdm import tqdm

from tv2tv_core.errors import InputError, TV2TVError
from tv2tv_core.train import run_state
from tv2tv_core.train.ema import Ema, trainable
from tv2tv_core.train.metrics_log import Means, MetricsLog
from tv2tv_core.train.schedule import Cooldown, Shape, planned_cooldown, rate, timed_cooldown
from tv2tv_core.train.stopping import Requests

MAX_BAD_STEPS = 20


@dataclass
class ParameterGroup:
    """Parameters trained with `lr_scale` times the base rate; `decay` only touches tensors of two or more axes."""

    parameters: list[nn.Parameter]
    lr_scale: float = 1.0
    decay: bool = True


class Task(Protocol):
    """What is trained. All randomness of a step comes from the two generators that `loss` receives."""

    name: str
    samples_per_micro: int

    def modules(self) -> nn.Module:
        """The root module; what requires gradients in it is trained, averaged and saved."""

    def parameter_groups(self) -> list[ParameterGroup]:
        """The trained parameters (see `all_parameters` for the plain case)."""

    def loss(
        self, step: int, micro: int, rng: torch.Generator, numpy_rng: np.random.Generator
    ) -> tuple[Tensor, dict[str, float]]:
        """The scalar loss of micro batch `micro` of `step`, a mean over its samples, and values to log.

        Both generators live on the CPU and are seeded from (run seed, step, micro) alone; so is torch's global one.
        """

    def sample_sheet(self, step: int) -> np.ndarray | None:
        """A picture, uint8 HWC, of what the averaged weights do; None for no picture."""

    def validate(self, step: int) -> dict[str, float]:
        """Held-out figures with the averaged weights; must depend on nothing but the weights and the data."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train. `steps` and `minutes` are limits (0 = none; at least one); minutes count over all resumptions.

    The rate follows steps alone. In a time box with `cooldown` > 0 (a fraction of the run) and a constant rate, the
    cooldown's steps are decided once from the speed so far and stored.
    """

    seed: int = 0
    steps: int = 0
    minutes: float = 0.0
    micro_batches: int = 1
    lr: float = 1e-3
    warmup: int = 100
    schedule: Shape = "constant"
    floor: float = 0.05
    cooldown: float = 0.0
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    ema: float = 0.999
    bf16: bool = False
    checkpoint_minutes: float = 5.0
    sheet_minutes: float = 5.0
    validate_every: int = 0
    log_every: int = 50
    device: str = "cpu"
    threads: int = 0

    def __post_init__(self) -> None:
        if self.steps <= 0 and self.minutes <= 0:
            raise InputError("Training has no end: give steps or minutes above 0.")
        if self.micro_batches < 1 or self.log_every < 1:
            raise InputError("micro_batches and log_every must be 1 or more.")
        if self.schedule not in ("cosine", "constant"):
            raise InputError(f"Unknown schedule {self.schedule!r}: use cosine or constant.")
        if self.schedule == "cosine" and self.steps <= 0:
            raise InputError("A cosine schedule needs steps: give steps, or use schedule=constant with a cooldown.")


@dataclass
class Outcome:
    """Where a call of `run` ended and why."""

    step: int
    reason: Literal["finished", "stopped"]
    run_dir: Path


@dataclass
class _Progress:
    """The scalars of a checkpoint."""

    step: int = 0
    elapsed_s: float = 0.0
    updates: int = 0
    bad_in_a_row: int = 0
    cooldown: Cooldown | None = None
    means: Means = field(default_factory=Means)


def all_parameters(module: nn.Module) -> list[ParameterGroup]:
    """Everything trainable in `module` as one group."""
    return [ParameterGroup(list(trainable(module).values()))]


def generators(seed: int, step: int, micro: int) -> tuple[torch.Generator, np.random.Generator]:
    """The two generators of one micro batch, from (seed, step, micro) alone."""
    words = np.random.SeedSequence([seed, step, micro])
    rng = torch.Generator().manual_seed(int(words.generate_state(1, np.uint64)[0] >> 1))
    return rng, np.random.default_rng(words)


class Trainer:
    """Trains one task in one folder. A second Trainer on the same folder goes on where the last checkpoint was."""

    def __init__(self, task: Task, config: TrainConfig, run_dir: Path, init_from: Path | None = None) -> None:
        """`init_from`: a run whose averaged weights start this one where names and shapes fit (not on resumption)."""
        self.task, self.config, self.run_dir, self.init_from = task, config, Path(run_dir), init_from
        if config.threads:
            torch.set_num_threads(config.threads)
        self.module = task.modules().to(config.device)
        self.log = MetricsLog(self.run_dir / "metrics.jsonl")
        self.progress = _Progress()
        self.optimizer = self._make_optimizer()
        self.ema: Ema | None = None
        self.requests = Requests()

    def run(self) -> Outcome:
        """Trains until the limit or a stop signal, checkpoints, and returns where it stands."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        resumed = self._start()
        self.module.train()
        began, base = time.monotonic(), self.progress.elapsed_s
        last_save = last_sheet = last_log = time.monotonic()
        logged_step = self.progress.step
        with self.requests.listening(), self._bar() as bar:
            while not self._finished() and not self.requests.stop.is_set():
                values = self._step()
                self.progress.elapsed_s = base + time.monotonic() - began
                bar.update(1)
                step, now = self.progress.step, time.monotonic()
                if step % self.config.log_every == 0:
                    speed = (step - logged_step) * self._samples_per_step() / max(now - last_log, 1e-9)
                    self._log_row(speed)
                    bar.set_postfix_str(self._postfix(values["loss"], speed))
                    last_log, logged_step = now, step
                if self.config.validate_every and step % self.config.validate_every == 0:
                    self._validate()
                if self.requests.sheet.is_set() or self._due(last_sheet, self.config.sheet_minutes):
                    self._sheet()
                    self.requests.sheet.clear()
                    last_sheet = time.monotonic()
                if self._due(last_save, self.config.checkpoint_minutes):
                    self.save()
                    last_save = time.monotonic()
        return self._end(resumed)

    def _end(self, resumed_at: int) -> Outcome:
        """The last checkpoint, and for a finished run its final figures and sheet, once."""
        step, finished = self.progress.step, self._finished()
        if finished and not any(row["kind"] == "valid" and row["step"] == step for row in self.log.rows()):
            self._validate()
            self._sheet()
        if step > resumed_at or not run_state.checkpoints(self.run_dir / "checkpoints"):
            self.save()
        return Outcome(step, "finished" if finished else "stopped", self.run_dir)

    def _start(self) -> int:
        """Resumes from the newest checkpoint or starts anew; returns the step at which it stands."""
        found = run_state.checkpoints(self.run_dir / "checkpoints")
        if found:
            self._restore(found[-1])
        else:
            report = self._initialise() if self.init_from is not None else {}
            self.ema = Ema(self.module, self.config.ema)
            self.progress.cooldown = self._planned()
            self.log.rewind(-1)
            self.log.append(0, "config", {"task": self.task.name, "config": asdict(self.config), **report})
        return self.progress.step

    def _initialise(self) -> dict[str, Any]:
        """Takes over the averaged weights of another run where they fit, and says what did not."""
        report = run_state.load_partly(self.module, run_state.ema_of(Path(self.init_from)))
        counts = ", ".join(f"{key} {len(names)}" for key, names in report.items())
        print(f"Weights from {self.init_from}: {counts}")
        differing = {key: names for key, names in report.items() if key != "loaded"}
        return {"init_from": str(self.init_from), "init_report": {"loaded": len(report["loaded"]), **differing}}

    def _planned(self) -> Cooldown | None:
        return planned_cooldown(self.config.steps, self.config.cooldown) if not self.config.minutes else None

    def _make_optimizer(self) -> torch.optim.AdamW:
        groups: list[dict[str, Any]] = []
        for group in self.task.parameter_groups():
            for many in (True, False):
                chosen = [p for p in group.parameters if p.requires_grad and (p.ndim >= 2) == many]
                decay = self.config.weight_decay if many and group.decay else 0.0
                if chosen:
                    groups.append({"params": chosen, "weight_decay": decay, "lr_scale": group.lr_scale})
        if not groups:
            raise InputError(f"Task {self.task.name} has nothing to train: no parameter requires gradients.")
        return torch.optim.AdamW(groups, lr=self.config.lr, betas=tuple(self.config.betas), fused=True)

    def _step(self) -> dict[str, float]:
        """One optimizer update from `micro_batches` micro batches; a step with non-finite gradients changes nothing."""
        config, progress = self.config, self.progress
        factor = rate(progress.step, config.schedule, config.steps, config.warmup, config.floor, progress.cooldown)
        for group in self.optimizer.param_groups:
            group["lr"] = config.lr * factor * group["lr_scale"]
        device = torch.device(config.device).type
        seen = Means()
        for micro in range(config.micro_batches):
            rng, numpy_rng = generators(config.seed, progress.step, micro)
            torch.manual_seed(rng.initial_seed())
            with torch.autocast(device, dtype=torch.bfloat16, enabled=config.bf16):
                loss, values = self.task.loss(progress.step, micro, rng, numpy_rng)
            (loss / config.micro_batches).backward()
            seen.add({"loss": loss.detach(), **values})
        norm = torch.nn.utils.clip_grad_norm_(trainable(self.module).values(), config.clip or float("inf"))
        good = bool(torch.isfinite(norm))
        if good:
            self.optimizer.step()
            self.ema.update(progress.updates)
            progress.updates += 1
        self.optimizer.zero_grad(set_to_none=True)
        progress.bad_in_a_row = 0 if good else progress.bad_in_a_row + 1
        if progress.bad_in_a_row >= MAX_BAD_STEPS:
            raise TV2TVError(f"Training diverged at step {progress.step}: start again with a lower learning rate.")
        progress.step += 1
        self._decide_cooldown()
        means = seen.take()
        progress.means.add({**means, "grad_norm": norm} if good else {"skipped": 1.0})
        return means

    def _decide_cooldown(self) -> None:
        config, progress = self.config, self.progress
        if config.minutes and config.schedule == "constant" and progress.cooldown is None:
            progress.cooldown = timed_cooldown(progress.step, progress.elapsed_s, config.minutes, config.cooldown)

    def _finished(self) -> bool:
        config, progress = self.config, self.progress
        if config.steps and progress.step >= config.steps:
            return True
        if progress.cooldown is not None:
            return progress.step >= progress.cooldown.stop
        return bool(config.minutes) and progress.elapsed_s >= config.minutes * 60

    def _samples_per_step(self) -> int:
        return self.task.samples_per_micro * self.config.micro_batches

    def _log_row(self, speed: float) -> None:
        values = self.progress.means.take()
        values["lr"] = self.optimizer.param_groups[0]["lr"]
        self.log.append(
            self.progress.step, "train", values, {"samples_per_s": speed, "elapsed_s": self.progress.elapsed_s}
        )

    @contextmanager
    def _averaged(self) -> Iterator[None]:
        """Evaluation mode with the averaged weights and no gradients."""
        self.module.eval()
        try:
            with self.ema.applied(), torch.no_grad():
                yield
        finally:
            self.module.train()

    def _validate(self) -> None:
        with self._averaged():
            values = self.task.validate(self.progress.step)
        if values:
            self.log.append(self.progress.step, "valid", values, {"elapsed_s": self.progress.elapsed_s})

    def _sheet(self) -> None:
        with self._averaged():
            picture = self.task.sample_sheet(self.progress.step)
        if picture is not None:
            folder = self.run_dir / "sheets"
            folder.mkdir(exist_ok=True)
            Image.fromarray(picture).save(folder / f"step_{self.progress.step:08d}.png")

    def save(self) -> Path:
        """Writes a checkpoint of everything that the next step depends on."""
        names = {id(parameter): name for name, parameter in trainable(self.module).items()}
        tensors = {f"model.{name}": value for name, value in run_state.saved_entries(self.module).items()}
        tensors |= {f"ema.{name}": value for name, value in self.ema.shadow.items()}
        for parameter, state in self.optimizer.state.items():
            tensors |= {f"optimizer.{key}.{names[id(parameter)]}": value for key, value in state.items()}
        progress = self.progress
        scalars = {
            "task": self.task.name,
            "elapsed_s": progress.elapsed_s,
            "updates": progress.updates,
            "bad_in_a_row": progress.bad_in_a_row,
            "cooldown": asdict(progress.cooldown) if progress.cooldown else None,
            "means": progress.means.state(),
            "config": asdict(self.config),
        }
        return run_state.write_checkpoint(self.run_dir / "checkpoints", progress.step, tensors, scalars)

    def _restore(self, path: Path) -> None:
        tensors, scalars = run_state.read_checkpoint(path)
        self._check_same_run(scalars)
        model = {name.removeprefix("model."): t for name, t in tensors.items() if name.startswith("model.")}
        with torch.no_grad():
            for name, value in run_state.saved_entries(self.module).items():
                if name not in model or model[name].shape != value.shape:
                    raise InputError(f"{path} was made by another model ({name} differs). Use a new run folder.")
                value.copy_(model[name])
        self.ema = Ema(self.module, self.config.ema)
        for name in self.ema.shadow:
            self.ema.shadow[name].copy_(tensors[f"ema.{name}"])
        for name, parameter in trainable(self.module).items():
            state = {}
            for key in ("step", "exp_avg", "exp_avg_sq"):
                if (entry := f"optimizer.{key}.{name}") in tensors:
                    kept = tensors[entry].to(parameter.device)
                    # In the parameter's memory order: the fused update goes through both as they lie in memory.
                    state[key] = torch.empty_like(parameter).copy_(kept) if kept.shape == parameter.shape else kept
            if state:
                self.optimizer.state[parameter] = state
        progress = self.progress
        progress.step, progress.elapsed_s = scalars["step"], scalars["elapsed_s"]
        progress.updates, progress.bad_in_a_row = scalars["updates"], scalars["bad_in_a_row"]
        progress.means.restore(scalars["means"])
        progress.cooldown = self._planned()
        if scalars["cooldown"] and self.config.minutes and self.config.minutes == scalars["config"]["minutes"]:
            progress.cooldown = Cooldown(**scalars["cooldown"])
        self.log.rewind(progress.step)

    def _check_same_run(self, scalars: dict[str, Any]) -> None:
        if scalars["task"] != self.task.name:
            raise InputError(
                f"{self.run_dir} holds a run of {scalars['task']}, not {self.task.name}. Use a new folder."
            )
        for key in ("seed", "micro_batches"):
            if scalars["config"][key] != getattr(self.config, key):
                raise InputError(
                    f"{self.run_dir} was started with {key}={scalars['config'][key]}, "
                    f"got {getattr(self.config, key)}. Keep it, or use a new folder."
                )

    def _bar(self) -> tqdm:
        return tqdm(
            total=self.config.steps or None, initial=self.progress.step, desc=self.task.name, unit="step",
            mininterval=2.0, dynamic_ncols=True,
        )

    def _postfix(self, loss: float, speed: float) -> str:
        progress, config = self.progress, self.config
        text = f"loss {loss:.4f}, {speed:.1f} samples/s"
        if config.minutes:
            left = max(0.0, config.minutes * 60 - progress.elapsed_s)
            text += f", {int(left // 60)}:{int(left % 60):02d} left"
        return text

    @staticmethod
    def _due(since: float, minutes: float) -> bool:
        return minutes > 0 and time.monotonic() - since >= minutes * 60
