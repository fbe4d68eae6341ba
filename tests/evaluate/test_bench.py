"""The benchmark measures what it says: its own plan thinks, a forced line does not, a rewrite starts in the past."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.tiny_backend import backend as tiny_backend
from tests.fakes import FakeBackend
from tests.policy.source import ROOT
from tv2tv_core.engine.backend import Backend
from tv2tv_core.errors import WeightsError
from tv2tv_core.evaluate.bench import BenchResult, Extent, bench, peak_memory_gb, save
from tv2tv_core.presets import Preset
from tv2tv_core.timeline import History

SMALL = Extent(runs=2, chunks=3, boundaries=(7, 2), rewrites=2)
PRESET = Preset("tiny", "Tiny", Path("none.safetensors"), {"steps": 2})


class Watching(FakeBackend):
    """Notes the index and the plan of every chunk."""

    def __init__(self) -> None:
        super().__init__()
        self.acted: list[tuple[int, str]] = []

    def act(self, history: History, index: int, *rest: object) -> Iterator[object]:
        self.acted.append((index, history.plan))
        yield from super().act(history, index, *rest)


def run(backend: Backend) -> BenchResult:
    return bench(PRESET, SMALL, load=lambda preset: backend)


def test_it_makes_exactly_the_chunks_that_it_speaks_of() -> None:
    backend = Watching()
    run(backend)
    own, held = SMALL.runs * SMALL.chunks, SMALL.runs * SMALL.chunks
    assert len(backend.acted) == 1 + own + held + 7 + 2 * SMALL.rewrites and backend.steps == 2 * len(backend.acted)
    assert backend.thoughts == 1 + own + 1  # warm-up, own plan, and one look back at the grown history
    assert [plan for _, plan in backend.acted[1 + own : 1 + own + held + 7]] == ["run forward"] * (held + 7)
    rewritten = backend.acted[-2 * SMALL.rewrites :]
    assert [index for index, _ in rewritten] == [7, 2] * SMALL.rewrites
    assert "run forward" not in {plan for _, plan in rewritten}


def test_figures_are_data_and_text(tmp_path: Path) -> None:
    figures = run(FakeBackend())
    assert figures.decode_ms is None and figures.steps == 2 and figures.late_boundary == 7
    assert figures.late_to_early == pytest.approx(figures.late_ms / figures.early_ms)
    assert figures.own_plan.frames_per_s > 0 and figures.own_plan.think_ms > 0 == figures.forced_line.think_ms
    save(figures, tmp_path / "bench.json")
    assert json.loads((tmp_path / "bench.json").read_text())["own_plan"] == vars(figures.own_plan)
    text = figures.table()
    assert "chunk 7" in text and "quiet machine" in text and "unknown" in text


def test_a_native_backend_tells_its_decoding_time() -> None:
    figures = run(tiny_backend())
    assert figures.decode_ms > 0 and figures.device == "cpu" and figures.threads >= 1


def test_memory_is_the_peak() -> None:
    """Of the whole process, in GB, and still after the memory is given back."""
    code = """if True:
        import numpy as np
        from tv2tv_core.evaluate.bench import peak_memory_gb
        before = peak_memory_gb()
        held = np.ones(50_000_000)
        del held
        print(before, peak_memory_gb())"""
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    if "None" in told:
        pytest.skip("this system does not tell the peak memory of a process")
    before, after = (float(text) for text in told.split())
    assert 0.005 < before < 0.3 and after - before == pytest.approx(0.4, abs=0.02)


def test_missing_weights_are_told_first() -> None:
    with pytest.raises(WeightsError, match=r"none\.safetensors"):
        bench(PRESET)
