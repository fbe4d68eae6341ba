"""The finished items of an evaluation on disk: what was killed goes on where it stopped, and ends with the same figures.

One folder per identity (weights, settings, recordings), in it one line of JSON per finished item and the pictures that
items made. Several processes may fill one folder together. It knows nothing of what is measured.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from tv2tv_core.media.atomic import atomic_file, storage_error

FILE = "results.jsonl"
CLAIMS = "claims"  # folder of the locks that show what is being measured; the system lets them go when a process ends


class Results:
    """Values by key. `put` returns after the value is safely on disk; a key that is there need not be measured again."""

    def __init__(self, parent: Path, identity: Mapping[str, object]) -> None:
        """Open or begin the folder of `identity` (plain JSON data) under `parent`. Raises StorageError."""
        text = json.dumps(identity, sort_keys=True, allow_nan=False)
        self.folder = parent / f"items-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
        self._path = self.folder / FILE
        self._values: dict[str, Any] = {}
        self._known = 0  # bytes of the file that have been read
        try:
            (self.folder / CLAIMS).mkdir(parents=True, exist_ok=True)
            self._writing = FileLock(self.folder / f"{FILE}.lock")
            with self._writing:
                self._read()
                if not self._path.stat().st_size:
                    self._write(text)
        except OSError as error:
            raise storage_error(self._path, error) from error

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

    def claim(self, key: str) -> BaseFileLock | None:
        """The right to measure an item, to be released after `put`; None while another process has it, or when the item is
        finished, which is then in here. Raises StorageError."""
        lock = FileLock(self.folder / CLAIMS / hashlib.sha256(key.encode()).hexdigest()[:16])
        try:
            lock.acquire(blocking=False)
            with self._writing:
                self._read()
        except Timeout:
            return None
        except OSError as error:
            raise storage_error(self._path, error) from error
        if key in self._values:
            lock.release()
            return None
        return lock

    def file(self, name: str) -> bytes | None:
        """The content of a file that an item made; None when it is gone. Raises StorageError when it cannot be read."""
        path = self.folder / name
        try:
            return path.read_bytes() if path.is_file() else None
        except OSError as error:
            raise storage_error(path, error) from error

    def _read(self) -> None:
        """Take in what was written since; only under `_writing`."""
        with self._path.open("ab+") as stream:
            stream.seek(self._known)
            content = stream.read()
            whole = content.rfind(b"\n") + 1
            if whole < len(content):  # a line that a kill cut off
                stream.truncate(self._known + whole)
        lines = content[:whole].splitlines()
        for line in lines if self._known else lines[1:]:
            try:
                entry = json.loads(line)
                self._values[str(entry["key"])] = entry["value"]
            except (ValueError, KeyError, TypeError):
                continue  # a damaged line is an item to be measured again
        self._known += whole

    def _append(self, line: str) -> None:
        try:
            with self._writing:
                self._read()
                self._write(line)
        except OSError as error:
            raise storage_error(self._path, error) from error

    def _write(self, line: str) -> None:
        with self._path.open("ab") as stream:
            stream.write(line.encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
            self._known = stream.tell()
