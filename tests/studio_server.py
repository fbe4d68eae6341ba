"""The real server on the small stand-in backend: `python -m tests.studio_server --port P --projects DIR [--delay S]`.

It takes no time to load and draws hashes, so that interface tests and people who work on the page need no model.
`--fail-at INDEX STEP` and `--end-at INDEX` make it fail in mid-chunk, or end the clip, as a model may. `--presets DIR` puts
real models in its place: those that the presets in a folder name; `--delay` slows them, too.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import numpy as np

from app.address import Options
from app.jobs import Engines
from app.studio import serve
from tests.fakes import FakeBackend
from tv2tv_core import presets
from tv2tv_core.engine.backend import ActOptions, Backend, ThinkOptions, Thought
from tv2tv_core.engine.describe import describe
from tv2tv_core.presets import Preset
from tv2tv_core.timeline import ChunkSegment, History

Item = TypeVar("Item")


class Slow:
    """A backend that leaves all to another one and sleeps `delay_s` before everything that its thinking and acting yield."""

    def __init__(self, backend: Backend, delay_s: float) -> None:
        self._backend, self._delay_s = backend, delay_s
        self.spec = backend.spec

    def begin(self, prompt: str, frames: np.ndarray) -> History:
        """The other's start."""
        return self._backend.begin(prompt, frames)

    def think(self, history: History, options: ThinkOptions, check: Callable[[], None]) -> Iterator[str | Thought]:
        """The other's thought, slowly."""
        return self._slowly(self._backend.think(history, options, check))

    def act(
        self, history: History, index: int, options: ActOptions, check: Callable[[], None]
    ) -> Iterator[np.ndarray | ChunkSegment | None]:
        """The other's chunk, slowly."""
        return self._slowly(self._backend.act(history, index, options, check))

    def close(self) -> None:
        """Free what the other holds, where it holds anything."""
        if hasattr(self._backend, "close"):
            self._backend.close()

    def _slowly(self, items: Iterator[Item]) -> Iterator[Item]:
        for item in items:
            time.sleep(self._delay_s)
            yield item


def options() -> argparse.Namespace:
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--projects", type=Path, required=True)
    parser.add_argument("--delay", type=float, default=0.0, help="seconds per token and per step")
    parser.add_argument("--load-delay", type=float, default=0.0, help="seconds that loading takes")
    parser.add_argument("--width", type=int, default=160)
    parser.add_argument("--height", type=int, default=96)
    parser.add_argument("--chunk-frames", type=int, default=4)
    parser.add_argument("--fps", type=Fraction, default=Fraction(35, 2))
    parser.add_argument("--presets", type=Path, metavar="DIR", help="offer these presets and load what they name")
    parser.add_argument("--fail-at", type=int, nargs=2, metavar=("INDEX", "STEP"))
    parser.add_argument("--end-at", type=int, metavar="INDEX")
    parser.add_argument("--listen", action="store_true")
    parser.add_argument("--password")
    return parser.parse_args()


def main() -> int:
    """Serve until Ctrl-C or SIGTERM."""
    chosen = options()
    backend = FakeBackend(
        chosen.width,
        chosen.height,
        delay_s=chosen.delay,
        fail_at=tuple(chosen.fail_at) if chosen.fail_at else None,
        end_at=chosen.end_at,
        chunk_frames=chosen.chunk_frames,
        fps=chosen.fps,
    )

    def load(_preset: object) -> FakeBackend:
        time.sleep(chosen.load_delay)
        return backend

    signal.signal(signal.SIGTERM, lambda _signal, _frame: sys.exit(143))
    given = Options(
        chosen.projects, "embedded", port=chosen.port, browser=False, listen=chosen.listen, password=chosen.password
    )
    if chosen.presets is not None:
        presets.PRESETS = chosen.presets
        warm_up()
        return serve(given, Engines(load=lambda preset: Slow(load_real(preset), chosen.delay), describe=describe))
    return serve(given, Engines(load=load, describe=lambda preset: backend.spec))


def warm_up() -> None:
    """Import what the pipelines of the presets need: on a busy machine that takes longer than a test waits for a job."""
    import diffusers
    from transformers import AutoModelForCausalLM  # noqa: F401

    for recipe in (presets.load(name).recipe for name in presets.names()):
        if recipe is not None:
            getattr(diffusers, recipe.pipeline)


def load_real(preset: Preset) -> Backend:
    """What the studio itself loads."""
    from tv2tv_core.engine.load import load_backend

    return load_backend(preset)


if __name__ == "__main__":
    sys.exit(main())
