"""True futures: what really would have happened from a moment of a recording, had another action been taken."""
from collections.abc import Sequence

import numpy as np

from tv2tv_core.data.arena import RENDER_SIZE, Arena, replay
from tv2tv_core.data.recording import Recording
from tv2tv_core.errors import InputError
from tv2tv_core.plan import Action

MAX_CHUNKS = 2000


def true_future(recording: Recording, chunk: int, action: Action | Sequence[Action], n: int = 1,
                arena: Arena | None = None) -> np.ndarray:
    """Replay up to the end of chunk `chunk - 1`, then act: uint8 [n,4,96,160,3].

    action: held for n chunks, or a sequence of n actions. arena: one for the same map, used instead of a new one; the
    result does not depend on what it played before. Raises InputError for a chunk outside the recording.
    """
    if not 1 <= n <= MAX_CHUNKS:
        raise InputError(f"a true future of {n} chunks was asked for; allowed are 1 to {MAX_CHUNKS}")
    actions = [action] * n if isinstance(action, Action) else list(action)
    if len(actions) != n:
        raise InputError(f"{len(actions)} actions were given for {n} chunks; give one action, or one for each chunk")
    prefix, live = recording.until(chunk), arena or Arena(recording.map)
    try:
        replay(prefix, arena=live, start=chunk)
        return np.stack([np.stack(live.act(act, lambda a: a.look().frame)) for act in actions])
    finally:
        if arena is None:
            live.close()


def true_frames(recording: Recording, first: int, n: int, arena: Arena | None = None,
                size: tuple[int, int] | None = None) -> np.ndarray:
    """The recorded chunks `first` … `first + n - 1` again: uint8 [n,4,96,160,3].

    size: a resolution that ViZDoom has, e.g. (640, 480): the bare rendering instead, uint8 [n,4,H,W,3], without crop
    and gamma. arena: as in `true_future`; with `size` it must have been made for that size.
    """
    prefix, live = recording.until(first + n), arena or Arena(recording.map, size=size or RENDER_SIZE)
    try:
        return np.array(replay(prefix, None if size is None else Arena.screen, live, first)[1])
    finally:
        if arena is None:
            live.close()
