"""The studio's own routes: whatever is sent, the answer is what was asked for or one line for people."""

from __future__ import annotations

import errno
import io
import json
import re
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient

from app.exports import Exporter
from app.previews import Previews
from app.routes import SESSION_COMMANDS, Studio, install
from app.sessions import Session
from tests.app.studio import Bench
from tv2tv_core.media.atomic import storage_error

HOSTILE = [
    None, True, -1, 0, 1e400, "", "x" * 10_000, "<img src=x onerror=alert(1)>", "${7*7}{{7*7}}", "😀" * 300, "\u202eabc\u0000",
    "../../etc/passwd", "'; DROP TABLE chunk; --", [], {}, [[]], {"a": {}}, ["run"] * 5000,
]  # fmt: skip
ELSEWHERE = [
    "p/{p}/c/{c}/4.png",
    "p/{p}/c/{c}/-1.png",
    "p/{p}/c/nonsense/0.png",
    "p/nonsense/c/{c}/0.png",
    "p/..%2f..%2fetc/c/{c}/0.png",
    "p/{p}/c/{c}/0.png/..",
    "p/{p}/preview/2x1-00000000/{c}/1.jpg",
    "p/{p}/preview/..%2f..%2f/{c}/1.jpg",
    "p/..%2f..%2f/preview/2x1-00000000/{c}/1.jpg",
    "p/{p}/export/..%2f/x",
    "p/{p}/export/{c}/..%2fx.mp4",
    "starts/..%2f..%2fREADME.png",
    "static/..%2f..%2flaunch.py",
]


class Web:
    """A studio behind HTTP."""

    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder)
        self.exporter = Exporter(folder)
        app = FastAPI()
        self.previews = Previews(folder, self.bench.device, self.bench.hub)
        install(app, Studio(self.bench.library, self.bench.device, self.bench.hub, self.exporter, self.previews))
        self.http = TestClient(app, raise_server_exceptions=False)

    def post(self, path: str, body: object = None) -> dict:
        answer = self.http.post(f"/studio/api/{path}", json={} if body is None else body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def made(self, chunks: int = 3) -> Session:
        session = self.bench.library.session(self.post("projects")["id"])
        session.generate(chunks=chunks)
        self.bench.settle(session)
        return session


@pytest.fixture
def web(tmp_path: Path):
    one = Web(tmp_path / "projects")
    yield one
    one.exporter.close()
    one.previews.close()
    one.bench.close()


def test_home_tells_what_there_is_to_start_from(web: Web):
    session = web.made()
    home = web.http.get("/studio/api/home").json()
    models = {row["name"]: row for row in home["presets"]}
    assert (models["embedded"]["draws"], models["embedded"]["from_text"]) == (None, False)
    assert models["helios-14b"]["draws"] == {"width": 640, "height": 384, "fps": 24.0, "chunk_frames": 33}
    assert models["helios-14b"]["from_text"]
    assert [row["id"] for row in home["projects"]] == [session.id]
    assert all(web.http.get(row["image"]).headers["content-type"] == "image/png" for row in home["starts"])
    assert next(row for row in home["settings"] if row["name"] == "seed")["maximum"] == str(2**63 - 1)


def test_the_same_frame_address_always_gives_the_same_bytes(web: Web):
    session = web.made()
    address = f"/studio/p/{session.id}/c/{session.path[2].id}/1.png"
    before = web.http.get(address)
    session.editor.regenerate(session.path[1].id, "run back")
    web.bench.settle(session)
    after = web.http.get(address)
    assert before.content == after.content and before.content.startswith(b"\x89PNG")
    assert "immutable" in before.headers["cache-control"]


@pytest.mark.parametrize("path", ELSEWHERE)
def test_no_address_leads_anywhere_else(web: Web, path: str):
    session = web.made(1)
    answer = web.http.get("/studio/" + path.format(p=session.id, c=session.path[1].id))
    assert 400 <= answer.status_code < 500 and b"root:" not in answer.content and b"import" not in answer.content


OTHERS = ["duplicate", "delete", "queue", "export", "cancel_export", "preview", "nonsense"]


@pytest.mark.parametrize("command", [*SESSION_COMMANDS, *OTHERS])
def test_no_command_breaks_on_hostile_values(web: Web, command: str):
    session = web.made(2)
    chunk = session.path[1].id
    keys = ["seconds", "chunk", "line", "hold", "lines", "beats", "seconds_per_beat", "take", "name", "order", "kind", "scale",
            "other", "captions", "seed", "steps", "smooth", "sharpen", "at", "target", "picture", "speed",
            "fps_factor", "index", "intent"]  # fmt: skip
    for value in HOSTILE:
        body = dict.fromkeys(keys, value) | {"chunk": chunk if value == 0 else value}
        sent = {"content": json.dumps(body), "headers": {"content-type": "application/json"}}
        answer = web.http.post(f"/studio/api/p/{session.id}/{command}", **sent)
        assert answer.status_code in (200, 400, 422), (command, value, answer.text)
        if answer.status_code == 400:
            assert 10 < len(answer.json()["error"]) <= 401 and answer.json()["error"].isprintable()
        if command == "delete" and answer.status_code == 200:
            web.post("restore", {"token": answer.json()["undo"]})
            session = web.bench.library.session(session.id)
    web.bench.library.session(session.id).stop()
    assert session.project.path(session.path[-1].id)[0].index == -1


def test_a_settings_change_holds_and_seeds_keep_all_their_digits(web: Web):
    session = web.made(1)
    web.post(f"p/{session.id}/settings", {"seed": str(2**63 - 1), "steps": 2})
    assert session.snapshot()["project"]["settings"]["seed"] == str(2**63 - 1)
    assert session.project.info.settings["steps"] == 2


def test_export_and_download(web: Web):
    session = web.made(2)
    task = web.post(f"p/{session.id}/export", {"kind": "mp4", "scale": 2})["export"]
    done = web.exporter.wait(session, task)
    assert done["state"] == "done", done
    answer = web.http.get(done["files"][0]["url"])
    assert answer.headers["content-disposition"].startswith("attachment") and len(answer.content) == done["files"][0]["bytes"]
    copy = web.http.get(f"/studio/p/{session.id}/project.tv2tv")
    assert copy.content.startswith(b"SQLite format 3") and ".tv2tv" in copy.headers["content-disposition"]
    assert not list((web.bench.library.folder / ".exports" / session.id).glob("*.tv2tv"))


def test_a_cancelled_export_leaves_no_file_and_another_one_follows(web: Web):
    session = web.made(40)
    slow = web.post(f"p/{session.id}/export", {"kind": "png", "scale": 4, "fps_factor": 4, "sharpen": 4})["export"]
    behind = web.post(f"p/{session.id}/export", {"kind": "mp4"})["export"]
    last = web.post(f"p/{session.id}/export", {"kind": "srt"})["export"]
    for task in (behind, slow):
        web.post(f"p/{session.id}/cancel_export", {"export": task})
    ended = [web.exporter.wait(session, task) for task in (slow, behind, last)]
    assert [task["state"] for task in ended] == ["cancelled", "cancelled", "done"] and not ended[0]["files"]
    assert [path.name for path in (web.bench.library.folder / ".exports" / session.id).iterdir()] == [last]
    web.post(f"p/{session.id}/cancel_export", {"export": last})
    assert web.http.get(ended[2]["files"][0]["url"]).status_code == 200


def test_a_refused_export_names_the_file_and_not_the_servers_folder(web: Web, monkeypatch: pytest.MonkeyPatch):
    def full(_view: object, _request: object, path: Path, *_more: object) -> Path:
        raise storage_error(path, OSError(errno.ENOSPC, "No space left on device"))

    monkeypatch.setattr("app.exports.export", full)
    session = web.made(1)
    ended = web.exporter.wait(session, web.post(f"p/{session.id}/export", {"kind": "gif"})["export"])
    assert ended["state"] == "failed" and not ended["files"]
    assert re.match(r"Cannot write [a-z0-9-]+\.gif: the disk is full", ended["message"]), ended["message"]


def test_an_export_is_smoothed_and_sharpened_in_one_press(web: Web):
    session = web.made(2)
    wish = {"kind": "png", "scale": 4, "fps_factor": 2, "sharpen": 4}
    done = web.exporter.wait(session, web.post(f"p/{session.id}/export", wish)["export"])
    assert done["state"] == "done", done
    frames = zipfile.ZipFile(io.BytesIO(web.http.get(done["files"][0]["url"]).content))
    pictures = [name for name in frames.namelist() if name.endswith(".png")]
    assert len(pictures) == (2 * 4 - 1) * 2 + 1
    assert cv2.imdecode(np.frombuffer(frames.read(pictures[0]), np.uint8), 1).shape == (4 * 24, 4 * 40, 3)


def test_a_browser_attaches_hears_and_drives(web: Web):
    session = web.made(1)
    with web.http.websocket_connect(f"/studio/ws/{session.id}") as socket:
        first = socket.receive_json()
        assert first["type"] == "snapshot" and len(first["path"]) == 1 and first["project"]["id"] == session.id
        for nonsense in ("not json", "[]", '{"type": "drive", "held": 7}', '{"type": "drive", "held": [{}, null, 5]}'):
            socket.send_text(nonsense)
        session.editor.plan({1: "jump"})
        news = socket.receive_json()
        while news["type"] != "story":
            news = socket.receive_json()
        assert news["planned"] == {"1": "jump"} and news["keep"] == 1 and news["rest"] == []


def test_attaching_to_nothing_is_refused(web: Web):
    with web.http.websocket_connect("/studio/ws/0123456789abcdef") as socket:
        assert socket.receive()["code"] == 4404
