"""The studio as a server: routes and Gradio's page on one FastAPI application behind one guard, and the loop that runs it."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import sys
import threading
import webbrowser
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from logging.handlers import RotatingFileHandler
from pathlib import Path

from app.cli import ENVIRONMENT

os.environ.update(ENVIRONMENT)  # before Gradio is imported: it reads its switches then

import gradio as gr
import uvicorn
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from app import address, gradio_api, page, present, routes
from app.address import Options
from app.exports import Exporter
from app.guard import SECURITY, Guard, Rules, host_name
from app.jobs import Device, Engines
from app.library import Library
from app.live import Hub
from app.login import Gate
from app.previews import Previews

log = logging.getLogger(__name__)
QUEUE_SLEEP_S = 0.02  # Gradio looks for work every millisecond, which costs 4 % of a core for nothing
STOP_S = 1  # what open connections get to finish when the server stops
SOCKET_BYTES = 64 * 1024  # of one WebSocket message: a browser only tells which keys are held


def build(
    install: Callable[[FastAPI], None],
    rules: Rules,
    endpoints: Callable[[], None] = lambda: None,
    close: Callable[[], None] = lambda: None,
) -> FastAPI:
    """The whole application: what `install` puts into it, Gradio's page at `/`, and the guard of `rules` around all.

    `endpoints` declares the API with `gr.api`; `close` is called, in a thread, when the server stops.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(close)

    app = FastAPI(title=page.TITLE, lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(RequestValidationError, _unreadable)
    app.add_exception_handler(Exception, _unforeseen)
    install(app)
    app.add_api_route("/studio/{path:path}", _nothing, methods=["GET", "HEAD", "POST"])  # ours, so not Gradio's to answer
    gr.mount_gradio_app(
        app,
        page.blocks(endpoints, login=rules.gate is not None),
        path="/",
        favicon_path=str(page.STUDIO / "favicon.svg"),
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        pwa=False,
        show_error=True,
        max_file_size="1mb",
        theme=page.theme(),
    )
    app.add_middleware(page.Dresser)
    app.add_middleware(Guard, rules=rules)  # added last, so outermost
    return app


async def _nothing(path: str) -> JSONResponse:
    """What no route of ours knows."""
    return JSONResponse({"error": "There is nothing at this address."}, 404)


async def _refused(_request: Request, error: Exception) -> JSONResponse:
    """Every refusal of the framework in the form of our own errors."""
    status = getattr(error, "status_code", 500)
    words = {404: "There is nothing at this address.", 405: "This method is not used at this address."}
    return JSONResponse({"error": words.get(status, present.clip(str(getattr(error, "detail", error))))}, status)


async def _unreadable(_request: Request, error: Exception) -> JSONResponse:
    """A body that is not what the route takes: told by field, without what was sent."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    where = ".".join(str(part) for part in faults[0]["loc"]) if faults else "body"
    what = faults[0]["msg"] if faults else "not readable"
    return JSONResponse({"error": present.clip(f"The request cannot be used ({where}: {what}); send a JSON object.")}, 422)


async def _unforeseen(request: Request, error: Exception) -> JSONResponse:
    """An error that no route foresaw. The framework answers outside the guard, which therefore cannot dress this one."""
    answer = routes.told(request, error)
    answer.raw_headers += SECURITY
    return answer


# --- running it ------------------------------------------------------------------------------------------------------


def serve(options: Options, engines: Engines) -> int:
    """Serve until Ctrl-C or SIGTERM. Raises InputError or StorageError when it cannot start; returns the exit code."""
    address.check(options)
    with address.bind(options) as listener:
        port = listener.getsockname()[1]
        own = address.url(address.LOOPBACK, port)
        with address.held(options.projects, own):
            app = application(options, engines, port)
            _log_to(present.LOGS)
            try:
                _Server(app, lambda: _announce(options, port)).run(sockets=[listener])
            except KeyboardInterrupt:
                print("Stopped. Every chunk that was shown as done is in its project.", file=sys.stderr)
    return 0


def application(options: Options, engines: Engines, port: int) -> FastAPI:
    """The whole application over a library, a device and a hub of its own, for a server on `port`. Raises InputError."""
    gate = None if options.password is None else Gate(options.password)
    rules = Rules(port, options.listen, frozenset(host_name(name) for name in options.names), gate)
    device, hub = Device(engines), Hub()
    exporter = Exporter(options.projects)
    library = Library(options.projects, device, hub, options.preset, exporter.tasks)
    studio = routes.Studio(library, device, hub, exporter, Previews(options.projects, device, hub))

    def close() -> None:
        hub.close()
        studio.exporter.close()
        studio.previews.close()
        studio.library.close()

    return build(lambda app: routes.install(app, studio), rules, gradio_api.endpoints(studio), close)


class _Server(uvicorn.Server):
    """uvicorn, told what we want of it; calls `started` once it answers."""

    def __init__(self, app: FastAPI, started: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=STOP_S,
                ws_max_size=SOCKET_BYTES,
                lifespan="on",
            )
        )
        self._told = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, then say so."""
        await super().startup(sockets)
        if self.started:
            self._told()


def _announce(options: Options, port: int) -> None:
    """Print where the studio is, and open it."""
    own = address.url(address.LOOPBACK, port)
    if options.listen:
        there = address.url(socket.gethostname(), port)
        print(f"TV2TV Studio: {own}   elsewhere: {there}   (Ctrl-C stops it)", flush=True)
        print("This is plain HTTP: others on the way can read along. Use it in a network that you trust.", flush=True)
    else:
        print(f"TV2TV Studio: {own}   (Ctrl-C stops it)", flush=True)
    if options.browser and address.has_screen():
        threading.Thread(target=_open_browser, args=(own,), daemon=True).start()


def _open_browser(where: str) -> None:
    """Open a browser window; that none opens is no reason to stop, the address is on the screen."""
    try:
        webbrowser.open(where)
    except (webbrowser.Error, OSError) as error:
        log.info("no browser opened: %s", error)


def _log_to(folder: Path) -> None:
    """Keep the server's log in a file: the terminal is for people. Without a place for it there is none."""
    handler: logging.Handler
    try:
        folder.mkdir(parents=True, exist_ok=True)
        handler = RotatingFileHandler(folder / "studio.log", maxBytes=1_000_000, backupCount=1, encoding="utf-8")
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)
