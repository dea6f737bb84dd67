"""The state records of the changelog `orders_averages`: text keys, JSON values (design, section 2).

``orders/3`` is the progress of one source partition, ``orders/3/Item2`` the shard of one
product in it. Main and retry read different source topics, so no key has two writers.
``orders/3#delta-0`` and ``orders/3#block-0`` tell of many products at once (``domain/bulk.py``).
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from math import isfinite
from typing import Any, NamedTuple

from kafka_orders.domain.averages import Tally
from kafka_orders.domain.errors import RefusedError

#: Version of the records; a newer one is refused, because guessing could lose counts.
VERSION = 1
_BULK = re.compile(rb"([\w.-]+)/(0|[1-9]\d*)#(block|delta)-(0|[1-9]\d*)")
#: What becomes of records, in the words of :class:`Progress`.
OUTCOMES = ("processed", "retried", "dead", "skipped")


class Slot(NamedTuple):
    """One source partition: the unit of assignment, progress and state."""

    topic: str
    partition: int

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}"


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one source partition is handled, and what became of its records."""

    group: str
    next_offset: int
    processed: int = 0
    retried: int = 0
    dead: int = 0
    skipped: int = 0
    #: Id of the topic when it was counted; another one under the same name is another log.
    topic_id: str = ""

    @property
    def handled(self) -> int:
        """Records with an outcome; below ``next_offset`` where control records take offsets."""
        return self.processed + self.retried + self.dead + self.skipped

    def plus(self, next_offset: int, processed: int, retried: int, dead: int, skipped: int) -> Progress:
        """Return the progress after a batch; offsets only grow."""
        if next_offset < self.next_offset:
            raise ValueError(f"offset {next_offset} is behind {self.next_offset}")
        return replace(
            self,
            next_offset=next_offset,
            processed=self.processed + processed,
            retried=self.retried + retried,
            dead=self.dead + dead,
            skipped=self.skipped + skipped,
        )


class Shard(NamedTuple):
    """A product's tally in one slot, and its slot's ``next_offset`` when it was written."""

    tally: Tally
    next_offset: int


class StateKey(NamedTuple):
    """A parsed key: the slot, and the product of a shard (None: the slot's progress)."""

    slot: Slot
    product: str | None


class BulkKey(NamedTuple):
    """A parsed key of many products: a block of shards, or a delta; ``number`` tells them apart."""

    slot: Slot
    kind: str
    number: int


def progress_key(slot: Slot) -> bytes:
    """Return the key of a slot's progress record."""
    return f"{slot.topic}/{slot.partition}".encode()


def shard_key(slot: Slot, product: str) -> bytes:
    """Return the key of a product's shard in a slot."""
    return f"{slot.topic}/{slot.partition}/{product}".encode()


def bulk_key(slot: Slot, kind: str, number: int) -> bytes:
    """Return the key of a slot's block or delta. No topic has a ``#``, and no partition either."""
    return f"{slot.topic}/{slot.partition}#{kind}-{number}".encode()


def parse_bulk_key(key: bytes | None) -> BulkKey | None:
    """Return what a key of many products names, or None for any other key."""
    found = _BULK.fullmatch(key or b"")
    if not found:
        return None
    topic, partition, kind, number = (part.decode() for part in found.groups())
    return BulkKey(Slot(topic, int(partition)), kind, int(number))


def parse_key(key: bytes | None) -> StateKey | None:
    """Return what a key names, or None for a key that is not ours."""
    if key is None:
        return None
    end = key.find(b"/", key.find(b"/") + 1)
    slot = _slot(key if end < 0 else key[:end])
    try:
        return slot and StateKey(slot, None if end < 0 else key[end + 1 :].decode())
    except UnicodeDecodeError:
        return None


@lru_cache(maxsize=1024)
def _slot(head: bytes) -> Slot | None:
    try:
        topic, partition = head.decode().split("/")
        slot = Slot(topic, int(partition))
    except ValueError:  # UnicodeDecodeError is one
        return None
    # Only as we write it: `orders/03` must not pass for `orders/3`.
    return slot if str(slot.partition) == partition and slot.partition >= 0 else None


def dump_progress(progress: Progress) -> bytes:
    """Return the JSON of a progress record."""
    return _dump({"v": VERSION, **asdict(progress)})


def dump_shard(shard: Tally, next_offset: int) -> bytes:
    """Return the JSON of a shard; ``next_offset`` is its slot's at the time.

    Raises:
        ValueError: a figure is not finite.
    """
    total = shard.total
    if not isfinite(total + shard.min + shard.max):
        raise ValueError(f"not finite: {shard}")
    parts = f"[{','.join(map(repr, shard.sum))}]" if len(shard.sum) > 1 else total
    return (
        f'{{"v":{VERSION},"count":{shard.count},"sum":{parts},"min":{shard.min},"max":{shard.max}'
        f',"average":{shard.average},"next_offset":{next_offset}}}'
    ).encode()


def load_progress(value: bytes) -> Progress:
    """Return the progress of a record.

    Raises:
        RefusedError: the record is from a newer version, or is not a progress record at all.
    """
    fields = load_fields(value)
    try:
        counts = {name: whole(fields[name]) for name in OUTCOMES}
        topic_id = str(fields.get("topic_id", ""))
        return Progress(str(fields["group"]), whole(fields["next_offset"]), **counts, topic_id=topic_id)
    except (KeyError, TypeError, ValueError) as error:
        raise unreadable(value) from error


def load_shard(value: bytes) -> Shard:
    """Return the shard of a record.

    Raises:
        RefusedError: the record is from a newer version, or is not a shard record at all.
    """
    fields = load_fields(value)
    try:
        parts = fields["sum"] if isinstance(fields["sum"], list) else [fields["sum"]]
        total = tuple(_figure(part) for part in parts if part)
        held = Tally(whole(fields["count"]), total, _figure(fields["min"]), _figure(fields["max"]))
        return Shard(held, whole(fields["next_offset"]))
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise unreadable(value) from error


def _dump(fields: dict[str, Any]) -> bytes:
    return json.dumps(fields, separators=(",", ":"), allow_nan=False).encode()


def load_fields(value: bytes) -> dict[str, Any]:
    """Return the fields of a record.

    Raises:
        RefusedError: the record is from a newer version, or is not one of ours at all.
    """
    try:
        fields = json.loads(value)
        version = fields["v"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise unreadable(value) from error
    if version != VERSION:
        raise RefusedError(
            f"the state was written by a newer kafka-orders (record version {version}, this one reads"
            f" {VERSION}); nothing was changed. Upgrade this process, or run `kafka-orders reset --yes`"
            " to begin again."
        )
    return fields  # type: ignore[no-any-return]


def whole(value: Any) -> int:
    """Return a number of records or an offset.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise ValueError(value)
    return value


def _figure(value: Any) -> float:
    if not isinstance(value, int | float) or isinstance(value, bool) or not isfinite(value):
        raise ValueError(value)
    return float(value)


def unreadable(value: bytes) -> RefusedError:
    """Return what to raise for a record that is not ours."""
    return RefusedError(
        f"a state record cannot be read ({value[:80]!r}); nothing was changed. Something else wrote to the"
        " averages topic: choose another one with KAFKA_ORDERS_AVERAGES_TOPIC, or run"
        " `kafka-orders reset --yes` to begin again."
    )
