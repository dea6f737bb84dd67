"""Mutation checks: each takes one defence away from the product, and a fault scenario has to notice.

`make mutants` runs them all and prints the table; one that no scenario notices is a defence without a test.
The patches are for `tests.faults.role` only: the product has no switch for any of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Producer

from kafka_orders.domain.policy import RetryPolicy
from kafka_orders.log import transaction
from kafka_orders.log.admin import Admin
from kafka_orders.log.consumer import GroupConsumer, GroupToken, Slots, read_metadata
from kafka_orders.log.transaction import OutRecord, TransactionalProducer
from kafka_orders.pipeline import gate
from kafka_orders.pipeline.instance import Identity
from kafka_orders.pipeline.routing import Router
from kafka_orders.pipeline.state import Restorer, State
from kafka_orders.pipeline.worker import Worker

# mypy cannot know that replacing methods is what this file is for.
# mypy: disable-error-code="method-assign"


@dataclass(frozen=True)
class Mutant:
    """A defence, how it is taken away, and the scenario that has to notice."""

    defence: str
    scenario: str
    patch: Callable[[], None]


def stale_metadata() -> None:
    """The first metadata of the group is used for every transaction."""
    fresh = GroupConsumer.token
    kept: list[GroupToken] = []

    def token(self: GroupConsumer) -> GroupToken:
        if not kept:
            kept.append(fresh(self))
        return kept[0]

    GroupConsumer.token = token


def unfenceable_metadata() -> None:
    """Metadata without generation and member, which the coordinator takes from anybody."""

    fresh = GroupConsumer.token

    def token(self: GroupConsumer) -> GroupToken:
        raw = bytes(fresh(self).metadata)
        _, member = read_metadata(raw)
        return GroupToken(raw[:7] + b"\xff" * 4 + raw[11:].replace(member.encode(), b""), -1)

    GroupConsumer.token = token


def batch_kept_on_revoke() -> None:
    """What was gathered of partitions that leave is committed all the same."""

    def revoked(self: Worker, slots: Slots) -> None:
        self.story.revoked(slots)
        self.unready -= slots

    Worker._revoked = revoked


def restore_to_stable_end() -> None:
    """State is restored to the last stable offset of its changelog."""
    bounds = Admin.bounds

    def stable(self: Admin, slots: Any, *, committed_only: bool = False) -> Any:
        return bounds(self, slots, committed_only=True)

    Admin.bounds = stable


def no_recycle() -> None:
    """A producer whose transaction ended slowly is used again."""
    transaction.SUSPECT_SECONDS = math.inf


def trust_memory() -> None:
    """After a failed commit, state and positions come from memory."""
    restore = Restorer.restore

    def hold(self: Worker, slots: Slots) -> None:
        self.source.clear()
        self.source.consumer.hold(slots)
        self.unready |= slots

    def remembered(self: Restorer, state: State, slots: Iterable[Any]) -> Any:
        wanted = set(slots)
        known = {slot: state.progress[slot].next_offset for slot in wanted if slot in state.progress}
        return {**known, **(restore(self, state, wanted - set(known)) if wanted - set(known) else {})}

    Worker._hold, Restorer.restore = hold, remembered


def _outside(topics: Callable[[Router], set[str]], *, before: bool) -> None:
    """Write records of some topics with a plain producer, before the transaction or after it."""
    records, transact = Router.records, TransactionalProducer.transact
    aside: list[OutRecord] = []
    plain: list[Producer] = []

    def write() -> None:
        for one in aside:
            where = {} if one.partition is None else {"partition": one.partition}
            plain[0].produce(one.topic, one.value, one.key, headers=list(one.headers or []), **where)
        plain[0].flush(10)
        aside.clear()

    def routed(self: Router, *what: Any) -> Iterator[OutRecord]:
        for one in records(self, *what):
            if one.topic in topics(self):
                aside.append(one)
            else:
                yield one

    def split(self: TransactionalProducer, out: Iterable[OutRecord], *what: Any) -> float:
        if not plain:
            plain.append(
                Producer({"bootstrap.servers": self._standby._config["bootstrap.servers"], "acks": "all"})
            )
        aside.clear()
        inside = list(out)
        if before:
            write()
        took = transact(self, inside, *what)
        write()
        return took

    Router.records, TransactionalProducer.transact = routed, split


def state_outside() -> None:
    """Averages and progress are written after the transaction."""
    _outside(lambda router: {router.averages_topic}, before=False)


def retry_outside() -> None:
    """Retries and dead letters are written before the transaction."""
    _outside(lambda router: {router.retry_topic, router.dlq_topic}, before=True)


def same_transactional_id() -> None:
    """All workers of a group have one transactional.id."""
    made = Identity.__init__

    def same(self: Identity, group: str, *what: Any) -> None:
        made(self, group, *what)
        self.transactional_id = group

    Identity.__init__ = same


def never_waiting() -> None:
    """Retries are handled as soon as they are read."""
    gate.due_ms = lambda _message, _policy: 0
    RetryPolicy.wait_ms = lambda *_: 0


MUTANTS = {
    "stale-metadata": Mutant("fresh group metadata for each transaction", "F4-rebalance-storm", stale_metadata),
    "unfenceable-metadata": Mutant("fenceable group metadata", "F2-zombies", unfenceable_metadata),
    "batch-kept": Mutant(
        "the gathered batch dropped when partitions leave", "F4-rebalance-storm", batch_kept_on_revoke
    ),
    "stable-end": Mutant("restore to the READ_UNCOMMITTED end", "F15-offsets-before-state", restore_to_stable_end),
    "no-recycle": Mutant("a suspect producer replaced", "F8-late-end-of-transaction", no_recycle),
    "trust-memory": Mutant("restore after a failed commit", "F10-answer-lost", trust_memory),
    "state-outside": Mutant("state in the transaction", "F1-kills-at-points", state_outside),
    "retry-outside": Mutant("retries and dead letters in the transaction", "F1-kills-at-points", retry_outside),
    "same-id": Mutant(
        "a transactional.id of its own for each worker", "F1-kills-at-random", same_transactional_id
    ),
    "never-waiting": Mutant("the retry gate", "F13-wrong-clocks", never_waiting),
}
