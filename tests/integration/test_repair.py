"""State and committed offsets that disagree: repaired where the log proves the state right, else refused."""

from __future__ import annotations

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from kafka_orders.domain.errors import StateMismatchError
from kafka_orders.domain.headers import ORIGINAL_OFFSET, ORIGINAL_PARTITION, ORIGINAL_TOPIC, RETRY_COUNT
from kafka_orders.domain.records import Slot
from kafka_orders.log.admin import Admin
from kafka_orders.log.patience import Patience
from kafka_orders.pipeline.startup import connection_of
from tests.integration.test_worker import assert_exact, journal, work
from tests.support.pipeline import Pipeline
from tests.support.witness import Journal

pytestmark = pytest.mark.broker


def failing(order) -> None:
    """Some orders are tried again, some are dead."""
    if order["product"] == "Item1":
        raise ConnectionError("down")
    if order["product"] == "Item2":
        raise ValueError("bad")


def committed(line: Pipeline) -> dict[Slot, int]:
    """Return the group's offsets."""
    settings = line.settings()
    admin = Admin(connection_of(settings), Patience(limit=30))
    return {slot: at or 0 for slot, at in admin.committed(settings.group, admin.slots(settings.topic)).items()}


def move(line: Pipeline, offsets: dict[Slot, int], *dead: tuple[Slot, int]) -> None:
    """Commit offsets in a transaction, as a torn one does: with dead letters, without state."""
    settings = line.settings()
    mover = Producer({"bootstrap.servers": line.bootstrap, "transactional.id": line.name})
    mover.init_transactions(10)
    mover.begin_transaction()
    for slot, offset in dead:
        origin = {ORIGINAL_TOPIC: slot.topic, ORIGINAL_PARTITION: slot.partition, ORIGINAL_OFFSET: offset}
        held = [(name, str(value).encode()) for name, value in {**origin, RETRY_COUNT: 0}.items()]
        mover.produce(settings.dlq_topic, b"torn", b"torn", headers=held)
    nobody = Consumer({"bootstrap.servers": line.bootstrap, "group.id": settings.group})
    where = [TopicPartition(*slot, offset) for slot, offset in offsets.items()]
    mover.send_offsets_to_transaction(where, nobody.consumer_group_metadata(), 10)
    mover.commit_transaction(10)
    nobody.close()


def half_done(line: Pipeline) -> Journal:
    """Count some orders, and send more that nobody has seen yet."""
    sent = journal(line, 120)
    work(line.settings(), failing)
    sent.send(120)
    sent.finish()
    return sent


@pytest.mark.parametrize("direction", ["back", "forward"])
def test_moved_offsets_are_put_right(line: Pipeline, direction, caplog) -> None:
    """Whichever way somebody moved them: said, nothing lost, nothing doubled, and the offsets are mended."""
    half_done(line)
    at = committed(line)
    move(line, {slot: 0 if direction == "back" else offset + 3 for slot, offset in at.items()})
    assert work(line.settings(), failing) == 120
    told = [one.getMessage() for one in caplog.records if "the log proves the state right" in one.getMessage()]
    moved = [slot for slot, offset in at.items() if direction == "forward" or offset]
    assert len(told) == len(moved)
    for slot in moved:
        assert any(one.startswith(f"{slot}: ") and f"counted up to {at[slot]}:" in one for one in told)
    assert work(line.settings(), failing) == 0
    assert sum(committed(line).values()) == 240
    verified = line.run("verify", "--deep")
    assert verified.returncode == 0, verified.stdout + verified.stderr


def test_moved_offsets_of_the_retry_group_are_put_right(line: Pipeline, caplog) -> None:
    """Its records have their own chain: the next retry, or the death, of the same order."""
    line.extra.update(RETRY_DELAY_MS="100", MAX_RETRIES="2")
    sent = half_done(line)
    work(line.settings(), failing)
    settings = line.settings()
    assert work(settings, failing, role="retry", idle_polls=25) > 0
    slots = Admin(connection_of(settings), Patience(limit=30)).slots(settings.retry_topic)
    line.extra["GROUP"] = settings.retry_group
    move(line, dict.fromkeys(slots, 0))
    del line.extra["GROUP"]
    sent.send(60)
    sent.finish()
    work(settings, failing)
    assert work(settings, failing, role="retry", idle_polls=150) > 0
    assert "retry/2: group" in caplog.text
    assert_exact(line, sent)


def test_a_torn_transaction_is_refused(line: Pipeline) -> None:
    """A dead letter of a record that the state has not seen: exit 4, with the reason and the way out."""
    half_done(line)
    at = committed(line)
    slot = max(at, key=lambda one: at[one])
    move(line, {slot: at[slot] + 1}, (slot, at[slot]))
    with pytest.raises(StateMismatchError, match=rf"record {at[slot]} beyond it has been found dead") as refused:
        work(line.settings(), failing)
    assert refused.value.exit_code == 4
    assert "reset --yes" in str(refused.value)
    ended = line.run("consume")
    assert (ended.returncode, "is not proved" in ended.stderr) == (4, True), ended.stderr


def test_what_cannot_be_proved_is_refused(line: Pipeline) -> None:
    """Results do not tell where they came from; and what retention removed proves nothing."""
    half_done(line)
    move(line, dict.fromkeys(committed(line), 1))
    line.extra["OUTPUT_TOPIC"] = f"{line.name}-out"
    with pytest.raises(StateMismatchError, match="do not tell where they came from"):
        work(line.settings(), failing)
    del line.extra["OUTPUT_TOPIC"]
    client = AdminClient({"bootstrap.servers": line.bootstrap})
    cut = [TopicPartition(line.settings().topic, number, 1) for number in range(6)]
    for future in client.delete_records(cut).values():
        future.result()
    with pytest.raises(StateMismatchError, match="retention has removed"):
        work(line.settings(), failing)
