"""Where the studio is reached: its options checked, its socket bound, its folder held. Imports no web framework."""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlunsplit

from app.guard import host_name
from app.login import check_password
from tv2tv_core.errors import InputError, StorageError

PORT = 7860
PORTS_TRIED = 100
LOOPBACK = str(ipaddress.IPv4Address(socket.INADDR_LOOPBACK))
LOCK = ".studio.lock"


@dataclass(frozen=True)
class Options:
    """How to serve. `port` None takes the first free one from `PORT` on, 0 any; `listen` serves other machines too."""

    projects: Path
    preset: str
    port: int | None = None
    browser: bool = True
    listen: bool = False
    password: str | None = None
    names: tuple[str, ...] = ()


def check(options: Options) -> Options:
    """The options themselves when they can be. Raises InputError before anything is bound or loaded."""
    for name in options.names:
        host_name(name)
    if options.password is not None:
        check_password(options.password)
    elif options.listen:
        raise InputError(
            "--listen lets other machines in and needs a password of 8 or more characters: set TV2TV_PASSWORD, "
            "or give --password TEXT."
        )
    return options


def bind(options: Options) -> socket.socket:
    """A socket that listens. Raises InputError when the port asked for is taken or not allowed."""
    asked = options.port
    ports = [asked] if asked is not None else [*range(PORT, PORT + PORTS_TRIED), 0]
    for port in ports:
        try:
            return _listener(port, options.listen)
        except OSError as error:
            if error.errno in (errno.EACCES, errno.EPERM):
                raise InputError(f"Port {port} is not allowed to you: take one from 1024 to 65535 with --port.") from error
            if error.errno != errno.EADDRINUSE:
                raise InputError(f"Port {port} cannot be opened ({error.strerror}): take another one with --port.") from error
    raise InputError(f"Port {asked} is taken: leave --port out for the next free one, or end what uses it.")


def _listener(port: int, everywhere: bool) -> socket.socket:
    """A bound, listening TCP socket: on this machine alone, or on all its addresses."""
    both = everywhere and socket.has_dualstack_ipv6()
    listener = socket.socket(socket.AF_INET6 if both else socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name != "nt":  # there it would let two servers share a port
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if both:
            listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        listener.bind(("" if everywhere else LOOPBACK, port))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    return listener


def url(host: str, port: int, path: str = "/") -> str:
    """A web address of this studio."""
    return urlunsplit(("http", f"{host}:{port}", path, "", ""))


@contextmanager
def held(folder: Path, address: str) -> Iterator[None]:
    """Hold the projects folder for this process: two studios in one folder would not know of each other's work.

    Raises InputError naming the address of the studio that holds it, StorageError when the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handle = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as error:
        words = f"The projects folder {folder} cannot be written ({error.strerror}): choose another one with --projects DIR."
        raise StorageError(words) from error
    with handle:
        if not _lock(handle):
            handle.seek(0)
            running = handle.read(200).strip()
            where = f" at {running}" if running.isprintable() and running else ""
            raise InputError(f"A studio{where} is using {folder} already: open that one, or take another --projects DIR.")
        handle.seek(0)
        handle.truncate()
        handle.write(address)
        handle.flush()
        yield


def _lock(handle: IO[str]) -> bool:
    """Take the lock of an open file without waiting; it goes when the process ends, however it ends."""
    try:
        if os.name == "nt":
            import msvcrt

            handle.seek(1_000)  # far behind the text, which must stay readable
            msvcrt.locking(handle.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def has_screen() -> bool:
    """Whether a browser window could open. Without one, Python would start a browser inside the terminal."""
    return os.name == "nt" or sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
