"""Writing a file so that the old one stays until the new one is whole: a temporary neighbour, then one rename."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from tv2tv_core.errors import StorageError

_REASONS = {
    errno.ENOSPC: "the disk is full: free some space",
    errno.EDQUOT: "the disk quota is used up: free some space",
    errno.EFBIG: "the file would grow larger than this system allows: choose another place",
    errno.EROFS: "the disk is read-only: choose another place",
    errno.EACCES: "writing there is not permitted: choose another folder",
    errno.EPERM: "writing there is not permitted: choose another folder",
    errno.ENOENT: "the folder does not exist: create it or choose another",
    errno.ENOTDIR: "a part of the path is a file, not a folder: choose another path",
    errno.EISDIR: "it is a folder: choose a file name",
    errno.ENAMETOOLONG: "the name is too long: choose a shorter one",
}


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Give a temporary path in the same folder; rename it onto `path` if the body succeeds, remove it if not.

    Raises StorageError with words when the disk refuses; `path` is then what it was before.
    """
    temporary = _neighbour(path)
    try:
        yield temporary
        with open(temporary, "rb+") as handle:
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        raise storage_error(path, error) from error
    finally:
        # Also on Ctrl-C. After a success there is nothing left to remove.
        with contextlib.suppress(OSError):
            temporary.unlink()


def check_writable(path: Path) -> None:
    """Raise StorageError now if a file cannot be written at `path`, rather than after minutes of work.

    Tries for real: permission bits say nothing on read-only disks or for the superuser.
    """
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "is a folder")
        probe = _neighbour(path)
        probe.touch(exist_ok=False)
        probe.unlink()
    except ValueError as error:  # a name no file can have
        raise storage_error(path, OSError(errno.EINVAL, "invalid name")) from error
    except OSError as error:
        raise storage_error(path, error) from error


def _neighbour(path: Path) -> Path:
    # Not made from the name of the file, which may already be as long as names can be.
    return path.with_name(f".tv2tv-{secrets.token_hex(8)}.tmp")


def storage_error(path: Path, error: OSError) -> StorageError:
    """The refusal of the disk as one line for people."""
    reason = _REASONS.get(error.errno or 0, f"the system says {(error.strerror or 'it failed').lower()!r}")
    return StorageError(f"Cannot write {shown(path)}: {reason}.")


def shown(path: Path | str, limit: int = 160) -> str:
    """A path or file name for a one-line message: its end when it is long, and nothing unprintable in it."""
    text = "".join(letter if letter.isprintable() else "?" for letter in str(path))
    return text if len(text) <= limit else f"…{text[-limit:]}"
