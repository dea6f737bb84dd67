"""Pages of dead letters on a real broker: each letter once, the newest first, however little is looked at."""

from __future__ import annotations

import base64
import time
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise

import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from kafka_orders.deadletters import pages
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.pages import Page, page
from kafka_orders.deadletters.queue import Queue, open_queue
from kafka_orders.deadletters.selection import Selection
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.standing import LetterId
from kafka_orders.formats.opening import order_codec
from tests.support.deadletters import die
from tests.support.pipeline import Pipeline
from tests.support.witness import PRODUCTS, read_all

pytestmark = pytest.mark.broker

COUNT = 100


@pytest.fixture(scope="module")
def held(bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Queue]:
    """Dead letters of all partitions, those of a product discarded; nothing more is done about them."""
    line = Pipeline(bootstrap, tmp_path_factory.mktemp("pages"))
    die(line, COUNT)
    assert line.run("dlq", "discard", "--product", PRODUCTS[0], "--reason", "a test").returncode == 0
    with opened(line) as queue:
        yield queue
    line.close()


@pytest.fixture
def own(line: Pipeline) -> Iterator[Queue]:
    """A queue of 40 dead letters of a test's own."""
    die(line, 40)
    with opened(line) as queue:
        yield queue


def opened(line: Pipeline):
    return open_queue(line.settings(), order_codec().decode)


def walk(queue: Queue, wanted: Selection, limit: int, cursor: str = "") -> list[Page]:
    """Ask for page after page, to the oldest letter."""
    found = []
    while True:
        found.append(page(queue, wanted, limit, cursor))
        assert len(found[-1].letters) <= limit
        cursor = found[-1].cursor
        assert found[-1].scan_complete == (not cursor)
        if not cursor:
            return found
        assert len(found) <= 2 * COUNT, "it does not come to an end"


def ids(found: list[Page]) -> list[LetterId]:
    return [letter.id for one in found for letter in one.letters]


def assert_newest_first(letters: list[Letter]) -> None:
    assert all(one.timestamp_ms >= other.timestamp_ms for one, other in pairwise(letters))


@pytest.mark.parametrize("limit", [9, 500])
@pytest.mark.parametrize(
    "wanted",
    [Selection(), Selection(statuses=("open",)), Selection(statuses=("discarded",)), Selection(product="Item2"),
     Selection(match="SHOP is"), Selection(match="item3", statuses=("open", "resolved")), Selection(key="nobody")],
    ids=lambda one: str(one.as_dict()),
)  # fmt: skip
def test_all_pages_have_each_selected_letter_once(held: Queue, wanted: Selection, limit: int) -> None:
    there = {letter.id for letter in held.letters(wanted)}
    found = walk(held, wanted, limit)
    assert Counter(ids(found)) == Counter(there)
    assert_newest_first([letter for one in found for letter in one.letters])
    assert all(len(one.letters) == limit for one in found[:-1]), "only the last one is short"


def test_the_letters_are_of_all_partitions(held: Queue) -> None:
    """Else the tests above show less than they should."""
    assert {name.partition for name in ids(walk(held, Selection(), 50))} == set(range(6))
    assert len(ids(walk(held, Selection(statuses=("discarded",)), 50))) in range(1, COUNT)


@pytest.mark.parametrize("most", [4, 20])
def test_the_oldest_alone_is_found_by_bounded_scans(
    held: Queue, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    """Pages without a letter say that there is more, and each looks at few."""
    oldest = min(held.letters(Selection()), key=lambda one: one.timestamp_ms)
    name = str(order_codec().decode(oldest.payload or b"")["orderId"])
    wanted = Selection(match=name)
    assert [one.id for one in held.letters(wanted)] == [oldest.id]
    monkeypatch.setattr(pages, "MOST_LOOKED_AT", most)
    found = walk(held, wanted, 5)
    assert ids(found) == [oldest.id]
    assert len(found) > COUNT / (most + 6) / 2
    assert all(one.looked_at <= most + 6 for one in found), "each partition is looked at, a letter at least"
    assert sum(one.looked_at for one in found) >= COUNT


def test_bounded_scans_lose_nothing(held: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pages, "MOST_LOOKED_AT", 9)
    wanted = Selection(product="Item4")
    assert Counter(ids(walk(held, wanted, 4))) == Counter(letter.id for letter in held.letters(wanted))


def test_letters_that_come_while_paging_disturb_nothing(line: Pipeline, own: Queue) -> None:
    """They stand before the first page, which was read already."""
    before = {letter.id for letter in own.letters(Selection())}
    first = page(own, Selection(), 7)
    die(line, 30)
    rest = walk(own, Selection(), 7, first.cursor)
    assert Counter(ids([first, *rest])) == Counter(before)
    assert len(ids(walk(own, Selection(), 7))) == 70


def test_letters_that_retention_removes_while_paging_are_passed_over(line: Pipeline, own: Queue) -> None:
    first = page(own, Selection(), 7)
    places = [TopicPartition(own.topic, number, bounds.end) for (_, number), bounds in own.ends().items()]
    admin = AdminClient({"bootstrap.servers": line.bootstrap})
    for done in admin.delete_records(places).values():
        done.result(20)
    rest = walk(own, Selection(), 7, first.cursor)
    assert (ids(rest), rest[-1].scan_complete) == ([], True)


@pytest.mark.parametrize("limit", [60, 200])
def test_a_partition_that_has_all_the_newest_comes_first(line: Pipeline, own: Queue, limit: int) -> None:
    """One key with very many failures: its older ones are still newer than all the others'."""
    pattern, now = read_all(line.bootstrap, own.topic)[0], int(time.time() * 1000)
    producer = Producer({"bootstrap.servers": line.bootstrap})
    for number in range(400):
        producer.produce(
            own.topic, pattern.value(), pattern.key(), 2, timestamp=now + 60_000 + number,
            headers=pattern.headers(),
        )  # fmt: skip
    producer.flush()
    found = walk(own, Selection(), limit)
    assert len(set(ids(found))) == len(ids(found)) == 440
    assert_newest_first([letter for one in found for letter in one.letters])
    assert {name.partition for name in ids(found)[:400]} == {2}
    wanted = Selection(statuses=("open",), match="shop")
    assert_newest_first([letter for one in walk(own, wanted, limit) for letter in one.letters])


@pytest.mark.parametrize(
    "told",
    ["nonsense", "é", "=", "[]", "7", "null", '"x"', '{"x": 1}', '{"0": "y"}', '{"0": null}', '{"0": 1e400}',
     '{"0": NaN}', '{"0": [1]}', "[" * 7_000, "\x00", '{"0": ' + "9" * 5_000 + "}"],
    ids=lambda told: told[:12].encode("unicode_escape").decode(),
)  # fmt: skip
def test_a_cursor_that_is_none_of_ours_is_said(held: Queue, told: str) -> None:
    for cursor in (told, base64.urlsafe_b64encode(told.encode()).decode().rstrip("=")):
        with pytest.raises(SettingsError, match="none of ours"):
            page(held, Selection(), 5, cursor)


@pytest.mark.parametrize("told", ['{"0": -5}', '{"0": 99999999999999999999}', '{"77": 3}', "{}", '{"0": true}'])
def test_a_cursor_beyond_what_is_there_is_within_it(held: Queue, told: str) -> None:
    found = walk(held, Selection(), 500, base64.urlsafe_b64encode(told.encode()).decode())
    assert len(set(ids(found))) == len(ids(found)) <= COUNT
