"""Kills a studio's server in the middle of its work, again and again, and checks that nothing it ever told is lost."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass

from tests.end_to_end.server import Listener, Server

SECONDS_PER_CHUNK = 4 / 17.5


@dataclass
class Toll:
    """What became of it: how often the server was killed at work, how many told chunks were compared, and all faults."""

    kills: int = 0
    compared: int = 0
    missing: int = 0
    changed: int = 0

    def __iadd__(self, other: Toll) -> Toll:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        return self


def unbroken(server: Server, chunks: int, settings: dict[str, object]) -> list[list[bytes]]:
    """The frames that a run gives which nobody disturbs, by chunk."""
    project = server.new_project(**settings)
    server.post(f"p/{project}/generate", {"seconds": chunks * SECONDS_PER_CHUNK})
    return [server.frames(project, chunk["id"]) for chunk in server.settle(project)["path"]]


def broken(server: Server, chunks: int, settings: dict[str, object], kills: int, dice: random.Random) -> Toll:
    """The same run with up to `kills` kills in it, at random moments; everything told is compared after every restart."""
    expected = unbroken(server, chunks, settings)
    began = time.monotonic()
    project = server.new_project(**settings)
    toll, told = Toll(), {}
    server.post(f"p/{project}/generate", {"seconds": chunks * SECONDS_PER_CHUNK})
    for _ in range(kills):
        listener = Listener(server, project)
        if listener.first["job"]["state"] == "idle":
            listener.close()
            break
        told |= {chunk["index"]: chunk["id"] for chunk in listener.first["path"]}
        some = dice.randrange(0, max(1, 2 * chunks // (kills + 1)))
        last = chunks - 1
        listener.wait(lambda heard, some=some: len(heard) >= some or (bool(heard) and heard[-1]["index"] == last))
        time.sleep(dice.random() * 2 * (time.monotonic() - began) / chunks)  # anywhere in the next chunk or so
        server.kill()
        told |= {chunk["index"]: chunk["id"] for chunk in listener.close()}
        server.start()
        now = server.snapshot(project)
        toll.kills += now["job"]["state"] != "idle"
        toll += _compare(server, project, now["path"], told, expected)
        if now["job"]["state"] != "idle":
            assert now["job"]["state"] == "paused", now["job"]
            server.post(f"p/{project}/continue")
    path = server.settle(project)["path"]
    assert len(path) == chunks
    toll += _compare(server, project, path, {chunk["index"]: chunk["id"] for chunk in path}, expected)
    return toll


def _compare(server: Server, project: str, path: list[dict], told: dict[int, str], expected: list[list[bytes]]) -> Toll:
    """How many of the chunks told are missing from the path, or are other pictures than those of the unbroken run."""
    there = {chunk["index"]: chunk["id"] for chunk in path}
    missing = sum(there.get(index) != chunk for index, chunk in told.items())
    kept = [index for index, chunk in told.items() if there.get(index) == chunk]
    changed = sum(server.frames(project, there[index]) != expected[index] for index in kept)
    return Toll(compared=len(told), missing=missing, changed=changed)
