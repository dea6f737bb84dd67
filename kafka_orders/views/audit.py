"""Conservation, checked by origin: pure, fed with light values, tells what is missing or doubled.

An order's life is a chain: a record of `orders`, then perhaps `orders_retry` records with retryCount 1,
2, 3, then perhaps a dead letter. What a worker did with a record below its ``next_offset`` shows in the
chain's next link, which its transaction wrote: a retry with the next count, a dead letter with the same
count, or no link at all, and then the record was counted. So everything is recomputed from the topics
alone and compared with the state, one source partition at a time; links written after the snapshot hang
on records at or beyond ``next_offset`` and are left aside. No two partitions need the same moment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from kafka_orders.domain.averages import EMPTY, Tally
from kafka_orders.domain.errors import InvalidOrderError
from kafka_orders.domain.headers import NO_HEADERS, Headers, Link, next_hop
from kafka_orders.domain.order import Contract, Decode
from kafka_orders.domain.records import OUTCOMES, Progress, Slot

#: Values summed at once: bounds the memory of an audit.
_CHUNK = 50_000
#: Findings of one kind that are told one by one; the rest is counted.
_TOLD = 20


@dataclass(slots=True)
class Seen:
    """What the topics say of one source partition up to its ``next_offset``."""

    progress: Progress
    shards: Mapping[str, Tally]
    log_start: int
    processed: int = 0
    retried: int = 0
    dead: int = 0
    skipped: int = 0
    ahead: int = 0
    dead_since: int = 0
    tallies: dict[str, Tally] = field(default_factory=dict)
    pending: dict[str, list[float]] = field(default_factory=dict)

    @property
    def handled(self) -> int:
        """Records found below ``next_offset``."""
        return self.processed + self.retried + self.dead + self.skipped

    def count(self, product: str, value: float) -> None:
        """Count a value that must be in the averages."""
        values = self.pending.setdefault(product, [])
        values.append(value)
        if len(values) >= _CHUNK:
            self.settle(product)

    def settle(self, product: str) -> None:
        """Sum what was collected."""
        self.tallies[product] = self.tallies.get(product, EMPTY).add(self.pending.pop(product, []))


class Audit:
    """Feed all links first, then the partitions, then their records; then ask for the findings."""

    def __init__(self, decode: Decode | None, contract: Contract) -> None:
        """``decode`` is given for a deep audit, which recomputes counts and sums."""
        self._decode, self._validate = decode, contract.validator()
        self.retries: Counter[Link] = Counter()
        self.dead: Counter[Link] = Counter()
        self.slots: dict[Slot, Seen] = {}
        self.links_complete = True
        self._findings: list[str] = []
        #: Orders that must be counted, and cannot be read.
        self.unreadable = 0

    def link(self, link: Link, *, dead: bool) -> None:
        """Tell of a record in `orders_retry`, or in `orders_dlq`."""
        (self.dead if dead else self.retries)[link] += 1

    def partition(self, slot: Slot, progress: Progress, shards: Mapping[str, Tally], log_start: int) -> None:
        """Tell of a source partition's state; what lies below ``log_start`` was removed by retention."""
        self.slots[slot] = Seen(progress, shards, log_start)

    def record(self, slot: Slot, offset: int, link: Link, value: bytes | None, held: Headers = NO_HEADERS) -> str:
        """Tell of a record of a source partition; return what must have become of it, empty: not known yet.

        Its headers may tell its format.
        """
        seen = self.slots[slot]
        was_retried = next_hop(link) in self.retries
        if offset >= seen.progress.next_offset:
            # Handled since the snapshot, if a next link is there: then that one is counted, not this.
            seen.dead_since += link in self.dead
            seen.ahead += not was_retried and link not in self.dead
            return ""
        if was_retried and link in self.dead:
            self._find(f"{_name(link)} is dead after {link[3]} retries, and was retried once more")
        if was_retried:
            seen.retried += 1
            return "retried"
        if link in self.dead:
            seen.dead += 1
            return "dead"
        if value is None:
            seen.skipped += 1
            return "skipped"
        seen.processed += 1
        self._count(seen, link, value, held)
        return "processed"

    def _count(self, seen: Seen, link: Link, value: bytes, held: Headers) -> None:
        if self._decode is None:
            return
        try:
            product, amount = self._validate(self._decode(value, held))
        except (ValueError, InvalidOrderError) as error:
            self.unreadable += 1
            self._find(f"{_name(link)} was passed, is not dead, and cannot be counted: {error}")
        else:
            seen.count(product, amount)

    def findings(self) -> list[str]:
        """Return what does not hold, a sentence each; empty when everything does."""
        found = list(self._findings)
        found += _doubled(self.retries, "waits {times} times for retry {count}")
        found += _doubled(self.dead, "stands {times} times in the dead letter queue (retries {count})")
        if self.links_complete:
            found += self._broken_chains()
        for slot in sorted(self.slots):
            found += self._conservation(slot, self.slots[slot])
            if self._decode is not None:
                found += self._averages(slot, self.slots[slot])
        return found

    def _broken_chains(self) -> list[str]:
        """Return retries and dead letters whose previous link is missing."""
        found = [
            f"{_name(link)} has retry {link[3]} but not retry {link[3] - 1}"
            for link in self.retries
            if link[3] > (link[4] == 0) and (*link[:3], link[3] - 1, link[4]) not in self.retries
        ]
        found += [
            f"{_name(link)} died after retry {link[3]}, which is not there"
            for link in self.dead
            if (link[3] or link[4]) and link not in self.retries
        ]
        return shortened(found)

    def _conservation(self, slot: Slot, seen: Seen) -> list[str]:
        told = seen.progress
        if seen.log_start == 0 and self.links_complete:
            return [
                f"{slot}: the state says {said} {name}, the topics say {found} ({said - found:+d})"
                for name in OUTCOMES
                if (said := getattr(told, name)) != (found := getattr(seen, name))
            ]
        # Retention removed some: what is left must not be more than what was handled.
        if seen.handled > told.handled:
            return [
                f"{slot}: {seen.handled} records lie below offset {told.next_offset}, {told.handled} were handled"
            ]
        return []

    def _averages(self, slot: Slot, seen: Seen) -> list[str]:
        if seen.log_start > 0 or not self.links_complete:
            return []
        for product in list(seen.pending):
            seen.settle(product)
        return [
            f"{slot}: {product} is counted {held.count} times with sum {held.total!r},"
            f" the topics give {found.count} times with sum {found.total!r}"
            for product in sorted(set(seen.shards) | set(seen.tallies))
            if (held := seen.shards.get(product, EMPTY)) != (found := seen.tallies.get(product, EMPTY))
        ]

    def _find(self, finding: str) -> None:
        if len(self._findings) < _TOLD:
            self._findings.append(finding)


def _doubled(links: Counter[Link], sentence: str) -> list[str]:
    many = ((link, times) for link, times in links.items() if times > 1)
    return shortened([f"{_name(link)} {sentence.format(times=times, count=link[3])}" for link, times in many])


def shortened(findings: list[str]) -> list[str]:
    """Return the first findings of one kind, and how many more there are."""
    more = len(findings) - _TOLD
    return findings[:_TOLD] + ([f"... and {more} more of this kind"] if more > 0 else [])


def _name(link: Link) -> str:
    return f"order {link[0]}/{link[1]}/{link[2]}"
