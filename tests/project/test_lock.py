"""One owner per project file, and what a process that is killed leaves behind: every chunk that it had told of."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import subprocess
import sys
import threading
import time

import pytest

from tests.conftest import ROOT
from tests.project.project_files import contents, grow, make
from tv2tv_core.errors import StorageError
from tv2tv_core.project.file import Project, summary
from tv2tv_core.project.lock import FileLock, owned

GROW = """
import hashlib, sys
from pathlib import Path
from tests.project.project_files import grow
from tv2tv_core.project.file import Project
with Project.open(Path(sys.argv[1])) as project:
    print("open", flush=True)
    while True:
        [record] = grow(project, 1)
        chunk = project.history(record.id).segment
        digest = hashlib.sha256(chunk.frames.tobytes() + chunk.latents.tobytes()).hexdigest()
        print(record.id, record.index, digest, flush=True)
"""


def growing(path) -> subprocess.Popen[str]:
    """A process that adds chunks without end and tells of each one after it is stored."""
    return subprocess.Popen([sys.executable, "-c", GROW, path], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def digest(project: Project, chunk_id: str) -> str:
    """What the growing process tells of a chunk, from the file."""
    return hashlib.sha256(project.frames(chunk_id).tobytes() + project.latents(chunk_id).tobytes()).hexdigest()


@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
def test_every_chunk_that_was_told_of_survives_a_kill(tmp_path):
    path = tmp_path / "a.tv2tv"
    make(path).close()
    draw = random.Random(11)
    told: dict[str, tuple[int, str]] = {}
    for _ in range(4):
        child = growing(path)
        assert child.stdout.readline() == "open\n"
        time.sleep(draw.uniform(0.0, 0.4))
        child.send_signal(signal.SIGKILL)
        lines = child.communicate()[0].splitlines(keepends=True)
        told |= {row[0]: (int(row[1]), row[2]) for row in map(str.split, lines) if len(row) == 3 and len(row[2]) == 64}
        assert summary(path).chunks >= len(told)
    with Project.open(path) as project:
        ends = project.path(project.story.current.tip)[1:]
        assert len(told) > 4 and set(told) <= {record.id for record in ends}
        assert {chunk: (project.record(chunk).index, digest(project, chunk)) for chunk in told} == told
        with make(tmp_path / "whole.tv2tv") as whole:
            grow(whole, len(ends) + 1)
            grow(project, 1)
            for mine, other in zip(*(p.path(p.story.current.tip) for p in (project, whole)), strict=True):
                assert digest(project, mine.id) == digest(whole, other.id) and mine.plan == other.plan
    assert sorted(os.listdir(tmp_path)) == ["a.tv2tv", "whole.tv2tv"]


def test_a_second_owner_is_refused_until_the_first_has_gone(tmp_path):
    path = tmp_path / "a.tv2tv"
    project = make(path)
    link = tmp_path / "link.tv2tv"
    link.symlink_to(path)
    for again in (path, link):
        with pytest.raises(StorageError, match="open in another TV2TV Studio"):
            Project.open(again)
    # Trying must not have loosened the first one's hold.
    code = f"from tv2tv_core.project.file import Project; Project.open({str(path)!r})"
    other = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert other.returncode == 1 and "open in another TV2TV Studio" in other.stderr
    grow(project, 1)
    before = contents(project)
    project.close()
    with Project.open(link) as again:
        assert contents(again) == before


@pytest.mark.skipif(sys.platform == "win32", reason="needs kill -9")
def test_a_killed_owner_holds_nothing(tmp_path):
    path = tmp_path / "a.tv2tv"
    make(path).close()
    child = growing(path)
    assert child.stdout.readline() == "open\n"
    with pytest.raises(StorageError, match="open in another"):
        Project.open(path)
    child.kill()
    child.communicate()
    Project.open(path).close()


def test_a_lock_has_one_holder_at_a_time(tmp_path):
    path, inside, most, refusals = tmp_path / "a", [], [0], []

    def compete() -> None:
        for _ in range(300):
            try:
                with FileLock(path):
                    inside.append(1)
                    most[0] = max(most[0], len(inside))
                    inside.pop()
            except StorageError as error:
                refusals.append(str(error))

    threads = [threading.Thread(target=compete) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most[0] == 1 and all("open in another" in text for text in refusals)
    assert os.listdir(tmp_path) == []


def test_a_lock_is_let_go_when_what_it_was_for_fails(tmp_path):
    with pytest.raises(KeyError), owned(tmp_path / "a"):
        raise KeyError
    with owned(tmp_path / "a") as lock:
        pass
    with pytest.raises(StorageError):
        FileLock(tmp_path / "a")
    lock.release()
    lock.release()
    FileLock(tmp_path / "a").release()
