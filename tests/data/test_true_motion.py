"""True motion: warping the last frame of the previous chunk explains the next frames, and says where it can't."""
import numpy as np
import pytest

from tv2tv_core.data import true_motion
from tv2tv_core.data.arena import Arena, Snapshot
from tv2tv_core.plan import parse

LINES = ("stand, turn left 15", "stand, turn right 30", "run forward", "run strafe left", "stand, look up 10",
         "walk back")


@pytest.fixture(scope="module")
def played() -> dict[str, tuple[Snapshot, list[Snapshot]]]:
    """line -> (the last snapshot before, the chunk's four)."""
    found = {}
    with Arena("f1:E1M5", full=True) as arena:
        last = arena.begin(2, bots=0)
        for line in LINES:
            found[line] = (last, arena.act(parse(line)))
            last = found[line][1][-1]
    return found


@pytest.mark.parametrize("line", LINES)
def test_warp_beats_copy(played: dict, line: str) -> None:
    before, chunk = played[line]
    source = true_motion.view(before)
    field, _ = true_motion.chunk_motion(chunk, source)
    assert field.shape == (4, 3, 48, 80) and field.dtype == np.float16
    target = true_motion.view(chunk[-1]).colours
    u, v = np.meshgrid(np.arange(80, dtype=np.float32) + 0.5, np.arange(48, dtype=np.float32) + 0.5)
    dx, dy, visible = field[-1].astype(np.float32)
    seen = (visible > 0) & ~true_motion.view(chunk[-1]).weapon
    assert seen.mean() > 0.3
    warped = ((true_motion.warp(source.colours, u + dx, v + dy) - target)[seen] ** 2).mean()
    copied = ((source.colours - target)[seen] ** 2).mean()
    assert warped < 0.5 * copied                           # 3 dB at least; typical is 8


def test_turning_left_moves_the_picture_right(played: dict) -> None:
    before, chunk = played["stand, turn left 15"]
    dx, _, visible = true_motion.motion(true_motion.view(chunk[-1]), true_motion.view(before))
    weapon = true_motion.view(chunk[-1]).weapon
    assert dx[(visible > 0) & ~weapon].mean() < -4         # the source of a target pixel lies to its left
    assert not dx[weapon].any()
    assert visible[:, :5].mean() < 0.1 < visible[:, 20:].mean()


def test_the_first_chunk_has_no_motion(played: dict) -> None:
    field, _ = true_motion.chunk_motion(played[LINES[0]][1], None)
    assert not field.any()
