"""The arena: ViZDoom + Freedoom behind plan-language actions, exactly repeatable from a seed and an operation log.

Everything that changes the state of the engine goes through `Arena` and is written to its operation log, so a
`Recording` (map, seed, operations) can be played again bit for bit, by any process. The engine's own save and load are
never used: they drift by two tics.
"""
import math
import os
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import vizdoom

from tv2tv_core.data.recording import BOTS, Recording
from tv2tv_core.errors import InputError
from tv2tv_core.plan import WEAPONS, Action, parse, to_line

TICS_PER_FRAME = 2           # the engine runs at 35 tics/s, so people see 17.5 frames/s
FRAMES_PER_CHUNK = 4
TICS_PER_CHUNK = TICS_PER_FRAME * FRAMES_PER_CHUNK
RENDER_SIZE = (640, 400)     # W, H of the supersampled rendering
CROP_ROWS = slice(8, 392)    # the middle 384 rows: 640x384 has the shape of 160x96
FRAME_SIZE = (160, 96)       # W, H of what people see
GAMMA = 1.5                  # Freedoom is dark
SPAWN_FRAMES = 22            # 44 tics: the spawn fog is gone

_LUT = (255 * (np.arange(256) / 255.0) ** (1 / GAMMA) + 0.5).astype(np.uint8)
_BUTTONS = ("ATTACK", "USE", "JUMP", "CROUCH", "SPEED", "MOVE_FORWARD", "MOVE_BACKWARD", "MOVE_LEFT", "MOVE_RIGHT",
            "TURN_LEFT_RIGHT_DELTA", "LOOK_UP_DOWN_DELTA") + tuple(f"SELECT_WEAPON{k}" for k in range(1, 8))
_ENGINE_ARGS = ("-host 1 -deathmatch -nomonsters +timelimit 0 +fraglimit 0 +sv_forcerespawn 1 +sv_respawnprotect 1 "
                "+sv_cheats 1 +sv_noexit 1 +sv_infiniteammo 1 +viz_respawn_delay 1 +name AI +colorset 0 "
                "+con_midtime 0 +sb_deathmatch_enable 0 +cl_showsecretmessage 0 +cl_showmultikills 0 "
                "+cl_showsprees 0 +movebob 0")
# One weapon per slot, so that "switch to" names exactly one picture (no chainsaw, no super shotgun).
_OUTFIT = tuple(f"give {item}" for item in ("shotgun", "chaingun", "rocketlauncher", "plasmarifle", "bfg9000",
                                            "ammo", "keys"))
_POSE = ("CAMERA_POSITION_X", "CAMERA_POSITION_Y", "CAMERA_POSITION_Z", "CAMERA_ANGLE", "CAMERA_PITCH")
_STATE = ("HEALTH", "ARMOR", "SELECTED_WEAPON", "SELECTED_WEAPON_AMMO", "FRAGCOUNT", "HITCOUNT", "DAMAGE_TAKEN",
          "VELOCITY_X", "VELOCITY_Y", "ON_GROUND")


@dataclass(frozen=True)
class Actor:
    """Something that moves and is in view: world position and velocity (units, units/tic), area in rendered pixels."""
    name: str
    x: float
    y: float
    vx: float
    vy: float
    area: int


@dataclass(frozen=True)
class Snapshot:
    """One rendered moment.

    frame: uint8 [96,160,3] RGB; pose: (x, y, eye z, yaw, pitch) in map units and degrees, yaw anticlockwise, pitch > 0
    looks up. depth: uint8 [384,640] (0 = held weapon) and moving: bool [384,640], or None where not asked for.
    """
    frame: np.ndarray
    pose: tuple[float, float, float, float, float]
    state: dict[str, float]
    actors: tuple[Actor, ...] = ()
    depth: np.ndarray | None = None
    moving: np.ndarray | None = None


def control(action: Action) -> list[float]:
    """The engine's button vector for every tic of a chunk; turn and look are spread evenly over its 8 tics."""
    on = {"ATTACK": action.fire, "USE": action.use, "JUMP": action.jump, "CROUCH": action.crouch, "SPEED": action.run,
          "MOVE_FORWARD": action.forward > 0, "MOVE_BACKWARD": action.forward < 0,
          "MOVE_LEFT": action.strafe > 0, "MOVE_RIGHT": action.strafe < 0}
    values = {name: float(state) for name, state in on.items()}
    values["TURN_LEFT_RIGHT_DELTA"] = -action.turn / TICS_PER_CHUNK
    values["LOOK_UP_DOWN_DELTA"] = action.look / TICS_PER_CHUNK
    if action.weapon:
        values[f"SELECT_WEAPON{WEAPONS.index(action.weapon) + 1}"] = 1.0
    return [values.get(name, 0.0) for name in _BUTTONS]


def shrink(screen: np.ndarray) -> np.ndarray:
    """uint8 [400,640,3] as rendered -> uint8 [96,160,3]: crop, brighten (gamma), average 4x4 pixels."""
    return cv2.resize(brightened(screen), FRAME_SIZE, interpolation=cv2.INTER_AREA)


def brightened(screen: np.ndarray) -> np.ndarray:
    """uint8 [400,640,3] as rendered -> uint8 [384,640,3]: crop and gamma, full size; what `shrink` averages."""
    return _LUT[screen[CROP_ROWS]]


def check_map(map_name: str) -> str:
    """The map's name itself when Freedoom has it. Raises InputError."""
    if not isinstance(map_name, str) or not re.fullmatch(r"f1:E[1-4]M[1-9]|f2:MAP(0[1-9]|[12]\d|3[0-2])", map_name):
        raise InputError(f"unknown map {str(map_name)[:40]!r}; allowed are f1:E1M1 to f1:E4M9 and f2:MAP01 to f2:MAP32")
    return map_name


def _resource(map_name: str) -> tuple[str, str]:
    package, _, name = check_map(map_name).partition(":")
    return str(Path(vizdoom.__path__[0]) / f"freedoom{package[1]}.wad"), name


def _start(game: vizdoom.DoomGame) -> tempfile.TemporaryDirectory:
    """Start the engine in an empty folder: settings that an earlier run left somewhere must not change a replay.

    The folder must live as long as the engine, which writes its settings there when it ends.
    """
    here = os.getcwd()
    folder = tempfile.TemporaryDirectory(prefix="arena-", ignore_cleanup_errors=True)
    game.set_doom_config_path(str(Path(folder.name) / "engine.ini"))
    os.chdir(folder.name)
    try:
        game.init()
    finally:
        os.chdir(here)
    return folder


class Arena:
    """One engine. `begin` starts an episode; `act` plays one chunk; `recording` is the log so far."""

    def __init__(self, map_name: str, full: bool = False, size: tuple[int, int] = RENDER_SIZE) -> None:
        """full: also give depth, moving actors and their list in every snapshot. size: any resolution ViZDoom has."""
        wad, name = _resource(map_name)
        self.map, self.full, self.size = map_name, full, size
        game = vizdoom.DoomGame()
        game.set_doom_game_path(wad)
        game.set_doom_map(name)
        game.set_doom_skill(3)
        game.set_screen_resolution(getattr(vizdoom.ScreenResolution, f"RES_{size[0]}X{size[1]}"))
        game.set_screen_format(vizdoom.ScreenFormat.RGB24)
        game.set_depth_buffer_enabled(full)
        game.set_labels_buffer_enabled(full)
        for name_, on in (("hud", False), ("crosshair", False), ("weapon", True), ("decals", True),
                          ("particles", True), ("screen_flashes", False), ("messages", False), ("corpses", True)):
            getattr(game, f"set_render_{name_}")(on)
        game.set_window_visible(False)
        game.set_sound_enabled(False)
        game.set_mode(vizdoom.Mode.PLAYER)
        game.set_ticrate(35)
        for button in _BUTTONS:
            game.add_available_button(getattr(vizdoom.Button, button))
        # Zero means unlimited: turns and looks are given in degrees.
        game.set_button_max_value(vizdoom.Button.TURN_LEFT_RIGHT_DELTA, 0)
        game.set_button_max_value(vizdoom.Button.LOOK_UP_DOWN_DELTA, 0)
        game.add_game_args(_ENGINE_ARGS)
        game.set_episode_timeout(10 ** 7)
        game.set_episode_start_time(20)
        self._game = game
        self._folder: tempfile.TemporaryDirectory | None = None
        self.recording = Recording(map_name, 0)

    def __enter__(self) -> "Arena":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the engine process."""
        self._game.close()
        if self._folder:
            self._folder.cleanup()
            self._folder = None

    def begin(self, seed: int, bots: int = BOTS) -> Snapshot:
        """Start a new episode: fixed seed, built-in opponents, every weapon, and a wait until the fog is gone."""
        self.restart(seed, bots)
        self.command("removebots")
        for _ in range(bots):
            self.command("addbot")
        return self._settle()

    def restart(self, seed: int, bots: int) -> None:
        """A new engine process at the start of an episode, with an empty log.

        A used engine does not do: its built-in opponents and random numbers outlive a new episode.
        """
        self.close()
        self.recording = Recording(self.map, seed, [], bots)
        self._game.set_seed(seed)
        self._folder = _start(self._game)

    def _settle(self) -> Snapshot:
        for text in _OUTFIT:
            self.command(text)
        self.idle(SPAWN_FRAMES)
        return self.look()

    def respawn(self) -> Snapshot:
        """Bring a dead player back, armed as at the beginning."""
        self.revive()
        return self._settle()

    def revive(self) -> None:
        """Only bring the player back (logged); `respawn` also arms and waits."""
        self.recording.ops.append(["respawn"])
        self._game.respawn_player()

    def command(self, text: str) -> None:
        """Send one console command (logged)."""
        self.recording.ops.append(["cmd", text])
        self._game.send_game_command(text)

    def idle(self, frames: int) -> None:
        """Let `frames` frames pass without touching a key (logged, not recorded)."""
        self.recording.ops.append(["idle", frames])
        self._run([0.0] * len(_BUTTONS), frames)

    def act(self, action: Action, look: Callable[["Arena"], object] | None = None) -> list:
        """Play one chunk under one constant action; returns what `look` (default: `Arena.look`) saw of its 4 frames."""
        self._log(action)
        vector, seen = control(action), []
        for _ in range(FRAMES_PER_CHUNK):
            self._game.make_action(vector, TICS_PER_FRAME)
            seen.append((look or Arena.look)(self))
        return seen

    def _log(self, action: Action) -> None:
        line, ops = to_line(action), self.recording.ops
        if ops and ops[-1][0] == "act" and ops[-1][1] == line:
            ops[-1][2] += 1
        else:
            ops.append(["act", line, 1])

    def skip(self, action: Action) -> None:
        """Play one chunk without looking at it."""
        self._log(action)
        self._run(control(action), FRAMES_PER_CHUNK)

    def _run(self, vector: list[float], frames: int) -> None:
        # One call for many tics would save the drawing, but the shimmer of an invisible player's hands goes on from
        # what was drawn before: a replay that draws less shows another pattern.
        for _ in range(frames):
            self._game.make_action(vector, TICS_PER_FRAME)

    def drop_last(self) -> None:
        """Mark the chunk just played as not kept."""
        ops = self.recording.ops
        ops[-1][2] -= 1
        line = ops[-1][1]
        if ops[-1][2] == 0:
            ops.pop()
        ops.append(["lost", line, 1])

    def dead(self) -> bool:
        """Is the player dead right now?"""
        return self._game.is_player_dead()

    def value(self, name: str) -> float:
        """One ViZDoom game variable by name."""
        return self._game.get_game_variable(getattr(vizdoom.GameVariable, name))

    def screen(self) -> np.ndarray:
        """The screen as rendered: uint8 [H,W,3] RGB, no crop, no gamma (a copy)."""
        return np.array(self._game.get_state().screen_buffer)

    def look(self) -> Snapshot:
        """What the player sees now."""
        state = self._game.get_state()
        pitch_yaw = [self.value(name) for name in _POSE]
        pitch_yaw[4] = -math.remainder(pitch_yaw[4], 360.0)        # the engine counts looking down as positive
        values = {name: self.value(name) for name in _STATE}
        frame = shrink(state.screen_buffer)
        if not self.full:
            return Snapshot(frame, tuple(pitch_yaw), values)
        actors, ids = [], []
        for label in state.labels:
            if label.object_category == "Self" or label.width * label.height < 12:
                continue
            speed = abs(label.object_velocity_x) + abs(label.object_velocity_y) + abs(label.object_velocity_z)
            if label.object_name == "DoomPlayer" or speed > 0 or label.object_category == "Unknown":
                ids.append(label.value)
            if label.object_name == "DoomPlayer":
                actors.append(Actor(label.object_name, label.object_position_x, label.object_position_y,
                                    label.object_velocity_x, label.object_velocity_y, label.width * label.height))
        moving = np.isin(state.labels_buffer[CROP_ROWS], ids) if ids else np.zeros((384, 640), bool)
        return Snapshot(frame, tuple(pitch_yaw), values, tuple(actors), state.depth_buffer[CROP_ROWS].copy(), moving)


def replay(recording: Recording, look: Callable[[Arena], object] | None = None, arena: Arena | None = None,
           start: int = 0) -> tuple[Arena, list[list]]:
    """Play a recording again: (the arena as it stands at the end, what `look` saw of each chunk from `start` on).

    look: called after each of a chunk's 4 frames (default: `arena.look().frame`). arena: one for the same map, at any
    resolution, whose engine is started anew; without one a new one is made, and the caller closes it.
    """
    arena = arena or Arena(recording.map)
    if arena.map != recording.map:
        raise InputError(f"this arena holds map {arena.map}, the recording needs {recording.map}; open another arena")
    look = look or (lambda a: a.look().frame)
    arena.restart(recording.seed, recording.bots)
    seen: list[list] = []
    chunk = 0
    for kind, *values in recording.ops:
        if kind == "cmd":
            arena.command(values[0])
        elif kind == "idle":
            arena.idle(values[0])
        elif kind == "respawn":
            arena.revive()
        elif kind == "lost":
            arena.skip(parse(values[0]))
            arena.drop_last()
        else:
            action = parse(values[0])
            for chunk in range(chunk + 1, chunk + 1 + values[1]):
                if chunk > start:
                    seen.append(arena.act(action, look))
                else:
                    arena.skip(action)
    return arena, seen


def sectors(map_name: str) -> tuple[list, list]:
    """(sectors, objects) of a map as ViZDoom tells them at the beginning: the raw material of `navigation`."""
    wad, name = _resource(map_name)
    game = vizdoom.DoomGame()
    game.set_doom_game_path(wad)
    game.set_doom_map(name)
    game.set_screen_resolution(vizdoom.ScreenResolution.RES_160X120)
    game.set_sectors_info_enabled(True)
    game.set_objects_info_enabled(True)
    game.set_window_visible(False)
    game.set_sound_enabled(False)
    game.add_game_args(_ENGINE_ARGS)
    folder = _start(game)
    try:
        state = game.get_state()
        return list(state.sectors), list(state.objects)
    finally:
        game.close()
        folder.cleanup()
