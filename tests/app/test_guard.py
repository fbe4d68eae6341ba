"""Who may ask the studio for what: foreign pages, foreign names and strangers get nothing, on any road in."""

from __future__ import annotations

import asyncio
import socket

import gradio as gr
import pytest
from fastapi import FastAPI, UploadFile, WebSocket
from starlette.testclient import TestClient
from starlette.websockets import WebSocketDisconnect

from app import guard, studio
from app.guard import Guard, Rules, host_name
from app.login import MOST_WAITING, Gate
from tv2tv_core.errors import InputError

PORT = 7860
OWN = f"localhost:{PORT}"
SOCKET = f"ws://{OWN}/studio/ws/x"
PASSWORD = "correct horse"
MARK = {"x-tv2tv": "1"}
FOREIGN = [
    {"origin": "http://evil.example"},
    {"origin": "null"},
    {"origin": f"http://evil.example:{PORT}"},
    {"origin": "http://localhost:9999"},
    {"origin": f"http://localhost:{PORT}.evil.example"},
    {"origin": f"http://{OWN}@evil.example"},
    {"origin": "http://[broken"},
    {"sec-fetch-site": "cross-site"},
    {"sec-fetch-site": "same-site"},
    {"sec-fetch-site": "cross-site", "origin": f"http://{OWN}"},
]
ROADS = [
    ("GET", "/studio/thing"),
    ("POST", "/studio/api/command"),
    ("POST", "/studio/api/upload"),
    ("GET", "/config"),
    ("GET", "/assets/anything.js"),
    ("POST", "/gradio_api/queue/join"),
    ("GET", "/gradio_api/queue/data?session_hash=x"),
    ("POST", "/gradio_api/run/hello"),
    ("POST", "/gradio_api/call/hello"),
    ("POST", "/gradio_api/upload"),
    ("POST", "/gradio_api/cancel"),
    ("GET", "/gradio_api/heartbeat/x"),
    ("POST", "/login"),
    ("POST", "/logout"),
    ("OPTIONS", "/studio/api/command"),
    ("DELETE", "/studio/thing"),
]


def routes(app: FastAPI) -> None:
    """A few routes like the real ones; `app.state.reached` counts who got through."""
    app.state.reached = 0

    @app.get("/studio/thing")
    def thing() -> dict[str, bool]:
        app.state.reached += 1
        return {"ok": True}

    @app.post("/studio/api/command")
    def command(body: dict[str, object]) -> dict[str, bool]:
        app.state.reached += 1
        return {"ok": True}

    @app.post("/studio/api/upload")
    def upload(file: UploadFile) -> dict[str, int]:
        app.state.reached += 1
        return {"bytes": len(file.file.read())}

    @app.websocket("/studio/ws/{project}")
    async def attach(socket: WebSocket, project: str) -> None:
        app.state.reached += 1
        await socket.accept()
        await socket.send_json({"type": "snapshot"})


def endpoints() -> None:
    """One endpoint of Gradio's."""

    def hello(name: str) -> str:
        return f"hello {name}"

    gr.api(hello, api_name="hello")


async def at_once(_seconds: float) -> None:
    """Waits no time, but lets others run."""
    await asyncio.sleep(0)


@pytest.fixture(scope="module")
def open_app():
    """The studio on this machine alone, without a password."""
    return studio.build(routes, Rules(PORT), endpoints)


@pytest.fixture(scope="module")
def locked_app():
    """The studio that others can reach."""
    return studio.build(routes, Rules(PORT, listening=True, gate=Gate(PASSWORD, sleep=at_once)), endpoints)


@pytest.fixture
def client(open_app):
    """A program on this machine; follows no redirects."""
    open_app.state.reached = 0
    with TestClient(open_app, base_url=f"http://{OWN}", follow_redirects=False) as client:
        yield client


@pytest.fixture
def stranger(locked_app):
    """A program elsewhere, without the password."""
    locked_app.state.reached = 0
    with TestClient(locked_app, base_url=f"http://{OWN}", follow_redirects=False) as client:
        yield client


# --- foreign pages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_page_gets_nothing_on_any_road(client, headers):
    for method, path in ROADS:
        answer = client.request(method, path, headers={**MARK, **headers})
        assert answer.status_code == 403 and "another site" in answer.json()["error"], (method, path)
        assert "access-control-allow-origin" not in answer.headers
    assert client.app.state.reached == 0


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_a_foreign_page_gets_no_websocket(client, headers):
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(SOCKET, headers=headers):
        pass
    assert client.app.state.reached == 0


@pytest.mark.parametrize("site", ["same-origin", "none", None])
@pytest.mark.parametrize("origin", [f"http://{OWN}", f"https://{OWN}", None])
def test_our_own_page_and_programs_get_in(client, site, origin):
    headers = {key: value for key, value in (("sec-fetch-site", site), ("origin", origin)) if value}
    assert client.get("/studio/thing", headers=headers).json() == {"ok": True}
    assert client.post("/studio/api/command", json={}, headers={**MARK, **headers}).json() == {"ok": True}
    sent = client.post("/studio/api/upload", files={"file": b"12345"}, headers={**MARK, **headers})
    assert sent.json() == {"bytes": 5}
    assert client.post("/gradio_api/run/hello", json={"data": ["you"]}, headers=headers).json()["data"] == ["hello you"]
    joined = {"data": ["you"], "fn_index": 0, "session_hash": "s"}
    assert "event_id" in client.post("/gradio_api/queue/join", json=joined, headers=headers).json()
    with client.websocket_connect(SOCKET, headers=headers) as socket:
        assert socket.receive_json() == {"type": "snapshot"}


def test_a_link_on_a_foreign_page_leads_to_the_page_alone(client):
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("/", headers=link).status_code == 200
    assert client.get("/studio/thing", headers=link).status_code == 403
    assert client.get("/", headers={**link, "sec-fetch-dest": "iframe"}).status_code == 403
    assert client.post("/", headers=link).status_code == 403


def test_a_command_needs_our_header(client):
    assert "x-tv2tv" in client.post("/studio/api/command", json={}).json()["error"]
    assert client.post("/studio/api/upload", files={"file": b"1"}).status_code == 403
    assert client.app.state.reached == 0


# --- names -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"evil.example:{PORT}", f"localhost.evil.example:{PORT}", "localhost:9999", "localhost", "", "a b",
     f"192.168.1.5:{PORT}", f"0.0.0.0:{PORT}", f"{socket.gethostname()}.evil:{PORT}", f"localhost:{PORT}/x", "[::1"],
)  # fmt: skip
def test_a_foreign_name_gets_nothing_even_when_it_resolves_to_us(client, host):
    for method, path in [("GET", "/"), *ROADS]:
        answer = client.request(method, path, headers={**MARK, "host": host})
        assert answer.status_code == 421 and "--host-name" in answer.json()["error"]
    with pytest.raises(WebSocketDisconnect), client.websocket_connect(SOCKET, headers={"host": host}):
        pass
    assert client.app.state.reached == 0


@pytest.mark.parametrize("host", [OWN, f"LOCALHOST:{PORT}", f"127.0.0.1:{PORT}", f"127.1.2.3:{PORT}", f"[::1]:{PORT}"])
def test_the_names_of_this_machine_are_ours(client, host):
    assert client.get("/studio/thing", headers={"host": host}).status_code == 200


def test_two_host_headers_are_refused(open_app):
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", OWN.encode()), (b"host", b"evil")]}
    assert asyncio.run(status_of(open_app, scope)) == 421


@pytest.mark.parametrize(
    ("host", "welcome"),
    [
        ("192.168.1.5:7860", True),
        ("192.168.1.5:8080", True),
        ("[2001:db8::7]:7860", True),
        ("studio.example", True),
        ("studio.example:443", True),
        ("exact.example:8443", True),
        ("exact.example", False),
        (f"{socket.gethostname()}:7860", True),
        ("evil.example:7860", False),
        ("0.0.0.0:7860", False),
    ],
)
def test_listening_adds_addresses_and_the_names_given(host, welcome):
    async def inner(_scope, _receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})

    rules = Rules(PORT, True, frozenset({host_name("Studio.example"), host_name("exact.example:8443")}))
    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", host.encode())]}
    assert asyncio.run(status_of(Guard(inner, rules), scope)) == (200 if welcome else 421)


@pytest.mark.parametrize("name", ["", "a b", "a/b", "http://x", "x:port", "ü.example"])
def test_what_is_no_host_name_is_told(name):
    with pytest.raises(InputError, match="--host-name"):
        host_name(name)


# --- what is served at all -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    ["/monitoring", "/monitoring/summary", "/gradio_api/proxy=http://example.org", "/gradio_api/upload_progress?upload_id=1",
     "/gradio_api/file=http://example.org/x", "/gradio_api/file=https:/example.org", "/gradio_api/deep_link", "/runs",
     "/gradio_api/vibe-code", "/gradio_api/dev/reload", "/docs", "/openapi.json", "/pwa_icon", "/nothing"],
)  # fmt: skip
def test_what_gradio_brings_along_and_we_do_not_use_stays_shut(client, path):
    assert client.get(path).status_code == 404


def test_gradios_uploads_stay_shut(client):
    assert client.post("/gradio_api/upload", files={"files": b"x"}).status_code == 404


@pytest.mark.parametrize(
    "path",
    ["/gradio_api/file=/etc/passwd", "/gradio_api/file=launch.py", "/gradio_api/file=../x", "/static/../../launch.py",
     "/studio/static/..%2f..%2flaunch.py", "/studio/static/%2e%2e/%2e%2e/launch.py", "/assets/..%2f..%2froutes.py"],
)  # fmt: skip
def test_no_path_reaches_the_disk(client, path):
    answer = client.get(path)
    assert answer.status_code in (403, 404) and "import" not in answer.text and "root:" not in answer.text


def test_every_answer_has_the_security_headers(client):
    for path in ("/", "/studio/thing", "/config", "/nothing", "/login", "/studio/static/page.css"):
        headers = client.get(path).headers
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"


# --- size ------------------------------------------------------------------------------------------------------------


def test_a_body_above_the_limit_is_refused_by_its_announced_size(client):
    answer = client.post("/studio/api/command", content=b"x" * (guard.BODY_BYTES + 1), headers=MARK)
    assert answer.status_code == 413 and "1 MB" in answer.json()["error"] and client.app.state.reached == 0


def test_a_body_that_grows_beyond_the_limit_is_cut_off(client):
    pieces = (b"x" * 100_000 for _ in range(100))
    answer = client.post("/studio/api/command", content=pieces, headers={**MARK, "content-type": "application/json"})
    assert answer.status_code == 413 and client.app.state.reached == 0


def test_an_upload_has_a_limit_of_its_own(client, monkeypatch):
    assert client.post("/studio/api/upload", files={"file": b"x" * (2 * guard.BODY_BYTES)}, headers=MARK).status_code == 200
    monkeypatch.setattr(guard, "UPLOAD_BYTES", 3_000_000)
    big = client.post("/studio/api/upload", files={"file": b"x" * 3_000_001}, headers=MARK)
    assert big.status_code == 413


# --- the password ----------------------------------------------------------------------------------------------------


def test_a_stranger_sees_the_login_and_nothing_else(stranger):
    for method, path in ROADS:
        if path not in ("/login", "/assets/anything.js") and method in ("GET", "POST"):
            answer = stranger.request(method, path, headers=MARK)
            assert answer.status_code in (401, 404) and "error" in answer.json(), (method, path)
    page = stranger.get("/", headers={"accept": "text/html"})
    assert (page.status_code, page.headers["location"]) == (303, "/login")
    form = stranger.get("/login")
    assert form.status_code == 200 and 'type="password"' in form.text and "<script" not in form.text
    with stranger.websocket_connect(SOCKET) as socket, pytest.raises(WebSocketDisconnect) as closed:
        socket.receive_json()
    assert closed.value.code == 4401 and stranger.app.state.reached == 0


def test_the_password_opens_everything_and_logging_out_shuts_it(stranger):
    opened = stranger.post("/login", data={"password": PASSWORD})
    assert (opened.status_code, opened.headers["location"]) == (303, "/")
    cookie = opened.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie and PASSWORD not in cookie
    assert stranger.get("/studio/thing").json() == {"ok": True}
    assert stranger.get("/").status_code == 200 and "data-login" in stranger.get("/").text
    assert stranger.post("/gradio_api/run/hello", json={"data": ["you"]}).json()["data"] == ["hello you"]
    with stranger.websocket_connect(SOCKET) as socket:
        assert socket.receive_json() == {"type": "snapshot"}
    assert stranger.get("/login").headers["location"] == "/"
    kept = dict(stranger.cookies)
    assert stranger.get("/logout").status_code == 405
    assert stranger.post("/logout").headers["location"] == "/login"
    assert stranger.get("/studio/thing").status_code == 401
    assert stranger.get("/studio/thing", cookies=kept).status_code == 401  # the token itself is dead


def test_bearer_is_for_programs(stranger):
    right = {"authorization": f"Bearer {PASSWORD}"}
    assert stranger.get("/studio/thing", headers=right).json() == {"ok": True}
    assert stranger.post("/gradio_api/run/hello", json={"data": ["x"]}, headers=right).status_code == 200
    with stranger.websocket_connect(SOCKET, headers=right) as socket:
        assert socket.receive_json() == {"type": "snapshot"}
    for wrong in ("Bearer wrong", "Bearer", f"Basic {PASSWORD}", f"Bearer {PASSWORD}x", "Bearer \xff"):
        assert stranger.get("/studio/thing", headers={"authorization": wrong.encode("latin-1")}).status_code == 401
    assert stranger.get("/studio/thing", headers={**right, "origin": "http://evil.example"}).status_code == 403


@pytest.mark.parametrize(
    "body", [b"", b"password=", b"password=wrong", b"password=" + b"x" * 9_999, b"\xff\xfe", b"a=1&" * 20, b"password=%ff"]
)
def test_a_wrong_login_is_the_form_again(stranger, body):
    answer = stranger.post("/login", content=body, headers={"content-type": "application/x-www-form-urlencoded"})
    assert answer.status_code == 401 and "not the password" in answer.text and "set-cookie" not in answer.headers


def test_a_made_up_cookie_opens_nothing(stranger):
    for value in ("", "x", "a" * 5_000, '"; Path=/'):
        assert stranger.get("/studio/thing", headers={"cookie": f"tv2tv-{PORT}={value}"}).status_code == 401


def test_other_programs_cookies_do_not_hide_ours(stranger):
    token = stranger.post("/login", data={"password": PASSWORD}).cookies[f"tv2tv-{PORT}"]
    stranger.cookies.clear()
    crowd = f'json={{"a": [1, 2]}}; =; ;;; tv2tv-1=z; tv2tv-{PORT}={token}; last="x'
    assert stranger.get("/studio/thing", headers={"cookie": crowd}).status_code == 200


def test_guessing_gets_slower_while_the_owner_gets_in():
    waits: list[float] = []

    async def wait(seconds: float) -> None:
        waits.append(seconds)

    async def story() -> None:
        gate = Gate(PASSWORD, sleep=wait)
        for _ in range(8):
            assert not await gate.try_password("guess", "192.0.2.1")
        assert waits == sorted(waits) and waits[-1] > waits[0] and waits[-1] == max(waits)
        slowed = len(waits)
        assert await gate.try_password(PASSWORD, "192.0.2.2")  # from elsewhere, and from the very same address
        assert await gate.try_password(PASSWORD, "192.0.2.1")
        assert len(waits) == slowed

    asyncio.run(story())


def test_many_guesses_at_once_do_not_help():
    async def story() -> tuple[int, int]:
        gate = Gate(PASSWORD, sleep=at_once)
        tries = [gate.try_password("guess", f"2001:db8::{n}") for n in range(10 * MOST_WAITING)]  # one household
        ended = await asyncio.gather(*tries, return_exceptions=True)
        return sum(one is False for one in ended), sum(isinstance(one, Exception) for one in ended)

    assert asyncio.run(story()) == (MOST_WAITING, 9 * MOST_WAITING)


def test_a_short_password_is_refused():
    with pytest.raises(InputError, match="7 characters"):
        Gate("seven77")


async def status_of(app, scope) -> int:
    """The status that an ASGI application answers a bare request with."""
    sent = []

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    await app(scope, receive, send)
    return sent[0]["status"]
