"""The password of a studio that others can reach: login page, sessions, slowed guessing. Knows no route but its own two."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import html
import ipaddress
import secrets
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import parse_qs

from tv2tv_core.errors import InputError

PAGE = Path(__file__).resolve().parent.parent / "assets" / "login.html"
SHORTEST_PASSWORD = 8
SESSION_S = 30 * 24 * 3600
MOST_SESSIONS = 1_000
MOST_ADDRESSES = 4_096
MOST_WAITING = 6  # attempts of one address at a time; they are looked at one after the other
SLOWEST_S = 8.0
Sleep = Callable[[float], Awaitable[None]]


class TooManyAttempts(Exception):
    """This address has too many attempts waiting already."""


def check_password(password: str) -> str:
    """The password itself when it is long enough. Raises InputError; the text never repeats the password."""
    if len(password) < SHORTEST_PASSWORD:
        count = len(password)
        raise InputError(f"The password has {count} characters; allowed are {SHORTEST_PASSWORD} or more. Take a longer one.")
    return password


class Gate:
    """One password and the sessions that it opened. Lives in the event loop's thread.

    A wrong password is answered late, later each time, counted by address: guessing is slow, while every other address,
    every open session, and the right password at any time, get in. `sleep` is how it waits.
    """

    def __init__(self, password: str, sleep: Sleep = asyncio.sleep) -> None:
        self._salt = secrets.token_bytes(16)
        self._password = self._digest(check_password(password))
        self._sleep = sleep
        self._sessions: OrderedDict[bytes, float] = OrderedDict()  # digest of a token → when it ends
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    async def try_password(self, given: str, address: str) -> bool:
        """Whether `given` is the password; a wrong one takes its time. Raises TooManyAttempts."""
        failures = self._failures_of(address)
        if failures.waiting >= MOST_WAITING:
            raise TooManyAttempts
        failures.waiting += 1
        try:
            async with failures.turn:
                if hmac.compare_digest(self._digest(given), self._password):
                    failures.count = 0
                    return True
                failures.count += 1
                await self._sleep(min(SLOWEST_S, 0.25 * 2.0 ** min(failures.count, 16)))
                return False
        finally:
            failures.waiting -= 1

    def open_session(self) -> str:
        """A new session's token, to be kept by the browser alone: here is only its digest."""
        token = secrets.token_urlsafe(32)
        self._sessions[self._digest(token)] = time.monotonic() + SESSION_S
        while len(self._sessions) > MOST_SESSIONS:
            self._sessions.popitem(last=False)
        return token

    def knows(self, token: str) -> bool:
        """Whether `token` belongs to an open session."""
        ends = self._sessions.get(self._digest(token))
        return ends is not None and time.monotonic() < ends

    def close_session(self, token: str) -> None:
        """End a session; an unknown one is fine."""
        self._sessions.pop(self._digest(token), None)

    def _digest(self, text: str) -> bytes:
        return hmac.new(self._salt, text.encode("utf-8", "surrogatepass"), hashlib.sha256).digest()

    def _failures_of(self, address: str) -> _Failures:
        """The record of an address. The oldest ones are forgotten, so that many addresses cannot fill the memory."""
        key = _neighbourhood(address)
        failures = self._failures.pop(key, None) or _Failures()
        self._failures[key] = failures
        while len(self._failures) > MOST_ADDRESSES:
            self._failures.popitem(last=False)
        return failures


class _Failures:
    """What one address has tried."""

    def __init__(self) -> None:
        self.count = 0
        self.waiting = 0
        self.turn = asyncio.Lock()


def _neighbourhood(address: str) -> str:
    """An address as it is counted: an IPv6 network of 64 bits is one household."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(parsed) if parsed.version == 4 else str(ipaddress.ip_network((int(parsed), 64), strict=False))


def page(message: str = "") -> bytes:
    """The login page with a message above the field, empty for none."""
    return PAGE.read_text("utf-8").replace("<!-- message -->", html.escape(message)).encode()


def form_password(body: bytes) -> str:
    """The field `password` of a posted form; empty when there is none."""
    try:
        fields = parse_qs(body.decode("utf-8"), keep_blank_values=True, max_num_fields=8)
    except ValueError:
        return ""
    return fields.get("password", [""])[0]
