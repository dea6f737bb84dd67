"""A slider of the stage: told in turn, and not moved under the hand."""

from __future__ import annotations

import asyncio

import pytest

pytest.importorskip("nicegui")

from kafka_orders.web.page.knob import QUIET_SECONDS, Knob


class Told:
    """A stage that takes its time, and a slider."""

    def __init__(self) -> None:
        self.told: list[float] = []
        self.shown: list[float] = []
        self.now = 100.0
        self.gate = asyncio.Event()
        self.knob = Knob(self.tell, self.shown.append, lambda: self.now)

    async def tell(self, place: float) -> None:
        await self.gate.wait()
        self.told.append(place)


def test_the_last_place_is_told_last_and_what_is_overtaken_is_not() -> None:
    async def turned() -> Told:
        one = Told()
        turns = [asyncio.create_task(one.knob.turn(place)) for place in range(5, 101, 5)]
        await asyncio.sleep(0)
        one.gate.set()
        await asyncio.gather(*turns)
        await one.knob.turn(40)
        return one

    assert asyncio.run(turned()).told == [5, 100, 40]


def test_nothing_moves_it_under_the_hand() -> None:
    """Neither while its turn is told nor shortly after: what a look brings then is older than the turn."""

    async def turned() -> None:
        one = Told()
        turn = asyncio.create_task(one.knob.turn(60))
        await asyncio.sleep(0)
        one.now += 10
        one.knob.stand(20)
        one.gate.set()
        await turn
        one.now += QUIET_SECONDS / 2
        await one.knob.turn(80)
        one.now += QUIET_SECONDS - 0.1
        one.knob.stand(60)
        assert one.shown == []
        one.now += 0.2
        one.knob.stand(80.3)
        assert one.shown == []
        one.knob.stand(60)  # somebody else's, or ours was refused
        one.knob.stand(60)
        assert one.shown == [60]

    asyncio.run(turned())


def test_a_turn_that_fails_does_not_stop_the_next() -> None:
    async def turned() -> list[float]:
        told: list[float] = []

        async def tell(place: float) -> None:
            if place == 10:
                raise OSError("gone")
            told.append(place)

        one = Knob(tell, told.append)
        with pytest.raises(OSError, match="gone"):
            await one.turn(10)
        await one.turn(20)
        return told

    assert asyncio.run(turned()) == [20]
