"""Would it pass now? The handler is run over dead letters; nothing is sent, marked or counted.

Only what is in Kafka is left alone: a handler that calls the world outside does so here, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field

from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.replay import sent_headers
from kafka_orders.domain.headers import Origin
from kafka_orders.domain.settings import Settings
from kafka_orders.domain.standing import LetterId
from kafka_orders.log.message import Message
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.roles import Job


@dataclass(slots=True)
class Prediction:
    """What became of the letters: how many passed, why the others failed, and one of each kind of failure."""

    passed: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    samples: dict[str, LetterId] = field(default_factory=dict)


def predict(
    job: Job, settings: Settings, letters: Iterable[Letter], done: Callable[[int], None] = lambda _more: None
) -> Prediction:
    """Run the handler as the retry role would at the first try of a replay.

    Raises:
        SettingsError: the handler cannot be called with an order.
    """
    found = Prediction()
    handling, _, results = job.handling(settings, "retry")
    with closing(results):
        for number, letter in enumerate(letters):
            batch = Batch()
            handling.handle([_message(letter, settings, number)], batch, Alarm())
            if failures := batch.routed():
                why = f"{failures[0].failure.fqcn}: {failures[0].failure.message}"
                found.failed[why] += 1
                found.samples.setdefault(why, letter.id)
            else:
                found.passed += 1
            done(1)
    return found


def _message(letter: Letter, settings: Settings, number: int) -> Message:
    origin = letter.told.origin or Origin(*letter.id, letter.timestamp_ms)
    held: list[tuple[str, str | bytes | None]] = [*sent_headers(letter, origin, "prediction")]
    return Message(
        topic=settings.retry_topic, partition=0, offset=number, key=letter.key, value=letter.payload,
        headers=held, timestamp=(1, letter.timestamp_ms),
    )  # fmt: skip
