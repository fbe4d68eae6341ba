"""The hub: order, snapshots first, slow readers cut off instead of filling the memory."""

from __future__ import annotations

import asyncio
import json
import threading

from app import live
from app.live import Hub, Subscriber


def run(body) -> None:
    asyncio.run(asyncio.wait_for(body(), 20))


async def everything(subscriber: Subscriber) -> list[int]:
    found = []
    while (text := await subscriber.next()) is not None:
        found.append(json.loads(text)["n"])
    return found


def test_messages_from_many_threads_arrive_once_each_and_in_each_threads_order():
    async def body() -> None:
        hub, subscriber = Hub(), Subscriber()
        hub.attach("a", subscriber, lambda: {"n": -1})

        def send(base: int) -> None:
            for n in range(100):
                hub.publish("a", {"n": base + n})

        threads = [threading.Thread(target=send, args=(1000 * k,)) for k in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            await asyncio.to_thread(thread.join)
        hub.close()
        heard = await everything(subscriber)
        assert heard[0] == -1 and len(heard) == 501
        for k in range(5):
            mine = [n for n in heard if n // 1000 == k and n >= 0]
            assert mine == sorted(mine) and len(mine) == 100

    run(body)


def test_sequence_numbers_only_grow():
    async def body() -> None:
        hub, subscriber = Hub(), Subscriber()
        hub.attach("a", subscriber, lambda: {"n": 0})
        for n in range(1, 5):
            hub.publish("a", {"n": n})
        numbers = [json.loads(await subscriber.next())["seq"] for _ in range(5)]
        assert numbers == sorted(set(numbers))

    run(body)


def test_topics_do_not_mix_and_who_left_hears_nothing():
    async def body() -> None:
        hub, here, there = Hub(), Subscriber(), Subscriber()
        hub.attach("a", here, lambda: {"n": 0})
        hub.attach("b", there, lambda: {"n": 0})
        hub.publish("a", {"n": 1})
        hub.detach("a", here)
        hub.publish("a", {"n": 2})
        hub.publish_all({"n": 3})
        assert not hub.watched("a") and hub.watched("b")
        here.close()
        there.close()
        assert await everything(here) == [0, 1]
        assert await everything(there) == [0, 3]

    run(body)


def test_a_reader_that_does_not_read_is_cut_off():
    async def body() -> None:
        hub, subscriber = Hub(), Subscriber()
        hub.attach("a", subscriber, lambda: {"n": 0})
        for n in range(1, live.MOST_WAITING + 10):
            hub.publish("a", {"n": n})
        assert await everything(subscriber) == []

    run(body)


def test_previews_are_left_out_for_a_slow_reader_and_nothing_else_is():
    async def body() -> None:
        hub, subscriber = Hub(), Subscriber()
        hub.attach("a", subscriber, lambda: {"n": 0})
        for n in range(1, 101):
            hub.publish("a", {"n": n}, optional=n % 2 == 0)
        subscriber.close()
        heard = await everything(subscriber)
        assert [n for n in heard if n % 2] == list(range(1, 101, 2))
        assert len([n for n in heard if n and n % 2 == 0]) < 10

    run(body)
