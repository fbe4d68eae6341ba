"""The studio's own HTTP routes and WebSocket: thin; every answer comes from a session or the library."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated

import cv2
from fastapi import APIRouter, FastAPI, Form, Request, Response, UploadFile, WebSocket, WebSocketDisconnect
from fastapi.responses import FileResponse, JSONResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.staticfiles import StaticFiles

from app import present
from app.exports import Exporter
from app.jobs import Device
from app.library import Library
from app.live import Hub, Subscriber
from app.previews import Previews
from app.session_commands import SESSION_COMMANDS, Body, list_of, only, text_of
from app.sessions import Session
from app.uploads import take_in
from tv2tv_core import presets
from tv2tv_core.data.starts import list_starts, load_start
from tv2tv_core.engine.pretrained.fit import runnable
from tv2tv_core.errors import InputError, StorageError, TV2TVError
from tv2tv_core.settings import SETTINGS, shorten

ASSETS = Path(__file__).resolve().parent.parent / "assets" / "studio"
FOREVER = {"Cache-Control": "private, max-age=31536000, immutable"}
GONE, TOO_SLOW = 4404, 1013


@dataclass(frozen=True)
class Studio:
    """Everything that serves one studio."""

    library: Library
    device: Device
    hub: Hub
    exporter: Exporter
    previews: Previews


def install(app: FastAPI, studio: Studio) -> None:
    """Put all routes, and the words for errors, into an application."""
    router = APIRouter(prefix="/studio")
    _pages(router, studio)
    _commands(router, studio)
    _files(router, studio)
    _socket(router, studio)
    app.include_router(router)
    app.mount("/studio/static", StaticFiles(directory=ASSETS), name="static")
    app.add_exception_handler(TV2TVError, told)


def told(_request: Request, error: Exception) -> JSONResponse:
    """An error as an answer of one line."""
    words, code = present.failure(error)
    status = 507 if isinstance(error, StorageError) else 400 if code == 2 else 500
    return JSONResponse({"error": words}, status_code=status)


def _pages(router: APIRouter, studio: Studio) -> None:
    library = studio.library

    @router.get("/api/home")
    def home() -> dict[str, object]:
        return {
            "presets": [_preset(name) for name in presets.names()],
            "default_preset": library.preset,
            "starts": _starts(),
            "settings": [_setting(row) for row in SETTINGS],
            "projects": library.list(),
            "queue": library.queue(),
            "idle_unload_s": studio.device.idle_unload_s,
        }

    @router.post("/api/projects")
    def create(body: dict[str, object]) -> dict[str, object]:
        known = {"start", "prompt", "name", "preset"}
        only(body, known)
        session = library.create(**{key: text_of(body, key) for key in known if body.get(key) is not None})
        return {"ok": True, "id": session.id}

    @router.post("/api/upload")
    def upload(
        file: UploadFile,
        name: Annotated[str, Form()] = "",
        prompt: Annotated[str, Form()] = "",
        preset: Annotated[str, Form()] = "",
    ) -> dict[str, object]:
        given = {"name": name, "prompt": prompt, "preset": preset}
        wanted = {key: value for key, value in given.items() if value.strip()}
        session, notice = take_in(library, file.file, file.filename or "", wanted)
        return {"ok": True, "kind": "project", "id": session.id, "notice": notice}

    @router.post("/api/restore")
    def restore(body: dict[str, object]) -> dict[str, object]:
        return {"ok": True, "id": library.restore(text_of(body, "token"))}

    @router.get("/starts/{name}.png")
    def start_picture(name: str) -> Response:
        return Response(_start_png(name), media_type="image/png", headers={"Cache-Control": "private, max-age=86400"})


def _commands(router: APIRouter, studio: Studio) -> None:
    library = studio.library

    def duplicate(session: Session, _: Body) -> Body:
        return {"id": library.duplicate(session.id).id}

    def delete(session: Session, _: Body) -> Body:
        studio.exporter.forget(session.id)
        studio.previews.forget(session.id)
        return {"undo": library.delete(session.id)}

    def cancel_export(session: Session, body: Body) -> Body:
        studio.exporter.cancel(session, text_of(body, "export"))
        return {}

    def queue(session: Session, body: Body) -> Body:
        library.reorder([str(one) for one in list_of(body, "order")])
        return {}

    def start_export(session: Session, body: Body) -> Body:
        only(body, {"kind", "captions", "scale", "fps_factor", "sharpen", "speed", "take", "other"})
        return {"export": studio.exporter.start(session, body)}

    def preview(session: Session, body: Body) -> Body:
        only(body, {"smooth", "sharpen", "at"})
        at = body.get("at", 0)
        if type(at) is not int or at < 0:
            raise InputError(f"at is {shorten(at)}; the number of a chunk, from 0, is needed.")
        studio.previews.want(session, body.get("smooth") is True, body.get("sharpen") is True, at)
        return {}

    commands = SESSION_COMMANDS | {"duplicate": duplicate, "delete": delete, "queue": queue, "export": start_export}
    commands |= {"cancel_export": cancel_export, "preview": preview}

    @router.post("/api/p/{project}/{command}")
    def command(project: str, command: str, body: dict[str, object] | None = None) -> dict[str, object]:
        if command not in commands:
            raise InputError(f"There is no command {shorten(command)}. Commands are: {', '.join(sorted(commands))}.")
        return {"ok": True, **commands[command](library.session(project), body or {})}

    @router.get("/api/p/{project}/takes/{take}")
    def take(project: str, take: str) -> dict[str, object]:
        return {"path": library.session(project).editor.path_of(take)}


def _files(router: APIRouter, studio: Studio) -> None:
    @router.get("/p/{project}/c/{chunk}/{k}.png")
    def frame(project: str, chunk: str, k: int) -> Response:
        png = studio.library.frame(project, chunk, k)
        return Response(png, media_type="image/png", headers=FOREVER)

    @router.get("/p/{project}/preview/{variant}/{chunk}/{place}.jpg")
    def preview(project: str, variant: str, chunk: str, place: int) -> Response:
        jpeg = studio.previews.file(project, variant, chunk, place)
        return Response(jpeg, media_type="image/jpeg", headers=FOREVER)

    @router.get("/p/{project}/export/{task}/{name}")
    def exported(project: str, task: str, name: str) -> Response:
        path = studio.exporter.file(project, task, name)
        return FileResponse(path, filename=name, content_disposition_type="attachment")

    @router.get("/p/{project}/project.tv2tv")
    def project_file(project: str) -> Response:
        session = studio.library.session(project)
        path, name = studio.exporter.project_copy(session)
        return FileResponse(path, filename=name, background=BackgroundTask(path.unlink, missing_ok=True))


def _socket(router: APIRouter, studio: Studio) -> None:
    @router.websocket("/ws/{project}")
    async def attach(socket: WebSocket, project: str) -> None:
        await socket.accept()
        try:
            session = await run_in_threadpool(studio.library.session, project)
        except TV2TVError as error:
            await socket.close(GONE, present.clip(str(error), 100))
            return
        subscriber = Subscriber()
        await run_in_threadpool(session.attach, subscriber)
        await run_in_threadpool(studio.previews.greet, session)
        await run_in_threadpool(_warm, studio.device, session)
        listening = asyncio.create_task(_listen(socket, session))
        try:
            while (text := await _next(subscriber, listening)) is not None:
                await socket.send_text(text)
            if not listening.done():
                await socket.close(TOO_SLOW)
        except (WebSocketDisconnect, RuntimeError):
            pass  # the browser has left; RuntimeError is how the server tells it while sending
        finally:
            studio.hub.detach(project, subscriber)
            listening.cancel()


def _warm(device: Device, session: Session) -> None:
    """Load the model of a project that is being looked at, where this copy of the studio has it."""
    try:
        device.warm(session.preset)
    except InputError as error:
        session.notice("warning", str(error))


async def _next(subscriber: Subscriber, listening: asyncio.Task[None]) -> str | None:
    """The next message to send; None when there is none any more or the browser has left."""
    waiting = asyncio.ensure_future(subscriber.next())
    await asyncio.wait({waiting, listening}, return_when=asyncio.FIRST_COMPLETED)
    if not waiting.done():
        waiting.cancel()
        return None
    return waiting.result()


async def _listen(socket: WebSocket, session: Session) -> None:
    """Take what the browser sends: what is held in drive mode. Ends when it leaves."""
    try:
        while True:
            try:
                message = json.loads(await socket.receive_text())
            except ValueError:
                continue
            if isinstance(message, dict) and message.get("type") == "drive" and isinstance(message.get("held"), list):
                session.hold(message["held"][:32])
    except (WebSocketDisconnect, RuntimeError):
        return


# --- small views ------------------------------------------------------------------------------------------------------


def _preset(name: str) -> dict[str, object]:
    """A preset, whether this machine can run it, and if not (or not yet), why."""
    preset = presets.load(name)
    fits, why = runnable(preset)
    recipe = preset.recipe
    draws = recipe and {"width": recipe.width, "height": recipe.height, "fps": float(recipe.fps),
                        "chunk_frames": recipe.chunk_frames}  # fmt: skip
    return {"name": name, "title": preset.title, "needs": dict(preset.needs), "licence": preset.licence,
            "settings": dict(preset.settings), "fits": fits, "why": why, "source": preset.source,
            "draws": draws, "from_text": preset.from_text}  # fmt: skip


def _setting(row: object) -> dict[str, object]:
    return {**vars(row), "type": row.type.__name__, "maximum": str(row.maximum) if row.name == "seed" else row.maximum}


def _starts() -> list[dict[str, object]]:
    return [{"name": name, "prompt": load_start(name).meta_prompt, "image": f"/studio/starts/{name}.png"}
            for name in list_starts()]  # fmt: skip


@lru_cache(maxsize=32)
def _start_png(name: str) -> bytes:
    """The last of a start's four frames as PNG."""
    return cv2.imencode(".png", cv2.cvtColor(load_start(name).frames[-1], cv2.COLOR_RGB2BGR))[1].tobytes()
