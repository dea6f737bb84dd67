"""The watchdog: a partition that has records and does not move, in time in which it could have.

Seen from inside nothing is wrong: the client polls, the group is content, and one partition stays silent. So where
it stands is compared between turns; only what has stood still for a minute costs a question to the broker. A new
consumer helps where records can be read there. Where the last stable offset stands before the log's end, a
transaction was left open: no consumer gets past that, so it is told instead, once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping

from kafka_orders.domain.errors import NoBrokerError
from kafka_orders.domain.records import Slot
from kafka_orders.domain.recovery import Bounds
from kafka_orders.log.admin import Admin
from kafka_orders.log.consumer import ConsumerLostError
from kafka_orders.log.reader import Reader

#: What stands still this long, in seconds, is looked into.
STUCK_SECONDS = 60.0
#: The broker's answer is not waited for longer than this, in seconds: other partitions may be working.
PATIENCE_SECONDS = 5.0


class Watchdog:
    """Looks at the partitions between two batches; ``admin`` should not be patient for long."""

    def __init__(self, admin: Admin, reader: Reader, hanging: Callable[[Slot, int, int], None]) -> None:
        self._admin, self._reader, self._tell_hanging = admin, reader, hanging
        self._limit, self._looked = STUCK_SECONDS, 0.0
        #: Where each stands, and since when.
        self._standing: dict[Slot, tuple[int, float]] = {}
        #: Where each was found with records unread, the last time.
        self._unread: dict[Slot, int] = {}
        #: How often each was found waiting for an open transaction at this last stable offset.
        self._hanging: Counter[tuple[Slot, int]] = Counter()

    def look(self, now: float, offsets: Mapping[Slot, int]) -> None:
        """Take note of where all stand that could move at this moment; look into those that stand still.

        Time in which nobody looked counts for nothing: a slow handler, or a broker that was waited for.

        Raises:
            ConsumerLostError: there are records, and the client does not deliver them.
        """
        known = self._standing if now - self._looked <= self._limit / 4 else {}
        self._looked = now
        self._standing = {
            slot: known[slot] if slot in known and known[slot][0] == at else (at, now)
            for slot, at in offsets.items()
        }
        still = [slot for slot, (_, since) in self._standing.items() if now - since >= self._limit]
        for slot in still:
            del self._standing[slot]  # its minute starts again, whatever is found
        self._examine({slot: offsets[slot] for slot in still})

    def _examine(self, still: dict[Slot, int]) -> None:
        try:
            stable, logs = self._admin.bounds(still, committed_only=True), self._admin.bounds(still)
        except NoBrokerError:
            return
        for slot, offset in still.items():
            end = stable[slot].end
            # Behind the last record there may be marks of transactions, which nobody delivers: only reading tells.
            unread = self._reader.read({slot: Bounds(max(offset, stable[slot].start), end)})
            if any(True for _ in unread):
                if self._unread.get(slot) != offset:  # it may have come this moment: the next polls tell
                    self._unread[slot] = offset
                    self._standing[slot] = (offset, self._looked - self._limit * 11 / 12)
                    continue
                why = f"{slot} has stood at offset {offset} for {self._limit:g} s, with records up to {end}"
                raise ConsumerLostError(why)
            self._hanging[slot, end] += end < logs[slot].end
            if self._hanging[slot, end] == 2:  # once may be a transaction at work at this moment
                self._tell_hanging(slot, end, logs[slot].end)
                self._hanging[slot, end] += 1
