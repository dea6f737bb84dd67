"""Decode, validate, handle: every record gets exactly one outcome."""

from contextvars import Context

import pytest

from kafka_orders.domain.errors import OutsideBatchError, PermanentError, SettingsError, UncommittableError
from kafka_orders.domain.order import Contract
from kafka_orders.domain.policy import Dead, Retry, RetryPolicy
from kafka_orders.domain.records import Slot
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import Batch, BatchLimit
from kafka_orders.pipeline.desk import Desk, send_to_dlq, send_to_retry
from kafka_orders.pipeline.handlers import Results, checked, failing_for
from kafka_orders.pipeline.handling import Handling
from tests.unit.values import FORMAT, message, order

FOREVER, OVER = Alarm(), Alarm()
OVER.set(0.0)


def handling(handler, *, source_is_retry=False, encode=None, **hooks) -> Handling:
    desk = Desk(RetryPolicy(), source_is_retry=source_is_retry, wall_clock=lambda: 5.0, **hooks)
    return Handling(Contract().reader(FORMAT.decode), handler, desk, Results(encode))


def handled(handler, *messages, **more) -> Batch:
    batch = Batch()
    assert handling(handler, **more).handle(list(messages), batch, FOREVER) == len(messages)
    return batch


def fail_with(error: BaseException):
    def handler(_order):
        raise error

    return handler


def test_every_record_gets_one_outcome() -> None:
    """Counted, skipped, dead by decoding, dead by validation; offsets are those after the last."""
    batch = handled(
        lambda _: None,
        message(order(1, "A", 1.0), offset=3), message(None, offset=4), message(b"", offset=5),
        message(order(2, "A", -1.0), offset=6), message(order(3, "B", 2.0), offset=8),
        message(order(4, "A", 4.0), partition=1, offset=0),
    )  # fmt: skip
    first, second = batch.slots[Slot("orders", 0)], batch.slots[Slot("orders", 1)]
    assert (dict(first.values), first.skipped, first.next_offset) == ({"A": [1.0], "B": [2.0]}, 1, 9)
    assert [one.failure.stage for one in first.routed] == ["decode", "validate"]
    assert [one.decision for one in first.routed] == [Dead(0), Dead(0)]
    assert (dict(second.values), second.next_offset, batch.size) == ({"A": [4.0]}, 1, 6)


def test_interleaved_partitions_keep_their_own_offsets() -> None:
    """A run of another partition in between changes nothing."""
    batch = handled(
        lambda _: None,
        message(order(), offset=0),
        message(order(), partition=1, offset=9),
        message(order(), offset=1),
    )
    assert {slot.partition: part.next_offset for slot, part in batch.slots.items()} == {0: 2, 1: 10}
    assert batch.slots[Slot("orders", 0)].processed == 2


def test_handling_stops_at_the_deadline() -> None:
    """What was not handled is left for the next batch, and not covered by the offset."""
    batch = Batch()
    messages = [message(order(), offset=number) for number in range(5)]
    assert handling(lambda _: None).handle(messages, batch, OVER) == 1
    assert batch.offsets() == [("orders", 0, 1)]


@pytest.mark.parametrize("error", [ValueError("x"), SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_whatever_a_handler_raises_is_an_outcome(error) -> None:
    """sys.exit() in a handler ends nothing."""
    batch = handled(fail_with(error), message(order(), offset=0))
    assert batch.routed()[0].decision == Dead(0)


def test_a_temporary_failure_waits_for_its_next_retry() -> None:
    """From orders: 1, whatever its headers say; from retry: one more than they say."""
    hostile = [("retryCount", b"2"), ("x-original-topic", b"orders"), ("x-original-partition", b"4"),
               ("x-original-offset", b"7"), ("x-first-failed-at", b"1")]  # fmt: skip
    from_main = handled(fail_with(RuntimeError("t")), message(order(), headers=hostile)).routed()[0]
    assert (from_main.decision, str(from_main.origin), from_main.first_failed_at_ms) == (
        Retry(1),
        "orders/0/0",
        5000,
    )
    again = handled(
        fail_with(RuntimeError("t")), message(order(), topic="r", headers=hostile), source_is_retry=True
    ).routed()[0]
    assert (again.decision, str(again.origin), again.first_failed_at_ms) == (Retry(3), "orders/4/7", 1)


def test_the_named_send_functions_are_called_and_may_change_the_message() -> None:
    """Editing the app's functions has effect."""
    calls = []

    def to_retry(msg, error_msg, retry_count=0):
        calls.append((msg.offset(), error_msg, retry_count))
        send_to_retry(msg, f"edited: {error_msg}", retry_count)

    batch = handled(fail_with(RuntimeError("t")), message(order(), offset=6), to_retry=to_retry)
    assert calls == [(6, "t", 0)]
    assert batch.routed()[0].failure.message == "edited: t"
    assert batch.routed()[0].failure.fqcn == "builtins.RuntimeError"


def broken(*_arguments):
    raise ZeroDivisionError


@pytest.mark.parametrize("hook", [broken, lambda *_arguments: None])
def test_no_edit_of_a_send_function_loses_a_record(hook) -> None:
    """One that raises, or does nothing, leaves the policy's outcome."""
    batch = handled(
        lambda order: fail_with(RuntimeError() if order["product"] == "T" else ValueError())(order),
        message(order(1, "T"), offset=0), message(order(2, "P"), offset=1), to_retry=hook, to_dlq=hook,
    )  # fmt: skip
    assert [one.decision for one in batch.routed()] == [Retry(1), Dead(0)]


def test_a_send_by_hand_is_the_outcome() -> None:
    """Even if the handler returns, or raises afterwards."""
    at = message(order(), offset=0)

    def by_hand(_order):
        send_to_dlq(at, "I say so")

    batch = handled(by_hand, at)
    assert (batch.routed()[0].decision, batch.routed()[0].failure.message) == (Dead(0), "I say so")
    assert batch.slots[Slot("orders", 0)].processed == 0

    def then_raises(_order):
        send_to_retry(at, "later", 1)
        raise ValueError("too late")

    assert handled(then_raises, at).routed()[0].decision == Retry(2)


def test_the_next_record_is_not_touched_by_a_send_by_hand() -> None:
    """One outcome per record."""
    seen = []

    def first_only(_order):
        seen.append(1)
        if len(seen) == 1:
            send_to_retry(None, "later")

    batch = handled(first_only, message(order(), offset=0), message(order(), offset=1))
    assert (len(batch.routed()), batch.slots[Slot("orders", 0)].processed) == (1, 1)


def test_outside_a_batch_there_is_nothing_to_send() -> None:
    """A clear error, before, after, and for another record."""
    with pytest.raises(OutsideBatchError):
        Context().run(send_to_dlq, None, "x")  # as nobody has been here before: other tests leave their desks
    handled(lambda _: None, message(order()))
    with pytest.raises(OutsideBatchError):
        send_to_retry(None, "x", 0)
    told = []

    def other_record(_order):
        try:
            send_to_dlq(message(order(), offset=99), "x")
        except OutsideBatchError as error:
            told.append(str(error))

    assert handled(other_record, message(order(), offset=1)).routed() == []
    assert "orders/0/99" in told[0]


async def asynchronous(_order): ...


def generator(_order):
    yield


class Callable:
    async def __call__(self, _order): ...


async def streaming(_order):
    yield


@pytest.mark.parametrize("handler", [generator, streaming, 5, None, "text"])
def test_a_handler_that_would_never_run_is_refused(handler) -> None:
    """Counting without having run would be a lie."""
    with pytest.raises(SettingsError, match=r"handler .*(generator|cannot be called)"):
        checked(handler)


def test_simulated_failures_come_before_the_handler() -> None:
    """Only for the named products."""
    calls = []
    failing = failing_for(("A",), "product", lambda order: calls.append(order["product"]))
    batch = handled(failing, message(order(1, "A"), offset=0), message(order(2, "B"), offset=1))
    assert calls == ["B"]
    assert batch.routed()[0].failure.message == "Simulated temporary error"


def test_a_permanent_error_in_retry_keeps_the_retries_made() -> None:
    """The dead letter says how many retries it had."""
    held = [("retryCount", b"2")]
    batch = handled(fail_with(PermanentError("no")), message(order(), headers=held), source_is_retry=True)
    assert batch.routed()[0].decision == Dead(2)


def test_dropping_a_partition_forgets_its_part_only() -> None:
    """What a rebalance takes away is handled by its next owner."""
    batch = handled(lambda _: None, message(order()), message(order(), partition=1))
    batch.drop([Slot("orders", 0), Slot("orders", 5)])
    assert batch.offsets() == [("orders", 1, 1)]


def test_a_refused_batch_is_halved_down_to_one_record() -> None:
    """Three refusals each; a single record that is refused stops the worker and is named."""
    limit = BatchLimit(8)
    sizes = []
    with pytest.raises(UncommittableError, match="orders/0/0") as refused:
        while True:
            batch = handled(lambda _: None, *(message(order(), offset=n) for n in range(limit.current)))
            sizes.append(batch.size)
            limit.refused(batch, "too large")
    assert sizes == [8] * 3 + [4] * 3 + [2] * 3 + [1] * 3
    assert refused.value.exit_code == 4
    limit.succeeded(handled(lambda _: None, message(order())))
    assert limit.current == 8


class Plain:
    def __call__(self, _order): ...

    def method(self, _order): ...

    async def later(self, _order): ...


@pytest.mark.parametrize(
    "handler", [lambda _: None, Plain(), Plain().method, print, handled, asynchronous, Callable(), Plain().later]
)
def test_whatever_can_be_called_plainly_is_a_handler(handler) -> None:
    """Functions, objects, methods and builtins are given back as they are."""
    assert checked(handler) is handler


def test_the_first_orders_are_kept_for_showing() -> None:
    """Twenty, failures not among them."""
    batch = handled(
        lambda order: fail_with(ValueError())(order) if order["product"] == "Bad" else None,
        *(message(order(n, "Bad" if n % 2 else "A"), offset=n) for n in range(60)),
    )
    assert [one.order["orderId"] for one in batch.sample] == [f"id-{n}" for n in range(0, 40, 2)]
    assert (batch.slots[Slot("orders", 0)].processed, len(batch.routed())) == (30, 30)


def test_a_batch_is_gathered_in_several_goes() -> None:
    """Sizes add up; the start stays, the end moves."""
    batch, work = Batch(), handling(lambda _: None)
    assert work.handle([message(order(), offset=3)], batch, FOREVER) == 1
    assert work.handle([message(order(), offset=4), message(None, offset=9)], batch, FOREVER) == 2
    assert (batch.size, batch.offsets(), batch.starts()) == (3, [("orders", 0, 10)], {(Slot("orders", 0), 3)})


def test_the_deadline_ends_a_run_of_partitions_too() -> None:
    """The partitions behind it are not touched: none has an offset to commit."""
    batch = Batch()
    messages = [message(None, partition=number) for number in range(3)]
    assert handling(lambda _: None).handle(messages, batch, OVER) == 1
    assert batch.offsets() == [("orders", 0, 1)]


def test_without_simulated_failures_the_handler_is_itself() -> None:
    """Nothing stands before it."""
    assert failing_for((), "product", print) is print
