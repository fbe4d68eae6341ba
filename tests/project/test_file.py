"""A project on disk: what goes in comes out, every change is whole, and a story goes on as if it had never been closed."""

from __future__ import annotations

import dataclasses
import gc
import threading
import weakref

import numpy as np
import pytest

from tests.fakes import FakeBackend
from tests.project.project_files import OPTIONS, START, commit, contents, grow, info, make, request
from tv2tv_core.engine.generate import generate
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.project import history as stored_history
from tv2tv_core.project.file import Pending, Project, StoredChunk, move_file, peek_frame, summary
from tv2tv_core.story import new_id
from tv2tv_core.timeline import ChunkSegment, IntentSegment, TextSegment


def segments(history) -> list[object]:
    """A history as plain values."""
    return [
        (s.text, s.source)
        if isinstance(s, TextSegment)
        else (s.index, s.seed, s.frames.tobytes(), s.latents.dtype, s.latents.tobytes())
        for s in history
    ]


@pytest.fixture
def path(tmp_path):
    """Where the project of a test lies; the name is none that a careless address would survive."""
    return tmp_path / "my 100% #1? é.tv2tv"


def test_what_is_closed_and_opened_is_the_same_to_the_byte(path):
    with make(path) as project:
        first = grow(project, 5)
        project.edit(project.story.fork(project.story.active, first[1].id, 2, "stream-2", [(9, "use")]), "Regenerate chunk 3")
        grow(project, 3)
        project.edit(project.story.rename(project.story.active, "ночь"), "Rename")
        project.undo()
        project.set_pending(Pending(project.story.active, 4, 7, "bridge", project.frame_png(first[2].id, 1)))
        project.rename("  <b>Ein Spaziergang</b> ")
        project.set_settings({"seed": str(2**63 - 1), "guidance": 3})
        before = contents(project)
    assert sorted(item.name for item in path.parent.iterdir()) == [path.name]
    with Project.open(path) as project:
        assert contents(project) == before
        assert project.info.name == "<b>Ein Spaziergang</b>" and project.info.settings["seed"] == 2**63 - 1
        assert project.redo().current.name == "ночь"


def test_the_history_read_back_has_the_same_segments_and_bytes(path):
    with make(path) as project:
        history = None
        for event in generate(request(project, 9, plan=[None, "run forward", "run forward", None, "stand"])):
            if commit(project, event, project.story.active):
                history = event.history
        live = segments(history)
        assert project.history(project.story.current.tip) is history
        records = project.path(project.story.current.tip)
        assert [r.line for r in records if r.line] == [text for text, *rest in live if isinstance(text, str)]
        assert [r.plan for r in records] == [history.rewind(i).plan for i in range(len(records))]
    with Project.open(path) as project:
        read = project.history(project.story.current.tip)
        assert segments(read) == live and read.prompt == history.prompt
        assert [chunk.index for chunk in read.chunks] == list(range(-1, 9))
        assert all(isinstance(chunk, StoredChunk) and isinstance(chunk, ChunkSegment) for chunk in read.chunks)


def test_an_intent_is_kept_with_its_chunk(path):
    """What is read back is what grew, and goes on alike; nothing else of the file is another."""
    plan = ["intent: turn left", None, "run forward", "Intent:  shoot, then go back ", None]
    with make(path) as project:
        records = grow(project, 5, plan=plan)
        live = [type(s).__name__ for s in project.history(records[-1].id)]
        assert [r.asked for r in records] == ["intent: turn left", None, None, "intent: shoot, then go back", None]
        assert live.count("IntentSegment") == 2 and records[3].source in (None, "model")
        want = [(r.line, r.plan, project.frames(r.id).tobytes()) for r in grow(project, 3)]
    with Project.open(path) as project:
        read = project.history(records[-1].id)
        assert [type(s).__name__ for s in read] == live
        assert [s.text for s in read if isinstance(s, IntentSegment)] == ["turn left", "shoot, then go back"]
        project.edit(project.story.fork(project.story.active, records[-1].id, 5), "Again")
        assert [(r.line, r.plan, project.frames(r.id).tobytes()) for r in grow(project, 3)] == want


@pytest.mark.parametrize("split", [1, 4, 7])
def test_a_run_that_was_closed_in_between_equals_one_that_was_not(tmp_path, split):
    with make(tmp_path / "whole.tv2tv") as whole:
        want = [(r.line, r.plan, r.source, r.seed, whole.frames(r.id).tobytes()) for r in grow(whole, 8)]
    with make(tmp_path / "split.tv2tv") as project:
        grow(project, split)
    with Project.open(tmp_path / "split.tv2tv") as project:
        grow(project, 8 - split)
        path = project.path(project.story.current.tip)[1:]
        assert [(r.line, r.plan, r.source, r.seed, project.frames(r.id).tobytes()) for r in path] == want


def test_a_chunk_has_one_node_as_long_as_anyone_holds_it(path):
    with make(path) as project:
        made = grow(project, 4)
    with Project.open(path) as project:
        end = project.history(made[3].id)
        assert project.history(made[3].id) is end
        assert project.history(made[1].id) is end.rewind(2)
        story = project.story.fork(project.story.active, made[1].id, 2, "other")
        project.edit(story, "Fork")
        other = grow(project, 1)
        assert project.history(other[0].id).rewind(2) is end.rewind(2)
        gone = weakref.ref(end)
        del end
        gc.collect()
        assert gone() is None
        assert segments(project.history(made[3].id))


def test_old_chunks_of_a_long_run_leave_the_memory(path, monkeypatch):
    monkeypatch.setattr(stored_history, "KEPT", 3)
    with make(path) as project:
        history = None
        for event in generate(request(project, 8)):
            if commit(project, event, project.story.active):
                history = event.history
        assert [isinstance(chunk, StoredChunk) for chunk in history.chunks] == [True] * 6 + [False] * 3
        assert segments(history) == segments(project.history(project.story.current.tip))
        with make(path.with_name("whole.tv2tv")) as whole:
            grow(whole, 8)
            assert segments(whole.history(whole.story.current.tip)) == segments(history)


def test_a_chunk_comes_with_everything_or_not_at_all(path):
    with make(path) as project:
        take = project.story.active
        project.edit(project.story.plan(take, {0: "run forward", 3: "use"}), "Plan")
        left = Pending(take, 2, 3, "generate")
        run = generate(request(project, 1, plan=["run forward"]))
        record = next(filter(None, (commit(project, event, take, left) for event in run)))
        assert (record.line, record.source, record.plan, record.index) == ("run forward", "person", "run forward", 0)
        assert project.story.current.tip == record.id and project.story.current.planned == ((3, "use"),)
        assert project.pending == left and project.undo_label == "Plan"
        assert project.record(record.id) == record and record.parent == project.path(record.id)[0].id


def test_the_take_may_be_gone_or_elsewhere_when_its_chunk_is_done(path):
    with make(path) as project:
        take = project.story.active
        first = grow(project, 2)
        done = [event for event in generate(request(project, 1))][-2]
        project.edit(project.story.fork(take, first[0].id, 1), "Fork")
        project.edit(project.story.delete(take), "Delete")
        before = contents(project)
        with pytest.raises(InputError, match="not there any more"):
            project.commit_chunk(done.history, take, None, OPTIONS, 0.1, None)
        with pytest.raises(InputError, match="was changed while"):
            project.commit_chunk(done.history, project.story.active, None, OPTIONS, 0.1, None)
        assert contents(project) == before
        assert len(grow(project, 1)) == 1


def test_a_history_from_elsewhere_is_a_mistake_of_the_caller(path):
    with make(path) as project:
        stranger = FakeBackend().begin("a dark hall", START)
        with pytest.raises(ValueError, match="does not come from"):
            project.commit_chunk(stranger.then(stranger.segment), project.story.active, None, OPTIONS, 0.1, None)
        with pytest.raises(ValueError, match="generated"):
            project.commit_chunk(stranger, project.story.active, None, OPTIONS, 0.1, None)
        node = project.history(project.story.current.tip)
        wide = ChunkSegment(0, np.zeros((4, 24, 41, 3), np.uint8), np.zeros(3), 1)
        with pytest.raises(ValueError, match="uint8"):
            project.commit_chunk(node.then(wide), project.story.active, None, OPTIONS, 0.1, None)
        with pytest.raises(ValueError, match="start chunk alone"):
            Project.create(path.with_name("b.tv2tv"), info(), stranger.then(stranger.segment))


def test_settings_and_names_are_checked_and_kept(path):
    with make(path) as project:
        before = project.info
        for wrong in ({"steps": 0}, {"stpes": 3}, {"guidance": float("nan")}, {"seed": "x"}):
            with pytest.raises(InputError):
                project.set_settings(wrong)
        for name in ("", " ", "a" * 121, "two\nlines", "\ud800"):
            with pytest.raises(InputError):
                project.rename(name)
        assert project.info == before
        project.set_settings({"steps": "8"})
        assert project.info == dataclasses.replace(before, settings=before.settings | {"steps": 8})


def test_what_is_not_there_is_an_error_in_words(path):
    with make(path) as project:
        root = project.story.current.tip
        for wrong in ("f" * 16, "", "../../etc", None):
            for read in (project.record, project.path, project.frames, project.latents, project.history):
                with pytest.raises(InputError, match="no chunk"):
                    read(wrong)
        for k in (-1, 4, 10**30):
            with pytest.raises(InputError, match="0 to 3"):
                project.frame_png(root, k)
        with pytest.raises(InputError, match="not in this project"):
            project.edit(project.story.fork(project.story.active, "f" * 16, 0), "Fork")
        assert project.undo_label is None


def test_a_project_made_before_the_model_was_loaded_gets_its_start_later(path):
    given, backend = info(), FakeBackend()
    start = backend.begin(given.prompt, START)
    bare = dataclasses.replace(start, segment=ChunkSegment(-1, start.segment.frames, np.zeros(0, np.float16)))
    with Project.create(path, given, bare) as project:
        assert not project.start_encoded
    with Project.open(path) as project:
        assert not project.start_encoded
        with pytest.raises(ValueError, match="start frames"):
            project.set_start(backend.begin(given.prompt, START[:, ::-1]))
        project.set_start(start)
        assert project.start_encoded and project.history(project.story.current.tip) is start
        with pytest.raises(ValueError, match="already"):
            project.set_start(start)
        made = [project.frames(record.id).tobytes() for record in grow(project, 3)]
    with Project.open(path) as project, make(path.with_name("b.tv2tv")) as whole:
        assert project.start_encoded
        assert [whole.frames(record.id).tobytes() for record in grow(whole, 3)] == made


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int8, ">f4", np.bool_, np.complex64])
def test_latents_of_any_plain_kind_come_back_as_they_were(path, kind):
    latents = np.asfortranarray(np.random.default_rng(0).normal(size=(2, 3, 5)).astype(kind))
    with make(path) as project:
        node = project.history(project.story.current.tip)
        chunk = ChunkSegment(0, np.zeros((4, 24, 40, 3), np.uint8), latents, 3)
        record = project.commit_chunk(node.then(chunk), project.story.active, None, OPTIONS, 0.1, None)
        read = project.latents(record.id)
        assert read.dtype == latents.dtype and read.shape == latents.shape and read.tobytes() == latents.tobytes()


def test_a_copy_is_whole_while_the_project_is_open_and_growing(path, tmp_path):
    with make(path) as project:
        grow(project, 3)
        stop = threading.Event()
        worker = threading.Thread(target=lambda: [grow(project, 1) for _ in iter(stop.is_set, True)])
        worker.start()
        try:
            for n in range(4):
                project.copy_to(tmp_path / f"copy {n}.tv2tv", new_id=new_id() if n % 2 else None)
        finally:
            stop.set()
            worker.join()
        ends = {record.id for record in project.path(project.story.current.tip)}
        for n in range(4):
            with Project.open(tmp_path / f"copy {n}.tv2tv") as copy:
                assert (copy.info.id == project.info.id) == (n % 2 == 0)
                assert dataclasses.replace(copy.info, id=project.info.id) == project.info
                assert copy.story.current.tip in ends
                for record in copy.path(copy.story.current.tip):
                    assert record == project.record(record.id)
                    assert (copy.frames(record.id) == project.frames(record.id)).all()
        names = {item.name for item in tmp_path.iterdir()}
        with pytest.raises(InputError):
            project.copy_to(tmp_path / "copy 0.tv2tv", new_id="no id")
        with pytest.raises(StorageError, match="open in another"):
            project.copy_to(path)
        assert {item.name for item in tmp_path.iterdir()} == names


def test_the_list_of_projects_needs_no_opening(path):
    with make(path) as project:
        made = grow(project, 7)
        project.edit(project.story.fork(project.story.active, made[3].id, 4), "Fork")
        want = (project.info.id, "A walk", 4, pytest.approx(4 * 4 / 17.5), made[3].id)
        for _ in range(2):
            found = summary(path)
            assert (found.id, found.name, found.chunks, found.seconds, found.thumb) == want
        assert peek_frame(path, made[3].id, 2) == project.frame_png(made[3].id, 2)
    before = path.read_bytes()
    assert summary(path) == found
    with pytest.raises(InputError, match="no such frame"):
        peek_frame(path, made[3].id, 4)
    assert path.read_bytes() == before and [item.name for item in path.parent.iterdir()] == [path.name]


def test_moving_keeps_what_a_killed_process_left_beside_the_file(path, tmp_path):
    with make(path) as project:
        grow(project, 2)
        want, log = contents(project), path.with_name(f"{path.name}-wal")
        killed = tmp_path / "killed.tv2tv"
        killed.write_bytes(path.read_bytes())
        killed.with_name("killed.tv2tv-wal").write_bytes(log.read_bytes())
        assert log.stat().st_size > 0
        with pytest.raises(StorageError, match="open in another"):
            move_file(path, tmp_path / "elsewhere.tv2tv")
    move_file(killed, tmp_path / "moved.tv2tv")
    with Project.open(tmp_path / "moved.tv2tv") as moved:
        assert contents(moved) == want
    assert not [item for item in tmp_path.iterdir() if item.name.startswith("killed")]


def test_frames_are_read_by_many_threads_while_chunks_are_added(path):
    with make(path) as project:
        root = project.story.current.tip
        want, wrong = project.frame_png(root, 1), []
        stop = threading.Event()

        def read() -> None:
            while not stop.is_set():
                tip = project.story.current.tip
                same = project.frame_png(root, 1) == want and project.path(tip)[-1].id == tip
                if not same or len(project.history(tip).chunks) != len(project.path(tip)):
                    wrong.append(tip)

        readers = [threading.Thread(target=read) for _ in range(4)]
        for reader in readers:
            reader.start()
        grow(project, 25)
        stop.set()
        for reader in readers:
            reader.join()
        assert wrong == [] and project.record(project.story.current.tip).index == 24


def test_after_closing_everything_is_refused_in_words(path):
    project = make(path)
    made = grow(project, 1)
    history = project.history(made[0].parent)
    project.close()
    project.close()
    stored = StoredChunk(project, made[0])
    for use in (
        lambda: project.frame_png(made[0].id, 0),
        lambda: project.rename("x"),
        lambda: project.edit(project.story, "x"),
        lambda: project.set_pending(None),
        lambda: project.copy_to(path.with_name("b")),
        lambda: stored.frames,
    ):
        with pytest.raises(StorageError, match="open the project again"):
            use()
    assert history.segment.index == -1
