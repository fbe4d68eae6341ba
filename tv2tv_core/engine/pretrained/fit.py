"""What this machine has, which presets it can run and why not, in words; and how a pipeline is laid out in its memory.

No tensor library is needed to ask: the graphics card answers through its own tool, the rest through the system.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from tv2tv_core.engine.pretrained.weights import downloads, fetch_command, locate
from tv2tv_core.presets import Preset

GB = 10**9
WORK_GB = 4.0
"""Beside the weights: what one chunk needs while it is drawn and decoded, in tiles. An estimate, not measured."""
_SLACK = 0.95  # a card sold as 12 GB shows a little less
Plan = Literal["resident", "model", "leaf"]
PLANS: tuple[Plan, ...] = ("resident", "model", "leaf")
"""From fastest to smallest: everything on the GPU; one part at a time; one layer at a time."""


@dataclass(frozen=True)
class Machine:
    """Memory of this machine in GB (10^9 bytes). `gpu` is None where no NVIDIA card answers; `vram_gb` is then 0."""

    gpu: str | None
    vram_gb: float
    ram_gb: float


def runnable(preset: Preset, machine: Machine | None = None) -> tuple[bool, str]:
    """Whether this machine can run a preset, and one sentence: why not, what is still to be downloaded, or nothing.

    Takes milliseconds but for the first time in a process, when the card is asked (up to a second or so).
    """
    here = machine or this_machine()
    need = {name: float(value) for name, value in preset.needs.items() if isinstance(value, int | float)}
    vram, ram = need.get("vram_gb", 0.0), need.get("ram_gb", need.get("memory_gb", 0.0))
    if vram and here.gpu is None:
        return False, f"Needs an NVIDIA GPU with {vram:g} GB of memory; none answers on this machine."
    if vram * _SLACK > here.vram_gb:
        return False, f"Needs a GPU with {vram:g} GB of memory; the {here.gpu} has {here.vram_gb:.0f} GB."
    if here.ram_gb and ram * _SLACK > here.ram_gb:
        return False, f"Needs {ram:g} GB of main memory; this machine has {here.ram_gb:.0f} GB."
    if preset.recipe is None:
        return True, ""
    wanted = [weights for weights in (preset.recipe.weights, preset.recipe.planner) if weights is not None]
    absent = [weights for weights in wanted if locate(weights) is None]
    if not absent:
        return True, ""
    if any(weights.path is not None for weights in absent):
        return False, f"Its weights are not at {absent[0].name}."
    disk, free = need.get("disk_gb", 0.0), free_disk_gb()
    if disk > free:
        return False, f"Its download needs {disk:g} GB of disk; {free:.0f} GB are free."
    return True, f"Not downloaded yet, about {disk:g} GB: `{fetch_command(preset)}`."


@lru_cache(maxsize=1)
def this_machine() -> Machine:
    """What this machine has; asked once per process."""
    name, vram = _card()
    return Machine(name, vram, _ram_gb())


def free_disk_gb() -> float:
    """Free space in GB where downloads go."""
    return shutil.disk_usage(_existing(downloads())).free / GB


def ladder(sizes: Mapping[str, int], free_bytes: int, wanted: str = "auto") -> list[Plan]:
    """The plans to try, the best first, for a pipeline whose parts hold `sizes` numbers of two bytes each.

    A plan that a preset asks for by name comes first whatever is free; smaller ones follow, for when memory runs out.
    """
    if wanted != "auto":
        return list(PLANS[PLANS.index(wanted) :])  # type: ignore[arg-type]
    work = WORK_GB * GB
    total, largest = 2 * sum(sizes.values()), 2 * max(sizes.values(), default=0)
    first = 0 if total + work <= free_bytes else 1 if largest + work <= free_bytes else 2
    return list(PLANS[first:])


def _card() -> tuple[str | None, float]:
    """Name and memory (GB) of the first NVIDIA card."""
    tool = shutil.which("nvidia-smi")
    if tool is None:
        return None, 0.0
    command = [tool, "--query-gpu=name,memory.total", "--format=csv,noheader,nounits"]
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout
        name, _, mebibytes = answer.splitlines()[0].rpartition(",")
        return name.strip(), float(mebibytes) * 2**20 / GB
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return None, 0.0  # a driver that does not answer is no driver


def _ram_gb() -> float:
    """Main memory in GB; 0 where the system does not say."""
    if sys.platform == "win32":
        kilobytes = ctypes.c_ulonglong(0)
        ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
        return kilobytes.value * 1024 / GB
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / GB
    except (ValueError, OSError):
        return 0.0


def _existing(path: Path) -> Path:
    while not path.exists():
        path = path.parent
    return path
