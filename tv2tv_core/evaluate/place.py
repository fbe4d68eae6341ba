"""Where an evaluation reads and writes: the held-out recordings in one folder, what was found in another."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tv2tv_core.data.shards import Episode, load_split
from tv2tv_core.errors import InputError
from tv2tv_core.evaluate.extent import HELD_OUT
from tv2tv_core.media.atomic import atomic_file, check_writable, shown, storage_error


@dataclass(frozen=True)
class Place:
    """Both folders, absolute, and the recordings by split; a split without any is left out, `HELD_OUT` is always there."""

    data: Path
    out: Path
    splits: dict[str, list[Episode]]

    @classmethod
    def open(cls, data: Path, out: Path, name: str, splits: Sequence[str] = (HELD_OUT,)) -> Place:
        """The recordings of `splits` under `data`, and `out`, made where it is missing, for `name`.json among others.

        Raises InputError without held-out recordings, and StorageError now rather than after an hour of work.
        """
        # Engines start in a folder of their own, and for a moment the whole process is there.
        data, out = data.expanduser().absolute(), out.expanduser().absolute()
        found = {split: episodes for split in splits if (episodes := load_split(data, split))}
        if HELD_OUT not in found:
            raise InputError(
                f"There are no held-out recordings in {shown(data)}: give another --data, "
                "or record some with `python3 launch.py record --out DIR`."
            )
        try:
            out.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise storage_error(out, error) from error
        check_writable(out / f"{name}.json")
        return cls(data, out, found)

    def write(self, name: str, text: str) -> None:
        """Write a file of `out`, whole or not at all. Raises StorageError."""
        with atomic_file(self.out / name) as temporary:
            temporary.write_text(text, encoding="utf-8")

    def write_figures(self, name: str, found: Mapping[str, object]) -> None:
        """Write plain data without NaN as `name`.json. Raises StorageError."""
        self.write(f"{name}.json", json.dumps(found, indent=1, allow_nan=False) + "\n")
