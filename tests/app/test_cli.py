"""The command line as a person meets it: bad input is one line and exit code 2, never a traceback."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from PIL import Image

from app import cli
from tv2tv_core.presets import SUMS


def one_line(result: subprocess.CompletedProcess[str], code: int = 2) -> str:
    """The single line of an orderly failure."""
    assert result.returncode == code, result
    assert result.stdout == "" and len(result.stderr.splitlines()) == 1 and "Traceback" not in result.stderr
    return result.stderr


@pytest.fixture
def run_here(monkeypatch, capfd, tmp_path):
    """Like `run_cli`, but in this process and in `tmp_path`: for verbs that import much before they refuse."""

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        with keeping_signals():
            code = cli.main(list(arguments))
        return subprocess.CompletedProcess(arguments, code, *capfd.readouterr())

    return run


@contextmanager
def keeping_signals() -> Iterator[None]:
    """A verb sets handlers of its own; afterwards they are as they were."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["generate", "--preset", "nope"], "Presets are: embedded, embedded-4step"),
        (["generate", "--seconds", "-3"], "0.25 to 120"),
        (["generate", "--seconds", "1e30"], "0.25 to 120"),
        (["generate", "--seconds", "soon"], "'soon'"),
        (["generate", "--seed", "-1"], "seed is '-1'"),
        (["generate", "--steps", "0"], "1 to 64"),
        (["generate", "--top-p", "2"], "top_p is '2'"),
        (["generate", "--second", "3"], "unrecognised: --second 3"),
        (["generate", "--seconds"], "expected one argument"),
        (["paint"], "'paint'"),
        (["record", "--chunks", "many"], "--chunks is 'many'"),
        (["train", "everything"], "'everything'"),
        (["train", "stem", "--out", "x.safetensors"], "train export"),
        (["train", "stem", "--steps", "-5"], "--steps is '-5'"),
        (["train", "stem", "stray"], "unrecognised: stray"),
        (["train", "export"], "--run DIR"),
        (["train", "export", "--run", "a", "--out", "b", "x=1"], "takes no overrides"),
        (["generate", "x=1"], "unrecognised: x=1"),
        (["evaluate", "--count", "0"], "--count is '0'"),
        (["evaluate", "--comparison", "a", "b"], "expected 3 arguments"),
        (["bench", "--preset", "nope"], "Presets are:"),
        (["studio", "--port", "many"], "--port is 'many'"),
        (["studio", "--port", "65536"], "0 to 65535"),
        (["studio", "--prot", "8000"], "unrecognised: --prot 8000"),
        (["studio", "--preset", "nope"], "presets are: embedded, embedded-4step"),
        (["studio", "--listen"], "TV2TV_PASSWORD"),
        (["studio", "--listen", "--password", "seven77"], "7 characters"),
        (["studio", "--host-name", "a b"], "--host-name is 'a b'"),
        (["--port", "many"], "--port is 'many'"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_a_bad_flag_is_one_line(run_cli, tmp_path, arguments, words):
    assert words in one_line(run_cli(*arguments, cwd=tmp_path))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--prompt", ""], "prompt is empty"),
        (["--prompt", "x" * 10_000], "10000 characters"),
        (["--prompt", "a\x07b"], "control characters"),
        (["--start", "none.png"], "none.png"),
        (["--start", "broken.png"], "broken.png"),
        (["--start", "broken.mp4"], "broken.mp4"),
        (["--start", "notes.xyz"], "no known kind"),
        (["--plan", "none.txt"], "none.txt"),
        (["--plan", "broken.png"], "not a text file"),
        (["--plan", "long.txt"], "Line 1 of long.txt"),
        (["--plan", "plan.txt", "--seconds", "0.3"], "3 lines"),
        (["--out", "clip.gif"], ".mp4"),
        (["--out", "folder"], "folder"),
        (["--out", "missing/clip.mp4"], "missing"),
    ],
    ids=lambda value: " ".join(value)[:40] if isinstance(value, list) else "",
)
def test_bad_input_of_generate_is_one_line_and_leaves_no_file(run_here, tmp_path, arguments, words):
    (tmp_path / "folder").mkdir()
    (tmp_path / "clip.mp4").write_bytes(b"a good clip of yesterday")
    for name in ("broken.png", "broken.mp4", "notes.xyz"):
        (tmp_path / name).write_bytes(b"\x89PNG\x00\xff\xfe" * 20)
    (tmp_path / "plan.txt").write_text("stand\n\nrun forward\n")
    (tmp_path / "long.txt").write_text("stand " * 2000)
    before = sorted(tmp_path.rglob("*"))
    assert words in one_line(run_here("generate", *arguments))
    assert sorted(tmp_path.rglob("*")) == before
    assert (tmp_path / "clip.mp4").read_bytes() == b"a good clip of yesterday"


@pytest.mark.parametrize("state", ["missing", "altered", "listed"])
def test_missing_and_altered_weights_are_refused(run_cli, tmp_path, state):
    Image.new("RGB", (160, 96)).save(tmp_path / "start.png")
    (tmp_path / "own.yaml").write_text("weights: own.safetensors\n")
    if state != "missing":
        (tmp_path / "own.safetensors").write_bytes(b"not tensors at all")
    if state == "listed":
        (tmp_path / SUMS).write_text(f"{'0' * 64}  own.safetensors\n")
    told = one_line(run_cli("generate", "--preset", "own.yaml", "--start", "start.png", cwd=tmp_path))
    assert "own.safetensors" in told
    assert not (tmp_path / "clip.mp4").exists()


def test_overrides_of_training_may_stand_anywhere():
    chosen = cli.parse(["train", "stem", "lr=1e-4", "--steps", "5", "model.width=32"])
    assert chosen.overrides == ["lr=1e-4", "model.width=32"] and chosen.steps == "5"


def test_the_bare_command_is_the_studio_with_or_without_its_flags():
    bare = cli.parse([])
    assert (bare.verb, bare.port, bare.no_browser, bare.listen) == ("studio", None, False, False)
    flags = ["--port", "8000", "--no-browser"]
    assert cli.parse(flags) == cli.parse(["studio", *flags])


def test_a_refused_password_is_never_repeated(run_cli, tmp_path):
    assert "hunter2" not in one_line(run_cli("studio", "--listen", "--password", "hunter2", cwd=tmp_path))


def test_help_names_every_verb(run_cli):
    result = run_cli("--help")
    assert result.returncode == 0
    for verb in ("studio", "generate", "record", "train", "evaluate", "bench", "test"):
        assert verb in result.stdout


@pytest.mark.parametrize(
    ("raised", "code", "words"),
    [
        (KeyboardInterrupt(), 130, "stopped"),
        (MemoryError(), 2, "Not enough memory"),
        (OSError(28, "full"), 2, "disk is full"),
    ],
)
def test_what_happens_inside_a_verb_is_translated_once(monkeypatch, capsys, raised, code, words):
    from app import commands

    def verb(_chosen):
        raise raised

    monkeypatch.setitem(commands.VERBS, "bench", verb)
    with keeping_signals():
        assert cli.main(["bench"]) == code
    assert words in capsys.readouterr().err
