"""What other systems write into the headers of their dead letters, read as if it were ours.

Names and encodings are those of the systems' own sources (docs/foreign-dead-letters.md has the table). Headers are
input from strangers: nothing here raises on what they hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from kafka_orders.deadletters.letters import Dialect, Told, ours
from kafka_orders.domain import headers
from kafka_orders.domain.fingerprint import fingerprint
from kafka_orders.domain.headers import Origin

#: As much of a text is believed: a stranger's stack trace may be a megabyte.
_TEXT_BYTES = 4096


class Names(NamedTuple):
    """The header names of one system; those it does not have are empty.

    ``binary``: its numbers are big-endian bytes. ``says_class``: its exception header is class and message, as
    Java's ``toString`` tells them.
    """

    system: str
    topic: str
    partition: str
    offset: str
    timestamp: str = ""
    fqcn: str = ""
    cause: str = ""
    message: str = ""
    stack: str = ""
    group: str = ""
    attempts: str = ""
    stage: str = ""
    binary: bool = False
    says_class: bool = False

    def read(self, held: Mapping[str, bytes | None]) -> Told | None:
        """Return what the headers tell, or None where they are not this system's."""
        topic = self._text(held, self.topic)
        if not topic:
            return None
        partition, offset = self._number(held, self.partition), self._number(held, self.offset)
        # Spring and SmallRye wrap what was thrown: the cause is what failed.
        fqcn, message = self._text(held, self.cause) or self._text(held, self.fqcn), self._text(held, self.message)
        if self.says_class:
            fqcn, _, said = fqcn.partition(": ")
            message = message or said
        is_placed = partition >= 0 and offset >= 0
        return Told(
            self.system,
            Origin(topic, partition, offset, self._number(held, self.timestamp)) if is_placed else None,
            fingerprint(fqcn, topic, message),
            fqcn,
            message,
            self._text(held, self.stage),
            self._text(held, self.stack),
            max(0, self._number(held, self.attempts) - 1),  # the first one is no retry
            group=self._text(held, self.group),
            replay_count=headers.number(held.items(), headers.REPLAY_COUNT, 3) or 0,
            replay_of=headers.text(held.items(), headers.REPLAY_OF) or "",
            replay_id=headers.text(held.items(), headers.REPLAY_ID) or "",
            target=topic,
        )

    @staticmethod
    def _text(held: Mapping[str, bytes | None], name: str) -> str:
        return (held.get(name) or b"")[:_TEXT_BYTES].decode(errors="replace") if name else ""

    def _number(self, held: Mapping[str, bytes | None], name: str) -> int:
        """Return a number, -1 where it is missing or absurd."""
        value = held.get(name) or b""
        if 1 <= len(value) <= 19 and value.isdigit():  # eight digits, read as bytes, would be an absurd offset
            return int(value)
        return int.from_bytes(value, "big", signed=True) if self.binary and 1 <= len(value) <= 8 else -1


_SPRING = {
    "cause": "kafka_dlt-exception-cause-fqcn", "message": "kafka_dlt-exception-message",
    "stack": "kafka_dlt-exception-stacktrace", "group": "kafka_dlt-original-consumer-group",
    "attempts": "kafka_deliveryAttempt", "binary": True,
}  # fmt: skip

SYSTEMS = (
    Names("Spring", "kafka_dlt-original-topic", "kafka_dlt-original-partition", "kafka_dlt-original-offset",
          "kafka_dlt-original-timestamp", "kafka_dlt-exception-fqcn", **_SPRING),  # type: ignore[arg-type]
    Names("Spring retry topic", "kafka_original-topic", "kafka_original-partition", "kafka_original-offset",
          "kafka_original-timestamp", "kafka_exception-fqcn", "kafka_exception-cause-fqcn",
          "kafka_exception-message", "kafka_exception-stacktrace", "kafka_dlt-original-consumer-group",
          "retry_topic-attempts", binary=True),
    Names("Kafka Connect", "__connect.errors.topic", "__connect.errors.partition", "__connect.errors.offset",
          fqcn="__connect.errors.exception.class.name", message="__connect.errors.exception.message",
          stack="__connect.errors.exception.stacktrace", group="__connect.errors.connector.name",
          stage="__connect.errors.stage"),
    Names("Kafka Streams", "__streams.errors.topic", "__streams.errors.partition", "__streams.errors.offset",
          fqcn="__streams.errors.exception", message="__streams.errors.message",
          stack="__streams.errors.stacktrace", says_class=True),
    Names("share group", "__dlq.errors.topic", "__dlq.errors.partition", "__dlq.errors.offset",
          message="__dlq.errors.message", group="__dlq.errors.group", attempts="__dlq.errors.delivery.count"),
    Names("SmallRye", "dead-letter-topic", "dead-letter-partition", "dead-letter-offset",
          fqcn="dead-letter-exception-class-name", cause="dead-letter-cause-class-name",
          message="dead-letter-reason"),
    # Last: our own replays carry these names of the origin, too.
    Names("Spring Cloud Stream", "x-original-topic", "x-original-partition", "x-original-offset",
          "x-original-timestamp", "x-exception-fqcn", message="x-exception-message",
          stack="x-exception-stacktrace", binary=True),
)  # fmt: skip

#: All that is understood; whoever knows the headers first is believed.
ALL: tuple[Dialect, ...] = (ours, *(one.read for one in SYSTEMS))

_NAMES = {name for one in SYSTEMS for name in one if isinstance(name, str)}
_PREFIXES = ("kafka_dlt-", "kafka_original-", "kafka_exception-", "retry_topic-", "__connect.errors.",
             "__streams.errors.", "__dlq.errors.", "dead-letter-", "x-original-", "x-exception-")  # fmt: skip


def is_failure_header(name: str) -> bool:
    """Say whether a header tells of a failure, ours or another system's: a replay drops it."""
    return name in headers.OURS or name in _NAMES or name.startswith(_PREFIXES)
