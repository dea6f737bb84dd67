"""The desk: a call of a send function is the outcome of the record at hand, and of no other."""

import contextvars
import threading

import pytest

from kafka_orders.domain.errors import OutsideBatchError
from kafka_orders.domain.headers import Origin
from kafka_orders.domain.policy import Dead, Retry, RetryPolicy
from kafka_orders.pipeline.desk import Desk, send_to_dlq, send_to_retry
from tests.unit.values import message, order

#: What a record that failed twice before carries.
TRAVELLED = [
    ("retryCount", b"2"), ("x-original-topic", b"orders"), ("x-original-partition", b"4"),
    ("x-original-offset", b"7"), ("x-original-timestamp", b"70"), ("x-first-failed-at", b"1"),
]  # fmt: skip


def desk(*, retry: bool = False, **hooks) -> Desk:
    return Desk(RetryPolicy(max_retries=3), source_is_retry=retry, wall_clock=lambda: 5.0, **hooks)


def at_work(record, *, retry: bool = False) -> Desk:
    made = desk(retry=retry)
    made.message = record
    return made


@pytest.mark.parametrize(
    "call", [lambda: send_to_dlq(message(order()), "x"), lambda: send_to_retry(message(order()), "x", 1)]
)
def test_with_no_record_at_hand_nothing_can_be_sent(call) -> None:
    """Before the first record and between batches."""
    desk()
    with pytest.raises(OutsideBatchError, match="no record is being handled"):
        call()


@pytest.mark.parametrize("made", [Desk.take, lambda one: one.route(Dead(0), None), lambda one: one.at_hand])
def test_an_empty_desk_has_nothing_to_give(made) -> None:
    """No outcome is made up."""
    with pytest.raises(OutsideBatchError):
        made(desk())


@pytest.mark.parametrize(
    "other", [message(offset=6), message(offset=5, partition=1), message(offset=5, topic="orders_retry")]
)
def test_another_record_cannot_be_sent(other) -> None:
    """It is told by topic, partition and offset; nothing was routed."""
    made = at_work(message(offset=5))
    for send in (send_to_dlq, send_to_retry):
        with pytest.raises(OutsideBatchError, match="nothing was routed"):
            send(other, "x")
    assert made.routed is None


def test_an_equal_message_is_the_record_at_hand() -> None:
    """The app may pass a copy, or no message at all."""
    for told in (message(offset=5), None, {"any": "thing"}):
        made = at_work(message(offset=5))
        send_to_dlq(told, "x")
        assert made.take().decision == Dead(0)


@pytest.mark.parametrize(("count", "expected"), [(0, Retry(1)), (2, Retry(3)), (3, Dead(3)), (9, Dead(9))])
def test_a_retry_by_hand_ends_at_the_maximum(count, expected) -> None:
    """The count given is that of retries so far."""
    made = at_work(message())
    send_to_retry(None, "later", count)
    assert made.take().decision == expected


def test_the_last_word_counts() -> None:
    """A later call replaces an earlier one; it is taken once."""
    made = at_work(message())
    send_to_retry(None, "later")
    send_to_dlq(None, "never")
    taken = made.take()
    assert (taken.decision, taken.failure.message) == (Dead(0), "never")
    assert made.routed is None


def test_words_that_are_no_text_become_one() -> None:
    """An error object may be given as the message."""
    made = at_work(message())
    send_to_dlq(None, ValueError("no stock"))
    assert made.take().failure.message == "no stock"


def test_a_send_by_hand_says_what_kind_it_was() -> None:
    """Without an error there is still a class, and no stack."""
    made = at_work(message())
    send_to_dlq(None, "never")
    assert made.take().failure.fqcn == "kafka_orders.domain.errors.PermanentError"
    send_to_retry(None, "later")
    told = made.take().failure
    assert (told.fqcn, told.stage, told.stack) == ("kafka_orders.domain.errors.TemporaryError", "process", "")


def test_headers_are_believed_in_the_retry_topic_only() -> None:
    """In the orders topic a stranger's headers say nothing of the past."""
    record = message(headers=TRAVELLED, offset=9, timestamp_ms=90)
    seen = desk(retry=True).failed(record, ValueError("x"), "process")
    assert (seen.decision, seen.origin) == (Dead(2), Origin("orders", 4, 7, 70))
    assert (seen.first_failed_at_ms, seen.failed_at_ms) == (1, 5000)
    seen = desk().failed(record, ValueError("x"), "process")
    assert (seen.decision, seen.origin) == (Dead(0), Origin("orders", 0, 9, 90))
    assert (seen.first_failed_at_ms, seen.failed_at_ms) == (5000, 5000)


def test_a_retry_record_without_sound_headers_is_its_own_origin() -> None:
    """It failed now for the first time, as far as anybody knows."""
    seen = desk(retry=True).failed(message(topic="r", offset=3, timestamp_ms=30), RuntimeError("x"), "process")
    assert (seen.decision, seen.origin, seen.first_failed_at_ms) == (Retry(1), Origin("r", 0, 3, 30), 5000)


def test_only_dead_letters_carry_a_stack() -> None:
    """It costs a hundred times the rest."""
    try:
        raise RuntimeError("x")
    except RuntimeError as error:
        assert desk().failed(message(), error, "process").failure.stack == ""
        dead = desk(retry=True).failed(message(headers=[("retryCount", b"3")]), error, "process")
    assert "RuntimeError: x" in dead.failure.stack


def test_the_apps_functions_are_told_record_message_and_count() -> None:
    """Retry for temporary failures while retries are left, the dead letter queue for all else."""
    calls = []
    hooks = {"to_retry": lambda *told: calls.append(("retry", *told)), "to_dlq": lambda *told: calls.append(told)}
    one, two = message(headers=[("retryCount", b"2")]), message(headers=[("retryCount", b"3")])
    made = desk(retry=True, **hooks)
    for record, error in ((one, RuntimeError("a")), (two, RuntimeError("b")), (one, ValueError("c"))):
        made.failed(record, error, "process")
    assert calls == [("retry", one, "a", 2), (two, "b"), (one, "c")]


def test_an_app_may_reverse_the_decision() -> None:
    """The function's call is the outcome; class and stage stay those of the error."""

    def instead(msg, error_msg, retry_count):
        send_to_dlq(msg, f"given up: {error_msg}")

    seen = desk(to_retry=instead).failed(message(), RuntimeError("x"), "process")
    assert (seen.decision, seen.failure.message, seen.failure.fqcn) == (
        Dead(0), "given up: x", "builtins.RuntimeError",
    )  # fmt: skip


def test_a_function_that_routes_and_then_fails_has_routed(caplog) -> None:
    """Its bug is logged with its traceback."""

    def half(msg, error_msg, retry_count):
        send_to_dlq(msg, "by hand")
        raise ZeroDivisionError

    seen = desk(to_retry=half).failed(message(), RuntimeError("x"), "process")
    assert (seen.decision, seen.failure.message) == (Dead(0), "by hand")
    assert "a send function failed" in caplog.text
    assert "ZeroDivisionError" in caplog.text


def test_one_failure_leaves_no_trace_on_the_next() -> None:
    """The error of the record before is not told of this one."""
    made = desk()
    made.failed(message(offset=1), KeyError("first"), "decode")
    made.message = message(offset=2)
    send_to_dlq(None, "second")
    told = made.take()
    assert (told.failure.fqcn, told.failure.stage) == ("kafka_orders.domain.errors.PermanentError", "process")
    assert told.message.offset() == 2


def test_a_retry_by_hand_never_begins_anew() -> None:
    """The count of retries so far is at least the record's own: else it would be retried for ever."""
    made = at_work(message(headers=TRAVELLED), retry=True)
    had = made.retries(made.at_hand)
    assert had > 0
    send_to_retry(None, "later")
    assert made.take().decision in (Retry(had + 1), Dead(had))


def test_a_call_from_another_thread_is_refused() -> None:
    """By the time it is heard another record may be at hand, and would take this one's place."""
    made, said = at_work(message()), []

    def late() -> None:
        try:
            send_to_dlq(None, "late")
        except OutsideBatchError as error:
            said.append(str(error))

    thread = threading.Thread(target=contextvars.copy_context().run, args=(late,))
    thread.start()
    thread.join()
    assert "another thread" in said[0]
    assert made.routed is None
