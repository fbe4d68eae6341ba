"""The format of a project file: tables, versions, migrations, and connections that trust nothing; no take is known here."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

from tv2tv_core.errors import InputError, StorageError, TV2TVError
from tv2tv_core.media.atomic import atomic_file, shown

APPLICATION_ID = 0x54325456  # "T2TV" in the file's header: what this SQLite file is for
FORMAT = 1
MIGRATIONS: dict[int, Callable[[sqlite3.Connection], None]] = {}
"""Format n → the step to n + 1. It runs in a transaction, statement by statement (`executescript` would commit), and must
leave the very tables of the next format: make new ones and copy, since ALTER TABLE leaves its own wording behind."""

PAGE_BYTES = 16384  # latents are tens of kilobytes: fewer, larger pages
MAX_VALUE_BYTES = 2**28
BUSY_S = 5.0

SCHEMA = (
    # info, pending, current (revision), updated: one JSON value each.
    "CREATE TABLE project (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID",
    """CREATE TABLE chunk (
        id TEXT PRIMARY KEY, parent TEXT REFERENCES chunk (id), "index" INTEGER NOT NULL, line TEXT, source TEXT,
        plan TEXT NOT NULL, asked TEXT, seed INTEGER, steps INTEGER NOT NULL, guidance REAL NOT NULL,
        temperature REAL NOT NULL, top_p REAL NOT NULL, stream TEXT NOT NULL, seconds REAL NOT NULL,
        model_hash TEXT NOT NULL, created TEXT NOT NULL)""",
    "CREATE TABLE frame (chunk TEXT NOT NULL REFERENCES chunk (id), k INTEGER NOT NULL, png BLOB NOT NULL, UNIQUE (chunk, k))",
    "CREATE TABLE latents (chunk TEXT PRIMARY KEY REFERENCES chunk (id), npy BLOB NOT NULL)",
    # beside: made while chunks were being made, so that their growth belongs to the revision before as well.
    "CREATE TABLE revision (n INTEGER PRIMARY KEY, label TEXT NOT NULL, beside INTEGER NOT NULL, story TEXT NOT NULL)",
)


def damaged(path: Path, what: str) -> InputError:
    """The one way to say that a project file cannot be used."""
    return InputError(f"{shown(path.name)} is damaged ({what}): use a copy of it, or a project file saved earlier.")


def connect(path: Path, mode: Literal["ro", "rw", "rwc"], alone: bool = True) -> sqlite3.Connection:
    """A connection that runs no code from the file and refuses oversize values; the caller closes it.

    `ro` changes nothing, not even beside the file, unless a killed process left a log of changes there to read. It reads
    without locks then, so `alone` must be False for a file that this process may write to meanwhile.
    """
    uri = f"{path.absolute().as_uri()}?mode={mode}"
    if mode == "ro" and alone and not _has_log(path):
        uri += "&immutable=1"
    db = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False, timeout=BUSY_S)
    try:
        db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
        db.execute("PRAGMA trusted_schema = OFF")
        db.execute("PRAGMA cell_size_check = ON")
        if mode != "ro":
            db.execute("PRAGMA foreign_keys = ON")
            db.execute("PRAGMA synchronous = FULL")
            db.execute("PRAGMA wal_autocheckpoint = 256")
    except BaseException:
        db.close()
        raise
    return db


@contextlib.contextmanager
def connection(path: Path, mode: Literal["ro", "rw", "rwc"], alone: bool = True) -> Iterator[sqlite3.Connection]:
    """`connect`, closed at the end, with errors in words for people."""
    with speaking(path), contextlib.closing(connect(path, mode, alone)) as db:
        yield db


@contextlib.contextmanager
def speaking(path: Path) -> Iterator[None]:
    """What SQLite raises inside comes out as StorageError (the disk refused) or InputError (the file is no good)."""
    try:
        yield
    except (sqlite3.ProgrammingError, sqlite3.InterfaceError):
        raise  # our own mistake, not the file's
    except sqlite3.Error as error:
        raise _in_words(path, error) from error
    except UnicodeDecodeError as error:
        raise damaged(path, "a text in it is not readable") from error


@contextlib.contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """Everything inside happens, or nothing."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        # When the disk is full SQLite may have rolled back by itself.
        with contextlib.suppress(sqlite3.Error):
            db.execute("ROLLBACK")
        raise


def build(db: sqlite3.Connection) -> None:
    """Make the empty tables of this format in a new file."""
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    db.execute("PRAGMA journal_mode = WAL")
    with transaction(db):
        for statement in SCHEMA:
            db.execute(statement)
        db.execute(f"PRAGMA user_version = {FORMAT}")


def check_file(path: Path) -> int:
    """The format version of a project file that this program can read or migrate. Changes nothing.

    Raises InputError for anything else: no file, no SQLite, another program's file, one from the future, a damaged one.
    """
    try:
        if not path.is_file():
            raise InputError(f"{shown(path)} is not there: choose another project.")
    except (OSError, ValueError) as error:
        raise InputError(f"{shown(path)} cannot be opened: choose another project.") from error
    with connection(path, "ro") as db:
        application, version = _pragma(db, "application_id"), _pragma(db, "user_version")
        if application != APPLICATION_ID:
            raise InputError(f"{shown(path.name)} is not a TV2TV project: choose a .tv2tv file.")
        if version > FORMAT:
            raise InputError(
                f"{shown(path.name)} was made by a newer version of TV2TV Studio (format {version}; this one reads up to "
                f"{FORMAT}): update it."
            )
        if any(step not in MIGRATIONS for step in range(version, FORMAT)):
            raise damaged(path, f"its format {version} is unknown")
        # SQLite itself reads a missing end as zeros. With a log beside it, the end may be in there.
        if not _has_log(path) and path.stat().st_size < _pragma(db, "page_count") * _pragma(db, "page_size"):
            raise damaged(path, "its end is missing")
        # Triggers and views would run inside our own statements; no format has any.
        if db.execute("SELECT 1 FROM sqlite_master WHERE type NOT IN ('table', 'index')").fetchone():
            raise damaged(path, "it holds more than a project")
        return version


def check_tables(path: Path, db: sqlite3.Connection) -> None:
    """Raise InputError unless the tables are exactly this format's and those without pictures are intact.

    Pictures are checked when they are read: going through half a gigabyte would make every opening slow.
    """
    if _tables(db) != _expected_tables():
        raise damaged(path, "its tables are not those of a project")
    for table in ("project", "chunk", "revision"):
        found = db.execute(f"PRAGMA quick_check({table})").fetchone()
        if found != ("ok",):
            raise damaged(path, f"the table {table} is broken")


def migrate(path: Path, version: int, check: Callable[[sqlite3.Connection], object]) -> None:
    """Bring a file from format `version` to FORMAT in one transaction, after copying it to a neighbour ending in .bak.

    `check` looks at the result before it is kept; whatever it raises leaves the file as it was.
    """
    backup(path, path.with_name(f"{path.name}.bak"))
    with connection(path, "rw") as db, transaction(db):
        for step in range(version, FORMAT):
            MIGRATIONS[step](db)
            db.execute(f"PRAGMA user_version = {step + 1}")
        check(db)


def backup(source: Path, target: Path, change: Callable[[sqlite3.Connection], None] | None = None) -> None:
    """Copy a project file, open or not, as it is at this moment; `change` may alter the copy before it appears.

    Raises StorageError when the disk refuses; `target` is then what it was before.
    """
    with atomic_file(target) as temporary:
        try:
            with connection(source, "ro", alone=False) as origin, speaking(target):
                _copy(origin, temporary, change)
        finally:
            remove_companions(temporary)


def remove_companions(path: Path) -> None:
    """Remove what SQLite keeps beside a file that is still being made; a closed one has nothing there."""
    for suffix in ("-wal", "-shm", "-journal"):
        with contextlib.suppress(OSError):
            path.with_name(path.name + suffix).unlink()


def _copy(origin: sqlite3.Connection, path: Path, change: Callable[[sqlite3.Connection], None] | None) -> None:
    with contextlib.closing(connect(path, "rwc")) as copy:
        origin.backup(copy)
        if change:
            with transaction(copy):
                change(copy)


def _has_log(path: Path) -> bool:
    try:
        return path.with_name(f"{path.name}-wal").stat().st_size > 0
    except OSError:
        return False


def _pragma(db: sqlite3.Connection, name: str) -> int:
    return int(db.execute(f"PRAGMA {name}").fetchone()[0])


def _tables(db: sqlite3.Connection) -> set[tuple[str, str, str | None]]:
    return set(db.execute("SELECT type, name, sql FROM sqlite_master"))


def _expected_tables() -> set[tuple[str, str, str | None]]:
    with contextlib.closing(sqlite3.connect(":memory:")) as db:
        for statement in SCHEMA:
            db.execute(statement)
        return _tables(db)


_REFUSALS = {
    sqlite3.SQLITE_FULL: "the disk is full: free some space",
    sqlite3.SQLITE_READONLY: "it is read-only: allow writing, or work on a copy elsewhere",
    sqlite3.SQLITE_PERM: "access is not permitted: change that, or work on a copy elsewhere",
    sqlite3.SQLITE_AUTH: "access is not permitted: change that, or work on a copy elsewhere",
    sqlite3.SQLITE_CANTOPEN: "the system does not let it be opened: check the folder and its permissions",
    sqlite3.SQLITE_BUSY: "another program holds it: close that program, then try again",
    sqlite3.SQLITE_LOCKED: "another program holds it: close that program, then try again",
    sqlite3.SQLITE_IOERR: "the disk refused: check it, its free space and its connection",
    sqlite3.SQLITE_NOMEM: "there is not enough memory: close other programs",
}


def _in_words(path: Path, error: sqlite3.Error) -> TV2TVError:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        reason = _REFUSALS.get(code & 0xFF)  # the low byte is the kind, the rest its detail
        if reason:
            return StorageError(f"Cannot read or write {shown(path.name)}: {reason}. Nothing is lost.")
        if code & 0xFF == sqlite3.SQLITE_NOTADB:
            return InputError(f"{shown(path.name)} is not a TV2TV project: choose a .tv2tv file.")
    return damaged(path, "it cannot be read")
