"""A session is the truth about a project: what it commits, what it tells, and that pausing or failing changes no frame."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import numpy as np
import pytest

from app.jobs import Failed, Idle, Paused
from app.sessions import Session
from tests.app.studio import Bench
from tests.fakes import FakeBackend, SettledBackend
from tv2tv_core.errors import InputError

CHUNKS = 6
SECONDS = CHUNKS * 4 / 17.5


@pytest.fixture
def bench(tmp_path: Path):
    one = Bench(tmp_path)
    yield one
    one.close()


def fresh(bench: Bench, seed: int = 5) -> Session:
    session = bench.library.create()
    session.set_settings({"seed": seed})
    return session


def frames(session: Session) -> list[bytes]:
    return [session.project.frames(record.id).tobytes() for record in session.path]


def made(bench: Bench, seed: int = 5) -> Session:
    session = fresh(bench, seed)
    session.generate(chunks=CHUNKS)
    bench.settle(session)
    assert session.job == Idle() and len(session.path) == CHUNKS + 1
    return session


def test_generate_makes_as_many_chunks_as_come_nearest_to_the_seconds(bench: Bench):
    session = fresh(bench)
    session.generate(seconds=SECONDS + 0.05)
    bench.settle(session)
    assert [record.index for record in session.path] == list(range(-1, CHUNKS))


def test_a_browser_hears_of_a_chunk_only_after_it_is_in_the_file(bench: Bench):
    session, stored = fresh(bench), []

    class Reader:
        def put(self, text: str, optional: bool = False) -> None:
            if '"type": "chunk"' in text:
                with sqlite3.connect(f"file:{session.project.file}?mode=ro", uri=True) as db:
                    stored.append(db.execute("SELECT count(*) FROM chunk").fetchone()[0])
                db.close()

        def close(self) -> None:
            """Nothing to end."""

    session.attach(Reader())
    session.generate(chunks=CHUNKS)
    bench.settle(session)
    assert stored == [2, 3, 4, 5, 6, 7]


def test_what_is_told_adds_up_to_what_is_there(bench: Bench):
    """Applying every message to the first snapshot gives what a new snapshot says."""
    session = fresh(bench)
    ear = bench.listen(session)
    session.generate(chunks=CHUNKS)
    bench.settle(session)
    session.editor.regenerate(session.path[3].id, "run back")
    bench.settle(session)
    session.editor.undo()
    session.editor.plan({CHUNKS: "stand", CHUNKS + 1: "jump"})
    path, state = list(ear.heard[0]["path"]), dict(ear.heard[0])
    for message in ear.heard[1:]:
        if message["type"] == "chunk" and message["take"] == state["active"]:
            path.append(message["chunk"])
        elif message["type"] == "story":
            path = path[: message["keep"]] + message["rest"]
            state |= {key: message[key] for key in ("takes", "active", "planned", "undo", "redo")}
        elif message["type"] == "job":
            state["job"] = message["job"]
    now = session.snapshot()
    assert path == now["path"]
    assert {key: state[key] for key in ("takes", "active", "planned", "undo", "redo", "job")} == {
        key: now[key] for key in ("takes", "active", "planned", "undo", "redo", "job")
    }


def test_paused_and_continued_equals_unbroken(bench: Bench, tmp_path: Path):
    whole = frames(made(bench))
    slow = Bench(tmp_path / "slow", FakeBackend(delay_s=0.005))
    session = fresh(slow)
    session.generate(chunks=CHUNKS)
    ear = slow.listen(session)
    ear.wait(lambda message: message["type"] == "chunk" and message["chunk"]["index"] == 1)
    session.pause()
    slow.settle(session)
    assert isinstance(session.job, Paused)
    assert 2 < len(session.path) < CHUNKS + 1
    session.resume()
    slow.settle(session)
    assert frames(session) == whole
    slow.close()


def test_the_server_ends_in_the_middle_and_goes_on_with_the_same_frames(bench: Bench, tmp_path: Path):
    whole = frames(made(bench))
    first = Bench(tmp_path / "first", FakeBackend(delay_s=0.005))
    session = fresh(first)
    ear = first.listen(session)
    session.generate(chunks=CHUNKS)
    ear.wait(lambda message: message["type"] == "chunk" and message["chunk"]["index"] == 2)
    first.close()
    second = Bench(tmp_path / "first")
    again = second.library.session(session.id)
    kept = frames(again)
    assert kept == whole[: len(kept)] and 4 <= len(kept) < CHUNKS + 1
    assert isinstance(again.job, Paused)
    again.resume()
    second.settle(again)
    assert frames(again) == whole
    second.close()


def test_a_rewrite_keeps_what_came_before_and_the_old_future(bench: Bench):
    session = made(bench)
    old, old_frames, take = list(session.path), frames(session), session.project.story.active
    session.editor.regenerate(old[3].id, "run back, jump")
    bench.settle(session)
    assert session.path[:3] == old[:3]
    assert len(session.path) == len(old)
    assert {record.id for record in session.path[3:]} & {record.id for record in old[3:]} == set()
    assert session.path[3].plan == "run back, jump" and session.path[3].source == "person"
    assert frames(session)[3:] != old_frames[3:]
    session.editor.switch(take)
    assert session.path == old and frames(session) == old_frames
    assert len(session.project.story.takes) == 2


@pytest.mark.parametrize("how", ["retry", "unchanged"])
def test_another_try_has_the_same_line_and_other_frames(bench: Bench, how: str):
    session = made(bench)
    old = session.path[4]
    if how == "retry":
        session.editor.retry(old.id)
    else:
        session.editor.regenerate(old.id, old.plan)
    bench.settle(session)
    new = session.path[4]
    assert new.plan == old.plan and new.seed != old.seed
    assert not np.array_equal(session.project.frames(new.id), session.project.frames(old.id))


def test_rewriting_a_beat_leaves_the_others_of_the_storyboard(bench: Bench):
    session = fresh(bench)
    session.editor.storyboard(["run forward", "stand, fire", "run back"], 2 * 4 / 17.5, generate=True)
    bench.settle(session)
    assert [record.plan for record in session.path[1:]] == ["run forward"] * 2 + ["stand, fire"] * 2 + ["run back"] * 2
    session.editor.regenerate(session.path[3].id, "walk strafe left")
    bench.settle(session)
    assert [record.plan for record in session.path[1:]] == ["run forward"] * 2 + ["walk strafe left"] * 2 + ["run back"] * 2


def test_an_intent_is_written_down_once_and_asked_again(bench: Bench):
    """Held for a beat it stands at its first chunk alone; another try keeps it, and rewriting it takes it away."""
    session = bench.library.create("gateway")
    session.editor.storyboard(["intent: turn left", "run back"], 3 * 4 / 17.5, generate=True)
    bench.settle(session)
    assert [r.asked for r in session.path[1:]] == ["intent: turn left", None, None, *["run back"] * 3]
    frames = [session.project.frames(r.id).tobytes() for r in session.path]
    for again in (lambda: session.editor.retry(session.path[1].id),
                  lambda: session.editor.regenerate(session.path[1].id, "Intent: turn left", hold=2)):  # fmt: skip
        again()
        bench.settle(session)
        assert [r.asked for r in session.path[1:]] == ["intent: turn left", None, None, *["run back"] * 3]
        assert session.project.frames(session.path[1].id).tobytes() not in frames
    session.editor.regenerate(session.path[1].id, "")
    bench.settle(session)
    assert [r.asked for r in session.path[1:]] == [None, None, None, *["run back"] * 3]


def test_a_line_written_while_chunks_are_drawn_still_counts(tmp_path: Path):
    bench = Bench(tmp_path, FakeBackend(delay_s=0.01))
    session = fresh(bench)
    ear = bench.listen(session)
    session.generate(chunks=CHUNKS)
    ear.wait(lambda message: message["type"] == "chunk")
    session.editor.plan({CHUNKS - 1: "run forward, jump"})
    bench.settle(session)
    assert session.path[-1].plan == "run forward, jump" and session.path[-1].asked == "run forward, jump"
    bench.close()


def test_a_model_that_fails_keeps_what_was_made_and_can_go_on(bench: Bench, tmp_path: Path):
    whole = frames(made(bench))
    broken = Bench(tmp_path / "broken", FakeBackend(fail_at=(3, 1)))
    session = fresh(broken)
    ear = broken.listen(session)
    session.generate(chunks=CHUNKS)
    broken.settle(session)
    assert isinstance(session.job, Failed) and "out of memory" in session.job.message
    assert frames(session) == whole[:4]
    assert any(message["type"] == "dropped" for message in ear.heard)
    broken.backend.fail_at = None
    session.resume()
    broken.settle(session)
    assert frames(session) == whole
    broken.close()


def test_a_full_disk_is_told_and_loses_nothing(bench: Bench):
    session = made(bench)
    before = frames(session)
    pages = session.project._db.execute("PRAGMA page_count").fetchone()[0]
    session.project._db.execute(f"PRAGMA max_page_count = {pages}")
    session.generate(chunks=CHUNKS)
    bench.settle(session)
    assert isinstance(session.job, Failed) and "full" in session.job.message
    assert frames(session)[: len(before)] == before
    session.project._db.execute("PRAGMA max_page_count = 1073741823")
    session.resume()
    bench.settle(session)
    assert len(session.path) == 2 * CHUNKS + 1


def test_stop_drops_the_chunk_in_flight_and_the_rest(tmp_path: Path):
    bench = Bench(tmp_path, FakeBackend(delay_s=0.02))
    session = fresh(bench)
    ear = bench.listen(session)
    session.generate(chunks=CHUNKS)
    ear.wait(lambda message: message["type"] == "started" and message["index"] == 1)
    session.stop()
    assert session.job == Idle() and session.project.pending is None
    assert len(session.path) in (2, 3)
    with pytest.raises(InputError, match="nothing to continue"):
        session.resume()
    bench.close()


def test_undo_takes_a_whole_generation_back_and_redo_brings_the_same_chunks(bench: Bench):
    session = made(bench)
    path = list(session.path)
    session.editor.undo()
    assert len(session.path) == 1
    session.editor.redo()
    assert session.path == path


def test_a_generation_that_made_nothing_leaves_no_step_of_undo(tmp_path: Path):
    bench = Bench(tmp_path, FakeBackend(delay_s=0.05))
    session = fresh(bench)
    label = session.project.undo_label
    session.generate(chunks=CHUNKS)
    session.stop()
    assert session.project.undo_label == label
    bench.close()


def test_of_many_who_press_generate_at_once_one_is_served(bench: Bench):
    session, errors = fresh(bench), []

    def press() -> None:
        try:
            session.generate(chunks=CHUNKS)
        except InputError as error:
            errors.append(str(error))

    bench.backend.delay_s = 0.01
    threads = [threading.Thread(target=press) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    bench.settle(session)
    assert len(errors) == 7 and len(session.path) == CHUNKS + 1


def test_deleting_the_take_that_grows_stops_it(tmp_path: Path):
    bench = Bench(tmp_path, FakeBackend(delay_s=0.02))
    session = made(bench)
    first = session.project.story.active
    take = session.editor.regenerate(session.path[1].id, "run back")
    session.editor.delete_take(take)
    assert session.job == Idle() and session.project.story.active == first
    assert len(session.path) == CHUNKS + 1
    bench.close()


def test_suggestions_are_other_lines_and_change_nothing(bench: Bench):
    session = made(bench)
    path = list(session.path)
    lines = session.editor.suggest(path[3].id)
    assert 1 <= len(lines) <= 3 and path[3].plan not in lines and len(set(lines)) == len(lines)
    assert session.path == path


def test_a_suggestion_reads_the_intent_that_is_only_planned(tmp_path: Path):
    """What is suggested is what generating would write there, under the intent that stands there."""
    bench = Bench(tmp_path, SettledBackend())
    session = made(bench)
    suggest, chunk = session.editor.suggest, session.path[3].id
    plain = suggest()
    session.editor.plan({CHUNKS: "intent: shoot", CHUNKS + 2: "intent: go back", CHUNKS + 3: "run back"})
    planned = suggest()
    assert planned != plain == suggest(intent=" ")
    assert suggest(index=CHUNKS + 1) == planned and suggest(intent="shoot ") == planned
    assert suggest(index=CHUNKS + 2) == suggest(index=CHUNKS + 9) == suggest(intent="go back") != planned
    session.generate(chunks=1)
    bench.settle(session)
    assert session.path[-1].plan == planned[0]
    assert suggest(session.path[-1].id) == [], "the same line again: it was asked for by the same intent"
    assert suggest(session.path[-1].id, intent="") == plain
    assert suggest(chunk) == [] != suggest(chunk, intent="shoot")
    with pytest.raises(InputError, match="The intent has"):
        suggest(intent="shoot " * 40)
    bench.close()


def test_driving_writes_what_is_held(tmp_path: Path):
    bench = Bench(tmp_path)
    session = fresh(bench)
    ear = bench.listen(session)
    session.drive(True)
    ear.wait(lambda message: message["type"] == "chunk")
    session.hold(["forward", "run", "turn_left", "no such key", 7])
    ear.wait(lambda message: message["type"] == "chunk" and message["chunk"]["plan"] == "run forward, turn left 15")
    session.drive(False)
    bench.settle(session)
    assert session.job == Idle() and session.project.pending is None
    assert session.path[1].asked == "stand"
    bench.close()


@pytest.mark.parametrize(
    "call",
    [
        lambda session: session.generate(seconds=-1),
        lambda session: session.generate(seconds=float("nan")),
        lambda session: session.generate(chunks=10**9),
        lambda session: session.pause(),
        lambda session: session.resume(),
        lambda session: session.editor.redo(),
        lambda session: session.editor.regenerate("nonsense", "run"),
        lambda session: session.editor.regenerate(session.path[0].id, "run"),
        lambda session: session.editor.regenerate(session.path[1].id, "x" * 10_000),
        lambda session: session.editor.regenerate(session.path[1].id, "a\nb"),
        lambda session: session.editor.regenerate(session.path[1].id, "run", hold=0),
        lambda session: session.editor.plan({0: "run"}),
        lambda session: session.editor.storyboard([], 1.0),
        lambda session: session.editor.storyboard(["run"] * 1000, 1.0),
        lambda session: session.editor.switch("nonsense"),
        lambda session: session.editor.delete_take(session.project.story.active),
        lambda session: session.rename(""),
        lambda session: session.set_settings({"steps": 10**6}),
        lambda session: session.set_settings({"unknown": 1}),
    ],
)
def test_what_cannot_be_is_refused_in_words_and_changes_nothing(bench: Bench, call):
    session = made(bench)
    before = session.snapshot()
    with pytest.raises(InputError) as caught:
        call(session)
    assert len(str(caught.value)) > 15 and "\n" not in str(caught.value)
    assert session.snapshot() == before
