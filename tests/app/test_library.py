"""The folder of projects: nothing outside it can be reached, nothing in it is lost."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from app.jobs import Idle
from app.library import SUFFIX, TRASH, TRASH_DAYS, empty_trash
from tests.app.studio import Bench
from tv2tv_core.engine.pretrained.past import moving_part
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.media.clip import TEXT_ALONE
from tv2tv_core.project.lock import FileLock

PRETRAINED = "wan-vace-1.3b"


@pytest.fixture
def bench(tmp_path: Path):
    one = Bench(tmp_path / "projects")
    yield one
    one.close()


def test_a_new_project_needs_no_model(bench: Bench):
    session = bench.library.create()
    assert bench.loads == 0 and len(session.path) == 1
    assert session.project.frames(session.path[0].id).shape == (4, 24, 40, 3)


def test_a_story_may_start_from_its_prompt_alone_where_the_model_can(bench: Bench):
    with pytest.raises(InputError, match="cannot start from text: choose a start frame"):
        bench.library.create(TEXT_ALONE, "a fox")
    with pytest.raises(InputError, match="write what is to be seen"):
        bench.library.create(TEXT_ALONE, "  ", preset=PRETRAINED)
    session = bench.library.create(TEXT_ALONE, "a red fox", preset=PRETRAINED)
    info = session.project.info
    assert (info.name, info.prompt, info.start, info.preset) == ("a red fox", "a red fox", TEXT_ALONE, PRETRAINED)
    start = session.project.frames(session.path[0].id)
    assert not len(moving_part(start)), "the pretrained backend would take it for a picture"
    assert bench.library.create(TEXT_ALONE, "a fox", name="Mine", preset=PRETRAINED).project.info.name == "Mine"


def test_the_list_shows_the_newest_first_with_what_is_in_it(bench: Bench):
    one, two = bench.library.create(name="One"), bench.library.create(name="Two")
    one.generate(chunks=2)
    bench.settle(one)
    rows = bench.library.list()
    assert [(row["name"], row["chunks"]) for row in rows] == [("One", 2), ("Two", 0)]
    assert rows[1]["id"] == two.id and rows[0]["thumb"].startswith(f"/studio/p/{one.id}/c/")


def test_deleted_and_restored_is_the_same_project(bench: Bench):
    session = bench.library.create(name="Keep me")
    session.generate(chunks=2)
    bench.settle(session)
    path = list(session.path)
    ear = bench.listen(session)
    token = bench.library.delete(session.id)
    ear.wait(lambda message: message["type"] == "gone")
    assert bench.library.list() == []
    with pytest.raises(InputError, match="no such project"):
        bench.library.session(session.id)
    assert bench.library.restore(token) == session.id
    assert bench.library.session(session.id).path == path
    with pytest.raises(InputError):
        bench.library.restore(token)


def test_what_was_deleted_long_ago_goes_when_a_studio_starts_and_nothing_else(bench: Bench):
    kept, gone = bench.library.create(name="Kept").id, bench.library.create(name="Gone").id
    tokens = [bench.library.delete(project) for project in (kept, gone)]
    trash = bench.library.folder / TRASH
    own = trash / "my notes.tv2tv"
    own.write_text("not put there by a studio")
    day = 86_400.0
    empty_trash(trash, time.time() + TRASH_DAYS * day - 60)
    assert {path.stem for path in trash.iterdir()} == {*tokens, own.stem}
    assert bench.library.restore(tokens[0]) == kept
    with FileLock(trash / f"{tokens[1]}{SUFFIX}"):
        empty_trash(trash, time.time() + 2 * TRASH_DAYS * day)
        assert (trash / f"{tokens[1]}{SUFFIX}").exists()  # somebody has it open
    empty_trash(trash, time.time() + TRASH_DAYS * day + 60)
    assert [path.name for path in trash.iterdir()] == [own.name]
    with pytest.raises(InputError, match="no longer in the trash"):
        bench.library.restore(tokens[1])
    assert bench.library.session(kept).project.info.name == "Kept"


def test_days_in_the_trash_count_from_the_deletion(bench: Bench):
    project = bench.library.create().id
    bench.library.session(project).close()
    old = time.time() - 400 * 86_400
    os.utime(bench.library.folder / f"{project}{SUFFIX}", (old, old))
    token = bench.library.delete(project)
    assert (bench.library.folder / TRASH / f"{token}{SUFFIX}").stat().st_mtime > old + 86_400
    again = Bench(bench.library.folder)
    assert again.library.restore(token) == project
    again.close()


def test_a_copy_has_a_life_of_its_own(bench: Bench):
    session = bench.library.create(name="First")
    session.generate(chunks=2)
    bench.settle(session)
    copy = bench.library.duplicate(session.id)
    copy.generate(chunks=2)
    bench.settle(copy)
    assert (len(session.path), len(copy.path)) == (3, 5)
    assert copy.id != session.id and copy.project.info.name == "First (copy)"
    assert copy.path[:3] == session.path


def test_adopting_a_project_that_is_there_already_makes_another(bench: Bench, tmp_path: Path):
    session = bench.library.create(name="Twin")
    session.project.copy_to(tmp_path / "outside.tv2tv")
    adopted = bench.library.adopt(tmp_path / "outside.tv2tv")
    assert adopted.id != session.id and adopted.path == session.path


def test_adopting_what_is_no_project_leaves_nothing_behind(bench: Bench, tmp_path: Path):
    (tmp_path / "bad").write_bytes(b"SQLite format 3\x00" + bytes(5000))
    before = sorted(bench.library.folder.iterdir())
    with pytest.raises(InputError):
        bench.library.adopt(tmp_path / "bad")
    assert sorted(bench.library.folder.iterdir()) == before


def test_a_damaged_file_is_named_and_does_not_hide_the_others(bench: Bench):
    bench.library.create(name="Fine")
    (bench.library.folder / f"{'ab' * 8}.tv2tv").write_bytes(b"not a database")
    rows = {row["id"]: row for row in bench.library.list()}
    assert rows["ab" * 8]["job"] == "failed" and "cannot be read" in rows["ab" * 8]["name"]
    assert len(rows) == 2


@pytest.mark.parametrize("project", ["", "..", "../../etc/passwd", "a" * 15, "A" * 16, "0" * 16 + "/..", "%2e%2e", "0" * 16])
def test_no_id_leads_out_of_the_folder(bench: Bench, project: str):
    for call in (bench.library.session, bench.library.delete, bench.library.duplicate):
        with pytest.raises(InputError):
            call(project)
    with pytest.raises(InputError):
        bench.library.frame(project, "0" * 16, 0)


@pytest.mark.parametrize("start", ["nowhere", "../starts/courtyard", "picture.png", "/etc/passwd"])
def test_only_shipped_starts_can_be_named(bench: Bench, start: str):
    with pytest.raises(InputError):
        bench.library.create(start=start)


def test_two_studios_on_one_folder_do_not_share_a_project(bench: Bench):
    session = bench.library.create()
    other = Bench(bench.library.folder)
    with pytest.raises(StorageError):
        other.library.session(session.id)
    other.close()


def test_closing_keeps_what_is_left_to_do(bench: Bench):
    session = bench.library.create()
    assert session.job == Idle()
    bench.backend.delay_s = 0.02
    session.generate(chunks=6)
    bench.close()
    again = Bench(bench.library.folder)
    pending = again.library.session(session.id).project.pending
    assert pending is not None and 0 < pending.chunks <= 6
    again.close()
