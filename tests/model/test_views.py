"""Earlier views: who turns away and back finds what was there, and only what the last frame does not show is looked up."""

from __future__ import annotations

import math
from dataclasses import replace

import torch

from tv2tv_core.model.geometry import POSE
from tv2tv_core.model.motion import Motion, Scene
from tv2tv_core.model.views import OPEN, RECALLED, View, between, recall, walk

ROWS, COLUMNS, FRAMES = 48, 80, 4
FREE = -9.0  # logit of `covered`: nothing is held in hand


def step(**parts: float) -> torch.Tensor:
    """A chunk [1, F, POSE] of which the last frame has come all the way, the others by their share."""
    names = ("forward", "right", "up", "turn", "before", "after")
    whole = torch.tensor([parts.get(name, 0.0) for name in names])
    return torch.stack([whole * (frame + 1) / FRAMES for frame in range(FRAMES)])[None]


def view(pose: torch.Tensor, seed: int = 0, depth: float = 0.2, covered: torch.Tensor | None = None) -> View:
    """A random picture of a flat world."""
    picture = torch.rand(1, 3, ROWS // 4, COLUMNS // 4, generator=torch.Generator().manual_seed(seed)) * 2 - 1
    frame = torch.nn.functional.interpolate(picture, scale_factor=4.0, mode="bilinear")
    hidden = torch.full((1, 1, ROWS, COLUMNS), FREE) if covered is None else covered
    return View(frame, Scene(torch.full((1, 1, ROWS, COLUMNS), depth), hidden, pose, torch.zeros(1, 2, 4)))


def opened(where: torch.Tensor | bool = True) -> tuple[torch.Tensor, torch.Tensor, Motion]:
    """Warped, trust and motion of a last frame that shows nothing `where`, and all else in grey."""
    opening = torch.zeros(1, FRAMES, ROWS, COLUMNS, dtype=torch.bool) | where
    trust = (~opening).float()
    source = torch.zeros(1, FRAMES, ROWS, COLUMNS, 2)
    return torch.zeros(1, FRAMES, 3, ROWS, COLUMNS), trust, Motion(source, trust[:, :, None], ~opening)


def test_between_undoes_walk() -> None:
    rng = torch.Generator().manual_seed(1)
    place, pose = torch.randn(5, 4, generator=rng), torch.randn(5, FRAMES, POSE, generator=rng)
    pose[..., 4] = pose[:, :1, 4]
    torch.testing.assert_close(between(place, pose[:, 0, 4], walk(place, pose), pose[..., 5]), pose)


def test_two_steps_are_one() -> None:
    """Ahead by two, a quarter turn to the left, ahead by one: that is two ahead and one to the left."""
    quarter = math.pi / 2
    first = walk(torch.zeros(1, 4), torch.tensor([[[2.0, 0, 0, quarter, 0, 0]]]))[:, 0]
    torch.testing.assert_close(walk(first, torch.tensor([[[1.0, 0, 0.5, 0, 0, 0]]]))[0, 0],
                               torch.tensor([2.0, -1.0, 0.5, quarter]))


def test_who_turns_away_and_back_finds_the_same_picture() -> None:
    for away in (step(turn=0.9), step(right=1.5), step(after=12.0), step(forward=-1.0, turn=-0.5)):
        back = between(walk(torch.zeros(1, 4), away)[:, -1], away[:, -1, 5], torch.zeros(1, FRAMES, 4), torch.zeros(1, FRAMES))
        before, last = view(away), view(back, seed=1)
        warped, trust, _ = recall(*opened(), last.scene, [before])
        shown = trust == RECALLED
        assert shown[:, -1, 4:-4, 4:-4].all()
        torch.testing.assert_close(warped[:, -1, :, 4:-4, 4:-4], before.frame[:, :, 4:-4, 4:-4], atol=0.02, rtol=0)


def test_what_is_found_again_is_found_with_its_detail() -> None:
    """At twice the size: the detail comes back where the picture does, and nowhere else."""
    half = torch.zeros(1, 1, ROWS, COLUMNS, dtype=torch.bool)
    half[..., :40] = True
    known = torch.rand(1, 3, 2 * ROWS, 2 * COLUMNS, generator=torch.Generator().manual_seed(5)) * 2 - 1
    before = replace(view(step()), detail=lambda: known)
    detail = torch.full((1, FRAMES, 3, 2 * ROWS, 2 * COLUMNS), 0.25)
    _, trust, found = recall(*opened(half), view(step(), seed=1).scene, [before], detail)
    assert (trust[..., :38] == RECALLED).all() and (found[..., 80:] == 0.25).all()
    torch.testing.assert_close(found[:, -1, :, 4:-4, 4:76], known[..., 4:-4, 4:76], atol=1e-3, rtol=0)


def test_what_the_last_frame_shows_is_left_alone() -> None:
    half = torch.zeros(1, 1, ROWS, COLUMNS, dtype=torch.bool)
    half[..., :40] = True
    last = view(step(), seed=1)
    warped, trust, none = recall(*opened(half), last.scene, [view(step())])
    assert none is None
    assert (warped[..., 40:] == 0).all() and (trust[..., 40:] == 1).all()
    assert (trust[..., :38] == RECALLED).all() and warped[..., :38].abs().mean() > 0.1
    doubtful, trusted, motion = opened(half)
    shown = replace(motion, valid=torch.ones_like(motion.valid))  # in view, and not to be copied: a weapon on its way
    assert torch.equal(recall(doubtful, trusted * (1 - OPEN), shown, last.scene, [view(step())])[0], doubtful)


def test_no_opening_no_search() -> None:
    warped, trust, motion = opened(False)
    found = recall(warped, trust, motion, view(step()).scene, [view(step())])
    assert found[0] is warped and found[1] is trust
    warped, trust, motion = opened()
    found = recall(warped, trust, motion, view(step()).scene, [])
    assert found[0] is warped and found[1] is trust


def test_the_view_that_shows_most_is_taken_first() -> None:
    """Looking the other way shows nothing; of two that show it, what the first leaves open the second may fill."""
    behind = view(step(turn=math.pi), seed=2)
    there = view(step(), seed=3)
    warped, trust, _ = recall(*opened(), view(step(), seed=4).scene, [behind, there])
    assert (trust == RECALLED)[..., 2:-2, 2:-2].all()
    torch.testing.assert_close(warped[:, -1, :, 2:-2, 2:-2], there.frame[..., 2:-2, 2:-2], atol=0.02, rtol=0)


def test_what_was_held_in_hand_is_no_part_of_the_room() -> None:
    covered = torch.full((1, 1, ROWS, COLUMNS), FREE)
    covered[..., 30:, 30:50] = 9.0
    _, trust, _ = recall(*opened(), view(step(), seed=1).scene, [view(step(), covered=covered)])
    assert not (trust == RECALLED)[..., 30:, 30:50].any() and (trust == RECALLED)[..., 2:26, 2:-2].all()
