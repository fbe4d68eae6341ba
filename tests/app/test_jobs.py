"""The device: one run at a time, in an order that people can change; a model that comes and goes as it is needed."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from app.jobs import Failed, Idle, Loading, Paused, Queued, Running
from tests.app.studio import PATIENCE_S, Bench
from tests.fakes import FakeBackend
from tv2tv_core.errors import InputError, WeightsError


@pytest.fixture
def bench(tmp_path: Path):
    one = Bench(tmp_path, FakeBackend(delay_s=0.01))
    yield one
    one.close()


def test_projects_wait_for_each_other_and_all_get_done(bench: Bench):
    sessions = [bench.library.create() for _ in range(3)]
    for session in sessions:
        session.generate(chunks=3)
    assert [row["project"] for row in bench.library.queue()] == [session.id for session in sessions]
    assert isinstance(sessions[0].job, Queued | Loading | Running) and isinstance(sessions[2].job, Queued)
    for session in sessions:
        bench.settle(session)
    assert [len(session.path) for session in sessions] == [4, 4, 4]
    assert bench.library.queue() == []
    assert bench.loads == 1


def test_the_queue_can_be_reordered_and_left(bench: Bench):
    first, second, third = (bench.library.create() for _ in range(3))
    ear = bench.listen(third)
    for session in (first, second, third):
        session.generate(chunks=4)
    bench.library.reorder([third.id, second.id])
    assert [row["project"] for row in bench.library.queue()][1:] == [third.id, second.id]
    second.pause()
    assert isinstance(second.job, Paused) and second.project.pending.chunks == 4
    for session in (first, third):
        bench.settle(session)
    assert (len(first.path), len(second.path), len(third.path)) == (5, 1, 5)
    ear.wait(lambda message: message["type"] == "queue" and len(message["queue"]) == 3)
    second.resume()
    bench.settle(second)
    assert len(second.path) == 5


def test_stopping_a_waiting_project_takes_it_out_of_the_queue(bench: Bench):
    first, second = bench.library.create(), bench.library.create()
    first.generate(chunks=4)
    second.generate(chunks=4)
    second.stop()
    assert second.job == Idle() and second.project.pending is None
    assert second.id not in [row["project"] for row in bench.library.queue()]
    bench.settle(first)
    assert len(second.path) == 1


def test_an_idle_model_is_let_go_and_comes_back(tmp_path: Path):
    bench = Bench(tmp_path, idle_unload_s=0.05)
    session = bench.library.create()
    for round_number in (1, 2):
        session.generate(chunks=2)
        bench.settle(session)
        assert bench.loads == round_number
        until = time.monotonic() + PATIENCE_S
        while bench.device.loaded:
            assert time.monotonic() < until
            time.sleep(0.01)
    assert len(session.path) == 5
    bench.close()


def test_a_model_that_cannot_be_loaded_is_told_and_tried_again(tmp_path: Path):
    bench = Bench(tmp_path)
    working = bench.device.engines.load

    def broken(_preset: object) -> FakeBackend:
        raise WeightsError("The weights are missing: restore them with git.")

    bench.device.engines = type(bench.device.engines)(broken, bench.device.engines.describe)
    session = bench.library.create()
    session.generate(chunks=2)
    bench.settle(session)
    assert session.job == Failed(session.job.work, "The weights are missing: restore them with git.")
    bench.device.engines = type(bench.device.engines)(working, bench.device.engines.describe)
    session.resume()
    bench.settle(session)
    assert session.job == Idle() and len(session.path) == 3
    bench.close()


def test_thinking_beside_a_run_uses_the_same_model(bench: Bench):
    session, other = bench.library.create(), bench.library.create()
    session.generate(chunks=6)
    assert other.editor.suggest()
    bench.settle(session)
    assert bench.loads == 1 and len(session.path) == 7


def test_after_the_end_nothing_is_taken_on(tmp_path: Path):
    bench = Bench(tmp_path)
    session = bench.library.create()
    bench.device.close()
    with pytest.raises(Exception, match="shutting down"):
        session.generate(chunks=1)
    bench.close()


def test_pausing_with_nothing_to_do_is_refused(bench: Bench):
    with pytest.raises(InputError, match="Nothing is being generated"):
        bench.library.create().pause()
