"""Dead letters that other systems' own classes wrote, as recorded by ``tests/fixtures/foreign/record.py``."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Message, Producer

FOLDER = Path(__file__).resolve().parents[1] / "fixtures/foreign"
DIALECTS = tuple(sorted(path.stem for path in FOLDER.glob("*.jsonl")))


class Recorded(NamedTuple):
    """A dead letter as it stood in its topic; headers in their order."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]

    @classmethod
    def of(cls, message: Message) -> Recorded:
        """Return a consumed message."""
        assert message.error() is None, message.error()
        _, at = message.timestamp()
        place: tuple[Any, Any, Any] = message.topic(), message.partition(), message.offset()  # all there
        headers: Any = message.headers() or []
        return cls(*place, at, message.key(), message.value(), list(headers))


def about(dialect: str) -> dict[str, Any]:
    """Return who wrote a dialect's records (``writer``, ``versions``) and on which ``date``."""
    found: dict[str, Any] = json.loads(_lines(dialect)[0])
    return found


def records(dialect: str) -> list[Recorded]:
    """Return the records of a dialect, a partition after the other."""
    return [read(text) for text in _lines(dialect)[1:]]


def produce(bootstrap: str, topic: str, letters: Iterable[Recorded]) -> None:
    """Write records to an existing ``topic`` as they were: partition, timestamp, key, value and headers."""
    producer = Producer({"bootstrap.servers": bootstrap})
    failed: list[object] = []
    for one in letters:
        producer.produce(
            topic, one.value, one.key, one.partition, lambda error, _: failed.append(error),
            timestamp=one.timestamp_ms, headers=list(one.headers),
        )  # fmt: skip
    assert producer.flush(30) == 0, "not delivered within 30 s"
    assert not any(failed), failed


def line(one: Recorded) -> str:
    """Return a record as a line of its file."""
    fields = one._asdict() | {
        "key": _text(one.key),
        "value": _text(one.value),
        "headers": [[name, _text(value)] for name, value in one.headers],
    }
    return json.dumps(fields)


def read(text: str) -> Recorded:
    """Return the record of a line."""
    fields: dict[str, Any] = json.loads(text)
    return Recorded(
        **fields | {
            "key": _bytes(fields["key"]),
            "value": _bytes(fields["value"]),
            "headers": [(name, _bytes(value)) for name, value in fields["headers"]],
        }
    )  # fmt: skip


def _lines(dialect: str) -> list[str]:
    return (FOLDER / f"{dialect}.jsonl").read_text(encoding="utf-8").splitlines()


def _text(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
