"""The one page: Gradio's shell around an element that our own JavaScript fills. Knows no project and no route.

Gradio re-renders a template as a whole, and evaluates it as code: so the template is a constant, and no text of a person
or of the model ever comes near it.
"""

from __future__ import annotations

import html
import re
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

import gradio as gr

STUDIO = Path(__file__).resolve().parent.parent / "assets" / "studio"
STATIC = "/studio/static"
TITLE = "TV2TV Studio"
FIRST_STYLES = ("page.css", "tokens.css", "layout.css")  # in this order; all others follow by name
START = f"""
import('{STATIC}/main.js')
  .then((main) => main.start(element.querySelector('#tv2tv-root')))
  .catch((error) => {{
    const note = document.createElement('p');
    note.setAttribute('role', 'alert');
    note.textContent = 'The studio could not start (' + error.message + '). Reload the page.';
    element.querySelector('#tv2tv-root').replaceChildren(note);
  }});
"""
# The chosen theme's ground before anything else is there; the page's store keeps the choice under this name.
GROUND = (
    "try { const { theme } = JSON.parse(localStorage.getItem('tv2tv.view') || '{}');"
    " if (theme === 'light' || theme === 'dark') document.documentElement.dataset.ground = theme; } catch {}"
)
CACHING = {
    "/assets/": b"private, max-age=31536000, immutable",  # Gradio's own: their names carry their hash
    f"{STATIC}/": b"no-cache",  # ours: asked for each time, answered in a few bytes while they are the same
}
FOREIGN_TAGS = re.compile(r"<meta\s+(?:property=\"og:|name=\"twitter:)[^>]*>\s*|<link rel=\"manifest\"[^>]*>\s*")

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def root(login: bool = False) -> gr.HTML:
    """The element that the studio's own modules fill; Gradio never touches what is inside.

    `login`: whether there is a password, so that the page offers to log out (`data-login` on the element). This is no
    subclass: Gradio would write a stub file of it into this folder.
    """
    mark = " data-login" if login else ""
    return gr.HTML(
        html_template=f'<div id="tv2tv-root"{mark}></div>',
        css_template="",
        js_on_load=START,
        apply_default_css=False,
        elem_id="tv2tv",
    )


def blocks(endpoints: Callable[[], None], login: bool = False) -> gr.Blocks:
    """The page as Gradio blocks. `endpoints` is called inside them, to declare the API with `gr.api`."""
    with gr.Blocks(title=TITLE, analytics_enabled=False, fill_width=True, fill_height=True, delete_cache=(600, 3600)) as page:
        root(login)
        endpoints()
    return page.queue(default_concurrency_limit=8, max_size=64)


def theme() -> gr.Theme:
    """Gradio's plainest theme, with the fonts of the system: nothing is fetched from anywhere."""
    return gr.themes.Base(font=["system-ui", "sans-serif"], font_mono=["ui-monospace", "monospace"])


def head(folder: Path = STUDIO) -> str:
    """The head's lines that start the studio fast: its styles, and its modules fetched while Gradio still starts."""
    styles = sorted((path.name for path in folder.glob("*.css")), key=_style_rank)
    modules = sorted(path.name for path in folder.glob("*.js"))
    rows = [
        f"<title>{html.escape(TITLE)}</title>",
        '<meta name="color-scheme" content="dark light">',
        f"<script>{GROUND}</script>",
        f'<link rel="icon" href="{STATIC}/favicon.svg" type="image/svg+xml">',
        *(f'<link rel="stylesheet" href="{STATIC}/{name}">' for name in styles),
        *(f'<link rel="modulepreload" href="{STATIC}/{name}">' for name in modules),
    ]
    return "\n".join(rows)


def _style_rank(name: str) -> tuple[int, str]:
    return (FIRST_STYLES.index(name) if name in FIRST_STYLES else len(FIRST_STYLES), name)


def dress(page: str) -> str:
    """Gradio's HTML with our head and without its advertisements for other sites."""
    return FOREIGN_TAGS.sub("", page).replace("</head>", f"{head()}\n</head>", 1)


class Dresser:
    """Middleware that passes the page `/` through `dress`, and says what browsers may keep."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Collect the page's HTML, dress it, send it on."""
        path = scope["path"] if scope["type"] == "http" else ""
        if path != "/":
            rule = next((rule for prefix, rule in CACHING.items() if path.startswith(prefix)), None)
            await self._app(scope, receive, send if rule is None else _cached(send, rule))
            return
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
            elif message["type"] == "http.response.body":
                body += message.get("body", b"")
                if not message.get("more_body"):
                    await whole()
            else:
                await send(message)

        async def whole() -> None:
            nonlocal body
            fields = {name.lower(): value for name, value in start["headers"]}
            if fields.get(b"content-type", b"").startswith(b"text/html") and start["status"] == 200:
                fields |= {b"cache-control": b"no-store"}
                body = dress(body.decode("utf-8")).encode()
            fields[b"content-length"] = str(len(body)).encode()
            await send({**start, "headers": list(fields.items())})
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, collect)


def _cached(send: Send, rule: bytes) -> Send:
    """`send` with a Cache-Control of `rule` on what is found."""

    async def cached(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] < 400:
            fields = [row for row in message["headers"] if row[0].lower() != b"cache-control"]
            message = {**message, "headers": [*fields, (b"cache-control", rule)]}
        await send(message)

    return cached
