"""Dead letters by what they have in common: one place in the code, one kind of message."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from kafka_orders.deadletters.letters import Letter
from kafka_orders.domain.headers import RETRY_COUNT
from kafka_orders.domain.order import Decode, field_of
from kafka_orders.domain.standing import LetterId

#: Keys and products of one group that are told apart; what is beyond is only known to be more.
MOST_DISTINCT = 10_000
#: With fewer keys than this a failure that was retried to the end may still be about these orders.
_MANY_KEYS = 10
#: Groups that come at once, in one minute, are one outage.
_AT_ONCE = 3
_MINUTE_MS = 60_000
_BARS = " ▁▂▃▄▅▆▇█"
_BUCKETS = 8


@dataclass(slots=True)
class Group:
    """Failures with one fingerprint. Times are epoch ms; ``minutes`` counts them by minute."""

    fingerprint: str
    sample: LetterId
    fqcn: str
    message: str
    stage: str
    count: int = 0
    exhausted: int = 0
    first_ms: int = 0
    last_ms: int = 0
    keys: set[bytes | str | None] = field(default_factory=set)
    products: set[str] = field(default_factory=set)
    statuses: dict[str, int] = field(default_factory=dict)
    minutes: dict[int, int] = field(default_factory=dict)
    note: str = ""
    looks_like: str = ""

    @classmethod
    def of(cls, letter: Letter) -> Group:
        """Return the empty group of a letter's kind."""
        told, at = letter.told, letter.failed_at_ms
        return cls(letter.fingerprint, letter.id, told.fqcn, told.message, told.stage, first_ms=at, last_ms=at)

    def add(self, letter: Letter, decode: Decode, group_by: str) -> None:
        """Count one more."""
        at, status, record = letter.failed_at_ms, letter.standing.status, letter.record
        self.count += 1
        if at < self.first_ms:
            self.first_ms = at
        elif at > self.last_ms:
            self.last_ms = at
        minute = at // _MINUTE_MS
        self.minutes[minute] = self.minutes.get(minute, 0) + 1
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.exhausted += letter.held.get(RETRY_COUNT, b"0") != b"0"
        if len(self.keys) < MOST_DISTINCT:
            self.keys.add(record.key())
        if len(self.products) < MOST_DISTINCT:
            with suppress(Exception):  # an app's own decoder raises what it likes
                self.products.add(str(field_of(decode(record.value() or b"", letter.headers), group_by)))

    def remove(self, failed_at_ms: int, *, retried: bool) -> None:
        """Count one less, of which no more is known; its key and product stay in the counts of those."""
        minute = failed_at_ms // _MINUTE_MS
        self.count -= 1
        self.exhausted -= retried
        left = self.minutes.get(minute, 0) - 1
        if left > 0:
            self.minutes[minute] = left
        else:
            self.minutes.pop(minute, None)
            self.first_ms = max(self.first_ms, min(self.minutes, default=minute) * _MINUTE_MS)

    @property
    def trend(self) -> str:
        """Eight bars from the first failure to the last."""
        start, span = self.first_ms // _MINUTE_MS, max(1, (self.last_ms - self.first_ms) // _MINUTE_MS + 1)
        bars = [0] * _BUCKETS
        for minute, count in self.minutes.items():
            bars[max(0, min(_BUCKETS - 1, (minute - start) * _BUCKETS // span))] += count
        top = max(bars)
        return "".join(_BARS[-(-one * (len(_BARS) - 1) // top)] for one in bars)


def grouped(letters: Iterable[Letter], decode: Decode, group_by: str) -> list[Group]:
    """Return the groups of the letters, the largest first.

    In memory are for each group at most 10,000 keys and products and a number per minute, not the letters.
    """
    groups: dict[str, Group] = {}
    for letter in letters:
        fingerprint = letter.fingerprint
        group = groups.get(fingerprint)
        if group is None:
            group = groups[fingerprint] = Group.of(letter)
        group.add(letter, decode, group_by)
    found = sorted(groups.values(), key=lambda one: -one.count)
    for group in found:
        group.looks_like = looks_like(group, found)
    return found


def looks_like(group: Group, groups: Sequence[Group]) -> str:
    """Say whether a group looks like one bad record, a bug, or an outage."""
    if group.count == 1 or len(group.keys) == 1:
        return "one bad record"
    many = len(group.keys) >= _MANY_KEYS
    if many and 2 * group.exhausted > group.count:
        return "an outage"  # temporary, for many orders, and longer than the retries
    peak = max(group.minutes, key=lambda minute: group.minutes[minute])
    at_once = sum(one.minutes.get(peak, 0) >= _MANY_KEYS for one in groups)
    return "an outage" if many and at_once >= _AT_ONCE else "a bug"
