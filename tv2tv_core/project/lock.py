"""One owner per project file: a lock beside it that the system lets go when its process ends, however that happens."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path

from tv2tv_core.errors import StorageError
from tv2tv_core.media.atomic import shown, storage_error

SUFFIX = "-lock"


class FileLock:
    """Holds `path` for this object alone, among all processes; the file that shows it goes with `release`.

    SQLite's own locks cannot do this: they last for a transaction, and closing any handle of the file drops them.
    Raises StorageError when someone else holds it or nothing can be written there.
    """

    def __init__(self, path: Path) -> None:
        self._file = path.with_name(path.name + SUFFIX)
        self._handle: int | None = None
        try:
            while self._handle is None:
                self._handle = self._try(path)
        except (OSError, ValueError) as error:
            raise storage_error(path, error if isinstance(error, OSError) else OSError(0, "invalid name")) from error

    def release(self) -> None:
        """Let it go; a second call does nothing."""
        handle, self._handle = self._handle, None
        if handle is None:
            return
        # On Windows an open file cannot be removed; it then stays behind, empty and without meaning.
        with contextlib.suppress(OSError):
            self._file.unlink()
        os.close(handle)

    def __enter__(self) -> FileLock:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _try(self, path: Path) -> int | None:
        handle = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if not _lock(handle):
                raise StorageError(
                    f"{shown(path.name)} is open in another TV2TV Studio: close it there first, or work on a copy of it."
                )
            same = os.path.samestat(os.fstat(handle), os.stat(self._file))
        except FileNotFoundError:
            same = False
        except BaseException:
            os.close(handle)
            raise
        if same:
            return handle
        # Its owner removed it between our opening and our locking: the lock is on a file that nobody finds any more.
        os.close(handle)
        return None


@contextlib.contextmanager
def owned(path: Path) -> Iterator[FileLock]:
    """The lock of a file; who asked keeps it when the body succeeds, and it is let go when not."""
    lock = FileLock(path)
    try:
        yield lock
    except BaseException:
        lock.release()
        raise


def _lock(handle: int) -> bool:
    """Lock an open file without waiting; whether that worked."""
    if sys.platform == "win32":
        import msvcrt

        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
