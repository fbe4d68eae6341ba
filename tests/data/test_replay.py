"""A recording is a seed and operations: playing it again gives the same bytes, and true futures branch from it."""
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tv2tv_core.data import recorder
from tv2tv_core.data.arena import Arena, replay, sectors
from tv2tv_core.data.futures import true_frames, true_future
from tv2tv_core.data.recording import Recording
from tv2tv_core.data.shards import Episode, load_split
from tv2tv_core.errors import InputError
from tv2tv_core.plan import Action, parse


@pytest.fixture(scope="module")
def episode(world: Path) -> Episode:
    return load_split(world, "train")[1]


@pytest.fixture(scope="module")
def recording(episode: Episode) -> Recording:
    return Recording.load(episode.folder / "episode.json")


def test_replay_gives_the_recorded_bytes_in_another_process(episode: Episode, tmp_path: Path) -> None:
    """Settings, random numbers or opponents left over from an earlier episode once made replays differ."""
    code = ("import sys, numpy as np; from pathlib import Path; from tv2tv_core.data import futures, recording;"
            "np.save(sys.argv[2], futures.true_frames(recording.Recording.load(Path(sys.argv[1])), 0, 14))")
    subprocess.run([sys.executable, "-c", code, str(episode.folder / "episode.json"), str(tmp_path / "again.npy")],
                   check=True, timeout=120)
    assert np.array_equal(np.load(tmp_path / "again.npy"), episode.frames)


def test_a_used_arena_and_chunks_not_looked_at_change_nothing(episode: Episode, recording: Recording) -> None:
    with Arena(recording.map) as arena:
        arena.begin(99, bots=5)
        for _ in range(3):
            arena.act(Action(forward=1, run=True, fire=True))
        assert np.array_equal(true_frames(recording, 9, 5, arena), episode.frames[9:])
        assert np.array_equal(true_frames(recording, 0, 3, arena), episode.frames[:3])


def test_the_replayed_log_is_the_recorded_log(recording: Recording) -> None:
    arena, _ = replay(recording, start=recording.chunks())
    arena.close()
    assert arena.recording == recording


def test_true_future_of_the_recorded_actions_is_what_was_recorded(episode: Episode, recording: Recording) -> None:
    future = true_future(recording, 6, [parse(line) for line in episode.lines[6:10]], 4)
    assert np.array_equal(future, episode.frames[6:10])


def test_true_futures_obey_the_action(recording: Recording) -> None:
    with Arena(recording.map) as arena:
        left, right, again = (true_future(recording, 8, Action(turn=turn), 2, arena) for turn in (45, -45, 45))
    assert np.array_equal(left, again)
    assert np.abs(left[-1].astype(int) - right[-1]).mean() > 8
    assert left.shape == (2, 4, 96, 160, 3)


def test_deaths_and_respawns_replay_too() -> None:
    """A lost chunk and the respawn after it are part of the log, marked as a cut, and until() ends before them."""
    ground = sectors("f1:E1M5")
    with Arena("f1:E1M5", full=True) as arena:
        player = recorder.Player(arena, ground, 5)
        player.step()
        player.step()
        arena.command("kill")
        arena.idle(4)
        player.step()
        log = arena.recording
        frames = np.stack(player.episode.frames)
    assert [chunk["cut"] for chunk in player.episode.chunks] == [True, False, True]
    assert not player.episode.motion[2].any() and player.episode.motion[1].any()
    assert log.until(2).ops[-1][0] == "act" and log.until(2).chunks() == 2
    assert np.array_equal(true_frames(log, 0, 3), frames)


def test_replay_at_another_resolution(recording: Recording) -> None:
    assert true_frames(recording, 2, 1, size=(320, 240)).shape == (1, 4, 240, 320, 3)


def test_recording_survives_json(recording: Recording) -> None:
    assert Recording.from_json(recording.to_json()) == recording


@pytest.mark.parametrize("call", [
    lambda r: true_future(r, 99, Action()), lambda r: true_future(r, 1, Action(), 0),
    lambda r: true_future(r, 1, [Action()], 2), lambda r: Arena("f3:MAP01"), lambda r: Arena("f2:MAP99")])
def test_bad_requests_are_explained(recording: Recording, call: object) -> None:
    with pytest.raises(InputError, match="allowed|give"):
        call(recording)
