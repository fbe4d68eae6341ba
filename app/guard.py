"""One ASGI middleware around everything that the studio serves: who may ask for what. It knows no project and no model.

Order of the checks: Host (against DNS rebinding), where the request comes from (against foreign pages), what is served at
all, who is logged in, our own header, the size of the body. What passes gets security headers on its answer.
"""

from __future__ import annotations

import ipaddress
import json
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from app import login
from app.login import Gate, TooManyAttempts
from tv2tv_core.errors import InputError
from tv2tv_core.settings import shorten

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

BODY_BYTES = 1024 * 1024
UPLOAD_BYTES = 2 * 1024**3
FORM_BYTES = 4 * 1024
UPLOADS = frozenset({"/studio/api/upload"})
PAGES = frozenset({"/", "/login"})  # where a link on a foreign page may lead
# The first parts of paths that are served. Gradio brings more (a proxy, monitoring, code editing): they stay shut.
OPEN = frozenset({"", "studio", "login", "logout", "gradio_api", "config", "assets", "static", "svelte", "theme.css",
                  "favicon.ico", "robots.txt", "manifest.json"})  # fmt: skip
OPEN_API = frozenset({"info", "openapi.json", "queue", "call", "run", "api", "cancel", "reset", "heartbeat",
                      "startup-events", "app_id", "login_check", "user", "theme.css", "file"})  # fmt: skip
BEFORE_LOGIN = frozenset({"/login", "/favicon.ico", "/robots.txt"})
HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9_.-]+)(?::(\d{1,5}))?")
SECURITY: Headers = [
    # Gradio compiles the page's template in the browser and styles elements in place: it needs both `unsafe-` words.
    (b"content-security-policy",
     b"default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
     b"img-src 'self' data: blob:; media-src 'self' data: blob:; font-src 'self' data:; connect-src 'self' blob: data:; "
     b"worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; frame-ancestors 'none'"),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), microphone=(), geolocation=()"),
]  # fmt: skip


@dataclass(frozen=True)
class Rules:
    """Whom to serve: our port, whether we listen beyond this machine, further host names, and the password if any.

    `names` are lower-case, as `name` (any port) or `name:port`.
    """

    port: int
    listening: bool = False
    names: frozenset[str] = frozenset()
    gate: Gate | None = None


def host_name(text: str) -> str:
    """`text` as an entry of `Rules.names`. Raises InputError when it is not `NAME` or `NAME:PORT`."""
    if not HOST.fullmatch(text.lower()):
        allowed = "a host name such as studio.example or studio.example:8080"
        raise InputError(f"--host-name is {shorten(text)}; allowed is {allowed}.")
    return text.lower()


class Guard:
    """The middleware. Everything goes through `__call__`: pages, routes, uploads, Gradio's queue, WebSockets."""

    def __init__(self, app: App, rules: Rules) -> None:
        self._app = app
        self._rules = rules
        self._cookie = f"tv2tv-{rules.port}"  # cookies do not know ports: two studios on a machine need two names
        own = socket.gethostname().lower()
        self._own_names = frozenset({own, own.split(".")[0], own.split(".")[0] + ".local"})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse, answer (login, logout), or hand on to the application."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        asked = _Asked(scope)
        refusal = self._refusal(asked)
        if refusal is None and self._rules.gate is not None and asked.path not in BEFORE_LOGIN:
            refusal = await self._unknown(asked)
        if refusal is not None:
            await _refuse(asked, refusal, receive, send)
        elif asked.path in ("/login", "/logout"):
            await self._login_routes(asked, receive, _dressed(send))
        elif asked.websocket:
            await self._app(scope, receive, send)
        else:
            await self._limited(asked, receive, _dressed(send))

    # --- the checks --------------------------------------------------------------------------------------------------

    def _refusal(self, asked: _Asked) -> _Refusal | None:
        """Why this request is not served, as far as that can be told without a password."""
        if asked.host is None or not self._own_host(asked.host):
            shown = shorten(asked.host or "")
            return _Refusal(421, f"This studio does not go by the name {shown}. Open the address that it printed when it "
                                 "started, or start it with --host-name NAME.")  # fmt: skip
        if asked.foreign:
            return _Refusal(403, "Refused: the request comes from another site. Open the studio's own page.")
        if not _served(asked.path) or (asked.websocket and not asked.path.startswith("/studio/ws/")):
            return _Refusal(404, "There is nothing at this address.")
        if asked.websocket:
            return None
        if asked.method not in ("GET", "HEAD", "POST"):
            return _Refusal(405, f"{asked.method} is not used here; allowed are GET, HEAD and POST.")
        if asked.method == "POST" and asked.path.startswith("/studio/") and asked.one("x-tv2tv") != "1":
            return _Refusal(403, "Refused: a command needs the header `x-tv2tv: 1`.")
        return None

    def _own_host(self, host: str) -> bool:
        """Whether a Host header names this studio.

        Rebinding needs a *name* that another party controls; an address in a Host header is what the browser really
        connected to. So names are listed, and beyond this machine any address will do, on any port that leads here.
        """
        found = HOST.fullmatch(host)
        if not found:
            return False
        name, port = found[1].strip("[]").removesuffix("."), int(found[2] or 80)
        if {host, name, found[1]} & self._rules.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            own = name == "localhost" or (self._rules.listening and name in self._own_names)
            return own and port == self._rules.port
        if address.is_loopback:
            return self._rules.listening or port == self._rules.port
        return self._rules.listening and not address.is_unspecified

    async def _unknown(self, asked: _Asked) -> _Refusal | None:
        """Why this request is not served to someone without the password; None for the owner."""
        gate = self._rules.gate
        token = asked.cookie(self._cookie)
        if token and gate.knows(token):
            return None
        scheme, _, given = (asked.one("authorization") or "").partition(" ")
        if scheme.lower() == "bearer":
            try:
                if await gate.try_password(given.strip(), asked.client):
                    return None
            except TooManyAttempts:
                return _Refusal(429, "Too many wrong passwords from this address. Wait a minute and try again.")
        return _Refusal(401, "Log in first: open /login, or send the header `Authorization: Bearer PASSWORD`.")

    # --- answers of its own ------------------------------------------------------------------------------------------

    async def _login_routes(self, asked: _Asked, receive: Receive, send: Send) -> None:
        gate = self._rules.gate
        token = asked.cookie(self._cookie)
        if gate is None:
            await _answer(send, 303, b"", [(b"location", b"/")])
        elif asked.path == "/logout":
            if asked.method != "POST":
                await _answer(send, 405, _error("POST is needed to log out."), [_JSON])
                return
            gate.close_session(token)
            await _answer(send, 303, b"", [(b"location", b"/login"), self._set_cookie("", 0)])
        elif asked.method != "POST":
            known = bool(token) and gate.knows(token)
            await _answer(send, 303 if known else 200, login.page(), [(b"location", b"/")] if known else [_HTML])
        else:
            await self._log_in(gate, asked, receive, send)

    async def _log_in(self, gate: Gate, asked: _Asked, receive: Receive, send: Send) -> None:
        """The posted form: a session for the right password, the page with a message for anything else."""
        body = await _read(receive, FORM_BYTES)
        try:
            right = body is not None and await gate.try_password(login.form_password(body), asked.client)
        except TooManyAttempts:
            words = "Too many wrong passwords from this address. Wait a minute and try again."
            await _answer(send, 429, login.page(words), [_HTML, (b"retry-after", b"60")])
            return
        if right:
            cookie = self._set_cookie(gate.open_session(), login.SESSION_S)
            await _answer(send, 303, b"", [(b"location", b"/"), cookie])
        else:
            await _answer(send, 401, login.page("This is not the password. Try again."), [_HTML])

    def _set_cookie(self, token: str, seconds: int) -> tuple[bytes, bytes]:
        text = f"{self._cookie}={token}; Max-Age={seconds}; Path=/; HttpOnly; SameSite=Strict"
        return b"set-cookie", text.encode()

    async def _limited(self, asked: _Asked, receive: Receive, send: Send) -> None:
        """Hand on, with the body cut off where it grows beyond what this path takes."""
        most = UPLOAD_BYTES if asked.path in UPLOADS else BODY_BYTES
        words = f"The request is larger than {most // 1024**2} MB, the most that is taken here. Send less."
        length = asked.one("content-length")
        if length is not None and (not length.isdecimal() or int(length) > most):
            await _answer(send, 413, _error(words), [_JSON, (b"connection", b"close")])
            return
        seen, answering = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            # The application learns that the sender is gone: it stops reading and throws away what it has.
            return {"type": "http.disconnect"} if seen > most else message

        async def checked(message: Message) -> None:
            nonlocal answering
            if seen <= most or answering:
                answering = True
                await send(message)

        try:
            await self._app(asked.scope, counted, checked)
        except Exception:
            if seen <= most or answering:
                raise
        if seen > most and not answering:
            await _answer(send, 413, _error(words), [_JSON, (b"connection", b"close")])


# --- the request, read once ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Refusal:
    status: int
    words: str


class _Asked:
    """What the checks need to know of a request."""

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.websocket: bool = scope["type"] == "websocket"
        self.method: str = scope.get("method", "GET")
        self.path: str = scope["path"]
        self.client: str = (scope.get("client") or ("",))[0]
        self._headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            self._headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))

    def one(self, name: str) -> str | None:
        """The value of a header; None when it is missing or given twice."""
        values = self._headers.get(name, [])
        return values[0] if len(values) == 1 else None

    @property
    def host(self) -> str | None:
        host = self.one("host")
        return host and host.lower()

    @property
    def foreign(self) -> bool:
        """Whether a browser sent this for a page that is not ours. Programs that are no browsers say nothing."""
        if any(_netloc(origin) != self.host for origin in self._headers.get("origin", [])):
            return True
        if all(site in ("same-origin", "none") for site in self._headers.get("sec-fetch-site", [])):
            return False
        link = self.one("sec-fetch-mode") == "navigate" and self.one("sec-fetch-dest") == "document"
        return not (link and self.method in ("GET", "HEAD") and self.path in PAGES)

    @property
    def wants_page(self) -> bool:
        """Whether a person is looking at the answer."""
        return self.method in ("GET", "HEAD") and "text/html" in (self.one("accept") or "")

    def cookie(self, name: str) -> str:
        """The value of a cookie; empty when there is none. Cookies of other programs on this machine come along too."""
        pairs = (pair.partition("=") for row in self._headers.get("cookie", []) for pair in row.split(";"))
        return next((value.strip() for key, _, value in pairs if key.strip() == name), "")


def _netloc(origin: str) -> str:
    """`host:port` of an Origin header; empty for `null` and for what is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _served(path: str) -> bool:
    """Whether anything of ours is at this path."""
    first, _, rest = path.removeprefix("/").partition("/")
    if first != "gradio_api":
        return first in OPEN
    name = re.split("[/=]", rest, maxsplit=1)[0]
    # `file=` also takes web addresses, which the server would fetch: nothing is ever fetched here.
    return name in OPEN_API and (name != "file" or ":/" not in rest)


# --- answers ---------------------------------------------------------------------------------------------------------

_JSON = (b"content-type", b"application/json")
_HTML = (b"content-type", b"text/html; charset=utf-8")
_TEXT = (b"content-type", b"text/plain; charset=utf-8")


def _error(words: str) -> bytes:
    return json.dumps({"error": words}).encode()


async def _answer(send: Send, status: int, body: bytes, headers: Iterable[tuple[bytes, bytes]]) -> None:
    """A whole answer that no cache keeps."""
    kept = [*headers, (b"cache-control", b"no-store"), (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": kept})
    await send({"type": "http.response.body", "body": body})


async def _refuse(asked: _Asked, refusal: _Refusal, receive: Receive, send: Send) -> None:
    """Say no: a page leads to the login, a WebSocket is never accepted unless only the login is missing."""
    if asked.websocket:
        if refusal.status == 401:  # accepted first: only then does the page learn the code, and asks for the password
            await receive()
            await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4401 if refusal.status == 401 else 4403, "reason": refusal.words[:100]})
    elif refusal.status == 401 and asked.wants_page:
        await _answer(_dressed(send), 303, b"", [(b"location", b"/login")])
    elif asked.wants_page:
        await _answer(_dressed(send), refusal.status, f"{refusal.words}\n".encode(), [_TEXT])
    else:
        await _answer(_dressed(send), refusal.status, _error(refusal.words), [_JSON])


async def _read(receive: Receive, most: int) -> bytes | None:
    """A body of at most `most` bytes; None when it is larger."""
    body = b""
    while True:
        message = await receive()
        body += message.get("body", b"")
        if len(body) > most:
            return None
        if not message.get("more_body"):
            return body


def _dressed(send: Send) -> Send:
    """`send` with the security headers on every answer; what the application set of them itself is replaced."""
    ours = {name for name, _ in SECURITY}

    async def dressed(message: Message) -> None:
        if message["type"] == "http.response.start":
            kept = [row for row in message.get("headers", []) if row[0].lower() not in ours]
            message = {**message, "headers": [*kept, *SECURITY]}
        await send(message)

    return dressed
