"""The hub: carries messages from any thread to every browser attached to a topic; knows neither projects nor models."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping

Message = Mapping[str, object]

MOST_WAITING = 2_000
"""Messages that may wait for one socket; a slower reader is cut off and attaches anew, with a fresh snapshot."""
PREVIEWS_WAITING = 8
"""With more than so many messages waiting, previews are left out: they are only worth something at once."""


class Subscriber:
    """One attached browser: a queue filled from any thread and read in the event loop. Make it in that loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ready = asyncio.Event()
        self._waiting: deque[str] = deque()
        self._lock = threading.Lock()
        self._cut = False

    def put(self, text: str, optional: bool = False) -> None:
        """Queue one message; `optional` ones are left out for a slow reader. Callable from any thread."""
        with self._lock:
            if self._cut or (optional and len(self._waiting) > PREVIEWS_WAITING):
                return
            if len(self._waiting) >= MOST_WAITING:
                self._waiting.clear()
                self._cut = True
            else:
                self._waiting.append(text)
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)

    def close(self) -> None:
        """End `next` for good once what waits has been read. Callable from any thread."""
        with self._lock:
            self._cut = True
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._ready.set)

    async def next(self) -> str | None:
        """The next message, in order; None when the reader was too slow or the hub has closed it."""
        while True:
            with self._lock:
                if self._waiting:
                    return self._waiting.popleft()
                if self._cut:
                    return None
                self._ready.clear()
            await self._ready.wait()


class Hub:
    """Topics and who listens to them. A topic is a project id."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._topics: dict[str, set[Subscriber]] = {}
        self._sent = 0

    def attach(self, topic: str, subscriber: Subscriber, first: Callable[[], Message]) -> None:
        """Listen to `topic`. `first()` makes the message that comes before all others.

        The caller must hold whatever lock orders the topic's messages, so that none falls between the two.
        """
        text = self._encode(first())
        with self._lock:
            subscriber.put(text)
            self._topics.setdefault(topic, set()).add(subscriber)

    def detach(self, topic: str, subscriber: Subscriber) -> None:
        """Stop listening; unknown subscribers are fine."""
        with self._lock:
            listening = self._topics.get(topic, set())
            listening.discard(subscriber)
            if not listening:
                self._topics.pop(topic, None)

    def publish(self, topic: str, message: Message, optional: bool = False) -> None:
        """Send a message to everyone attached to `topic`; it is encoded once."""
        with self._lock:
            listening = tuple(self._topics.get(topic, ()))
            if not listening:
                return
            text = self._encode(message)
            for subscriber in listening:
                subscriber.put(text, optional)

    def publish_all(self, message: Message) -> None:
        """Send a message to everyone attached to anything."""
        with self._lock:
            topics = tuple(self._topics)
        for topic in topics:
            self.publish(topic, message)

    def watched(self, topic: str) -> bool:
        """Whether anyone is attached to `topic`."""
        with self._lock:
            return topic in self._topics

    def close(self) -> None:
        """End every subscription: the server stops."""
        with self._lock:
            everyone = [subscriber for listening in self._topics.values() for subscriber in listening]
        for subscriber in everyone:
            subscriber.close()

    def _encode(self, message: Message) -> str:
        self._sent += 1
        return json.dumps({**message, "seq": self._sent, "t": round(time.time(), 4)}, ensure_ascii=False)
