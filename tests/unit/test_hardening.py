"""What strangers can do: hostile values, odd decoders, secrets in odd places, each once a defect."""

import functools
import json
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest

from kafka_orders.deadletters.watch import describe
from kafka_orders.domain.averages import tally
from kafka_orders.domain.errors import InvalidOrderError, RefusedError, SettingsError
from kafka_orders.domain.fingerprint import mask
from kafka_orders.domain.order import Contract
from kafka_orders.domain.policy import Retry
from kafka_orders.domain.records import Slot, dump_shard, load_progress, load_shard, parse_key, shard_key
from kafka_orders.domain.secrets import redacted
from kafka_orders.domain.settings import Layer, Settings, build
from kafka_orders.pipeline.desk import send_to_retry
from kafka_orders.pipeline.handlers import checked
from kafka_orders.sources import as_environment, load
from kafka_orders.views.console import failure_line
from tests.unit.test_handling import fail_with, generator, handled
from tests.unit.values import CODEC, message, order

PROGRESS = '{"v":1,"group":"g","next_offset":%s,"processed":0,"retried":0,"dead":0,"skipped":0}'
SHARD = '{"v":1,"count":%s,"sum":%s,"min":1,"max":1,"average":1,"next_offset":3}'


class Unsayable(Exception):
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_an_error_that_cannot_be_told_is_an_outcome_too() -> None:
    """A handler's exception whose text fails sends one order to the queue, and stops nothing."""
    assert len(handled(fail_with(Unsayable()), message(order())).routed()) == 1


def test_a_send_function_that_exits_leaves_the_policys_outcome() -> None:
    """As a handler that exits does."""
    batch = handled(fail_with(ValueError()), message(order()), to_dlq=lambda *_: sys.exit(3))
    assert len(batch.routed()) == 1


@pytest.mark.parametrize("text", ["1" * 10_000 + "g", "a-" * 5_000])
def test_a_long_message_is_masked_in_no_time(text) -> None:
    """10 KB, which any order id can hold, take under a tenth of a second (1 MB would take hours)."""
    start = time.process_time()
    mask(text)
    assert time.process_time() - start < 0.1


def test_an_apostrophe_is_no_quotation_mark() -> None:
    """One bug has one fingerprint."""
    assert mask("can't find 'Ann'") == mask("can't find 'Bob'")


@pytest.mark.parametrize("count", [-2, -9])
def test_a_negative_count_by_hand_is_retry_1(count) -> None:
    """Retry(-8) would be routed to a partition that does not exist, for ever."""
    batch = handled(lambda _: send_to_retry(None, "later", count), message(order()))
    assert batch.routed()[0].decision == Retry(1)


@pytest.mark.parametrize("handler", [generator])
def test_a_partial_of_what_never_runs_is_refused(handler) -> None:
    """It would be counted without having run."""
    with pytest.raises(SettingsError):
        checked(functools.partial(handler))


@pytest.mark.parametrize("decoded", [None, [1], "text"])
def test_what_is_no_mapping_is_an_invalid_order(decoded) -> None:
    """A decoder of JSON may return anything."""
    with pytest.raises(InvalidOrderError):
        Contract().validator()(decoded)


def test_what_validation_lets_through_can_be_written() -> None:
    """An Avro decimal is decoded to Decimal; the worker dies when it writes its shard."""
    _, value = Contract().validator()({"orderId": "a", "product": "A", "price": Decimal("1.5")})
    assert load_shard(dump_shard(tally([value]), 1)).tally == tally([1.5])


def test_a_product_that_is_not_unicode_is_invalid() -> None:
    """JSON decodes half a surrogate pair, which no state key can hold."""
    found = {"orderId": "a", "product": json.loads('"\\ud800"'), "price": 1.0}
    with pytest.raises(InvalidOrderError, match="not Unicode"):
        Contract().validator()(found)
    product, _ = Contract().validator()({**found, "product": "Größe/1"})
    assert parse_key(shard_key(Slot("orders", 0), product)) == (Slot("orders", 0), "Größe/1")


@pytest.mark.parametrize(
    ("load_it", "value"),
    [
        (load_progress, PROGRESS % "1e999"), (load_progress, PROGRESS % "-5"), (load_progress, PROGRESS % "3.7"),
        (load_shard, SHARD % ("1e999", "1")), (load_shard, SHARD % ("1", "1" + "0" * 400)),
        (load_shard, SHARD % ("1", "1e999")), (load_shard, SHARD % ("1", "NaN")),
        (load_shard, SHARD % ("-1", "1")), (load_shard, "[" * 200_000),
    ],
    ids=range(9),
)  # fmt: skip
def test_impossible_figures_are_refused(load_it, value) -> None:
    """Garbage in the averages topic is a refusal with a way out, not a traceback and not a count."""
    with pytest.raises(RefusedError):
        load_it(value.encode())


@pytest.mark.parametrize(
    "key", ["orders/ 3", "orders/1_0", "orders/-1", "orders/٣", "orders/03/Item1", "orders/+3"]
)
def test_only_keys_as_we_write_them_are_ours(key) -> None:
    """`orders/03/Item1` would replace the shard of `orders/3/Item1` at the next restore."""
    assert parse_key(key.encode()) is None


def test_a_float_is_called_a_number() -> None:
    """`rate = 'fast' is not a text` is no help."""
    with pytest.raises(SettingsError) as refused:
        build([Layer("here", {"rate": "fast"})])
    assert str(refused.value) == "here: rate = 'fast' is not a number"


@pytest.mark.parametrize("values", [{"fail": [1]}, {"kafka": [1]}, {"rate": 10**400}])
def test_wrong_kinds_in_a_toml_file_are_settings_errors(values) -> None:
    """Exit 2, not a traceback."""
    with pytest.raises(SettingsError):
        build([Layer("kafka-orders.toml", values)])


def test_dotted_toml_keys_are_client_properties_and_masked(tmp_path: Path) -> None:
    """`sasl.password = "hush"` under `[kafka]` is what everybody writes; it is shown in clear."""
    (tmp_path / "kafka-orders.toml").write_text('[kafka]\nsasl.password = "hush"\n')
    settings = load(environ={}, folder=tmp_path)
    assert "hush" not in json.dumps(redacted(settings))
    assert settings.kafka == {"sasl.password": "hush"}


@pytest.mark.parametrize("name", ["pem", "passphrase"])
def test_the_private_key_of_oauth_is_a_secret(name) -> None:
    """Properties of librdkafka since 2.11."""
    kafka = {f"sasl.oauthbearer.assertion.private.key.{name}": "hush"}
    assert "hush" not in json.dumps(redacted(Settings(kafka=kafka)))


def test_a_complaint_does_not_tell_a_secret() -> None:
    """A typing error beside a password must not print the password."""
    with pytest.raises(SettingsError) as refused:
        build([Layer("environment", {"kafka": "novalue,sasl.password=hush"})])
    assert "hush" not in str(refused.value)


@pytest.mark.parametrize("password", ["a,b=c", " blank "])
def test_a_child_gets_any_password(password, tmp_path: Path) -> None:
    """What is joined is split again at the same places."""
    settings = load(defaults={"kafka": {"sasl.password": password}}, environ={}, folder=tmp_path)
    assert load(environ=as_environment(settings), folder=tmp_path).kafka == settings.kafka


def test_a_strangers_origin_is_shown_safely() -> None:
    """Its topic is a text from a header."""
    held = [("x-original-topic", b"\x1b[2J"), ("x-original-partition", b"1"), ("x-original-offset", b"7")]
    assert "\x1b" not in describe(message(order(), headers=held), CODEC.decode)


def test_a_dead_letter_is_shown_with_any_decoder() -> None:
    """An app's own decoder raises what it likes; the worker takes it, the viewer must."""
    assert "<could not decode>" in describe(message(b"x"), lambda value, _headers: json.loads(value))


def test_a_failure_line_is_safe_and_one_line() -> None:
    """As in the dead letter viewer."""
    batch = handled(fail_with(ValueError("\x1b[2J\nsecond")), message(order(), key=b"\x1b[2J"))
    line = failure_line(batch.routed()[0])
    assert "\x1b" not in line
    assert "\n" not in line
