"""A recording as a value: the map, the seed and the operation log from which an episode can be played again exactly."""
import json
from dataclasses import dataclass, field
from pathlib import Path

from tv2tv_core.errors import InputError, StorageError

BOTS = 2                     # built-in opponents of an episode


@dataclass
class Recording:
    """All that is needed to see an episode again: map ("f1:E1M5"), seed, and operations in order.

    Operations: ["act", plan line, count] recorded chunks; ["lost", plan line, 1] a chunk that was played but not kept;
    ["idle", frames]; ["cmd", console command]; ["respawn"].
    """
    map: str
    seed: int
    ops: list[list] = field(default_factory=list)
    bots: int = BOTS

    def chunks(self) -> int:
        """Number of recorded chunks."""
        return sum(op[2] for op in self.ops if op[0] == "act")

    def lines(self) -> list[str]:
        """The plan line of every recorded chunk."""
        return [op[1] for op in self.ops if op[0] == "act" for _ in range(op[2])]

    def until(self, chunk: int) -> "Recording":
        """The shortest recording that ends with chunk `chunk - 1` (so `until(0)` only spawns the player)."""
        if not 0 <= chunk <= self.chunks():
            raise InputError(f"chunk {chunk} is not in this recording; allowed are 0 to {self.chunks()}")
        ops, left = [], chunk
        for op in self.ops:
            if op[0] != "act":
                ops.append(list(op))
                continue
            if left == 0:
                break
            ops.append(["act", op[1], min(left, op[2])])
            left -= ops[-1][2]
        # What followed the last wanted chunk (a death, a respawn) belongs to the chunk after it.
        while chunk and ops and ops[-1][0] != "act":
            ops.pop()
        return Recording(self.map, self.seed, ops, self.bots)

    def to_json(self) -> dict:
        """A plain value for json.dump."""
        return {"map": self.map, "seed": self.seed, "bots": self.bots, "ops": self.ops}

    @staticmethod
    def from_json(value: dict) -> "Recording":
        """The inverse of `to_json`; also accepts a whole episode.json."""
        return Recording(value["map"], int(value["seed"]), [list(op) for op in value["ops"]], int(value["bots"]))

    @staticmethod
    def load(path: Path) -> "Recording":
        """Read an episode.json or a start frame's json. Raises StorageError."""
        try:
            return Recording.from_json(json.loads(Path(path).read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise StorageError(f"{path} holds no recording ({type(error).__name__}); use the episode.json of an "
                               "episode or the json beside a start frame") from error
