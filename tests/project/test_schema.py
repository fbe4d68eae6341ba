"""Project files that are none, damaged, hostile, from another time, or on a full disk: words for people, nothing altered."""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import random
import shutil
import sqlite3
import struct
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import ROOT
from tests.project.project_files import alter, contents, grow, make
from tv2tv_core.errors import InputError, StorageError, TV2TVError
from tv2tv_core.project import schema
from tv2tv_core.project.file import Project, peek_frame, summary
from tv2tv_core.project.pictures import decode_frame, decode_latents, encode_frames, encode_latents
from tv2tv_core.project.records import dump, info_to_json

LEFT = """UPDATE project SET value = '{"take":"0123456789abcdef","chunks":1,"total":2,"reason":"%s","target":%s}'
          WHERE key = 'pending'"""
OTHER_SIZE = encode_frames(np.zeros((1, 24, 41, 3), np.uint8))[0]
HOSTILE = {
    "a chunk without its parent": "UPDATE chunk SET parent = 'ffffffffffffffff' WHERE \"index\" = 1",
    "a circle": "UPDATE chunk SET parent = (SELECT id FROM chunk WHERE \"index\" = 2) WHERE \"index\" = 1",
    "its own parent": "UPDATE chunk SET parent = id WHERE \"index\" = 1",
    "two start chunks": "UPDATE chunk SET \"index\" = -1, parent = NULL WHERE \"index\" = 2",
    "no start chunk": "DELETE FROM chunk WHERE \"index\" = -1",
    "an index out of line": "UPDATE chunk SET \"index\" = 9 WHERE \"index\" = 2",
    "an index of text": "UPDATE chunk SET \"index\" = 'two' WHERE \"index\" = 2",
    "an endless index": "UPDATE chunk SET \"index\" = 9e99 WHERE \"index\" = 2",
    "a blob for an id": "UPDATE chunk SET id = x'00ff' WHERE \"index\" = 2",
    "an id that is a path": "UPDATE chunk SET id = '../../etc/passwd' WHERE \"index\" = 2",
    "oversize text": "UPDATE chunk SET stream = hex(zeroblob(4000000)) WHERE \"index\" = 2",
    "a line that is too long": "UPDATE chunk SET asked = hex(zeroblob(150)) WHERE \"index\" = 2",
    "a line break": "UPDATE chunk SET asked = 'run' || char(10) || 'stand' WHERE \"index\" = 2",
    "a plan that nobody wrote": "UPDATE chunk SET plan = 'use' WHERE \"index\" = 2",
    "text that is no text": "UPDATE chunk SET stream = CAST(x'fffe41' AS TEXT) WHERE \"index\" = 2",
    "an unknown author": "UPDATE chunk SET source = 'cat', line = plan WHERE \"index\" = 2",
    "a negative seed": "UPDATE chunk SET seed = -1 WHERE \"index\" = 2",
    "endless guidance": "UPDATE chunk SET guidance = 9e999 WHERE \"index\" = 2",
    "text for a number": "UPDATE chunk SET seconds = 'long' WHERE \"index\" = 2",
    "a missing frame": "DELETE FROM frame WHERE k = 2",
    "frames of other numbers": "UPDATE frame SET k = k + 1 WHERE k = 3",
    "missing latents": "DELETE FROM latents WHERE rowid = 3",
    "start latents of code": "UPDATE latents SET npy = x'80049500' WHERE rowid = 1",
    "no description": "DELETE FROM project WHERE key = 'info'",
    "a description of numbers": "UPDATE project SET value = 12 WHERE key = 'info'",
    "broken JSON": "UPDATE project SET value = '{' WHERE key = 'info'",
    "deep JSON": "UPDATE project SET value = replace(hex(zeroblob(200000)), '0', '[') WHERE key = 'info'",
    "no such revision": "UPDATE project SET value = '99' WHERE key = 'current'",
    "a revision that is true": "UPDATE project SET value = 'true' WHERE key = 'current'",
    "a revision out of reach": "UPDATE project SET value = '99999999999999999999999' WHERE key = 'current'",
    "no time": "UPDATE project SET value = 'null' WHERE key = 'updated'",
    "a revision of text": "UPDATE project SET value = '\"a\"' WHERE key = 'current'",
    "odd work left": "UPDATE project SET value = '{\"take\": 3}' WHERE key = 'pending'",
    "a bridge to half a picture": LEFT % ("bridge", '"iVBORw0KGgo="'),
    "a bridge to another size": LEFT % ("bridge", f'"{base64.b64encode(OTHER_SIZE).decode()}"'),
    "a bridge to a number": LEFT % ("bridge", 7),
    "a bridge to odd letters": LEFT % ("bridge", '"%%%"'),
    "a picture for no bridge": LEFT % ("generate", '"iVBORw0KGgo="'),
    "a gap in undo": "UPDATE revision SET n = 7 WHERE n = 0",
    "no revisions": "DELETE FROM revision",
    "a story of nothing": "UPDATE revision SET story = 'null'",
    "a take that ends nowhere": "UPDATE revision SET story = replace(story, '\"tip\":\"', '\"tip\":\"0') WHERE n = 1",
    "a trigger": "CREATE TRIGGER t AFTER INSERT ON chunk BEGIN DELETE FROM chunk; END",
    "a view": "CREATE VIEW v AS SELECT 1",
    "one more table": "CREATE TABLE more (x)",
    "one more index": "CREATE INDEX i ON chunk (seed)",
    "one more column": "ALTER TABLE chunk ADD COLUMN more TEXT",
    "a table of another kind": "ALTER TABLE frame RENAME TO pictures",
}
CHANGES = {
    "id": "no id", "name": "two\nlines", "name ": 7, "fps": "35/0", "fps ": "1" * 100_000, "fps  ": 17.5, "fps   ": "nan",
    "width": 0, "height": 1e9, "chunk_frames": True, "chunk_frames ": 5, "prompt": "a" * 20_000, "prompt ": "\ud800",
    "settings": {"seed": -1}, "settings ": {"unknown": 1}, "settings  ": [], "more": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A small project file that is fine."""
    path = tmp_path_factory.mktemp("whole") / "whole.tv2tv"
    with make(path) as project:
        made = grow(project, 3)
        project.edit(project.story.fork(project.story.active, made[0].id, 1), "Fork")
    return path


@pytest.fixture
def path(whole, tmp_path):
    """A copy of it for one test to break."""
    return shutil.copyfile(whole, tmp_path / "a.tv2tv")


def refused(path, match: str = "") -> str:
    """Open a file that must be refused in one line, and look that neither it nor its folder is altered."""
    before, names = path.read_bytes(), os.listdir(path.parent)
    with pytest.raises(InputError, match=match) as caught:
        Project.open(path)
    text = str(caught.value)
    assert text.isprintable() and len(text) < 300 and text.count("damaged") <= 1 and "sqlite" not in text.lower()
    assert path.read_bytes() == before and sorted(os.listdir(path.parent)) == sorted(names)
    try:
        summary(path)
    except TV2TVError as error:
        assert str(error).isprintable()
    assert path.read_bytes() == before
    return text


@pytest.mark.parametrize("statement", HOSTILE.values(), ids=HOSTILE.keys())
def test_content_that_cannot_be_is_refused(path, statement):
    alter(path, statement)
    refused(path, "damaged")


@pytest.mark.parametrize("change", CHANGES.items(), ids=[repr(item)[:40] for item in CHANGES.items()])
def test_a_description_that_cannot_be_is_refused(path, change):
    with Project.open(path) as project:
        row = info_to_json(project.info) | {change[0].strip(): change[1]}
    with sqlite3.connect(path) as db:
        db.execute("UPDATE project SET value = ? WHERE key = 'info'", (json.dumps(row),))
    db.close()
    refused(path, "damaged")


@pytest.mark.parametrize("data", [b"", b"\0", b"hello", b"\x89PNG\r\n\x1a\n", b"SQLite format 3\0", bytes(range(256)) * 300])
def test_what_is_no_database_is_refused(tmp_path, data):
    path = tmp_path / "a.tv2tv"
    path.write_bytes(data)
    refused(path, "not a TV2TV project|damaged")


def test_another_programs_database_is_refused(path):
    alter(path, "PRAGMA application_id = 7")
    refused(path, "not a TV2TV project")


def test_what_is_no_file_is_refused(tmp_path):
    for wrong in (tmp_path, tmp_path / "none.tv2tv", tmp_path / "a\0b", tmp_path / ("x" * 300)):
        for use in (Project.open, summary):
            with pytest.raises(InputError, match="choose another project"):
                use(wrong)
    assert os.listdir(tmp_path) == []


def test_a_project_from_the_future_says_so(path):
    alter(path, "PRAGMA user_version = 7")
    text = refused(path, "newer version of TV2TV Studio")
    assert "format 7" in text and f"up to {schema.FORMAT}" in text and "update" in text


def test_a_truncated_file_is_refused(whole, tmp_path):
    data = whole.read_bytes()
    path = tmp_path / "a.tv2tv"
    for size in (len(data) // 7, len(data) // 2, len(data) - schema.PAGE_BYTES, len(data) - 1):
        path.write_bytes(data[:size])
        refused(path, "damaged|not a TV2TV")


def test_any_flipped_byte_is_told_in_words_or_harms_nothing(whole, tmp_path):
    data, path = whole.read_bytes(), tmp_path / "a.tv2tv"
    draw = random.Random(3)
    outcomes = set()
    for n in range(150):
        broken = bytearray(data)
        for _ in range(draw.choice([1, 1, 40])):
            # Every second time the first page: that is where the structure is.
            broken[draw.randrange(100 if n % 4 == 0 else len(data))] = draw.randrange(256)
        path.write_bytes(broken)
        try:
            with Project.open(path) as project:
                contents(project)
            outcomes.add("fine")
        except TV2TVError as error:
            assert str(error).isprintable()
            outcomes.add("told")
        for name in os.listdir(tmp_path):
            (tmp_path / name).unlink()
    assert outcomes == {"fine", "told"}


def test_damaged_pictures_are_told_when_they_are_read(path):
    with Project.open(path) as project:
        tip = project.story.takes[0].tip
    huge = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + struct.pack(">II", 60_000, 60_000) + bytes(40)
    for data in (b"", b"<svg onload=alert(1)>", huge, 7, None):
        with sqlite3.connect(path) as db:
            value = "x" if data is None else data
            db.execute("UPDATE frame SET png = ? WHERE chunk = ? AND k = 1", (value, tip))
            db.execute("UPDATE latents SET npy = ? WHERE chunk = ?", (value, tip))
        db.close()
        with Project.open(path) as project:
            for read in (project.frames, project.latents, lambda chunk: project.frame_png(chunk, 1)):
                with pytest.raises(InputError, match="cannot be read"):
                    read(tip)
            assert project.frame_png(tip, 0)
        if not isinstance(data, bytes):
            with pytest.raises(InputError):
                peek_frame(path, tip, 1)


def test_a_header_that_claims_more_than_there_is_costs_nothing():
    frame = np.zeros((24, 40, 3), np.uint8)
    [page] = encode_frames(frame[None])
    assert (decode_frame(page, 40, 24) == frame).all()
    for broken in (page[:40], page[:-20][:60], page[:24] + bytes(len(page) - 24)):
        with pytest.raises(InputError):
            decode_frame(broken, 40, 24)
    good = encode_latents(np.arange(6, dtype=np.float16))
    for old, new in ((b"(6,)", b"(9,)"), (b"<f2", b"|O8"), (b"(6,)", b"9**9"), (b"{", b"["), (b"NUMPY", b"NUMPX")):
        with pytest.raises(InputError):
            decode_latents(good.replace(old, new))
    with pytest.raises(ValueError):
        encode_latents([object()])


# Versions ----------------------------------------------------------------------------------------------------------


def to_two(db: sqlite3.Connection) -> None:
    """A migration as a later format might bring: prompts get a prefix."""
    [(text,)] = db.execute("SELECT value FROM project WHERE key = 'info'").fetchall()
    row = json.loads(text)
    db.execute("UPDATE project SET value = ? WHERE key = 'info'", (dump(row | {"prompt": f"two: {row['prompt']}"}),))


def to_three(db: sqlite3.Connection) -> None:
    """Another one, which sees what the first left."""
    assert "two: " in db.execute("SELECT value FROM project WHERE key = 'info'").fetchone()[0]
    db.execute("UPDATE revision SET label = 'New story' WHERE n = 0")


def test_an_older_format_is_migrated_step_by_step_and_kept_aside(path, monkeypatch):
    with Project.open(path) as project:
        before = contents(project)
    old = path.read_bytes()
    monkeypatch.setattr(schema, "FORMAT", 3)
    monkeypatch.setattr(schema, "MIGRATIONS", {1: to_two, 2: to_three})
    with pytest.raises(InputError, match="older format 1"):
        summary(path)
    with Project.open(path) as project:
        want = before | {"info": dataclasses.replace(before["info"], prompt="two: a dark hall")}
        assert contents(project) == want
    assert summary(path).id == before["info"].id
    with Project.open(path) as project:  # once is enough
        assert contents(project) == want
    monkeypatch.undo()
    refused(path, "newer version")
    aside = path.with_name("a.tv2tv.bak")
    with Project.open(aside) as project:
        assert contents(project) == before
    assert len(aside.read_bytes()) == len(old)


@pytest.mark.parametrize("wrong", ["fails", "leaves a mess", "refuses"])
def test_a_migration_that_fails_leaves_the_file_as_it_was(path, monkeypatch, wrong):
    def step(db: sqlite3.Connection) -> None:
        to_two(db)
        if wrong == "refuses":
            raise InputError("too old")
        db.execute("DROP TABLE latents" if wrong == "leaves a mess" else "DELETE FROM nothing")

    before = path.read_bytes()
    monkeypatch.setattr(schema, "FORMAT", 2)
    monkeypatch.setattr(schema, "MIGRATIONS", {1: step})
    with pytest.raises(InputError):
        Project.open(path)
    monkeypatch.undo()
    assert path.read_bytes() == before
    with Project.open(path) as project:
        assert project.info.prompt == "a dark hall"


def test_a_format_without_a_way_up_is_refused(path):
    alter(path, "PRAGMA user_version = 0")
    refused(path, "format 0 is unknown")


# A disk that refuses -----------------------------------------------------------------------------------------------


def test_a_full_disk_is_told_and_changes_nothing(path):
    with Project.open(path) as project:
        take = project.story.takes[0].id
        project.edit(project.story.switch(take), "Switch")
        [(pages,)] = project._db.execute("PRAGMA page_count").fetchall()
        project._db.execute(f"PRAGMA max_page_count = {pages + 2}")
        with pytest.raises(StorageError, match=r"disk is full: free some space.*Nothing is lost"):
            for _ in range(50):
                before = contents(project)
                grow(project, 1)
        assert contents(project) == before
        with pytest.raises(StorageError, match="disk is full"):
            project.edit(project.story.plan(take, {n: "run forward " * 15 for n in range(2000)}), "Plan")
        assert contents(project) == before
        project._db.execute("PRAGMA max_page_count = 1000000")
        assert len(grow(project, 2)) == 2
        after = contents(project)
    with Project.open(path) as project:
        assert contents(project) == after


FULL = """
import resource, sys
from pathlib import Path
from tests.project.project_files import contents, grow, make
from tv2tv_core.errors import StorageError
from tv2tv_core.project.file import Project
path = Path(sys.argv[1])
hard = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
told = 0
with Project.open(path) as project:
    for extra in (0, 1000, 20_000, 60_000):
        before = contents(project)
        size = max(item.stat().st_size for item in path.parent.iterdir())
        resource.setrlimit(resource.RLIMIT_FSIZE, (size + extra, hard))
        try:
            for _ in range(200):
                before = contents(project)
                grow(project, 1)
        except StorageError as error:
            told += "Nothing is lost" in str(error)
        assert contents(project) == before
        try:
            project.copy_to(path.with_name("copy.tv2tv"))
        except StorageError as error:
            told += "copy.tv2tv" in str(error)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        grow(project, 1)
    end = contents(project)
with Project.open(path) as project:
    assert contents(project) == end
print(told, sorted(item.name for item in path.parent.iterdir()))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_file_that_may_not_grow_is_told_and_work_goes_on_when_it_may(path):
    result = subprocess.run([sys.executable, "-c", FULL, path], cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split(" ", 1)[0] in "45678", result.stdout
    assert "tmp" not in result.stdout and "-lock" not in result.stdout


def test_a_file_or_folder_that_cannot_be_written_is_a_storage_error(path, tmp_path):
    with Project.open(path) as project:
        before = project.info
        for wrong in (tmp_path / "none" / "a.tv2tv", path / "a.tv2tv", tmp_path / ("x" * 300), tmp_path / "a\0b"):
            with pytest.raises(StorageError):
                project.copy_to(wrong)
            with pytest.raises(StorageError):
                make(wrong)
        with pytest.raises(StorageError, match="there already|open in another"):
            make(path)
        assert project.info == before
    with pytest.raises(StorageError, match="there already"):
        make(path)
    assert sorted(os.listdir(tmp_path)) == ["a.tv2tv"]
