"""The finished items of an evaluation on disk: what was killed goes on where it stopped, and ends with the same figures.

One folder per identity (weights, settings, recordings), in it one line of JSON per finished item and the pictures that
items made. It knows nothing of what is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tv2tv_core.media.atomic import atomic_file, storage_error

FILE = "results.jsonl"


class Results:
    """Values by key. `put` returns after the value is safely on disk; a key that is there need not be measured again."""

    def __init__(self, parent: Path, identity: Mapping[str, object]) -> None:
        """Open or begin the folder of `identity` (plain JSON data) under `parent`. Raises StorageError."""
        text = json.dumps(identity, sort_keys=True, allow_nan=False)
        self.folder = parent / f"items-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self._path = self.folder / FILE
        self._values: dict[str, Any] = {}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._read()
        except OSError as error:
            raise storage_error(self._path, error) from error
        if not self._path.exists() or not self._path.stat().st_size:
            self._append(text)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def put(self, key: str, value: object, files: Mapping[str, bytes] | None = None) -> None:
        """Keep `value` (plain JSON data, no NaN) under `key`, and `files` by name beside it. Raises StorageError."""
        for name, content in (files or {}).items():
            with atomic_file(self.folder / name) as temporary:
                temporary.write_bytes(content)
        line = json.dumps({"key": key, "value": value}, allow_nan=False)
        self._append(line)
        # As it will be read again: figures must not depend on where a run was interrupted.
        self._values[key] = json.loads(line)["value"]

    def file(self, name: str) -> bytes | None:
        """The content of a file that an item made; None when it is gone. Raises StorageError when it cannot be read."""
        path = self.folder / name
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise storage_error(path, error) from error

    def _read(self) -> None:
        if not self._path.exists():
            return
        content = self._path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):  # a line that a kill cut off
            with self._path.open("rb+") as stream:
                stream.truncate(whole)
        for line in content[:whole].splitlines()[1:]:
            try:
                entry = json.loads(line)
                self._values[str(entry["key"])] = entry["value"]
            except (ValueError, KeyError, TypeError):
                continue  # a damaged line is an item to be measured again

    def _append(self, line: str) -> None:
        try:
            with self._path.open("ab") as stream:
                stream.write(line.encode() + b"\n")
                stream.flush()
                os.fsync(stream.fileno())
        except OSError as error:
            raise storage_error(self._path, error) from error
