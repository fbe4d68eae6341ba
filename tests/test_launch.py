"""The launcher's decisions: which Python, what to install, when to skip it, and what to say when it fails."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path

import pytest

import launch


@pytest.fixture
def checkout(tmp_path):
    """A checkout with the real requirement files and an environment that only has a python."""
    for name in ("requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).write_text((launch.ROOT / name).read_text())
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").write_text("")
    return tmp_path


def lacking(root, testing=True, gpu=False):
    venv = root / ".venv"
    return launch.missing(venv, venv / "bin" / "python", launch.digests(root), gpu, testing)


def stamp(root, tested=True, gpu=False):
    launch.write_stamp(root / ".venv", launch.digests(root), gpu, tested)


@pytest.mark.parametrize("version", [(3, 11), (3, 12), (3, 13)])
def test_supported_pythons_pass(version):
    assert launch.version_problem(version) is None


@pytest.mark.parametrize("version", [(2, 7), (3, 8), (3, 10), (3, 14)])
def test_other_pythons_are_told_what_to_use(version):
    text = launch.version_problem(version)
    assert f"{version[0]}.{version[1]}" in text and "3.11" in text and "\n" not in text


def test_a_stamp_makes_the_second_start_install_nothing(checkout):
    assert lacking(checkout) == ["run", "test"]
    stamp(checkout, tested=False)
    assert lacking(checkout, testing=False) == [] and lacking(checkout) == ["test"]
    stamp(checkout)
    assert lacking(checkout) == []


def test_changed_requirements_are_installed_again_and_only_those(checkout):
    stamp(checkout)
    (checkout / "requirements-dev.txt").write_text("pytest==0.0.1\n")
    assert lacking(checkout) == ["test"] and lacking(checkout, testing=False) == []
    (checkout / "requirements.txt").write_text("torch==9.9.9\n")
    assert lacking(checkout) == ["run", "test"]


def test_a_new_gpu_wants_a_new_torch_and_a_lost_one_does_not(checkout):
    stamp(checkout)
    assert lacking(checkout, gpu=True) == ["run"]
    stamp(checkout, gpu=True)
    assert lacking(checkout, gpu=False) == []


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"run": 3}', "\x00"])
def test_a_broken_stamp_counts_as_none(checkout, text):
    (checkout / ".venv" / launch.STAMP).write_text(text)
    assert lacking(checkout) == ["run", "test"]


def test_an_environment_without_its_python_is_not_whole(checkout):
    stamp(checkout)
    (checkout / ".venv" / "bin" / "python").unlink()
    assert lacking(checkout) == ["run", "test"]


def test_torch_comes_first_and_alone_and_the_language_model_without_dependencies():
    plan = launch.install_plan(["run", "test"], launch.ROOT, "Linux", gpu=False)
    choices = [step.choices for step in plan]
    torch = launch.torch_requirement(launch.ROOT / "requirements.txt")
    assert choices[0] == ((f"{torch}+cpu",), (torch,))
    assert choices[1][0][0] == "-r" and choices[1][0][1].endswith("requirements.txt")
    assert choices[2] == (("--no-deps", launch.LANGUAGE_MODEL),)
    assert choices[3][0][1].endswith("requirements-dev.txt")
    assert len(launch.install_plan(["test"], launch.ROOT, "Linux", gpu=False)) == 1


@pytest.mark.parametrize(
    ("system", "gpu", "first"),
    [
        ("Linux", False, "torch==1.2.3+cpu"),
        ("Linux", True, "torch==1.2.3,!=1.2.3+cpu"),
        ("Darwin", False, "torch==1.2.3"),
        ("Windows", True, "torch==1.2.3"),
    ],
)
def test_torch_is_asked_for_in_the_build_of_the_machine_and_any_build_serves_at_last(system, gpu, first):
    choices = launch.torch_choices("torch==1.2.3", system, gpu)
    assert choices[0] == (first,) and choices[-1] == ("torch==1.2.3",)


def test_every_requirement_is_pinned_exactly():
    for name in ("requirements.txt", "requirements-dev.txt"):
        rows = [row for row in (launch.ROOT / name).read_text().splitlines() if row and not row.startswith("#")]
        assert rows and all(row.count("==") == 1 and row.split("==")[1][0].isdigit() for row in rows)


@pytest.mark.parametrize(
    ("output", "words"),
    [
        ("ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device", "disk is full"),
        ("WARNING: NewConnectionError\nERROR: No matching distribution found for torch", "Check the network"),
        ("PermissionError: [Errno 13] Permission denied: 'x'", "No permission"),
        ("lines\nERROR: No matching distribution found for torch==9\n", "No matching distribution found for torch==9"),
        ("", "no output"),
    ],
)
def test_a_failed_installation_is_explained_in_one_line(output, words, tmp_path):
    text = launch.explain(output, tmp_path / "install.log")
    assert words in text and "\n" not in text and "install.log" in text


def test_the_output_of_pip_becomes_short_words():
    wheel = "torch-2.13.0%2Bcpu-cp311-cp311-linux_x86_64.whl"
    assert launch.progress_words(f"  Downloading https://h/a/{wheel} (188.2 MB)") == "torch 2.13.0%2Bcpu, 188.2 MB"
    assert launch.progress_words("  Downloading gguf-0.19.0-py3-none-any.whl.metadata (4 kB)") == "gguf 0.19.0, 4 kB"
    assert launch.progress_words("Processing /w/av-1.0-py3-none-any.whl (from -r x (line 3))") == "av 1.0"
    assert launch.progress_words("Installing collected packages: a, b") == "unpacking"
    assert launch.progress_words("Requirement already satisfied: numpy") is None


@pytest.mark.skipif(sys.platform == "win32", reason="Windows waits inside the system call")
def test_two_starts_take_turns(tmp_path, capsys):
    order = []

    def second():
        with launch.only_one(tmp_path / "lock"):
            order.append("second")

    with launch.only_one(tmp_path / "lock"):
        thread = threading.Thread(target=second)
        thread.start()
        while "waiting" not in capsys.readouterr().err:
            time.sleep(0.01)
        order.append("first")
    thread.join(10)
    assert order == ["first", "second"]


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\necho 3 8\n", "no program", None])
def test_an_environment_that_does_not_run_is_told_from_one_that_does(tmp_path, script):
    assert launch.usable(Path(sys.executable))
    python = tmp_path / "python"
    if script:
        python.write_text(script)
        python.chmod(0o755)
    assert not launch.usable(python)
