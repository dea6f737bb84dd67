"""Whether what the statuses say of replays is what the topics show: the closed loop, audited. Pure.

Feed all records of `orders_retry` and `orders_dlq` that are replays, then what became of those in retry, then the
statuses, which have to be read last: they may know more than the topics, and never less.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from kafka_orders.domain.headers import Replayed
from kafka_orders.domain.standing import FAILED_AGAIN, OPEN, REPLAYING, RESOLVED, Standing
from kafka_orders.views.audit import shortened


class Replays:
    """The dead letters that were sent back to retry, by name, and how that ended."""

    def __init__(self) -> None:
        self.sent: Counter[str] = Counter()
        self._ended: dict[str, str] = {}

    def link(self, replay: Replayed | None, retry_count: int, *, dead: bool) -> None:
        """Tell of a record of retry, or of the dead letters; None: it is no replay."""
        if replay is None:
            return
        if dead:
            self._ended[replay.letter] = FAILED_AGAIN
        elif retry_count == 0:
            self.sent[replay.letter] += 1

    def handled(self, replay: Replayed | None, outcome: str) -> None:
        """Tell what became of a record of retry, in the words of the audit."""
        if replay is not None and outcome in ("processed", "skipped"):
            self._ended[replay.letter] = RESOLVED

    def findings(self, standings: Mapping[str, Standing], retry_topic: str) -> list[str]:
        """Return what does not agree; ``standings`` are those of all letters that something became of."""
        told = [(letter, standings.get(letter, Standing()), self._ended.get(letter)) for letter in self.sent]
        found = [
            f"dead letter {letter} was sent back {n} times by one replay"
            for letter, n in self.sent.items()
            if n > 1
        ]
        found += [
            f"dead letter {letter} was sent back, but its status is {held.status}"
            for letter, held, ended in told
            if held.status not in (REPLAYING, RESOLVED, FAILED_AGAIN)
        ]
        found += [
            f"the replay of dead letter {letter} is {ended}, but its status is {held.status}"
            for letter, held, ended in told
            if ended is not None and held.status not in (OPEN, ended)
        ]
        found += [
            f"the status of dead letter {letter} is {held.status}, but it was never sent back"
            for letter, held in standings.items()
            if letter not in self.sent and was_sent_to(held, retry_topic)
        ]
        return shortened(found)


def was_sent_to(held: Standing, retry_topic: str) -> bool:
    """Say whether a status tells of a replay through the retry topic: only retry says how one ended."""
    if held.status == REPLAYING:
        return held.target.rpartition("/")[0].rpartition("/")[0] == retry_topic
    return held.status in (RESOLVED, FAILED_AGAIN)
