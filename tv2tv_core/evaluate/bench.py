"""Speed, response to a rewritten line, and memory of one preset on this machine, measured through the one loop."""

from __future__ import annotations

import json
import os
import platform
import re
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from tv2tv_core.engine.backend import ActOptions, Backend, ThinkOptions, Thought
from tv2tv_core.engine.events import ChunkDone
from tv2tv_core.engine.generate import GenerateRequest, generate
from tv2tv_core.errors import InputError
from tv2tv_core.media.atomic import atomic_file
from tv2tv_core.presets import Preset, verify_weights
from tv2tv_core.settings import GenerationSettings, resolve
from tv2tv_core.timeline import ChunkSegment, History

HELD_LINE = "run forward"
REWRITTEN = ("stand, turn left 15", "run back", "walk strafe left", "stand, look up 10", "run strafe right")
QUIET_NOTE = "Run this on a quiet machine: whatever else computes makes every figure worse."
BUSY_LOAD = 0.5  # other work, in running processes, from which on the figures are called too low


@dataclass(frozen=True)
class Extent:
    """How much is measured. `boundaries`: the late and the early chunk before which a line is rewritten."""

    runs: int = 3
    chunks: int = 12
    boundaries: tuple[int, int] = (60, 4)
    rewrites: int = 5


@dataclass(frozen=True)
class Pace:
    """Median over the runs: frames/s, and where the time of a chunk goes in milliseconds.

    `think_ms` is all thinking, with the time that the finished chunk before takes to enter the cache; where a person
    writes the line nothing thinks, and `act_ms` has that time.
    """

    frames_per_s: float
    think_ms: float
    act_ms: float


@dataclass(frozen=True)
class BenchResult:
    """All figures; times in seconds or milliseconds as named, None where this system cannot tell."""

    preset: str
    backend: str
    steps: int
    guidance: float
    load_s: float
    own_plan: Pace
    forced_line: Pace
    decode_ms: float | None
    late_boundary: int
    early_boundary: int
    late_ms: float
    early_ms: float
    late_to_early: float
    peak_memory_gb: float | None
    device: str
    threads: int
    cores: int
    load_before: float | None
    machine: str

    def as_dict(self) -> dict[str, object]:
        """Everything as plain data for a JSON file."""
        return asdict(self)

    def table(self) -> str:
        """The figures for people, with what they are meant to reach."""
        own, held = self.own_plan, self.forced_line
        late, early = self.late_boundary, self.early_boundary
        rows = [
            ("plan text + frames", f"{own.frames_per_s:.1f} frames/s", "≥ 8"),
            ("  think · act + decode", f"{own.think_ms:.0f} · {own.act_ms:.0f} ms a chunk", ""),
            ("frames under a forced line", f"{held.frames_per_s:.1f} frames/s", ""),
            ("  act + decode", f"{held.act_ms:.0f} ms a chunk", ""),
            ("decode of one chunk", _or_unknown(self.decode_ms, "{:.0f} ms"), "≤ 60"),
            (f"rewritten line → frame at chunk {late}", f"{self.late_ms:.0f} ms", ""),
            (f"rewritten line → frame at chunk {early}", f"{self.early_ms:.0f} ms", ""),
            ("  ratio", f"{self.late_to_early:.2f}", "≤ 1.2"),
            ("peak memory", _or_unknown(self.peak_memory_gb, "{:.2f} GB"), "≤ 3"),
            ("load", f"{self.load_s:.1f} s", ""),
        ]
        head = (
            f"preset {self.preset} · {self.steps} steps · guidance {self.guidance:g} · {self.device} · "
            f"{self.threads} threads on {self.cores} cores"
        )
        lines = [head, *(f"{name:<38}{value:>24}   {target}".rstrip() for name, value, target in rows), QUIET_NOTE]
        if self.load_before is not None and self.load_before > BUSY_LOAD:
            lines.append(f"It was not quiet: the load average before this began was {self.load_before:.1f}.")
        return "\n".join(lines)


DEFAULT_EXTENT = Extent()


def bench(
    preset: Preset, extent: Extent = DEFAULT_EXTENT, load: Callable[[Preset], Backend] | None = None
) -> BenchResult:
    """Measure a preset at its own settings; about 2 minutes on two cores. `load` replaces the loading of the backend.

    Raises WeightsError for missing or altered weights before anything heavy is imported.
    """
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    if load is None:
        verify_weights(preset)
    settings = resolve(preset.settings)
    began = time.perf_counter()
    backend = (load or _load)(preset)
    load_s = time.perf_counter() - began
    frames, prompt = _start(backend)
    total = 1 + 2 * extent.runs * extent.chunks + max(extent.boundaries) + 2 * extent.rewrites
    with tqdm(total=total, unit="chunk", desc="bench", file=sys.stderr, leave=False) as bar:
        meter = _Meter(backend, settings, lambda: bar.update(1))
        meter.run(backend.begin(prompt, frames), 1, 0)  # warm-up: the first call of everything is slower
        own = meter.pace(lambda: backend.begin(prompt, frames), extent, None)
        held = meter.pace(lambda: backend.begin(prompt, frames), extent, HELD_LINE)
        late, early = meter.responses(backend.begin(prompt, frames), extent)
    return BenchResult(
        preset=preset.name,
        backend=backend.spec.name,
        steps=settings.steps,
        guidance=settings.guidance,
        load_s=load_s,
        own_plan=own,
        forced_line=held,
        decode_ms=decode_ms(backend),
        late_boundary=max(extent.boundaries),
        early_boundary=min(extent.boundaries),
        late_ms=late * 1000,
        early_ms=early * 1000,
        late_to_early=late / early,
        peak_memory_gb=peak_memory_gb(),
        device=str(getattr(backend, "device", "cpu")),
        threads=_threads(),
        cores=os.cpu_count() or 1,
        load_before=busy,
        machine=f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    )


def save(figures: BenchResult, path: Path) -> None:
    """Write the figures as JSON, whole or not at all. Raises StorageError."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(figures.as_dict(), indent=1) + "\n", encoding="utf-8")


class _Meter:
    """Runs the loop over a backend that it times."""

    def __init__(self, backend: Backend, settings: GenerationSettings, on_chunk: Callable[[], None]) -> None:
        self.timed, self.settings, self.on_chunk = _Timed(backend), settings, on_chunk

    def run(self, history: History, chunks: int, seed: int, line: str | None = None) -> History:
        """`chunks` more chunks under the model's own plan, or with `line` forced on every one."""
        request = GenerateRequest(
            self.timed,
            history,
            chunks,
            plan=() if line is None else (line,) * chunks,
            seed=seed,
            steps=self.settings.steps,
            guidance=self.settings.guidance,
            temperature=self.settings.temperature,
            top_p=self.settings.top_p,
        )
        for event in generate(request):
            if isinstance(event, ChunkDone):
                history = event.history
                self.on_chunk()
        return history

    def pace(self, begin: Callable[[], History], extent: Extent, line: str | None) -> Pace:
        """Medians over `extent.runs` runs from fresh histories: nothing of one run is in the cache of the next."""
        speeds, thinks, acts = [], [], []
        for number in range(extent.runs):
            history, self.timed.think_s, self.timed.act_s = begin(), 0.0, 0.0
            began = time.perf_counter()
            made = len(self.run(history, extent.chunks, number, line).chunks) - 1
            seconds = time.perf_counter() - began
            speeds.append(made * self.timed.spec.chunk_frames / seconds)
            thinks.append(self.timed.think_s * 1000 / made)
            acts.append(self.timed.act_s * 1000 / made)
        return Pace(statistics.median(speeds), statistics.median(thinks), statistics.median(acts))

    def responses(self, history: History, extent: Extent) -> tuple[float, float]:
        """Median seconds from a rewritten line to its first new frames, at the late and at the early boundary.

        One history grows past both; each rewrite rewinds within it, as a person does: the prefix is in the cache.
        """
        late, early = max(extent.boundaries), min(extent.boundaries)
        grown = self.run(history, late, 0, HELD_LINE)
        # The last chunk enters the cache when it is first looked back on; a person has seen it by then.
        for _ in self.timed.think(grown, ThinkOptions(0, 1.0, 0), lambda: None):
            break
        seconds: dict[int, list[float]] = {late: [], early: []}
        for turn in range(extent.rewrites):
            line = REWRITTEN[turn % len(REWRITTEN)]
            for boundary in (late, early):  # in turns, so that a slow moment of the machine meets both
                before = grown.rewind(boundary)
                began = time.perf_counter()
                self.run(before, 1, turn + 1, line)
                seconds[boundary].append(time.perf_counter() - began)
        return statistics.median(seconds[late]), statistics.median(seconds[early])


class _Timed:
    """A backend that adds up what thinking and acting take."""

    def __init__(self, backend: Backend) -> None:
        self._backend, self.spec = backend, backend.spec
        self.think_s = self.act_s = 0.0

    def begin(self, prompt: str, frames: np.ndarray) -> History:
        return self._backend.begin(prompt, frames)

    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        began = time.perf_counter()
        for item in self._backend.think(history, options, check):
            self.think_s += time.perf_counter() - began
            yield item
            began = time.perf_counter()

    def act(
        self, history: History, index: int, options: ActOptions, check: Callable[[], None]
    ) -> Iterator[np.ndarray | None | ChunkSegment]:
        began = time.perf_counter()
        for item in self._backend.act(history, index, options, check):
            self.act_s += time.perf_counter() - began
            yield item
            began = time.perf_counter()


def decode_ms(backend: Backend, repeats: int = 5) -> float | None:
    """Median milliseconds that the backend's codec takes to decode one chunk behind another; None when it has no codec of its
    own."""
    codec = getattr(backend, "codec", None)
    if codec is None:
        return None
    import torch

    from tv2tv_core.model.reference import Reference

    device = next(codec.parameters()).device
    latents = torch.zeros(1, *codec.latent_shape, device=device)
    frames = torch.zeros_like(codec.decode(latents))
    reference = Reference(frames, frames[:, :, 0])
    times = []
    with torch.inference_mode():
        for _ in range(repeats + 1):
            began = time.perf_counter()
            codec.decode_with(latents, reference)[1].cpu()
            times.append(time.perf_counter() - began)
    return statistics.median(times[1:]) * 1000


def peak_memory_gb() -> float | None:
    """The most memory that this process has held so far, in GB (10^9 bytes); None where the system does not tell."""
    status = Path("/proc/self/status")
    if status.is_file():  # Linux; its getrusage also counts what the parent held when this process began
        found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text(encoding="utf-8"))
        if found:
            return int(found.group(1)) * 1024 / 1e9
    try:
        import resource
    except ImportError:  # Windows
        return None
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e9


def _threads() -> int:
    import torch

    return torch.get_num_threads()


def _load(preset: Preset) -> Backend:
    # Only here: it brings the model and its libraries along, and that counts as loading.
    from tv2tv_core.engine.load import load_backend

    return load_backend(preset)


def _start(backend: Backend) -> tuple[np.ndarray, str]:
    """A start frame that ships, or a plain picture where none does: speed hardly depends on what is seen."""
    from tv2tv_core.media.clip import OWN_FOOTAGE, resolve_start

    try:
        start = resolve_start(None)
    except InputError:
        spec = backend.spec
        ramp = np.linspace(0, 255, spec.width).astype(np.uint8)
        return np.broadcast_to(ramp[None, None, :, None], (1, spec.height, spec.width, 3)).copy(), OWN_FOOTAGE
    return start.frames, start.prompt


def _or_unknown(value: float | None, form: str) -> str:
    return "unknown" if value is None else form.format(value)
