"""Training checkpoints on disk: tensors as safetensors, scalars as JSON, written whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tv2tv_core.errors import StorageError, WeightsError
from tv2tv_core.train.ema import trainable

TENSORS, SCALARS = "tensors.safetensors", "state.json"


def saved_entries(module: nn.Module) -> dict[str, Tensor]:
    """The state of `module` that training changes: trainable parameters and persistent buffers, by name.

    Frozen parameters (a pretrained tower) come from their own file and would make every checkpoint large.
    """
    parameters = {name for name, _ in module.named_parameters(remove_duplicate=False)}
    buffers = {name: value for name, value in module.state_dict().items() if name not in parameters}
    return {**{name: parameter.detach() for name, parameter in trainable(module).items()}, **buffers}


def write_checkpoint(
    folder: Path, step: int, tensors: dict[str, Tensor], scalars: dict[str, Any], keep: int = 2
) -> Path:
    """Writes `folder/step_…` through a temporary folder and a rename, then drops all but the last `keep`.

    Raises StorageError when the disk refuses; earlier checkpoints are then untouched.
    """
    final = folder / f"step_{step:08d}"
    temporary = folder / f".tmp_{step:08d}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for stale in folder.glob(".tmp_*"):
            shutil.rmtree(stale)
        temporary.mkdir()
        save_file({name: value.detach().cpu().contiguous() for name, value in tensors.items()}, temporary / TENSORS)
        (temporary / SCALARS).write_text(json.dumps({"step": step, **scalars}, indent=1), encoding="utf-8")
        for name in (TENSORS, SCALARS):
            with (temporary / name).open("rb+") as file:
                os.fsync(file.fileno())
        if final.exists():
            shutil.rmtree(final)
        temporary.rename(final)
        for old in checkpoints(folder)[:-keep]:
            shutil.rmtree(old)
    except (OSError, SafetensorError) as error:
        shutil.rmtree(temporary, ignore_errors=True)
        raise StorageError(
            f"Could not write the checkpoint of step {step} to {folder}: {error}. Free some space and resume."
        ) from error
    return final


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints in `folder`, oldest first."""
    return sorted(path for path in folder.glob("step_*") if (path / SCALARS).exists() and (path / TENSORS).exists())


def read_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors (on the CPU) and the scalars of one checkpoint. Raises WeightsError when it cannot be read."""
    try:
        return load_file(path / TENSORS), json.loads((path / SCALARS).read_text(encoding="utf-8"))
    except (OSError, SafetensorError, json.JSONDecodeError) as error:
        raise WeightsError(
            f"Checkpoint {path} cannot be read ({error}). Delete that folder and resume again."
        ) from error


def ema_of(run_dir: Path) -> dict[str, Tensor]:
    """The averaged parameters and the buffers of the newest checkpoint of a run, by the names of its task's module.

    `run_dir` is a run folder or one `step_…` folder. Raises WeightsError when there is none.
    """
    found = [run_dir] if (run_dir / TENSORS).exists() else checkpoints(run_dir / "checkpoints")
    if not found:
        raise WeightsError(f"No checkpoint in {run_dir}. Give the folder of a run that has written one.")
    tensors, _ = read_checkpoint(found[-1])
    kept = {name.removeprefix("model."): value for name, value in tensors.items() if name.startswith("model.")}
    return kept | {name.removeprefix("ema."): value for name, value in tensors.items() if name.startswith("ema.")}


def load_partly(module: nn.Module, tensors: dict[str, Tensor]) -> dict[str, list[str]]:
    """Copies every tensor whose name and shape fit into `module`; says what became of all of them.

    Returns {"loaded", "missing" (trainable here, not given), "unexpected" (given, unknown here), "mismatched"}.
    """
    own = dict(module.named_parameters()) | dict(module.named_buffers())
    report: dict[str, list[str]] = {"loaded": [], "missing": [], "unexpected": [], "mismatched": []}
    with torch.no_grad():
        for name, value in tensors.items():
            if name not in own:
                report["unexpected"].append(name)
            elif own[name].shape != value.shape:
                report["mismatched"].append(name)
            else:
                own[name].copy_(value)
                report["loaded"].append(name)
    report["missing"] = [name for name in trainable(module) if name not in tensors]
    return report
