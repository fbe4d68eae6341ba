"""Records the bot's play: episodes of frames, true motion, plan lines and operations, each written atomically."""
import json
import math
import os
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import vizdoom

from tv2tv_core.data import navigation, true_motion
from tv2tv_core.data.arena import Arena, Snapshot, check_map, sectors
from tv2tv_core.data.bot import Bot
from tv2tv_core.data.recording import Recording
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.plan import to_line

FORMAT = 1
EPISODE_CHUNKS = 175         # 40 s
SMALL_PLACE = 600            # cells; a player who spawns in less than this spawns again
HELDOUT_EPISODES, HELDOUT_MAP_EPISODES = 10, 4
# Seeds of the splits never meet, however much is recorded.
SPLIT_SEEDS = {"train": 0, "heldout": 500_000, "heldout_map": 600_000}


@dataclass(frozen=True)
class Place:
    """A map of the default world and what one sees there."""
    map: str
    meta_prompt: str


WORLD = (Place("f1:E1M5", "a first-person shooter clip in a tan brick base with bright white halls and blue pools"),
         Place("f1:E1M6", "a first-person shooter clip in a rusty brown and grey base with tall windows"))
HELDOUT_WORLD = (Place("f2:MAP01", "a first-person shooter clip in a dark grey tech base with blue lamps"),)
SPARE_MAPS = ("f2:MAP08", "f1:E1M3", "f2:MAP04")
MAX_CHUNKS = 1_000_000
Progress = Callable[[int, int, str], None]


def meta_prompt(map_name: str) -> str:
    """The description of a map's look; a general one for maps outside the default world."""
    known = {place.map: place.meta_prompt for place in WORLD + HELDOUT_WORLD}
    return known.get(map_name, "a first-person shooter clip in a base")


@dataclass
class Episode:
    """What one episode gathers before it is written."""
    frames: list[np.ndarray] = field(default_factory=list)
    motion: list[np.ndarray] = field(default_factory=list)
    chunks: list[dict] = field(default_factory=list)


def events(before: Snapshot, after: Snapshot) -> list[str]:
    """What happened in a chunk, from the engine's counters: kill, hit, hurt N, weapon up, health +N, armor +N."""
    change = {name: after.state[name] - before.state[name] for name in after.state}
    found = []
    if change["FRAGCOUNT"] > 0:
        found.append("kill")
    elif change["HITCOUNT"] > 0:
        found.append("hit")
    if change["DAMAGE_TAKEN"] > 0:
        found.append(f"hurt {int(change['DAMAGE_TAKEN'])}")
    if change["SELECTED_WEAPON"]:
        found.append(f"weapon up {int(after.state['SELECTED_WEAPON'])}")
    found += [f"{name.lower()} +{int(change[name])}" for name in ("HEALTH", "ARMOR") if change[name] > 0]
    return found


class Player:
    """Plays one episode in an open arena and gathers it."""

    def __init__(self, arena: Arena, ground: tuple[list, list], seed: int) -> None:
        self.arena, self.rng = arena, np.random.default_rng(seed)
        self.ground = navigation.Navigation(*ground)
        self.episode = Episode()
        self.now = arena.begin(seed)
        self._fresh()

    def _fresh(self) -> None:
        """Right after a spawn: a new bot, a cut, and another spawn when the place is closed off."""
        for _ in range(8):
            node = self.ground.node(*self.now.pose[:2])
            if node is not None and np.isfinite(self.ground.distances(node)).sum() >= SMALL_PLACE:
                break
            self.arena.command("kill")
            self.arena.idle(4)
            self.now = self.arena.respawn()
        self.ground.shut[:] = self.ground.door
        self.bot = Bot(self.ground, self.rng)
        self.bot.see(self.now, math.inf)
        self.source, self.cut = None, True

    def step(self) -> bool:
        """Play one chunk; False when it was not kept (the player died in it)."""
        if self.arena.dead():
            self.now = self.arena.respawn()
            self._fresh()
        action = self.bot.next()
        seen = self.arena.act(action)
        if self.arena.dead():
            self.arena.drop_last()
            return False
        moved = math.dist(self.now.pose[:2], seen[-1].pose[:2])
        if moved > 250:                                    # a teleporter: nothing connects the two pictures
            self.source, self.cut = None, True
        field_, self.source = true_motion.chunk_motion(seen, self.source)
        self.episode.frames.append(np.stack([s.frame for s in seen]))
        self.episode.motion.append(field_)
        self.episode.chunks.append({
            "line": to_line(action), "cut": self.cut, "pose": [[round(v, 3) for v in s.pose] for s in seen],
            "events": events(self.now, seen[-1]), "moved": round(moved, 1)})
        self.now, self.cut = seen[-1], False
        self.bot.see(self.now, moved)
        return True


def play(arena: Arena, ground: tuple[list, list], seed: int, chunks: int) -> tuple[Episode, Recording]:
    """Play an episode of `chunks` kept chunks. Deterministic in (map, seed, chunks)."""
    player = Player(arena, ground, seed)
    while len(player.episode.chunks) < chunks:
        player.step()
    return player.episode, arena.recording


def write(folder: Path, episode: Episode, recording: Recording, split: str) -> None:
    """Write an episode folder; it appears whole or not at all. Raises StorageError."""
    scratch = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    text = {"format": FORMAT, "engine": f"vizdoom {vizdoom.__version__}", "split": split,
            "meta_prompt": meta_prompt(recording.map), **recording.to_json(), "chunks": episode.chunks}
    try:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        np.save(scratch / "frames.npy", np.stack(episode.frames))
        np.save(scratch / "motion.npy", np.stack(episode.motion))
        (scratch / "episode.json").write_text(json.dumps(text, separators=(",", ":")), encoding="utf-8")
        os.rename(scratch, folder)
    except OSError as error:
        raise StorageError(f"cannot write {folder}: {error.strerror or error}; free some space or choose another "
                           "folder") from error
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def record(out: Path, maps: Sequence[str], chunks: int, seed: int, split: str = "train",
           progress: Progress | None = None, episode_chunks: int = EPISODE_CHUNKS) -> int:
    """Record episodes of the maps in turn until `<out>/<split>` holds `chunks` chunks of this seed; returns how many.

    Episodes already there are kept and counted, so an interrupted recording goes on where it stopped. progress: called
    with (chunks held, chunks wanted, episode written). Raises InputError, StorageError.
    """
    _check(maps, chunks, seed, split)
    order = [(split, k) for k in range(-(-chunks // episode_chunks))]
    return _all(out, order, {split: maps}, (split, chunks, seed, episode_chunks), progress)


def record_world(out: Path, train_chunks: int, seed: int = 1, progress: Progress | None = None,
                 maps: Sequence[str] = tuple(place.map for place in WORLD), heldout: int = HELDOUT_EPISODES,
                 heldout_map: int = HELDOUT_MAP_EPISODES, episode_chunks: int = EPISODE_CHUNKS) -> int:
    """Record a whole world: training episodes and, spread over their beginning, the held-out episodes and map.

    heldout, heldout_map: numbers of episodes. Goes on where an earlier call stopped. Returns the number of training
    chunks. progress: as in `record`, counting training chunks. Raises InputError, StorageError.
    """
    _check(maps, train_chunks, seed, "train")
    held = [place.map for place in HELDOUT_WORLD if place.map not in maps] or \
        [name for name in SPARE_MAPS if name not in maps][:1]
    extra = [("heldout", k) for k in range(heldout)]
    for k in range(heldout_map):
        extra.insert(2 + 3 * k, ("heldout_map", k))
    order, extra = extra[:3], extra[3:]
    for k in range(-(-train_chunks // episode_chunks)):
        order.append(("train", k))
        if k % 2:                                          # two training episodes, then one that is held out
            order, extra = order + extra[:1], extra[1:]
    return _all(out, order + extra, {"train": maps, "heldout": maps, "heldout_map": held},
                ("train", train_chunks, seed, episode_chunks), progress)


def _check(maps: Sequence[str], chunks: int, seed: int, split: str) -> None:
    if isinstance(maps, str) or not maps:
        raise InputError(f"got {maps!r} as maps; give a list of map names such as ['f1:E1M5']")
    for name in maps:
        check_map(name)
    if not 1 <= chunks <= MAX_CHUNKS:
        raise InputError(f"{chunks} chunks were asked for; allowed are 1 to {MAX_CHUNKS} (4.375 chunks are one second)")
    if not 0 <= seed <= 2000:
        raise InputError(f"seed {seed} is not possible; allowed are 0 to 2000")
    if split not in SPLIT_SEEDS:
        raise InputError(f"unknown split {split!r}; allowed are {', '.join(SPLIT_SEEDS)}")


def _all(out: Path, order: list[tuple[str, int]], maps: dict[str, Sequence[str]], plan: tuple[str, int, int, int],
         progress: Progress | None) -> int:
    """Record the episodes named in `order` that are not there yet; returns the chunks of the counted split."""
    counted, wanted, seed, size = plan
    done = 0
    with _Studio() as studio:
        for split, index in order:
            map_name = maps[split][index % len(maps[split])]
            own_seed = seed * 1_000_003 + SPLIT_SEEDS[split] + index
            folder = Path(out) / split / f"{map_name.replace(':', '-')}-{own_seed}"
            chunks = min(size, wanted - index * size) if split == counted else size
            found = (folder / "episode.json").exists()
            if not found:
                arena, ground = studio.open(map_name)
                write(folder, *play(arena, ground, own_seed, chunks), split)
            done += chunks if split == counted else 0
            if progress and not found:
                progress(done, wanted, f"{split}/{folder.name}")
    return done


class _Studio:
    """One arena per map, and what is known of each map's ground; closes them all at the end."""

    def __init__(self) -> None:
        self.arenas: dict[str, Arena] = {}
        self.grounds: dict[str, tuple[list, list]] = {}

    def __enter__(self) -> "_Studio":
        return self

    def __exit__(self, *_: object) -> None:
        for arena in self.arenas.values():
            arena.close()

    def open(self, map_name: str) -> tuple[Arena, tuple[list, list]]:
        """The arena of a map, and its sectors and objects."""
        if map_name not in self.arenas:
            self.grounds[map_name] = sectors(map_name)
            self.arenas[map_name] = Arena(map_name, full=True)
        return self.arenas[map_name], self.grounds[map_name]


def verbs(lines: Sequence[str]) -> dict[str, float]:
    """Share of chunks that contain each part of the plan grammar, and of those that repeat the line before."""
    count = Counter(part for line in lines for part in line.split(", "))
    share = {part: number / len(lines) for part, number in count.most_common()}
    share["(line repeated)"] = sum(a == b for a, b in zip(lines, lines[1:])) / max(len(lines) - 1, 1)
    return share
