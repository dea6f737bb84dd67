"""Where a source partition starts, or why it must not: decided from state, offsets and the log's bounds.

The state (``next_offset`` of the progress record) and the group's committed offset are written in one
transaction, so they can only differ when something outside the pipeline touched one of them, or when a late EndTxn
tore a transaction. Then the log may prove the state right (:func:`doubt`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass

from kafka_orders.domain.errors import StateMismatchError
from kafka_orders.domain.headers import Link, next_hop
from kafka_orders.domain.records import Progress, Slot

_WAY_OUT = (
    "Nothing was changed. If you want to begin again from empty topics, run `kafka-orders reset --yes`;"
    " else restore what was deleted, or point this process at the right broker and topics."
)
_APART = (
    "the state has counted up to offset {}, but group {} has committed {}:"
    " somebody moved the offsets, restored only one of the two, or a transaction was torn"
)
#: Where the new topic may have been counted for some seconds before that was noticed.
_LEFT = "Nothing more is handled. `kafka-orders reset --yes` begins again from empty topics."


@dataclass(frozen=True, slots=True)
class Bounds:
    """First and next offset of a source partition's log."""

    start: int
    end: int


def unread(bounds: Mapping[Slot, Bounds], read_to: Mapping[Slot, int]) -> dict[Slot, Bounds]:
    """Return what is left of each log by somebody who has read up to ``read_to``."""
    return {slot: Bounds(max(one.start, read_to.get(slot, 0)), one.end) for slot, one in bounds.items()}


def start_offset(slot: Slot, group: str, progress: Progress | None, committed: int | None, log: Bounds) -> int:
    """Return the offset of the first record to handle.

    Raises:
        StateMismatchError: state and committed offset disagree, the state is another group's, or
            records between them and the log are gone.
    """
    why = _mismatch(group, progress, committed, log)
    if why:
        raise StateMismatchError(f"{slot}: {why}. {_WAY_OUT}")
    return log.start if progress is None else progress.next_offset


def _mismatch(group: str, progress: Progress | None, committed: int | None, log: Bounds) -> str:
    if progress is None:
        if committed is None:
            return ""
        return f"group {group} has committed offset {committed}, but its state is gone from the averages topic"
    expected = progress.next_offset
    if progress.group != group:
        return (
            f"the state belongs to group {progress.group}, this process is group {group}; two pipelines"
            " need two averages topics (KAFKA_ORDERS_AVERAGES_TOPIC)"
        )
    if committed is not None and committed != expected:
        return _APART.format(expected, group, committed)
    if log.start > expected:
        return f"records {expected} to {log.start - 1} were removed from the log before they were handled"
    if log.end < expected:
        return (
            f"the log ends at offset {log.end}, before offset {expected} that was handled already:"
            " the topic was deleted and created again"
        )
    return ""


def unproved(slot: Slot, group: str, progress: Progress, committed: int | None, why: str) -> StateMismatchError:
    """Return what to raise where state and offset disagree and the log does not prove the state right: ``why``."""
    apart = _APART.format(progress.next_offset, group, committed)
    return StateMismatchError(f"{slot}: {apart}; that the state is right is not proved: {why}. {_WAY_OUT}")


def doubt(progress: Progress, parents: Iterable[tuple[int, Link]], retries: Set[Link], dead: Set[Link]) -> str:
    """Return why the log does not prove the state right; empty when it does.

    ``parents`` are all records of the source partition, ``retries`` and ``dead`` are what came of failures.
    A parent with a child was handled and not counted; one without a child was counted, or not handled. So every
    figure of the progress has to be found below ``next_offset``, and no child of a record at or beyond it.
    """
    handled = retried = died = 0
    latest: dict[tuple[str, int, int, int], int] = {}
    for *origin, count, replay in retries:
        chain = (*origin, replay)
        latest[chain] = max(count, latest.get(chain, 0))  # type: ignore[index, arg-type]
    for offset, link in parents:
        was_retried, was_dead = next_hop(link) in retries, link in dead
        if offset < progress.next_offset:
            handled, retried, died = handled + 1, retried + was_retried, died + was_dead
        elif latest.get((*link[:3], link[4]), 0) > link[3] or was_dead:
            return f"record {offset} beyond it has been {'found dead' if was_dead else 'retried'} already"
    found, told = (handled, retried, died), (progress.handled, progress.retried, progress.dead)
    names = "handled, retried and dead"
    return "" if found == told else f"the topics tell of {found} records {names} below it, the state of {told}"


def check_topic(slot: Slot, progress: Progress, topic_id: str) -> None:
    """Check that a slot is of the topic it was counted in; older state has no id, and passes.

    Raises:
        StateMismatchError: it is another topic under the same name, and no offset means what it meant.
    """
    if progress.topic_id not in ("", topic_id):
        why = "the topic was deleted and created again; what the new one holds below offset"
        raise StateMismatchError(f"{slot}: {why} {progress.next_offset} was not handled. {_LEFT}")


def check_place(slot: Slot, partition: int | None, partitions: int) -> None:
    """Check that a slot's state stands in the changelog partition that its number of partitions tells.

    Raises:
        StateMismatchError: the number was changed, so other workers look for it elsewhere.
    """
    if partition != slot.partition % partitions:
        why = f"its state was written when the averages topic had another number of partitions than {partitions}"
        raise StateMismatchError(f"{slot}: {why}. {_WAY_OUT}")


def check_shards(slot: Slot, progress: Progress, counted: int) -> None:
    """Check that a slot's shards hold what its progress says, all written in the same transactions.

    Raises:
        StateMismatchError: a part of the state is gone.
    """
    if counted != progress.processed:
        why = f"part of the state was deleted from the averages topic: {counted} of {progress.processed} orders"
        raise StateMismatchError(f"{slot}: {why} (its cleanup.policy has to be compact). {_WAY_OUT}")
