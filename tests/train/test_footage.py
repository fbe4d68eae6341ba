"""Recorded episodes as training material: what counts as seen, whose camera moved how, and where the weapon acts."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.train.footage_files import write_episode, write_footage
from tv2tv_core.data.true_motion import CAMERA, View, motion
from tv2tv_core.model.geometry import MAP_UNITS, grid, sources
from tv2tv_core.train.footage import WEAPON_TIME, Footage

SIZE = (48, 80)
WEAPON = (slice(30, 48), slice(30, 50))  # bottom centre
WALL = (slice(4, 20), slice(0, 14))
ROOM = ((-500.0, 700.0), (-400.0, 300.0), (-60.0, 130.0))  # x, y and z of its walls, map units


def altered(folder: Path, **columns: list) -> Path:
    """The episode in `folder` with other values in these columns of its chunks, such as line=[…]; returns its root."""
    path = folder / "episode.json"
    meta = json.loads(path.read_text())
    for name, values in columns.items():
        for row, value in zip(meta["chunks"], values, strict=True):
            row[name] = value
    path.write_text(json.dumps(meta))
    return folder.parent.parent


# What counts as seen ------------------------------------------------------------------------------------------------


def still(root: Path, chunks: int, *places: tuple[slice, slice], turning: bool = True) -> Footage:
    """An episode in which everything is seen and what is at `places` stands still, while the camera turns or rests."""
    folder = write_episode(root, "train", "a", chunks=chunks)
    field = np.load(folder / "motion.npy")
    for place in places:
        field[(slice(None), slice(None), slice(0, 2), *place)] = 0
    np.save(folder / "motion.npy", field)
    rest = [[[0.0] * 5] * 4] * chunks
    return Footage.load(root if turning else altered(folder, pose=rest), "train")


def seen(footage: Footage) -> torch.Tensor:
    """Whether each pixel of the last frame of chunk 2 counts as visible."""
    return footage.motion(np.array([2]))[0, -1, 2] > 0


def test_a_wall_before_the_nose_does_not_count_as_a_weapon(tmp_path: Path) -> None:
    """Both stand still in the recording: where one of them is a wall, neither is believed; what moves is seen."""
    visible = seen(still(tmp_path, 4, WALL, WEAPON))
    believed = torch.ones(SIZE, dtype=torch.bool)
    believed[WALL] = believed[WEAPON] = False
    assert torch.equal(visible, believed)


@pytest.mark.parametrize("place", [WEAPON, (slice(0, 5), slice(0, 5))], ids=["a weapon", "a few pixels"])
def test_a_weapon_stays_in_sight_while_the_camera_moves(tmp_path: Path, place: tuple[slice, slice]) -> None:
    assert seen(still(tmp_path, 4, place)).all()


def test_at_rest_everything_stands_still_and_is_seen(tmp_path: Path) -> None:
    assert seen(still(tmp_path, 4, WALL, WEAPON, turning=False)).all()


def test_every_frame_of_a_chunk_is_judged_by_its_own_camera(tmp_path: Path) -> None:
    """The camera rests for two frames and then turns: from there on the wall is not believed."""
    footage = still(tmp_path, 4, WALL)
    rest, turned = [0.0] * 5, [0.0, 0.0, 0.0, 20.0, 0.0]
    poses = [[rest] * 4] * 2 + [[rest, rest, turned, turned]] * 2
    footage = Footage.load(altered(footage.episodes[0].folder, pose=poses), "train")
    found = footage.motion(np.array([2]))[0, :, 2][(slice(None), *WALL)] > 0
    assert found[:2].all() and not found[2:].any()


# Whose camera moved how ---------------------------------------------------------------------------------------------


def look(pose: tuple[float, ...]) -> View:
    """An empty room, seen from a map pose: the distance along the view axis to the nearest wall, per motion pixel."""
    x, y, up, yaw, pitch = pose
    right, down = grid(*SIZE, torch.zeros(1)).numpy().astype(np.float64).transpose(2, 0, 1)
    rise = CAMERA.focal_y * np.tan(np.radians(pitch)) - down
    ahead = np.array([np.cos(np.radians(yaw)), np.sin(np.radians(yaw))])
    rays = [
        ahead[0] + right / CAMERA.focal_x * ahead[1],
        ahead[1] - right / CAMERA.focal_x * ahead[0],
        rise / CAMERA.focal_y,
    ]
    hits = [(wall - at) / ray for at, ray, walls in zip((x, y, up), rays, ROOM, strict=True) for wall in walls]
    z = np.where(np.array(hits) > 0, hits, np.inf).min(0)
    nothing = np.zeros(SIZE, bool)
    return View(pose, z.astype(np.float32), nothing, nothing, np.full((*SIZE, 3), 128.0, np.float32))


BEFORE = (10.0, -20.0, 41.0, 172.0, 4.0)
CHUNKS = {
    "forward": [(10.0 - 9 * k, -20.0, 41.0, 172.0, 4.0) for k in range(1, 5)],
    "aside and up": [(10.0, -20.0 + 8 * k, 41.0 + 3 * k, 172.0, 4.0) for k in range(1, 5)],
    "turn past the half circle": [(10.0, -20.0, 41.0, (172.0 + 6 * k + 180) % 360 - 180, 4.0) for k in range(1, 5)],
    "all at once": [(10.0 - 8 * k, -20.0 + 5 * k, 41.0 + 2 * k, 172.0 - 5 * k, 4.0 - 3 * k) for k in range(1, 5)],
}


@pytest.fixture(params=CHUNKS)
def walked(request: pytest.FixtureRequest, tmp_path: Path) -> Footage:
    """An episode of a chunk at rest and one that moves, with the recorder's own motion."""
    poses = CHUNKS[request.param]
    folder = write_episode(tmp_path, "train", "a", chunks=2)
    field = np.load(folder / "motion.npy")
    field[1] = [motion(look(pose), look(BEFORE)) for pose in poses]
    np.save(folder / "motion.npy", field)
    return Footage.load(altered(folder, pose=[[BEFORE] * 4, poses]), "train")


def test_the_poses_move_a_true_depth_map_as_the_recorder_does(walked: Footage) -> None:
    index = np.array([1])
    inverse = torch.from_numpy(MAP_UNITS / look(BEFORE).z)[None, None]
    found, valid = sources(inverse, torch.zeros_like(inverse), walked.poses(index))
    told = walked.motion(index)
    both = valid & (told[:, :, 2] > 0)
    missed = (found - grid(*SIZE, found) - told[:, :, :2].movedim(2, -1)).norm(dim=-1)
    assert both.float().mean() > 0.6 and told[:, :, :2].abs().amax() > 2
    assert missed[both].median() < 0.005 and missed[both].max() < 0.15, "pixels; the worst lie where two walls meet"


def test_what_is_done_in_a_chunk_is_its_last_pose(walked: Footage, tmp_path: Path) -> None:
    """Seen from its first or last but one frame, were that the last frame of the chunk before."""
    poses = walked.episodes[0].poses[1].tolist()
    done = walked.done(np.array([1]))[0]
    for row, first in zip(done, (poses[0], poses[2]), strict=True):
        again = Footage.load(altered(walked.episodes[0].folder, pose=[[first] * 4, poses]), "train")
        torch.testing.assert_close(row, again.poses(np.array([1]))[0, -1, :4])


# Where the weapon acts ----------------------------------------------------------------------------------------------


def playing(root: Path, *episodes: list[str], cut_at: int | None = None) -> Footage:
    """Episodes of these plan lines."""
    for number, lines in enumerate(episodes):
        folder = write_episode(root, "train", f"e{number}", chunks=len(lines), cut_at=cut_at)
        altered(folder, line=lines)
    return Footage.load(root, "train")


def test_a_scene_is_known_from_its_first_chunk_on(tmp_path: Path) -> None:
    footage = playing(tmp_path, 6 * QUIET, 4 * QUIET, cut_at=3)
    assert footage.known.tolist() == [1, 2, 3, 1, 2, 3, 1, 2, 3, 1]


QUIET = ["run forward, jump, use"]


@pytest.mark.parametrize("line", ["stand, fire", "run forward, switch to shotgun"])
def test_a_weapon_acts_for_some_chunks_and_never_into_another_scene(tmp_path: Path, line: str) -> None:
    """Not into the next episode, and not past a cut: who is shot and stands elsewhere holds another weapon."""
    footage = playing(tmp_path, 2 * QUIET + [line] + 7 * QUIET, 8 * QUIET + [line, *QUIET], 6 * QUIET, cut_at=4)
    assert footage.armed.tolist() == [2, 3, 18, 19]
    for file in tmp_path.rglob("episode.json"):
        meta = json.loads(file.read_text())
        altered(file.parent, cut=[number == 0 for number in range(len(meta["chunks"]))])
    assert Footage.load(tmp_path, "train").armed.tolist() == [*range(2, 2 + WEAPON_TIME), 18, 19]


def test_a_share_of_the_chosen_shows_the_weapon_at_work(tmp_path: Path) -> None:
    footage = playing(tmp_path, 10 * QUIET + ["stand, fire"] + 29 * QUIET)
    starts = footage.windows(4)

    def share(asked: float, later: int) -> float:
        chosen = footage.choose(starts, 4000, asked, later, np.random.default_rng(0))
        assert chosen.shape == (4000,) and np.isin(chosen, starts).all()
        return float(np.isin(chosen + later, footage.armed).mean())

    by_chance = WEAPON_TIME / len(starts)
    for later in (1, 3):
        assert share(1.0, later) == 1
        for asked in (0.0, 0.3):
            assert share(asked, later) == pytest.approx(asked + (1 - asked) * by_chance, abs=0.03)


def test_one_seed_gives_one_choice(tmp_path: Path) -> None:
    footage = Footage.load(write_footage(tmp_path), "train")
    one, two, other = (footage.choose(footage.windows(2), 20, 0.5, 1, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one, two) and not np.array_equal(one, other)


def test_where_no_weapon_ever_acts_any_chunk_is_chosen(tmp_path: Path) -> None:
    footage = playing(tmp_path, 12 * QUIET)
    starts = footage.windows(2)
    assert len(footage.armed) == 0
    assert set(footage.choose(starts, 400, 1.0, 1, np.random.default_rng(0))) == set(starts)
