"""The verbs wired to the library: what goes in at the flags comes out as files and words, with a small backend."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app import cli, commands
from tests.fakes import FakeBackend
from tv2tv_core.engine.backend import ActOptions
from tv2tv_core.media.video import count_frames
from tv2tv_core.timeline import History


class Interrupted(FakeBackend):
    """A backend whose second chunk meets a Ctrl-C."""

    def act(self, history: History, index: int, options: ActOptions, check: Callable[[], None]) -> Iterator[object]:
        if index == 1:
            raise KeyboardInterrupt
        return super().act(history, index, options, check)


@pytest.fixture
def run(monkeypatch, tmp_path):
    """Runs a command in an empty folder on a small backend; signal handlers are as before afterwards."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str, backend: FakeBackend | None = None) -> int:
        monkeypatch.setattr(commands, "_backend", lambda preset: backend or FakeBackend())
        return cli.main(list(arguments))

    yield run
    for number, handler in kept.items():
        signal.signal(number, handler)


def test_generate_without_flags_makes_an_example_clip_and_says_where(run, tmp_path, capsys):
    assert run("generate") == 0
    said = capsys.readouterr()
    assert count_frames(tmp_path / "clip.mp4") == 72 and "clip.mp4: 72 frames" in said.out and "clip.json" in said.out
    assert len([line for line in said.err.splitlines() if " s  " in line]) == 18


def test_generate_obeys_its_flags(run, tmp_path, capsys):
    Path("plan.txt").write_text("stand, turn left 45\n\nrun forward\n")
    flags = ["--plan", "plan.txt", "--seconds", "1", "--seed", "7", "--prompt", "a red base", "--out", "my.mp4"]
    assert run("generate", *flags, "--steps", "3", "--start", "gateway", "--preset", "embedded-4step") == 0
    document = json.loads(Path("my.json").read_text())
    assert (document["seed"], document["prompt"], document["start"]) == (7, "a red base", "gateway")
    assert document["settings"]["steps"] == 3 and document["preset"] == "embedded-4step"
    assert document["segments"][0] == {"type": "text", "text": "stand, turn left 45", "source": "person"}
    assert "my.mp4" in capsys.readouterr().out and "clip.mp4" not in [path.name for path in tmp_path.iterdir()]


def test_generate_takes_an_intent(run, capsys):
    assert run("generate", "--intent", "turn right, then shoot", "--seconds", "1") == 0
    segments = json.loads(Path("clip.json").read_text())["segments"]
    assert [one["asked"] for one in segments if "asked" in one] == ["intent: turn right, then shoot"]
    assert run("generate", "--intent", " ") == 2 and "intent is empty" in capsys.readouterr().err


def test_a_preset_gives_what_no_flag_says(run):
    assert run("generate", "--seconds", "0.5", "--preset", "embedded-4step") == 0
    assert json.loads(Path("clip.json").read_text())["settings"]["steps"] == 4


def test_a_clip_is_smoothed_and_sharpened_on_its_way_into_the_file(run, capsys):
    assert run("generate", "--seconds", "0.5", "--fps", "35", "--scale", "2") == 0
    delivery = json.loads(Path("clip.json").read_text())["delivery"]
    assert delivery == {"fps_factor": 2, "sharpen": 2, "frames": 15, "fps": 35.0, "size": [80, 48]}
    assert count_frames("clip.mp4") == 15
    assert run("generate", "--seconds", "0.5", "--speed", "0.5") == 0
    assert "15 frames, 0.86 s" in capsys.readouterr().out
    assert run("generate", "--seconds", "0.5", "--fps", "35", "--speed", "4") == 0
    delivery = json.loads(Path("clip.json").read_text())["delivery"]
    assert delivery == {"fps_factor": 2, "sharpen": 1, "frames": 4, "fps": 35.0, "size": [40, 24], "speed": 4.0}
    assert count_frames("clip.mp4") == 4
    for flags in (["--fps", "30"], ["--scale", "3"], ["--fps", "fast"], ["--speed", "3"], ["--speed", "slow"]):
        assert run("generate", *flags) == 2
        assert "allowed are" in capsys.readouterr().err


def test_ctrl_c_is_130_and_leaves_the_good_clip_alone(run, tmp_path, capsys):
    Path("clip.mp4").write_bytes(b"a good clip of yesterday")
    assert run("generate", "--seconds", "2", backend=Interrupted()) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["clip.mp4"]
    assert Path("clip.mp4").read_bytes() == b"a good clip of yesterday"
    assert "stopped" in capsys.readouterr().err


def test_evaluate_and_train_without_recordings_say_how_to_make_some(run, capsys):
    assert run("evaluate", "--quick", "--data", "none") == 2
    assert run("train", "codec", "--steps", "1", "--data", "none", "--run", "r") == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and all("record" in line for line in said)


def test_training_without_an_end_is_refused(run, capsys):
    assert run("train", "codec", "--run", "r") == 2
    assert "steps or minutes" in capsys.readouterr().err
