"""kafka_orders.testing and the App it builds on: outcomes without a broker, by the worker's own code."""

from __future__ import annotations

import asyncio
import doctest
import json
from pathlib import Path

import pytest

from kafka_orders import (
    App,
    PermanentError,
    RetryAfter,
    Settings,
    TemporaryError,
    send_to_dlq,
    send_to_retry,
    testing,
)
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import Layer, build
from kafka_orders.formats.avro import AvroFormat
from kafka_orders.testing import Outcome, outcomes, settled

ORDER = {"orderId": "1", "product": "Tea", "price": 4.5}
PAYMENT = {
    "type": "record",
    "name": "Payment",
    "fields": [
        {"name": "iban", "type": "string"},
        {"name": "country", "type": "string"},
        {"name": "amount", "type": "double"},
    ],
}
PAID = {"iban": "DE1", "country": "DE", "amount": 12.5}


def fail_with(error: BaseException):
    def handler(order):
        raise error

    return handler


def payments(handler, **more) -> App:
    return App(handler, schema=PAYMENT, value_field="amount", group_by="country", id_field="iban", **more)


def test_the_docstrings_example_holds() -> None:
    """It is what a reader tries first."""
    assert doctest.testmod(testing).failed == 0


OURS = "kafka_orders.domain.errors."


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (TemporaryError("later"), Outcome("retry", 1, 2.0, "later", OURS + "TemporaryError", "process")),
        (RetryAfter(7.5), Outcome("retry", 1, 7.5, "retry after 7.5 s", OURS + "RetryAfter", "process")),
        (PermanentError("no"), Outcome("dead", 0, 0.0, "no", OURS + "PermanentError", "process")),
        (KeyError("x"), Outcome("dead", 0, 0.0, "'x'", "builtins.KeyError", "process")),
    ],
)
def test_what_a_handler_raises_is_an_outcome(error, expected) -> None:
    """The same as in a role."""
    assert outcomes(fail_with(error), [ORDER]) == [expected]


def test_the_journey_of_an_order_is_played_without_waiting() -> None:
    """Three retries, each told its number, then dead; or processed when it succeeds at last."""
    tried = []

    def handler(order, meta):
        tried.append(meta.attempt)
        if meta.attempt < 2:
            raise ConnectionError("down")

    assert [one.kind for one in settled(handler, ORDER)] == ["retry", "retry", "processed"]
    assert tried == [0, 1, 2]
    journey = settled(fail_with(TimeoutError()), ORDER)
    assert [(one.kind, one.attempt, one.wait) for one in journey] == [
        ("retry", 1, 2.0), ("retry", 2, 4.0), ("retry", 3, 8.0), ("dead", 3, 0.0),
    ]  # fmt: skip
    assert [one.kind for one in settled(fail_with(TimeoutError()), ORDER, settings=Settings(max_retries=1))] == [
        "retry", "dead",
    ]  # fmt: skip


def test_an_invalid_order_says_its_stage() -> None:
    """Decode and validate come before the handler."""
    kinds = outcomes(fail_with(AssertionError()), [b"", {**ORDER, "price": float("nan")}, None])
    assert [(one.kind, one.stage) for one in kinds] == [("dead", "decode"), ("dead", "validate"), ("skipped", "")]


def test_an_app_with_a_schema_of_its_own() -> None:
    """Its fields are the id, the value and the group; what it returns is its output."""

    async def handler(payment):
        return {**payment, "amount": payment["amount"] * 2}

    (paid,) = outcomes(payments(handler, output_topic="doubled"), [PAID])
    assert AvroFormat(PAYMENT).decode(paid.output or b"") == {**PAID, "amount": 25.0}
    (without,) = outcomes(payments(handler), [PAID])
    assert (without.kind, without.output) == ("processed", None)
    (empty,) = outcomes(payments(handler), [{**PAID, "iban": ""}])
    assert (empty.kind, empty.error) == ("dead", "field iban is empty")


def test_a_schema_may_be_text_bytes_a_file_or_a_dict(tmp_path: Path) -> None:
    """Also a file that a setting names, which is stronger."""
    file = tmp_path / "payment.avsc"
    file.write_text(json.dumps(PAYMENT))
    for schema in (json.dumps(PAYMENT), json.dumps(PAYMENT).encode(), file, str(file), PAYMENT):
        app = App(schema=schema, value_field="amount", group_by="country")
        assert outcomes(app, [PAID])[0].kind == "processed"
    named = Settings(schema=str(file), value_field="amount", group_by="country")
    assert outcomes(App(), [b"\x06DE1\x04DE" + b"\0" * 8], settings=named)[0].kind == "processed"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"value_field": "price"},
            "value_field = 'price' is no field of the schema, which has iban",
        ),
        ({"group_by": "land"}, "group_by = 'land'"),
        ({"id_field": "uid"}, "id_field = 'uid'"),
        ({"schema": "no-such.avsc"}, "schema = 'no-such.avsc' cannot be read"),
        ({"schema": '"nonsense"'}, "cannot be"),
        ({"schema": '["null", "string"]'}, "no field of the schema"),
        ({"name": ""}, ""),
    ],
)
def test_an_app_that_cannot_work_is_refused_at_once(change, says) -> None:
    """By the name of what is wrong."""
    fields = {"schema": PAYMENT, "value_field": "amount", "group_by": "country", "id_field": "iban", **change}
    if not says:
        assert App(**fields).settings(apart=True).topic == "orders"
        return
    with pytest.raises(SettingsError, match=says):
        outcomes(App(**fields), [PAID])


def test_a_decoder_of_ones_own_needs_no_schema() -> None:
    """JSON, say; without an id where there is none."""
    app = App(decode=json.loads, value_field="amount", group_by="country", id_field=None)
    kinds = outcomes(app, [json.dumps(PAID).encode(), b"{", b"[]"])
    assert [one.kind for one in kinds] == ["processed", "dead", "dead"]
    with pytest.raises(ValueError, match="hand in bytes"):
        outcomes(app, [PAID])
    returning = App(lambda paid: paid, decode=json.loads, value_field="amount", group_by="country", id_field=None,
                    output_topic="out")  # fmt: skip
    assert "give encode=" in outcomes(returning, [json.dumps(PAID).encode()])[0].error


def test_one_event_loop_serves_all_orders_of_a_role() -> None:
    """A client that is bound to its loop works as in production."""
    loops = []

    async def handler(order):
        loops.append(asyncio.get_running_loop())

    outcomes(handler, [ORDER, ORDER])
    assert loops[0] is loops[1]


def test_a_retry_by_hand_comes_to_an_end() -> None:
    """Also where the handler leaves out the count."""

    def handler(order):
        send_to_retry(None, "again")

    assert [one.kind for one in settled(handler, ORDER)] == ["retry", "retry", "retry", "dead"]


def test_an_interrupt_is_the_tests_not_the_handlers() -> None:
    """Ctrl-C ends the test."""
    with pytest.raises(KeyboardInterrupt):
        outcomes(fail_with(KeyboardInterrupt()), [ORDER])


def test_more_errors_may_be_temporary() -> None:
    """Those of the caller's own client, for instance."""
    assert outcomes(App(fail_with(KeyError()), retry_on=(LookupError,)), [ORDER])[0].kind == "retry"


def test_a_name_names_topics_and_groups_and_each_may_be_named_apart() -> None:
    """The defaults are those of the name orders."""
    found = App(name="payments", defaults={"dlq_topic": "graveyard"}).settings(apart=True)
    assert (found.topic, found.retry_topic, found.dlq_topic) == ("payments", "payments_retry", "graveyard")
    assert (found.group, found.averages_topic) == ("payments-consumer-group", "payments_averages")
    assert App(name="orders").settings(apart=True) == App().settings(apart=True)


def test_the_stronger_source_of_a_name_wins_whole() -> None:
    """A flag's --name is not mixed with a topic from a weaker source; the same source may name one apart."""
    found, _ = build([Layer("flag", {"name": "shop"}), Layer("env", {"topic": "orders", "dlq_topic": "dead"})])
    assert (found.topic, found.dlq_topic, found.group) == ("shop", "shop_dlq", "shop-consumer-group")
    apart, _ = build([Layer("env", {"name": "shop", "topic": "sold"})])
    assert (apart.topic, apart.retry_topic) == ("sold", "shop_retry")


SHARED = [{"output_topic": "orders"}, {"retry_topic": "orders_dlq"}, {"topic": "orders_averages"}]


@pytest.mark.parametrize("change", SHARED)
def test_one_topic_in_two_places_is_refused(change) -> None:
    """What is written there would come back as something else."""
    with pytest.raises(SettingsError, match="each needs a topic of its own"):
        App(defaults=change).settings(apart=True)


def test_a_send_by_hand_is_an_outcome_here_too() -> None:
    """As inside a batch."""

    def handler(order):
        send_to_dlq(None, "not today")

    assert outcomes(handler, [ORDER])[0].error == "not today"
