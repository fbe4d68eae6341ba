"""Errors → one line and an exit code; a growing clip → one line a chunk."""

from __future__ import annotations

import errno
import io

import numpy as np
import pytest

from app.present import ClipProgress, clip, failure
from tv2tv_core.engine.events import ChunkDone, ChunkStarted, PlanDone
from tv2tv_core.errors import Cancelled, InputError, WeightsError
from tv2tv_core.timeline import ChunkSegment, History


class OutOfMemoryError(RuntimeError):
    """As tensor libraries name it."""


@pytest.mark.parametrize(
    ("error", "words", "code"),
    [
        (InputError("seconds is '-3'; allowed is …"), "seconds is '-3'", 2),
        (WeightsError("a\nb"), "a b", 2),
        (Cancelled(), "stopped", 130),
        (OSError(errno.ENOSPC, "No space left on device", "/x/clip.mp4"), "disk is full: /x/clip.mp4", 2),
        (PermissionError(errno.EACCES, "denied", "/x"), "No permission: /x", 2),
        (OSError(errno.EROFS, "ro", "/x"), "read-only: /x", 2),
        (MemoryError(), "Not enough memory", 2),
        (OutOfMemoryError("CUDA out of memory"), "Not enough memory", 2),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "Not enough memory", 2),
        (ModuleNotFoundError("No module named 'torch'", name="torch"), "'torch' is not in the environment", 2),
        (ValueError("inner\nsecret"), "Something went wrong inside (ValueError: inner secret)", 1),
    ],
)
def test_every_error_becomes_one_line(error, words, code, tmp_path):
    text, exit_code = failure(error, tmp_path)
    assert words in text and "\n" not in text and exit_code == code
    assert bool(list(tmp_path.iterdir())) == (code == 1)


def test_the_log_of_an_unexpected_error_has_the_traceback(tmp_path):
    try:
        {}["missing key"]
    except KeyError as error:
        text, _ = failure(error, tmp_path / "logs")
    [log] = (tmp_path / "logs").iterdir()
    assert str(log) in text and "test_present.py" in log.read_text()


def test_no_room_for_the_log_is_said_too(tmp_path):
    (tmp_path / "file").write_text("")
    text, code = failure(ValueError("x"), tmp_path / "file")
    assert "no log could be written" in text and code == 1


def test_clipped_text_is_one_printable_line():
    assert clip("a\x1b[31m\n\tb" + "x" * 1000, 10) == "a [31m bxx…"


def test_a_growing_clip_is_one_line_a_chunk():
    stream = io.StringIO()
    show = ClipProgress(stream)
    frames = np.zeros((4, 2, 2, 3), np.uint8)
    plans = [("run forward", "model"), None, ("stand, fire", "person")]
    plan = ""
    for index, written in enumerate(plans):
        if written:
            plan = written[0]
            show(PlanDone(index, *written))
        show(ChunkStarted(index, plan, index * 0.25, 1))
        chunk = ChunkSegment(index, frames, None)
        show(ChunkDone(index, chunk, History(chunk), 0.5))
    lines = stream.getvalue().splitlines()
    assert len(lines) == 3 and all(line.endswith("8.0 frames/s") for line in lines)
    assert "0.25 s  run forward  [goes on]" in lines[1] and "0.00 s  run forward  [model]" in lines[0]
    assert "0.50 s  stand, fire  [person]" in lines[2]
