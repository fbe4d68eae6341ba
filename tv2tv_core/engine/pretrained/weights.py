"""Where pretrained weights lie on this machine, whether they are complete, and how large they are. Loads nothing."""

from __future__ import annotations

import json
import os
import struct
from math import prod
from pathlib import Path

from tv2tv_core import presets
from tv2tv_core.errors import WeightsError
from tv2tv_core.presets import Preset
from tv2tv_core.recipe import Weights

INDEX = "model_index.json"
_MAX_HEADER = 64 * 2**20


def locate(weights: Weights) -> Path | None:
    """The folder with these weights, complete as far as its own lists tell; None when it is not here."""
    folder = weights.path if weights.path is not None else _cached(weights.checkpoint)
    return folder if folder is not None and folder.is_dir() and not missing(folder) else None


def missing(folder: Path) -> list[str]:
    """What a folder of weights lacks, by its own lists; empty when it is complete."""
    try:
        if not (folder / INDEX).is_file():
            return _lacks(folder, "")
        parts = json.loads((folder / INDEX).read_text(encoding="utf-8"))
        needed = [name for name, kind in parts.items() if isinstance(kind, list) and kind[0] is not None]
        return [row for name in needed for row in _lacks(folder / name, f"{name}/")]
    except (OSError, ValueError, TypeError, AttributeError, IndexError) as error:
        return [f"a readable {INDEX} ({type(error).__name__})"]


def require(preset: Preset) -> tuple[Path, Path | None]:
    """The folders of the renderer and of the planner (None: the embedded one). Raises WeightsError with what to do."""
    recipe = preset.recipe
    assert recipe is not None, "a native preset has one file of weights"
    found = [(each, locate(each)) for each in (recipe.weights, recipe.planner) if each is not None]
    for each, folder in found:
        if folder is None:
            raise WeightsError(_not_here(preset, each))
    return found[0][1], found[1][1] if recipe.planner else None  # type: ignore[return-value]


def fetch_command(preset: Preset) -> str:
    """What a person types to download a preset's weights."""
    own = preset.weights.parent != presets.PRESETS
    return f"python3 launch.py fetch {preset.weights if own else preset.name}"


def part_sizes(folder: Path) -> dict[str, int]:
    """How many numbers the weights of each part of a pipeline hold, read from the heads of its files."""
    sizes: dict[str, int] = {}
    for file in sorted(folder.rglob("*.safetensors")):
        part = file.parent.relative_to(folder).as_posix()
        sizes[part] = sizes.get(part, 0) + _numbers(file)
    return sizes


def _not_here(preset: Preset, weights: Weights) -> str:
    if weights.path is not None:
        lacks = ", ".join(missing(weights.path)[:3]) if weights.path.is_dir() else "the folder itself"
        return f"The weights of preset '{preset.name}' are not whole in {weights.path}: missing {lacks}. Check its path."
    size = preset.needs.get("disk_gb")
    about = f", about {size:g} GB in all" if isinstance(size, int | float) else ""
    return (
        f"Preset '{preset.name}' needs {weights.checkpoint}{about} (licence: {preset.licence or 'unknown'}), which is not on "
        f"this machine. Download it with `{fetch_command(preset)}`, or choose another preset."
    )


def downloads() -> Path:
    """The folder for downloaded weights, which all tools of this family share."""
    home = os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")


def _cached(checkpoint: str) -> Path | None:
    """The checkpoint's folder among the downloads, read by its documented layout: importing the library takes a second."""
    folder = downloads() / f"models--{checkpoint.replace('/', '--')}"
    try:
        return folder / "snapshots" / (folder / "refs" / "main").read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def _lacks(folder: Path, shown: str) -> list[str]:
    """What one part lacks: the shards that its index lists, or any file at all."""
    for index in sorted(folder.glob("*.safetensors.index.json")):
        listed = set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values())
        return sorted(f"{shown}{name}" for name in listed if not (folder / name).is_file())
    if any(folder.glob("*.safetensors")):
        return []
    # Schedulers, tokenizers and image processors are configuration alone; whatever has a config.json has weights, too.
    if (folder / "config.json").is_file() or not any(folder.glob("*.json")):
        return [f"{shown}*.safetensors"]
    return []


def _numbers(file: Path) -> int:
    """How many numbers a weight file holds. Raises WeightsError for what is none."""
    try:
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            if length > _MAX_HEADER:
                raise ValueError("its header is too large")
            header = json.loads(stream.read(length))
        return sum(prod(entry["shape"]) for name, entry in header.items() if name != "__metadata__")
    except (OSError, ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        raise WeightsError(f"{file} is not a readable weight file ({type(error).__name__}); download it again") from error
