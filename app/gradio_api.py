"""The studio without a browser: endpoints for `gradio_client`, thin over the same sessions that the page uses.

No `from __future__ import annotations` here: Gradio reads the annotations of the endpoints as they are.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager

import gradio as gr
from gradio import FileData

from app import jobs, present, wire
from app.live import Subscriber
from app.routes import Studio
from app.sessions import Session
from tv2tv_core.errors import InputError

ACTIVE = frozenset(kind.__name__.lower() for kind in jobs.ACTIVE)
WATCHERS = 32  # calls that may watch a job at the same time; they only wait


def endpoints(studio: Studio) -> Callable[[], None]:
    """What declares the API inside a `gr.Blocks`."""

    def declare() -> None:
        for function in (*_project_calls(studio), *_take_calls(studio)):
            gr.api(function, api_name=function.__name__, concurrency_limit=WATCHERS)
        for function in _streams(studio):
            gr.api(function, api_name=function.__name__, concurrency_limit=WATCHERS)

    return declare


def _project_calls(studio: Studio) -> tuple[Callable, ...]:
    def new_project(start: str = "", prompt: str = "", name: str = "", preset: str = "") -> dict:
        """Make a project from a start frame that ships (empty: the first one). Returns its id as `project`."""
        with _told():
            session = studio.library.create(start or None, prompt or None, name or None, preset or None)
            return _state(session)

    def state(project: str) -> dict:
        """What a project's job is, and how many chunks its active take has."""
        with _told():
            return _state(studio.library.session(project))

    def pause(project: str) -> dict:
        """Finish the chunk in flight, then stop; `resume` goes on with what is left."""
        with _told():
            session = studio.library.session(project)
            session.pause()
            return _state(session)

    def stop(project: str) -> dict:
        """Drop the chunk in flight and what was left to do."""
        with _told():
            session = studio.library.session(project)
            session.stop()
            return _state(session)

    return new_project, state, pause, stop


def _take_calls(studio: Studio) -> tuple[Callable, ...]:
    def takes(project: str) -> list[dict]:
        """All takes with the plan line of every chunk; `active` marks the one that is shown."""
        with _told():
            session = studio.library.session(project)
            story = session.project.story
            return [
                {
                    "id": take.id,
                    "name": take.name,
                    "active": take.id == story.active,
                    "parent": take.parent,
                    "at": take.at,
                    "chunks": session.editor.path_of(take.id),
                }
                for take in story.takes
            ]

    def switch(project: str, take: str) -> dict:
        """Make a take the active one."""
        with _told():
            session = studio.library.session(project)
            session.editor.switch(take)
            return _state(session)

    def export(project: str, kind: str = "mp4", captions: str = "none", scale: int = 4, take: str = "",
               fps_factor: int = 1, sharpen: int = 1, speed: float = 1.0) -> FileData:  # fmt: skip
        """Make a file of a take (empty: the active one) and return it; `kind` is what the Export dialog offers.

        fps_factor (1, 2, 4), sharpen (1, 2, 4) and speed (0.25 to 4) are Smooth, Sharpen and Speed.
        """
        with _told():
            session = studio.library.session(project)
            options = {"kind": kind, "captions": captions, "scale": scale, "take": take or None,
                       "fps_factor": fps_factor, "sharpen": sharpen, "speed": speed}  # fmt: skip
            done = studio.exporter.wait(session, studio.exporter.start(session, options))
            if done["state"] != "done":
                raise InputError(str(done["message"]))
            made = done["files"][0]
            path = studio.exporter.file(project, str(done["id"]), str(made["name"]))
            return FileData(path=str(path), orig_name=str(made["name"]), size=int(made["bytes"]))

    return takes, switch, export


def _streams(studio: Studio) -> tuple[Callable, ...]:
    async def generate(project: str, seconds: float = 4.0) -> AsyncIterator[dict]:
        """Make so many more seconds at the end of the active take; streams the state after every chunk."""
        async for news in _made(studio, project, lambda session: session.generate(seconds=seconds)):
            yield news

    async def resume(project: str) -> AsyncIterator[dict]:
        """Go on with what a pause left to do; streams like `generate`."""
        async for news in _made(studio, project, lambda session: session.resume()):
            yield news

    async def rewrite(project: str, chunk: int, line: str, hold: int = 1) -> AsyncIterator[dict]:
        """Regenerate from a chunk (counted from 0) under another plan line, as a new take; streams like `generate`.

        The line holds for `hold` chunks. The chunks before it are the same bytes in both takes.
        """

        def start(session: Session) -> None:
            path = session.editor.path_of(session.project.story.active)
            if not 0 <= chunk < len(path):
                raise InputError(f"chunk is {chunk}; this take has the chunks 0 to {len(path) - 1}.")
            session.editor.regenerate(str(path[chunk]["id"]), line, hold)

        async for news in _made(studio, project, start):
            yield news

    return generate, resume, rewrite


async def _made(studio: Studio, project: str, start: Callable[[Session], None]) -> AsyncIterator[dict]:
    """Give a command, then tell every chunk and every change of the job until it rests.

    Whoever leaves in between stops watching, not the job: `pause` and `stop` do that.
    """
    subscriber = Subscriber()
    with _told():
        session = await asyncio.to_thread(studio.library.session, project)
        await asyncio.to_thread(start, session)
        await asyncio.to_thread(session.attach, subscriber)
    try:
        job: dict = {"state": "queued"}
        while job["state"] in ACTIVE and (text := await subscriber.next()) is not None:
            message, before = json.loads(text), job["state"]
            job = message["job"] if message["type"] in ("snapshot", "job") else job
            with _told():
                if job["state"] == "failed":
                    raise InputError(str(job["message"]))
                if job["state"] != before or message["type"] in ("snapshot", "chunk"):
                    yield {**_state(session), "job": job, "chunk": message.get("chunk")}
    finally:
        studio.hub.detach(project, subscriber)


def _state(session: Session) -> dict:
    """A project in a few words."""
    story = session.project.story
    return {
        "project": session.id,
        "name": session.project.info.name,
        "take": story.active,
        "chunks": session.project.record(story.current.tip).index + 1,
        "job": wire.job(session.job),
    }


@contextmanager
def _told() -> Iterator[None]:
    """Errors inside become what `gradio_client` raises on the other side: one line, no traceback of ours."""
    try:
        yield
    except Exception as error:
        raise gr.Error(present.failure(error)[0], print_exception=False) from error
