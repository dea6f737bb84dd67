"""The order contract, fingerprints and settings."""

import json
from pathlib import Path

import pytest

from kafka_orders.domain.errors import InvalidOrderError, SettingsError
from kafka_orders.domain.fingerprint import describe, mask
from kafka_orders.domain.order import Contract
from kafka_orders.domain.secrets import redacted
from kafka_orders.domain.settings import DECLARED, Layer, Settings, build
from kafka_orders.sources import as_environment, from_environment, load, load_with_sources

GOOD = {"orderId": "a", "product": "Item1", "price": 1.5}


def test_a_good_order_gives_product_and_price() -> None:
    """Zero is a price."""
    assert Contract().validator()(GOOD) == ("Item1", 1.5)
    assert Contract().validator()({**GOOD, "price": 0.0}) == ("Item1", 0.0)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"price": float("nan")}, "nan"), ({"price": float("inf")}, "inf"), ({"price": -0.01}, "-0.01"),
        ({"price": 2.0**900}, "finite"), ({"price": "1"}, "not a number"), ({"price": None}, "not a number"),
        ({"orderId": ""}, "orderId is empty"),
    ],
)  # fmt: skip
def test_what_cannot_be_counted_is_invalid(change, says) -> None:
    """The message names the field."""
    with pytest.raises(InvalidOrderError, match=says):
        Contract().validator()({**GOOD, **change})


@pytest.mark.parametrize("field", ["price", "product", "orderId"])
def test_a_missing_field_is_invalid(field) -> None:
    """And named."""
    with pytest.raises(InvalidOrderError, match=field):
        Contract().validator()({key: value for key, value in GOOD.items() if key != field})


def raised(error: Exception, where: int = 1) -> Exception:
    try:
        if where == 1:
            raise error
        other(error)
    except Exception as caught:
        return caught
    raise AssertionError


def other(error: Exception) -> None:
    raise error


def test_equal_failures_have_equal_fingerprints() -> None:
    """Numbers, ids and quoted texts do not tell failures apart; class and place do."""
    one = describe(raised(ValueError("order 17 of 'Ann' at 0a3f-99")), "process")
    two = describe(raised(ValueError("order 8812 of 'Bob' at ffff-01")), "process")
    assert one.fingerprint == two.fingerprint
    assert len(one.fingerprint) == 16
    assert describe(raised(KeyError("order 17")), "process").fingerprint != one.fingerprint
    assert (
        describe(raised(ValueError("order 17 of 'Ann' at 0a3f-99"), 2), "process").fingerprint != one.fingerprint
    )
    assert mask("a1b2c3d4 and 42") == "# and #"


def test_a_failure_tells_class_message_and_stack() -> None:
    """The stack only where it is wanted; an error without a message says its class."""
    told = describe(raised(ValueError("no")), "process")
    assert (told.message, told.fqcn, told.stage) == ("no", "builtins.ValueError", "process")
    assert "in raised" in told.stack
    assert describe(raised(ValueError()), "decode", with_stack=False).stack == ""
    assert describe(ValueError(), "decode").message == "builtins.ValueError"


def test_stronger_sources_win() -> None:
    """Flags, environment, .env, TOML, program, defaults."""
    layers = [Layer("a", {"count": "1"}), Layer("b", {"count": "2", "rate": "5"}), Layer("c", {"rate": "7"})]
    settings, sources = build(layers)
    assert (settings.count, settings.rate, settings.topic) == (1, 5.0, "orders")
    assert sources == {"count": "a", "rate": "b"}


def test_files_and_environment_are_read(tmp_path: Path) -> None:
    """All sources at once, in their order."""
    (tmp_path / ".env").write_text("KAFKA_ORDERS_RATE=3\nKAFKA_ORDERS_COUNT=3\nOTHER=1\n")
    (tmp_path / "kafka-orders.toml").write_text(
        'rate = 4\nseed = 4\nfail = ["A", "B"]\n[kafka]\n"client.rack" = "r"\n'
    )
    settings, sources = load_with_sources(
        {"topic": "t", "seed": None},
        environ={"KAFKA_ORDERS_COUNT": "2"},
        folder=tmp_path,
        defaults={"max_retries": 9},
    )
    assert (settings.topic, settings.count, settings.rate, settings.seed) == ("t", 2, 3.0, 4)
    assert (settings.fail, settings.kafka, settings.max_retries) == (("A", "B"), {"client.rack": "r"}, 9)
    assert sources["rate"] == ".env"
    assert Path(settings.home).is_absolute()


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"tpoic": "x"}, "did you mean topic"), ({"count": "many"}, "count = 'many'"),
        ({"count": "-1"}, "0 or more"), ({"retry_jitter": "nan"}, "retry_jitter"), ({"partitions": "0"}, "1 to"),
        ({"group_protocol": "new"}, "none of classic, consumer"), ({"kafka": "novalue"}, "kafka"),
        ({"topic": 5}, "topic"), ({"rate": "inf"}, "rate"), ({"seed": "1.5"}, "seed"),
    ],
)  # fmt: skip
def test_impossible_values_name_setting_and_source(values, says) -> None:
    """A usage error that can be acted on."""
    with pytest.raises(SettingsError, match=says) as refused:
        build([Layer("kafka-orders.toml", values)])
    assert "kafka-orders.toml" in str(refused.value)
    assert refused.value.exit_code == 2


def test_unreadable_files_are_settings_errors(tmp_path: Path) -> None:
    """The file is named."""
    (tmp_path / "kafka-orders.toml").write_text("= 1")
    with pytest.raises(SettingsError, match=r"kafka-orders\.toml"):
        load(environ={}, folder=tmp_path)


def test_secrets_are_masked() -> None:
    """Passwords never, locations always."""
    kafka = {"sasl.password": "hush", "ssl.key.password": "hush", "ssl.ca.location": "/ca.pem"}
    shown = json.dumps(redacted(Settings(kafka=kafka)))
    assert "hush" not in shown
    assert "/ca.pem" in shown


def test_a_child_gets_the_same_settings(tmp_path: Path) -> None:
    """Through its environment; commas inside client properties survive."""
    settings = load(
        {"fail": ["A", "B"], "seed": 3}, defaults={"kafka": {"sasl.password": "a,b", "client.rack": "r"}},
        environ={}, folder=tmp_path,
    )  # fmt: skip
    assert load(environ=as_environment(settings), folder=tmp_path) == settings


def test_a_module_may_ask_the_environment_at_import(monkeypatch) -> None:
    """One setting, no file."""
    monkeypatch.delenv("KAFKA_ORDERS_MAX_RETRIES", raising=False)
    assert from_environment("max_retries") == 3
    monkeypatch.setenv("KAFKA_ORDERS_MAX_RETRIES", "5")
    assert from_environment("max_retries") == 5


def test_every_setting_says_what_it_is() -> None:
    """The table feeds help texts and reference pages."""
    assert all(one.metadata["about"] for one in DECLARED.values())
