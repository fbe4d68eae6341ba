"""The commands of one session as browsers send them: each takes a body of plain data, checks it, and calls the session."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from app.editing import MOST_HELD
from app.sessions import Session
from tv2tv_core.errors import InputError
from tv2tv_core.media.images import decode_jpeg
from tv2tv_core.settings import shorten
from tv2tv_core.story import MAX_INDEX

INDEX = re.compile(r"[0-9]{1,6}")
Body = Mapping[str, object]


def text_of(body: Body, key: str) -> str:
    """The text under `key`. Raises InputError."""
    value = body.get(key)
    if not isinstance(value, str):
        raise InputError(f"{key} is {shorten(value)}; a text is needed.")
    return value


def number_of(body: Body, key: str) -> float:
    """The number under `key`. Raises InputError."""
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InputError(f"{key} is {shorten(value)}; a number is needed.")
    return value


def list_of(body: Body, key: str) -> list[object]:
    """The list under `key`. Raises InputError."""
    value = body.get(key)
    if not isinstance(value, list):
        raise InputError(f"{key} is {shorten(value)}; a list is needed.")
    return value


def only(body: Body, known: set[str]) -> None:
    """Raise InputError for a field that is not known."""
    unknown = sorted(set(body) - known)
    if unknown:
        raise InputError(f"Unknown field {shorten(unknown[0])}. Fields are: {', '.join(sorted(known))}.")


def _plain(method: Callable[[Session], None]) -> Callable[[Session, Body], Body]:
    def run(session: Session, _: Body) -> Body:
        method(session)
        return {}

    return run


def _generate(session: Session, body: Body) -> Body:
    session.generate(seconds=number_of(body, "seconds") if "seconds" in body else None)
    return {}


def _drive(session: Session, body: Body) -> Body:
    session.drive(body.get("on") is True)
    return {}


def _regenerate(session: Session, body: Body) -> Body:
    hold = number_of(body, "hold") if "hold" in body else 1
    if hold not in range(1, MOST_HELD + 1):
        raise InputError(f"hold is {hold}; allowed is a whole number of chunks from 1 to {MOST_HELD}.")
    return {"take": session.editor.regenerate(text_of(body, "chunk"), text_of(body, "line"), int(hold))}


def _retry(session: Session, body: Body) -> Body:
    return {"take": session.editor.retry(text_of(body, "chunk"))}


def _bridge(session: Session, body: Body) -> Body:
    only(body, {"chunk", "seconds", "target", "picture"})
    if ("target" in body) == ("picture" in body):
        raise InputError("A bridge needs a target: either a chunk of this project or a picture.")
    info = session.project.info
    if "target" in body:
        target = session.project.frames(text_of(body, "target"))[0]
    else:
        target = decode_jpeg(text_of(body, "picture"), info.width, info.height)
    chunk = None if body.get("chunk") is None else text_of(body, "chunk")
    return {"take": session.editor.bridge(chunk, target, number_of(body, "seconds"))}


def _suggest(session: Session, body: Body) -> Body:
    chunk, intent = (text_of(body, key) if body.get(key) is not None else None for key in ("chunk", "intent"))
    index = number_of(body, "index") if "index" in body else 0
    if index not in range(MAX_INDEX + 1):
        raise InputError(f"index is {index}; allowed is a whole number of a chunk from 0 to {MAX_INDEX}.")
    return {"lines": session.editor.suggest(chunk, int(index), intent)}


def _plan(session: Session, body: Body) -> Body:
    lines = body.get("lines")
    if not isinstance(lines, dict) or not all(INDEX.fullmatch(str(key)) for key in lines):
        raise InputError('lines must be an object such as {"12": "run forward", "13": null}.')
    session.editor.plan({int(key): line for key, line in lines.items()})
    return {}


def _storyboard(session: Session, body: Body) -> Body:
    beats = [beat if isinstance(beat, str) else "" for beat in list_of(body, "beats")]
    session.editor.storyboard(beats, number_of(body, "seconds_per_beat"), body.get("generate") is True)
    return {}


def _switch(session: Session, body: Body) -> Body:
    session.editor.switch(text_of(body, "take"))
    return {}


def _rename_take(session: Session, body: Body) -> Body:
    session.editor.rename_take(text_of(body, "take"), text_of(body, "name"))
    return {}


def _delete_take(session: Session, body: Body) -> Body:
    session.editor.delete_take(text_of(body, "take"))
    return {}


def _rename(session: Session, body: Body) -> Body:
    session.rename(text_of(body, "name"))
    return {}


def _settings(session: Session, body: Body) -> Body:
    session.set_settings(body)
    return {}


SESSION_COMMANDS: dict[str, Callable[[Session, Body], Body]] = {
    "generate": _generate,
    "pause": _plain(Session.pause),
    "continue": _plain(Session.resume),
    "stop": _plain(Session.stop),
    "unqueue": _plain(Session.stop),
    "drive": _drive,
    "regenerate": _regenerate,
    "retry": _retry,
    "bridge": _bridge,
    "suggest": _suggest,
    "plan": _plan,
    "storyboard": _storyboard,
    "switch": _switch,
    "rename_take": _rename_take,
    "delete_take": _delete_take,
    "undo": _plain(lambda session: session.editor.undo()),
    "redo": _plain(lambda session: session.editor.redo()),
    "rename": _rename,
    "settings": _settings,
}
