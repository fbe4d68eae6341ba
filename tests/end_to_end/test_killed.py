"""A server that is killed at any moment has lost nothing that it ever told, and goes on to the frames of an unbroken run."""

from __future__ import annotations

import random

from tests.end_to_end.kills import Toll, broken

CHUNKS, KILLS = 16, 3
SETTINGS = {"seed": "5", "steps": 3}


def test_whatever_was_told_is_there_after_a_kill(serve):
    server = serve("--delay", "0.02")
    toll: Toll = broken(server, CHUNKS, SETTINGS, KILLS, random.Random(8))
    assert toll.kills >= KILLS - 1, "most kills must hit the server at work"
    assert toll.compared >= CHUNKS
    assert (toll.missing, toll.changed) == (0, 0)
