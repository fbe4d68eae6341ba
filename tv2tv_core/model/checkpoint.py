"""Weight files: safetensors with the architecture inside, optionally 8-bit per row, checked by hash when they ship."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from tv2tv_core.errors import StorageError, WeightsError

FORMAT = "tv2tv-weights-1"
SCALE = "::scale"
# Under these names the config tells of codecs, and their entries stand beside the model's; a file may do without the second.
CODECS = CODEC, GIVEN_CODEC = "codec", "given_codec"
MIN_QUANTISED = 4096  # smaller tensors (norms, biases, tables) stay in half precision: they cost nothing and matter


def quantise(tensor: Tensor) -> tuple[Tensor, Tensor]:
    """int8 values and float32 scales [rows] of a tensor of two or more axes, each row by its own largest value."""
    flat = tensor.detach().float().flatten(1)
    scale = flat.abs().amax(1).clamp(min=1e-12) / 127
    return (flat / scale[:, None]).round().to(torch.int8).view(tensor.shape), scale


def entries_of(codec: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """What stands in `tensors` under the name of a codec, by the names that the codec itself has for it."""
    return {name.removeprefix(f"{codec}."): value for name, value in tensors.items() if name.startswith(f"{codec}.")}


def dequantise(values: Tensor, scale: Tensor) -> Tensor:
    """Inverse of `quantise`, float32."""
    return (values.float().flatten(1) * scale[:, None]).view(values.shape)


def save_weights(path: Path, tensors: dict[str, Tensor], config: dict[str, Any], int8: bool = False) -> None:
    """Write tensors and a JSON-able config atomically: half precision, or int8 per row for the large ones.

    Raises StorageError when the disk refuses; a file that was there before stays as it was.
    """
    out: dict[str, Tensor] = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if int8 and tensor.is_floating_point() and tensor.dim() > 1 and tensor.numel() >= MIN_QUANTISED:
            out[name], out[name + SCALE] = quantise(tensor)
        else:
            out[name] = tensor.half() if tensor.is_floating_point() else tensor
    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # One metadata entry: safetensors writes several in a random order, and the same weights must be the same bytes.
        save_file(out, fresh, metadata={FORMAT: json.dumps(config, sort_keys=True)})
        os.replace(fresh, path)
    except (OSError, SafetensorError) as error:
        raise StorageError(f"could not write {path} ({error}); free some space or choose another folder") from error
    finally:
        fresh.unlink(missing_ok=True)


def load_weights(path: Path, expected_sha256: str | None = None) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors (float32 for everything stored as floats or int8) and config of a weight file.

    Raises WeightsError when the file is missing, is not ours, or does not have the expected hash.
    """
    if not path.is_file():
        raise WeightsError(f"weights {path} are missing; restore the file (the shipped ones: `git checkout -- assets`)")
    if expected_sha256 is not None and (found := sha256(path)) != expected_sha256:
        raise WeightsError(f"weights {path} were altered: sha256 is {found[:12]}…, expected {expected_sha256[:12]}…; "
                           "restore the original file")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            raw = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        if FORMAT not in metadata:
            raise WeightsError(f"{path} is not in format {FORMAT}; export it anew")
        config = json.loads(metadata[FORMAT])
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise WeightsError(f"{path} is not a readable weight file ({error}); restore or re-export it") from error
    tensors = {}
    for name, tensor in raw.items():
        if name.endswith(SCALE):
            continue
        scale = raw.get(name + SCALE)
        tensors[name] = dequantise(tensor, scale.float()) if scale is not None else (
            tensor.float() if tensor.is_floating_point() else tensor)
    return tensors, config


def sha256(path: Path) -> str:
    """Hex digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
