"""Every kind of handler: told of the record or not, plain or async; what it returns is run, encoded or refused."""

import asyncio
import functools
import threading
from concurrent.futures import Future

import pytest

from kafka_orders.domain.errors import PermanentError, SettingsError, TemporaryError
from kafka_orders.domain.headers import Origin
from kafka_orders.domain.order import Contract
from kafka_orders.domain.policy import Dead, Retry, RetryPolicy
from kafka_orders.pipeline.alarm import Alarm
from kafka_orders.pipeline.batch import Batch
from kafka_orders.pipeline.busy import watched
from kafka_orders.pipeline.desk import Desk, Meta, send_to_dlq
from kafka_orders.pipeline.handlers import Results, called_with, checked
from kafka_orders.pipeline.handling import Handling
from tests.support.waiting import eventually
from tests.unit.values import FORMAT, message, order


def handled(handler, *messages, encode=None, source_is_retry=False) -> Batch:
    desk = Desk(RetryPolicy(), source_is_retry=source_is_retry)
    batch, called, results = Batch(), called_with(checked(handler), desk.meta), Results(encode)
    Handling(Contract().reader(FORMAT.decode), called, desk, results).handle(list(messages), batch, Alarm())
    results.close()
    return batch


def results(batch: Batch) -> list:
    return list(batch.results())


SEEN: list[Meta] = []


def two(order, record):
    SEEN.append(record)


def by_name(order, *, meta):
    SEEN.append(meta)


def by_default(order, meta=None):
    SEEN.append(meta)


def only_position(order, meta, /):
    SEEN.append(meta)


async def later(order, meta):
    await asyncio.sleep(0)
    SEEN.append(meta)


class Method:
    def __call__(self, order, meta):
        SEEN.append(meta)


@pytest.mark.parametrize(
    "handler", [two, by_name, by_default, only_position, later, Method(), functools.partial(by_default)]
)
def test_a_handler_may_be_told_of_the_record(handler) -> None:
    """Key, headers, origin and attempt, as the second argument."""
    SEEN.clear()
    held = [("mine", b"1"), ("retryCount", b"9")]
    batch = handled(handler, message(order(), offset=7, key=b"k", headers=held, timestamp_ms=5))
    assert batch.slots[next(iter(batch.slots))].processed == 1
    assert [Meta(b"k", tuple(held), Origin("orders", 0, 7, 5), 0)] == SEEN


def test_a_retry_is_told_its_number_and_first_origin() -> None:
    """The origin is the idempotency key: the same at every try."""
    SEEN.clear()
    held = [("retryCount", b"2"), ("x-original-topic", b"orders"), ("x-original-partition", b"3"),
            ("x-original-offset", b"11")]  # fmt: skip
    handled(two, message(order(), topic="orders_retry", headers=held), source_is_retry=True)
    assert (str(SEEN[0].origin), SEEN[0].attempt) == ("orders/3/11", 2)


@pytest.mark.parametrize(
    "handler", [lambda order: None, lambda order, limit=5: None, lambda *orders: None, lambda meta: None, print]
)
def test_others_get_the_order_alone(handler) -> None:
    """A second argument with a default is the program's own."""
    assert called_with(handler, lambda: 1 / 0) is handler


def with_session(inner):
    @functools.wraps(inner)
    def wrapper(order):
        return inner(order, "session")

    return wrapper


def logged(inner):
    @functools.wraps(inner)
    def wrapper(*args, **kwargs):
        return inner(*args, **kwargs)

    return wrapper


def test_a_decorators_own_arguments_decide() -> None:
    """functools.wraps shows the inner ones, but the wrapper is what gets called."""
    SEEN.clear()
    for handler in (with_session(two), logged(by_default), logged(two), logged(by_name)):
        assert not handled(handler, message(order())).routed()
    assert SEEN[0] == "session"
    assert all(isinstance(one, Meta) for one in SEEN[1:])
    assert len(SEEN) == 4


@pytest.mark.parametrize("handler", [lambda: None, lambda a, b, c: None, lambda a, *, key: None])
def test_a_handler_that_cannot_be_called_is_refused_at_the_start(handler) -> None:
    """Not by sending every order to the dead letter queue."""
    with pytest.raises(SettingsError, match="has to take an order"):
        checked(handler)


def test_async_handlers_run_to_their_end() -> None:
    """In order, on one loop; what they raise decides as everywhere."""
    done = []

    async def handler(order):
        await asyncio.sleep(0.001)
        done.append(order["orderId"])
        if order["orderId"] == "id-1":
            raise ConnectionError("down")
        if order["orderId"] == "id-2":
            send_to_dlq(None, "by hand")

    batch = handled(handler, *(message(order(n), offset=n) for n in range(3)))
    assert done == ["id-0", "id-1", "id-2"]
    assert [one.decision for one in batch.routed()] == [Retry(1), Dead(0)]
    assert batch.slots[next(iter(batch.slots))].processed == 1


def test_a_plain_handler_that_returns_a_coroutine_is_awaited() -> None:
    """A lambda around an async function hides what it is."""
    done = []

    async def real(order):
        done.append(order)

    handled(lambda order: order["orderId"] and real(order), message(order()))
    assert len(done) == 1


async def nothing():
    yield


NOT_RUN = [(n for n in ()), nothing(), asyncio.sleep(0, (n for n in ())), map(print, ()), Future()]


@pytest.mark.parametrize("returned", NOT_RUN)
def test_what_has_not_run_is_never_counted(returned) -> None:
    """A generator that a handler returns would not run: dead letter."""
    batch = handled(lambda order: returned, message(order()))
    (dead,) = batch.routed()
    assert dead.decision == Dead(0)
    assert "may not have run" in dead.failure.message


def test_an_async_handler_is_refused_inside_a_running_loop() -> None:
    """Where it could not run."""

    async def main():
        checked(later)

    with pytest.raises(SettingsError, match="event loop runs"):
        asyncio.run(main())


def test_results_go_out_with_the_orders_key() -> None:
    """A dict in the app's format, bytes as they are, None for nothing."""
    answers = iter([{"a": 1}, b"raw", None])
    sent = handled(
        lambda order: next(answers), *(message(order(n), offset=n, key=b"%d" % n) for n in range(3)),
        encode=lambda record: repr(dict(record)).encode(),
    )  # fmt: skip
    assert results(sent) == [(b"0", b"{'a': 1}", []), (b"1", b"raw", [])]


def test_without_an_output_topic_results_are_nobodys() -> None:
    """Whatever is returned, the order is counted."""
    batch = handled(lambda order: object(), message(order()))
    assert (results(batch), batch.routed()) == ([], [])


def refuse(record):
    raise ValueError("does not fit")


@pytest.mark.parametrize(
    ("returned", "encode", "says"),
    [(5, repr, "returned 5: neither"), ("text", repr, "neither a dict"), ({"a": 1}, refuse, "does not fit")],
)
def test_a_result_that_cannot_be_a_record_is_a_dead_letter(returned, encode, says) -> None:
    """Never counted without its result."""
    batch = handled(lambda order: returned, message(order()), encode=encode)
    (dead,) = batch.routed()
    assert (dead.decision, dead.failure.stage) == (Dead(0), "process")
    assert says in dead.failure.message
    assert results(batch) == []


def test_a_failed_or_routed_order_has_no_result() -> None:
    """Sent by hand, and returned something all the same."""

    def handler(order):
        send_to_dlq(None, "no")
        return b"result"

    assert results(handled(handler, message(order()), encode=repr)) == []


@pytest.mark.parametrize("error", [PermanentError("p"), TemporaryError("t"), SystemExit(3), KeyboardInterrupt()])
def test_an_async_failure_is_an_outcome_like_any_other(error) -> None:
    """Also sys.exit() in a coroutine."""

    async def handler(order):
        raise error

    (one,) = handled(handler, message(order())).routed()
    assert one.failure.fqcn.endswith(type(error).__qualname__)


def test_an_exit_in_a_subtask_fails_its_own_order_only() -> None:
    """The loop is made anew: what was left inside must not go on beside the next order."""

    async def leave(order):
        if order["orderId"] == "id-0":
            raise SystemExit(1)

    async def handler(order):
        await asyncio.gather(leave(order))

    batch = handled(handler, *(message(order(n), offset=n) for n in range(3)))
    assert [one.origin.offset for one in batch.routed()] == [0]


def test_a_result_beyond_what_the_topic_takes_is_a_dead_letter() -> None:
    """Not a transaction that can never be committed."""
    results = Results(repr)
    results.most_bytes = 3
    assert results.take(b"123") == b"123"
    with pytest.raises(PermanentError, match="has 4 bytes, the output topic takes 3"):
        results.take(b"1234")


def test_a_handler_that_does_not_come_back_is_told_of() -> None:
    """Its record, and how long; not one that comes back."""
    told, free = [], threading.Event()
    desk = Desk(RetryPolicy(), source_is_retry=False)
    handling = Handling(Contract().reader(FORMAT.decode), lambda order: free.wait(10), desk, Results())
    with watched(desk, lambda record, seconds: told.append((record, seconds)), every=0.02):
        busy = threading.Thread(target=handling.handle, args=([message(order(), offset=4)], Batch(), Alarm()))
        busy.start()
        eventually(lambda: len(told) > 1, 5)
        free.set()
        busy.join()
    assert told[0][0] == "orders/0/4"
    assert told[1][1] > told[0][1]
