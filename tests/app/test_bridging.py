"""Bridges in the studio: a new take towards a frame, kept chunk by chunk, stopped and continued like any other work."""

from __future__ import annotations

import base64
from pathlib import Path

import cv2
import numpy as np
import pytest

from app.jobs import Idle, Paused, Work
from tests.app.studio import Bench
from tests.fakes import FakeBackend
from tv2tv_core.engine.bridge import distance
from tv2tv_core.errors import InputError
from tv2tv_core.media.images import decode_jpeg
from tv2tv_core.project.file import Pending


@pytest.fixture
def bench(tmp_path: Path):
    one = Bench(tmp_path / "projects", FakeBackend(delay_s=0.002))
    yield one
    one.close()


def made(bench: Bench, chunks: int = 2):
    session = bench.library.create()
    ear = bench.listen(session)
    session.generate(chunks=chunks)
    bench.settle(session)
    return session, ear


def frames(session) -> list[bytes]:
    return [session.project.frames(record.id).tobytes() for record in session.path[1:]]


GREY = np.full((24, 40, 3), 60, np.uint8)
NOISE = np.random.default_rng(3).integers(0, 256, GREY.shape, dtype=np.uint8)


def test_a_bridge_is_a_new_take_of_the_models_own_lines(bench: Bench):
    session, ear = made(bench)
    old, first = session.project.story.active, session.path[1]
    take = session.editor.bridge(first.id, GREY, 4 * 4 / 17.5)
    bench.settle(session)
    story = session.project.story
    assert story.active == take != old and story.current.parent == old and story.current.at == 1
    assert len(session.path) == 1 + 1 + 4 and session.path[1].id == first.id
    assert {record.source for record in session.path[2:]} <= {"model", None}
    assert all(record.asked is None for record in session.path[2:])
    told = ear.wait(lambda message: message["type"] == "notice" and "bridge is done" in message["text"])
    now = distance(session.project.frames(session.path[-1].id)[-1], GREY)
    assert f"{now:.0f} grey levels" in told["text"]
    session.editor.switch(old)
    assert len(session.path) == 3


def test_a_paused_bridge_keeps_what_is_made_and_goes_on(bench: Bench):
    session, _ = made(bench)
    session.editor.bridge(None, GREY, 5 * 4 / 17.5)
    session.pause()
    bench.settle(session)
    kept = frames(session)
    assert len(kept) < 2 + 5 and session.job.work.reason == "bridge"
    session.resume()
    bench.settle(session)
    assert len(session.path) == 1 + 2 + 5 and session.project.pending is None
    assert frames(session)[: len(kept)] == kept


def opened(folder: Path, project: str):
    """A studio that starts anew on a folder, and a project in it."""
    again = Bench(folder)
    return again, again.library.session(project)


def finished(bench: Bench, session) -> tuple[list[bytes], str]:
    """What a bridge that is left becomes when it is continued, and what is told of it."""
    ear = bench.listen(session)
    session.resume()
    bench.settle(session)
    assert session.project.pending is None
    return frames(session), ear.wait(lambda message: message["type"] == "notice")["text"]


def test_a_bridge_goes_on_in_a_studio_that_starts_anew_as_if_nothing_had_been(bench: Bench, tmp_path: Path):
    session, _ = made(bench)
    session.editor.bridge(None, NOISE, 5 * 4 / 17.5)
    session.pause()
    bench.settle(session)
    project, kept, left = session.id, frames(session), session.project.pending
    assert left.total == 5 and 0 < left.chunks <= 5
    (tmp_path / "other").mkdir()
    session.project.copy_to(tmp_path / "other" / session.project.file.name)
    unbroken = finished(bench, session)
    again, session = opened(tmp_path / "other", project)
    assert session.job == Paused(Work("bridge", left.take, 5 - left.chunks, 5)) and frames(session) == kept
    assert finished(again, session) == unbroken and len(unbroken[0]) == 2 + 5
    start = session.project.frames(session.path[2].id)[-1]
    assert f"(before it {distance(start, NOISE):.0f})" in unbroken[1]
    again.close()


def test_what_is_in_flight_when_the_studio_ends_is_left_to_continue(bench: Bench, tmp_path: Path):
    session, ear = made(bench)
    session.editor.bridge(None, GREY, 20)
    ear.wait(lambda message: message["type"] == "chunk" and message["chunk"]["index"] == 3)
    project = session.id
    bench.close()
    again, session = opened(tmp_path / "projects", project)
    left = session.project.pending
    assert left.reason == "bridge" and len(frames(session)) == 2 + left.total - left.chunks >= 4
    again.close()


def test_a_bridge_without_its_target_is_not_continued(bench: Bench, tmp_path: Path):
    session, _ = made(bench)
    session.project.set_pending(Pending(session.project.story.active, 3, 5, "bridge"))
    project, kept = session.id, frames(session)
    bench.close()
    again, session = opened(tmp_path / "projects", project)
    assert session.project.pending is None and session.job == Idle() and frames(session) == kept
    again.close()


def test_lines_of_a_person_are_obeyed_on_the_way(bench: Bench):
    session, _ = made(bench)
    session.editor.bridge(None, GREY, 4 * 4 / 17.5)
    session.pause()
    bench.settle(session)
    index = session.path[-1].index + 2
    session.editor.plan({index: "run back, jump"})
    session.resume()
    bench.settle(session)
    assert len(session.path) == 1 + 2 + 4
    assert [record.index for record in session.path if record.asked] == [index]
    assert session.path[index + 1].plan == "run back, jump"


def test_stopping_keeps_what_is_made(bench: Bench):
    session, ear = made(bench)
    session.editor.bridge(None, GREY, 10)
    ear.wait(lambda message: message["type"] == "chunk" and message["chunk"]["index"] == 3)
    session.stop()
    bench.settle(session)
    assert len(session.path) >= 5 and session.project.pending is None


def test_a_target_of_another_size_and_a_busy_project_are_refused(bench: Bench):
    session, _ = made(bench)
    with pytest.raises(InputError, match="40 x 24"):
        session.editor.bridge(None, GREY[:, :20], 1)
    session.generate(chunks=50)
    with pytest.raises(InputError, match="already being generated"):
        session.editor.bridge(None, GREY, 1)
    assert len(session.project.story.takes) == 1


def test_a_picture_is_taken_only_as_a_jpeg_of_the_right_size():
    def encoded(image: np.ndarray, kind: str = ".jpg") -> str:
        return base64.b64encode(cv2.imencode(kind, image)[1].tobytes()).decode()

    assert np.abs(decode_jpeg(encoded(GREY), 40, 24).astype(int) - GREY).max() <= 3
    for text in ("", "no base64!", encoded(GREY, ".png"), encoded(GREY)[:40]):
        with pytest.raises(InputError, match="cannot be read"):
            decode_jpeg(text, 40, 24)
    with pytest.raises(InputError, match="must have 40 x 24"):
        decode_jpeg(encoded(GREY[:12]), 40, 24)
