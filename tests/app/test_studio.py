"""The studio as a process: it starts, says where it is, serves one page that asks nobody else, and stops at once."""

from __future__ import annotations

import re
import signal
import socket
from functools import partial

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import address, page, present, studio
from app.address import Options
from app.guard import SECURITY, Rules
from tests.live_server import live_server
from tv2tv_core.errors import InputError, StorageError
from tv2tv_core.project.file import summary

OUTSIDE = re.compile(r"(?:https?:)?//(?!127\.0\.0\.1[:/]|localhost[:/]|www\.w3\.org/2000/svg)[a-z0-9-]+\.[a-z]", re.IGNORECASE)
PASSWORD = "correct horse"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A running studio."""
    with live_server(tmp_path_factory.mktemp("projects")) as server:
        yield server


def options(projects, **rest) -> Options:
    return Options(projects, "embedded", browser=False, **rest)


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_is_ours_from_the_first_byte(server):
    text = httpx.get(server.url).text
    head = text.split("</head>")[0]
    assert '<html\n\tlang="en"' in text and "<title>TV2TV Studio</title>" in head and 'name="viewport"' in head
    assert r"tv2tv-root" in text and '"footer_links":[]' in text and '"analytics_enabled":false' in text
    assert "og:image" not in head and "manifest" not in head and "gradio.app" not in head


def test_the_page_names_no_other_server(server):
    text = httpx.get(server.url).text
    assert OUTSIDE.findall(text) == []
    own = [path for path in page.STUDIO.iterdir() if path.suffix in (".js", ".css")]
    assert own and [path.name for path in own if OUTSIDE.search(path.read_text("utf-8"))] == []
    assert OUTSIDE.search('<link href="https://fonts.example.com/x">')


def test_everything_that_the_head_names_is_there(server):
    head = httpx.get(server.url).text.split("</head>")[0]
    names = re.findall(r'(?:href|src)="(/[^"]+|\./assets/[^"]+)"', head)
    assert sum(name.endswith(".js") for name in names) >= 10 and sum(name.endswith(".css") for name in names) >= 4
    for name in names:
        answer = httpx.get(server.url + name.removeprefix(".").removeprefix("/"))
        assert answer.status_code == 200, name
        kind = {"js": "javascript", "css": "text/css", "svg": "image/svg"}[name.rsplit(".", 1)[1]]
        assert kind in answer.headers["content-type"], name


def test_browsers_ask_again_for_our_files_and_never_for_gradios(server):
    ours = httpx.get(server.url + "studio/static/page.css")
    assert ours.headers["cache-control"] == "no-cache"
    again = httpx.get(server.url + "studio/static/page.css", headers={"if-none-match": ours.headers["etag"]})
    assert again.status_code == 304
    script = re.search(r"\./(assets/index-[\w-]+\.js)", httpx.get(server.url).text)[1]
    assert "immutable" in httpx.get(server.url + script).headers["cache-control"]


def test_the_icon_is_a_picture(server):
    assert httpx.get(server.url + "favicon.ico").text.startswith("<svg")


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "studio/nothing", None, 404),
        ("GET", "studio/static/nothing.js", None, 404),
        ("GET", "studio/api/projects", None, 404),
        ("POST", "studio/api/projects", b"{", 422),
        ("POST", "studio/api/projects", b"[1]", 422),
        ("POST", "studio/api/upload", b"", 422),
    ],
)
def test_every_refusal_is_one_line_of_ours(server, method, path, body, status):
    headers = {"x-tv2tv": "1", "content-type": "application/json"}
    answer = httpx.request(method, server.url + path, content=body, headers=headers)
    assert answer.status_code == status and list(answer.json()) == ["error"] and "\n" not in answer.json()["error"]


# --- starting --------------------------------------------------------------------------------------------------------


def routes(app: FastAPI) -> None:
    """A route that works and one that does not."""

    @app.get("/studio/thing")
    def thing() -> dict[str, bool]:
        return {"ok": True}

    @app.get("/studio/broken")
    def broken() -> None:
        raise RuntimeError("nobody foresaw this")


def test_an_error_that_nobody_foresaw_is_told_with_the_headers_of_every_answer(tmp_path, monkeypatch):
    monkeypatch.setattr(present, "failure", partial(present.failure, logs=tmp_path))
    app = studio.build(routes, Rules(7860))
    with TestClient(app, base_url="http://localhost:7860", raise_server_exceptions=False) as client:
        answer, usual = client.get("/studio/broken"), client.get("/studio/thing")
    assert answer.status_code == 500 and "nobody foresaw this" in answer.json()["error"]
    names = [name.decode() for name, _ in SECURITY]
    assert all(len(answer.headers.get_list(name)) == 1 for name in names)
    assert [answer.headers[name] for name in names] == [usual.headers[name] for name in names]


def test_starting_prints_one_line_with_the_address(server):
    assert server.lines.empty() and re.fullmatch(r"http://127\.0\.0\.1:\d+/", server.url)


def test_ports(tmp_path, monkeypatch):
    with address.bind(options(tmp_path, port=0)) as first:
        taken = first.getsockname()[1]
        assert first.getsockname()[0] == "127.0.0.1"
        with pytest.raises(InputError, match=rf"Port {taken} is taken.*--port"):
            address.bind(options(tmp_path, port=taken))
        monkeypatch.setattr(address, "PORT", taken)
        with address.bind(options(tmp_path)) as second:
            assert second.getsockname()[1] > taken


def test_listening_takes_every_address(tmp_path):
    with address.bind(options(tmp_path, port=0, listen=True)) as listener:
        assert listener.getsockname()[0] in ("::", "0.0.0.0")
        port = listener.getsockname()[1]
        socket.create_connection(("127.0.0.1", port)).close()


@pytest.mark.parametrize("password", [None, "", "1234567"])
def test_listening_without_a_password_is_refused(tmp_path, password):
    with pytest.raises(InputError, match="8"):
        address.check(options(tmp_path, listen=True, password=password))
    assert address.check(options(tmp_path, listen=True, password="12345678"))


def test_two_studios_do_not_share_a_folder(tmp_path):
    with address.held(tmp_path / "projects", "http://127.0.0.1:1234/"):
        with (
            pytest.raises(InputError, match=r"http://127\.0\.0\.1:1234/ is using .*--projects"),
            address.held(tmp_path / "projects", "x"),
        ):
            pass
    with address.held(tmp_path / "projects", "x"):
        pass


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="--projects DIR"), address.held(tmp_path / "file" / "projects", "x"):
        pass


def test_a_password_holds_on_the_real_server(tmp_path):
    with live_server(tmp_path, "--listen", "--password", PASSWORD) as server:
        assert "plain HTTP" in server.lines.get(timeout=10)
        assert httpx.get(server.url + "studio/api/home").status_code == 401
        with httpx.Client(base_url=server.url, follow_redirects=True) as browser:
            assert browser.get("/", headers={"accept": "text/html"}).url.path == "/login"
            assert browser.post("/login", data={"password": PASSWORD}).status_code == 200
            assert browser.get("/studio/api/home").json()["projects"] == []
            far = httpx.get(server.url + "studio/api/home", headers={"host": "evil.example"})
            assert far.status_code == 421


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_it_stops_in_the_middle_of_everything(tmp_path, number, code):
    with live_server(tmp_path, "--delay", "0.01") as server:
        headers = {"x-tv2tv": "1"}
        project = httpx.post(server.url + "studio/api/projects", json={}, headers=headers).json()["id"]
        made = httpx.post(f"{server.url}studio/api/p/{project}/generate", json={"seconds": 60}, headers=headers)
        assert made.json()["ok"]
        with httpx.stream("GET", server.url + "gradio_api/heartbeat/x"):  # an open connection does not hold it up
            assert server.end(number) == code
    assert summary(tmp_path / f"{project}.tv2tv").id == project


def test_a_window_that_does_not_open_is_no_failure(tmp_path, monkeypatch):
    from app import studio

    def broken(_where: str) -> bool:
        raise studio.webbrowser.Error("no browser")

    monkeypatch.setattr(studio.webbrowser, "open", broken)
    studio._open_browser("x")
    monkeypatch.setattr(studio.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    assert not address.has_screen()
