"""Where state and committed offsets disagree: the log is asked whether the state is right.

Both are written in one transaction, so somebody moved the offsets, or a transaction was torn. The state is what
counts. What has to be proved is that nothing else of a lost or a half transaction is left: each retry and each
dead letter is the child of the record that it came from (``domain/recovery.py`` judges). Then work starts at the
state's offset, and the next commit mends the group's.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from kafka_orders.domain.errors import BrokerError
from kafka_orders.domain.headers import Link
from kafka_orders.domain.records import Progress, Slot
from kafka_orders.domain.recovery import Bounds, doubt, start_offset, unproved
from kafka_orders.domain.settings import Settings
from kafka_orders.log.admin import Admin
from kafka_orders.log.message import Message, link_of, offset_of
from kafka_orders.log.reader import Reader

_log = logging.getLogger("kafka_orders.repair")
_PROVED = (
    "%s: group %s has committed offset %s, but the log proves the state right, which has counted up to %s: work"
    " goes on there, and mends the offset. To have orders handled again, run `kafka-orders reset --yes`"
)


#: Reading what proves the state may take so many seconds: no poll serves the group meanwhile.
PROOF_SECONDS = 120.0


@dataclass(slots=True)
class Repair:
    """Reads retries and dead letters, then the source partition itself, as far as they are committed."""

    admin: Admin
    reader: Reader
    settings: Settings
    _ends: float = field(init=False, default=0.0)

    def settle(
        self, group: str, held: Mapping[Slot, Progress], committed: Mapping[Slot, int | None],
        logs: Mapping[Slot, Bounds],
    ) -> dict[Slot, int | None]:  # fmt: skip
        """Return the committed offsets, and the state's instead where the log proves the state right.

        Raises:
            StateMismatchError: it does not; or something else is wrong with a partition whose offset was moved.
        """
        settled, self._ends = dict(committed), time.monotonic() + PROOF_SECONDS
        for slot, progress in held.items():
            if committed[slot] in (None, progress.next_offset):
                continue
            settled[slot] = start_offset(slot, group, progress, progress.next_offset, logs[slot])
            try:
                why = self._doubt(slot, progress)
            except BrokerError as refused:
                why = f"the topics that could prove it cannot be read: {refused}"
            if why:
                raise unproved(slot, group, progress, committed[slot], why)
            _log.warning(_PROVED, slot, group, committed[slot], settled[slot], extra={"action": "repaired"})
        return settled

    def _doubt(self, slot: Slot, progress: Progress) -> str:
        if self.settings.output_topic:
            return f"results in {self.settings.output_topic} do not tell where they came from"
        log = self.admin.bounds([slot], committed_only=True)
        topics = (self.settings.retry_topic, self.settings.dlq_topic)
        hops = [self.admin.bounds(self.admin.slots(topic)) for topic in topics]
        if any(one.start for known in (log, *hops) for one in known.values()):
            return "retention has removed records that could prove it"
        try:
            retries, dead = (set(map(link_of, self._read(hop))) for hop in hops)
            return doubt(progress, self._parents(slot, log), retries, dead)
        except TimeoutError:
            return f"there is more to read than {PROOF_SECONDS:g} s allow"

    def _read(self, log: Mapping[Slot, Bounds]) -> Iterator[Message]:
        for message in self.reader.read(log):
            if time.monotonic() > self._ends:
                raise TimeoutError
            yield message

    def _parents(self, slot: Slot, log: dict[Slot, Bounds]) -> Iterator[tuple[int, Link]]:
        for message in self._read(log):
            offset = offset_of(message)
            yield offset, (*slot, offset, 0, 0) if slot.topic == self.settings.topic else link_of(message)
