"""Dead letters that the real Java classes wrote: listed, grouped, replayed (tests/fixtures/foreign/record.py)."""

from __future__ import annotations

from collections import Counter

import pytest

from kafka_orders.deadletters.groups import grouped
from kafka_orders.deadletters.hand import taken
from kafka_orders.deadletters.jobs import begun
from kafka_orders.deadletters.queue import open_queue
from kafka_orders.deadletters.replay import Options, Replay
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.standing import REPLAYING
from kafka_orders.formats.opening import order_codec
from kafka_orders.pipeline import upkeep
from kafka_orders.pipeline.stop import Stop
from tests.support.foreign import DIALECTS, produce, records
from tests.support.pipeline import Pipeline
from tests.support.surroundings import create_topic
from tests.support.witness import read_all

pytestmark = pytest.mark.broker

#: Recorded once more from what another system had recorded: their own headers travel beside the new ones.
SYSTEMS = {
    "connect": "Kafka Connect", "streams": "Kafka Streams", "share": "share group", "spring": "Spring",
    "spring-retryable": "Spring retry topic", "spring-cloud-stream": "Spring Cloud Stream",
}  # fmt: skip
FAILURE = ("kafka_", "x-exception", "__", "retry_topic")


@pytest.mark.parametrize("dialect", SYSTEMS)
def test_what_the_real_classes_wrote_is_listed_grouped_and_replayed(dialect: str, line: Pipeline) -> None:
    """Origin, class and payload of each; to the topic asked for, each once, without the failure's headers."""
    settings, written = line.settings(), records(dialect)
    upkeep.create(settings, lambda _: None)
    dead, back = f"{line.name}-foreign", f"{line.name}-back"
    for name in (dead, back):
        create_topic(line.bootstrap, name, 2)
    produce(line.bootstrap, dead, written)
    with open_queue(settings, order_codec().decode, topic=dead) as queue:
        letters = list(queue.letters(Selection()))
        assert len(letters) == len(written)
        assert {one.told.dialect for one in letters} == {SYSTEMS[dialect]}
        assert {one.told.origin.topic for one in letters if one.told.origin} == {"orders"}
        assert all(one.told.origin and one.told.origin.offset >= 300 for one in letters)
        assert all(one.told.message for one in letters)
        groups = grouped(letters, queue.decode, "product")
        assert sum(one.count for one in groups) == len(letters)
        assert len(groups) < len(letters), "what failed alike is one group"
        assert {str(one) for group in groups for one in group.products} == {"pen"}
        with taken(queue, Stop(), print) as hand:
            work = Replay(queue, hand, begun("replay", queue, Selection(), "", {}), Options(back), Stop())
            work.run()
        queue.book.refresh()
        sent = read_all(line.bootstrap, back)
        copied = [one for one in written if one.value is not None]
        assert Counter(one.value() for one in sent) == Counter(one.value for one in copied)
        assert Counter(one.key() for one in sent) == Counter(one.key for one in copied)
        names = {name for one in sent for name, _ in one.headers() or []}
        assert not [name for name in names if name.startswith(FAILURE)]
        assert {one.status for one in queue.book.all(dead).values()} == {REPLAYING}
        assert len(queue.book.all(dead)) == len(copied)


def test_every_recording_is_read() -> None:
    """One that is added has to be understood, too."""
    assert {one.removesuffix("-again") for one in DIALECTS} == set(SYSTEMS)
