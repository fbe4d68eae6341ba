"""The real server on the small stand-in backend: `python -m tests.studio_server --port P --projects DIR [--delay S]`.

It takes no time to load and draws hashes, so that interface tests and people who work on the page need no model.
`--fail-at INDEX STEP` and `--end-at INDEX` make it fail in mid-chunk, or end the clip, as a model may. `--presets DIR` puts
real models in its place: those that the presets in a folder name.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from fractions import Fraction
from pathlib import Path

from app.address import Options
from app.jobs import Engines
from app.studio import serve
from tests.fakes import FakeBackend
from tv2tv_core import presets
from tv2tv_core.engine.backend import Backend
from tv2tv_core.engine.describe import describe
from tv2tv_core.presets import Preset


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
        return serve(given, Engines(load=load_real, describe=describe))
    return serve(given, Engines(load=load, describe=lambda preset: backend.spec))


def load_real(preset: Preset) -> Backend:
    """What the studio itself loads."""
    from tv2tv_core.engine.load import load_backend

    return load_backend(preset)


if __name__ == "__main__":
    sys.exit(main())
