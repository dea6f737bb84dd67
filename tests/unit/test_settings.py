"""Settings: one table, strong sources first, impossible values refused by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.errors import RefusedError, SettingsError
from kafka_orders.domain.secrets import redacted, refuse_readable_secret
from kafka_orders.domain.settings import (
    DECLARED,
    Layer,
    Settings,
    build,
    env_name,
)


def built(**values) -> Settings:
    return build([Layer("here", values)])[0]


BOUNDED = [(name, one.metadata) for name, one in DECLARED.items() if "least" in one.metadata]
FLOATS = [name for name, one in DECLARED.items() if one.type == "float"]


@pytest.mark.parametrize(("name", "rules"), BOUNDED, ids=[name for name, _ in BOUNDED])
def test_bounds_belong_to_the_range_and_nothing_beyond_does(name, rules) -> None:
    """Least and most are accepted, one less and one more are refused."""
    inside = [rules["least"]] + ([rules["most"]] if "most" in rules else [10**15])
    for value in inside:
        assert getattr(built(**{name: str(value)}), name) == value
    for value in [rules["least"] - 1] + ([rules["most"] + 1] if "most" in rules else []):
        with pytest.raises(SettingsError, match=f"here: {name} = '{value}' is not {rules['least']}"):
            built(**{name: str(value)})


@pytest.mark.parametrize("name", FLOATS)
@pytest.mark.parametrize("value", ["nan", "inf", "-inf", float("nan"), float("inf")])
def test_what_is_no_finite_number_is_refused(name, value) -> None:
    """NaN compares false with every bound; it is refused all the same."""
    with pytest.raises(SettingsError, match=f"here: {name}"):
        built(**{name: value})


@pytest.mark.parametrize("name", [name for name, one in DECLARED.items() if str(one.type).startswith("int")])
@pytest.mark.parametrize("value", ["", "x", "1.5", "1e3", 1.5, True, [1]])
def test_a_whole_number_is_one(name, value) -> None:
    """No rounding, no booleans."""
    with pytest.raises(SettingsError, match=f"here: {name} = .* is not a whole number"):
        built(**{name: value})


@given(st.lists(st.dictionaries(st.sampled_from(["count", "seed", "batch_ms"]), st.integers(1, 100)), max_size=6))
def test_the_first_source_that_sets_a_value_wins(found) -> None:
    """For each setting by itself, and the source is told."""
    settings, sources = build([Layer(str(number), values) for number, values in enumerate(found)])
    for name in ("count", "seed", "batch_ms"):
        setting = [(values[name], str(number)) for number, values in enumerate(found) if name in values]
        expected = setting[0] if setting else (DECLARED[name].default, None)
        assert (getattr(settings, name), sources.get(name)) == expected


def test_a_weak_source_is_checked_for_names_too() -> None:
    """A typing error in a file is told even where a flag is stronger."""
    with pytest.raises(SettingsError, match="weak: there is no setting tpoic; did you mean topic"):
        build([Layer("strong", {"topic": "x"}), Layer("weak", {"tpoic": "y"})])


def test_an_unknown_name_that_resembles_nothing_has_no_hint() -> None:
    """No guess is better than a wild one."""
    with pytest.raises(SettingsError) as refused:
        built(qqqqqq="x")
    assert str(refused.value) == "here: there is no setting qqqqqq"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("", {}), ("a=1", {"a": "1"}), ("a=1, b.c=2", {"a": "1", "b.c": "2"}), ("a=x,y", {"a": "x,y"}),
        ("a=x,y,b=z", {"a": "x,y", "b": "z"}), ("a=b=c", {"a": "b=c"}), ("a=", {"a": ""}),
        (("a=1", "b=x,y"), {"a": "1", "b": "x,y"}), (["a=1,b=2"], {"a": "1,b=2"}), ({"a": "1"}, {"a": "1"}),
    ],
)  # fmt: skip
def test_client_properties_are_pairs(raw, expected) -> None:
    """From one text, from repeated flags, from a table; a comma inside a value stays."""
    assert built(kafka=raw).kafka == expected


@pytest.mark.parametrize("raw", ["x", "=1", "x,a=1", ["a"], 5])
def test_what_is_no_pair_is_refused(raw) -> None:
    """With the setting's name."""
    with pytest.raises(SettingsError, match=r"here: kafka = .* is not key=value"):
        built(kafka=raw)


@pytest.mark.parametrize(("raw", "expected"), [("", ()), ("A", ("A",)), ("A, B,,", ("A", "B")), (["A"], ("A",))])
def test_lists_are_separated_by_commas(raw, expected) -> None:
    """Blanks do not count."""
    assert built(fail=raw).fail == expected


@pytest.mark.parametrize("name", ["topic", "handler", "log_format"])
@pytest.mark.parametrize("value", [5, None, ["a"], True])
def test_a_text_is_a_text(name, value) -> None:
    """A number in a file is not silently a name."""
    with pytest.raises(SettingsError, match=f"here: {name} = .* is not a text"):
        built(**{name: value})


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        ("sasl.password", True), ("ssl.keystore.password", True), ("ssl.key.pem", True),
        ("sasl.jaas.config", True),
        ("sasl.oauthbearer.client.secret", True), ("ssl.key.location", False), ("sasl.username", False),
        ("client.rack", False),
    ],
)  # fmt: skip
def test_only_secrets_are_masked(name, hidden) -> None:
    """The mask does not tell how long the secret is."""
    shown = redacted(Settings(kafka={name: "hush"}))["kafka"][name]
    assert shown == ("********" if hidden else "hush")


@pytest.mark.parametrize("protocol", ["SASL_PLAINTEXT", "sasl_plaintext", "SASL_SSL", "PLAINTEXT", None])
@pytest.mark.parametrize("mechanism", ["PLAIN", "Plain", "OAUTHBEARER", "SCRAM-SHA-512", None])
@pytest.mark.parametrize("name", ["sasl.mechanism", "sasl.mechanisms"])
def test_a_readable_password_is_refused_unless_allowed(name, mechanism, protocol) -> None:
    """Only where one is sent: with a mechanism that sends it, over SASL without TLS."""
    given = {"security.protocol": protocol, name: mechanism, "sasl.password": "hush"}
    kafka = {name: value for name, value in given.items() if value}
    settings = Settings(kafka=kafka)
    if (protocol or "").upper() == "SASL_PLAINTEXT" and (mechanism or "").upper() in ("PLAIN", "OAUTHBEARER"):
        with pytest.raises(RefusedError, match="KAFKA_ORDERS_PLAIN_WITHOUT_TLS=allow") as refused:
            refuse_readable_secret(settings)
        assert "hush" not in str(refused.value)
        assert refused.value.exit_code == 4
    else:
        refuse_readable_secret(settings)
    refuse_readable_secret(Settings(kafka=kafka, plain_without_tls="allow"))


def test_redacting_shows_every_setting_and_changes_none() -> None:
    """What is shown is what is in force."""
    settings = Settings(kafka={"sasl.password": "hush"}, fail=("A",), topic="t")
    shown = redacted(settings)
    assert shown.keys() == DECLARED.keys()
    assert (shown["topic"], shown["fail"], shown["seed"]) == ("t", ["A"], None)
    assert settings.kafka == {"sasl.password": "hush"}


def test_the_policy_is_that_of_the_settings() -> None:
    """And the retry topic has two partitions per band."""
    settings = built(max_retries="5", retry_delay_ms="7", retry_jitter="0.5")
    assert (settings.policy.max_retries, settings.policy.delay_ms, settings.policy.jitter) == (5, 7, 0.5)
    assert (settings.retry_partitions, Settings().retry_partitions) == (12, 8)
    assert env_name("max_retries") == "KAFKA_ORDERS_MAX_RETRIES"


def test_every_default_satisfies_its_own_rules() -> None:
    """What the table declares could be set by hand."""
    for name in DECLARED:
        default = getattr(Settings(), name)
        assert getattr(built(**{name: default}), name) == default


def test_the_numbers_are_those_of_the_contract() -> None:
    """Default, least and most of each, as the design has them: a change here is a change for users."""
    assert {name: (DECLARED[name].default, rules["least"], rules.get("most")) for name, rules in BOUNDED} == {
        "partitions": (6, 1, 10_000), "max_retries": (3, 0, 100), "retry_delay_ms": (2_000, 0, 3_600_000),
        "retry_jitter": (0.1, 0.0, 1.0), "breaker": (0.9, 0.0, 1.0),
        "metrics_port": (0, 0, 65_535),
        "batch_size": (20_000, 1, 1_000_000), "batch_ms": (50, 1, 60_000),
        "rate": (1.0, 0.0, None), "count": (0, 0, None), "session_timeout_ms": (10_000, 1_000, 1_800_000),
    }  # fmt: skip
