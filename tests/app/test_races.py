"""Two windows, late clicks, full disks: what happens between looking and acting must not split the truth."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from app.jobs import Failed, Idle, Paused, Queued, Running
from app.library import MOST_OPEN
from app.sessions import Session
from tests.app.studio import PATIENCE_S, Bench
from tests.fakes import FakeBackend
from tv2tv_core.errors import InputError, StorageError, TV2TVError
from tv2tv_core.project.file import Project


@pytest.fixture
def bench(tmp_path: Path):
    one = Bench(tmp_path / "projects", FakeBackend(delay_s=0.01))
    yield one
    one.close()


def growing(bench: Bench, chunks: int = 12, after: int = 1) -> Session:
    """A session in the middle of a generation."""
    session = bench.library.create()
    ear = bench.listen(session)
    session.generate(chunks=chunks)
    ear.wait(lambda message: message["type"] == "chunk" and message["chunk"]["index"] == after)
    return session


def together(*calls) -> list[Exception]:
    """Run calls at the same moment in threads of their own; returns the errors in words that came of them."""
    barrier, errors = threading.Barrier(len(calls)), []

    def run(call) -> None:
        barrier.wait()
        try:
            call()
        except TV2TVError as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return errors


@pytest.mark.parametrize("round_number", range(3))
def test_many_rewrites_at_once_leave_one_run_that_obeys(bench: Bench, round_number: int):
    session = growing(bench)
    chunk = session.path[1].id
    together(*[lambda: session.editor.retry(chunk)] * 3, session.stop, lambda: session.generate(chunks=5))
    assert bench.device.order().count(session.id) <= 1
    session.stop()
    assert bench.device.order() == [] and session.job == Idle() and session.project.pending is None
    made = {one.name: len(session.project.path(one.tip)) for one in session.project.story.takes}
    time.sleep(0.1)
    assert made == {one.name: len(session.project.path(one.tip)) for one in session.project.story.takes}


def test_undoing_a_rename_lets_the_generation_go_on(bench: Bench):
    session = growing(bench)
    take = session.project.story.active
    session.editor.rename_take(take, "Better")
    session.editor.undo()
    assert isinstance(session.job, Running | Queued)
    bench.settle(session)
    assert len(session.path) == 13 and session.project.story.current.name == "Take 1"


def test_undoing_the_generation_itself_stops_it(bench: Bench):
    session = growing(bench)
    session.editor.undo()
    assert session.job == Idle() and len(session.path) == 1 and session.project.pending is None


def test_a_line_for_the_chunk_in_flight_is_for_the_next_one(bench: Bench):
    session = growing(bench, chunks=6, after=0)
    index = session.drawing(session.project.story.active)
    session.editor.plan({index: "run forward, jump"})
    bench.settle(session)
    asked = {record.index: record.asked for record in session.path if record.asked}
    assert list(asked.values()) == ["run forward, jump"] and min(asked) in (index, index + 1, index + 2)


def test_the_same_line_held_longer_is_another_try_too(bench: Bench):
    session = bench.library.create()
    session.editor.storyboard(["run forward"], 4 * 4 / 17.5, generate=True)
    bench.settle(session)
    old = session.project.frames(session.path[2].id)
    session.editor.regenerate(session.path[1].id, "run forward", hold=4)
    bench.settle(session)
    assert (session.project.frames(session.path[2].id) != old).any()


def test_continue_right_after_the_pause_was_obeyed_goes_on(bench: Bench):
    """The pause is withdrawn between the engine's stop and the end of the run."""
    session = growing(bench)
    ended, run = session.run_ended, session._run
    session.pause()

    def late(which) -> None:
        session.run_ended = ended
        session.resume()
        ended(which)

    session.run_ended = late
    assert run.done.wait(PATIENCE_S)
    bench.settle(session)
    assert session.job == Idle() and len(session.path) == 13


def test_a_copy_of_a_paused_project_is_idle(bench: Bench):
    session = growing(bench)
    session.pause()
    bench.settle(session)
    assert isinstance(session.job, Paused)
    copy = bench.library.duplicate(session.id)
    assert copy.job == Idle() and copy.path == session.path


def test_a_copy_made_while_chunks_are_written_is_whole(bench: Bench):
    session = bench.library.create()
    session.generate(chunks=10)
    bench.settle(session)
    bench.library.session(session.id).close()
    bench.library._sessions.clear()
    again = bench.library.session(session.id)
    bench.backend.delay_s = 0
    again.generate(chunks=60)
    copies = [bench.library.duplicate(again.id) for _ in range(3)]
    bench.settle(again)
    for copy in copies:
        assert copy.path == again.path[: len(copy.path)]
        for record in copy.path:
            assert copy.project.frames(record.id).tobytes() == again.project.frames(record.id).tobytes()


def test_a_drive_is_not_continued_without_a_driver(bench: Bench):
    session = bench.library.create()
    ear = bench.listen(session)
    session.drive(True)
    ear.wait(lambda message: message["type"] == "chunk")
    session.pause()
    bench.settle(session)
    assert session.job == Idle() and session.project.pending is None
    with pytest.raises(InputError, match="nothing to continue"):
        session.resume()


def test_leaving_drive_mode_in_the_queue_leaves_the_queue(bench: Bench):
    other, session = growing(bench), bench.library.create()
    session.drive(True)
    session.drive(False)
    assert session.job == Idle() and bench.device.order() == [other.id]


def test_the_device_survives_a_disk_that_is_full_when_a_run_ends(bench: Bench):
    session, other = bench.library.create(), bench.library.create()
    database = session.project._db
    pages = database.execute("PRAGMA page_count").fetchone()[0]
    with session.lock:
        session.generate(chunks=3)
        database.execute("PRAGMA query_only = ON")
    bench.settle(session)
    assert isinstance(session.job, Failed)
    database.execute("PRAGMA query_only = OFF")
    other.generate(chunks=2)
    session.resume()
    bench.settle(other)
    bench.settle(session)
    assert (len(session.path), len(other.path)) == (4, 3) and pages


def test_the_queue_says_what_is_running(bench: Bench):
    session = bench.library.create()
    ear = bench.listen(session)
    session.generate(chunks=4)
    ear.wait(lambda message: message["type"] == "queue" and [row["state"] for row in message["queue"]] == ["running"])
    bench.settle(session)
    ear.wait(lambda message: message["type"] == "queue" and message["queue"] == [])


def test_a_project_of_an_unknown_preset_can_be_seen_and_deleted(bench: Bench):
    session = bench.library.create()
    session.project._describe(preset="gone-preset")
    session.close()
    bench.library._sessions.clear()
    again = bench.library.session(session.id)
    assert again.snapshot()["project"]["preset"] == "gone-preset"
    with pytest.raises(InputError, match="no preset"):
        again.generate(chunks=1)
    bench.library.delete(session.id)
    assert bench.library.list() == []


@pytest.mark.parametrize("preset", ["/etc/passwd", "../presets/embedded.yaml", "own.yaml", "", "x" * 5000])
def test_a_preset_from_outside_is_a_name_and_never_a_file(bench: Bench, tmp_path: Path, preset: str):
    (tmp_path / "own.yaml").write_text("secret: 1\n")
    for value in (preset, str(tmp_path / "own.yaml")):
        if value:
            with pytest.raises(InputError) as caught:
                bench.library.create(preset=value)
            assert "secret" not in str(caught.value)


def test_projects_that_nobody_looks_at_are_closed(bench: Bench, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("app.library.UNUSED_S", 0.0)
    sessions = [bench.library.create() for _ in range(MOST_OPEN + 4)]
    assert len(bench.library._sessions) <= MOST_OPEN
    assert len(bench.library.list()) == MOST_OPEN + 4
    assert bench.library.session(sessions[0].id).path == sessions[0].path
    with pytest.raises(StorageError):
        Project.open(bench.library._path(sessions[0].id))


def test_a_request_while_a_project_is_being_deleted_does_not_bring_it_back(bench: Bench):
    session = growing(bench)
    errors = together(lambda: bench.library.delete(session.id), *[lambda: bench.library.session(session.id).snapshot()] * 4)
    assert all(isinstance(error, InputError | StorageError) for error in errors)
    with pytest.raises(InputError, match="no such project"):
        bench.library.session(session.id)


def test_exports_are_in_the_snapshot(bench: Bench):
    shown = [{"id": "a", "state": "done"}]
    bench.library._exports = lambda project: shown
    assert bench.library.create().snapshot()["exports"] == shown


def test_a_model_that_draws_another_size_is_told(bench: Bench):
    session = bench.library.create()
    bench.backend.spec = type(bench.backend.spec)(**{**vars(bench.backend.spec), "width": 80})
    session.generate(chunks=2)
    bench.settle(session)
    assert isinstance(session.job, Failed) and "40 x 24" in session.job.message and "80 x 24" in session.job.message
