"""Watching the dead letter queue: each dead letter is shown, then its offset is committed."""

from __future__ import annotations

from collections.abc import Callable

from kafka_orders.deadletters.payloads import readable
from kafka_orders.domain import headers
from kafka_orders.domain.order import Decode
from kafka_orders.domain.settings import Settings
from kafka_orders.log.message import Message, headers_of, offset_of, slot_of
from kafka_orders.log.viewer import Viewer
from kafka_orders.pipeline.startup import reach
from kafka_orders.pipeline.stop import Stop

_SHOWN_AT_ONCE = 100
_POLL_SECONDS = 0.5


def watch(
    settings: Settings, decode: Decode, write: Callable[[str], None], say: Callable[[str], None], stop: Stop
) -> None:
    """Show dead letters until stopped; starts where the group stopped last, first of all at the beginning.

    Raises:
        NoBrokerError: no broker at the start.
    """
    cluster = reach(settings, stop, say, needed=[settings.dlq_topic])
    viewer = Viewer(cluster.connection, settings.dlq_group, settings.dlq_topic)
    say(f"watching {settings.dlq_topic} in group {settings.dlq_group}; Ctrl-C ends")
    try:
        while not stop.requested:
            shown = viewer.fetch(_SHOWN_AT_ONCE, _POLL_SECONDS)
            for message in shown:
                write(describe(message, decode))
            # After showing: a crash in between shows a dead letter twice, never not at all.
            viewer.seen(shown)
    finally:
        viewer.close()


def describe(message: Message, decode: Decode) -> str:
    """Return one dead letter as text: key, decoded order, error, and its journey."""
    held = headers_of(message)
    error = printable(headers.text(held, headers.ERROR) or "<none>")
    journey = (
        f"{slot_of(message)}/{offset_of(message)}",
        f"from {printable(str(headers.origin(held) or '<unknown>'))}",
        f"retries {headers.retry_count(held)}",
        f"stage {printable(headers.text(held, headers.FAILURE_STAGE) or '<unknown>')}",
        printable(headers.text(held, headers.EXCEPTION_FQCN) or ""),
    )
    order = printable(order_text(message, decode))
    return f"{printable(message.key())}  {order}  error: {error}\n    {'  '.join(journey)}"


def order_text(message: Message, decode: Decode) -> str:
    """Return the decoded order, or that it could not be decoded."""
    try:
        return str(readable(decode(message.value() or b"", headers_of(message))))
    except Exception:  # an app's own decoder raises what it likes
        return "<could not decode>"


def printable(raw: bytes | str | None) -> str:
    """Return text that is safe on a terminal: a stranger's control characters are escaped."""
    text = raw if isinstance(raw, str) else (raw or b"").decode(errors="backslashreplace")
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode() for one in text)
