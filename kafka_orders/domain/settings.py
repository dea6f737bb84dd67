"""Every setting: its name, meaning, unit and default, declared once.

The command line, the environment (``KAFKA_ORDERS_`` + NAME), `.env`, `kafka-orders.toml` and the
reference pages are derived from this table. Reading the sources is ``kafka_orders/sources.py``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from difflib import get_close_matches
from typing import Any

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.policy import RetryPolicy


class FileContent(str):
    """A value that a file held, which no error repeats."""

    __slots__ = ()


ENV_PREFIX = "KAFKA_ORDERS_"
#: Settings that are a client's properties: resolved one by one, and perhaps secret.
PROPERTIES = ("kafka", "registry")
#: Where brokers are asked for when nothing else is said.
DEFAULT_BOOTSTRAP = "localhost:9092"
#: Property names whose values never appear in output.
_SECRET = (
    "password",
    "passphrase",
    "secret",
    "jaas",
    "credential",
    "token",
    "ssl.key",
    "private.key",
    "user.info",
)


def _setting(default: Any, about: str, **more: Any) -> Any:
    metadata = {"about": about, **more}
    if isinstance(default, dict):
        return field(default_factory=dict, metadata=metadata)
    return field(default=default, metadata=metadata)


@dataclass(frozen=True, slots=True)
class Settings:
    """All settings of a process, resolved."""

    bootstrap_servers: str = _setting(DEFAULT_BOOTSTRAP, "brokers to ask first, host:port, comma-separated")
    home: str = _setting("", "folder for broker data, locks and downloads; default: the user's data folder")
    name: str = _setting("orders", "name of the pipeline: its topics are NAME, NAME_retry, …, its groups NAME-…")
    topic: str = _setting("orders", "the orders topic")
    retry_topic: str = _setting("orders_retry", "failed orders that wait for their next try")
    dlq_topic: str = _setting("orders_dlq", "the dead letter queue")
    averages_topic: str = _setting("orders_averages", "the running state, compacted")
    dlq_status_topic: str = _setting("orders_dlq_status", "what became of each dead letter, compacted")
    group: str = _setting("orders-consumer-group", "consumer group of main")
    retry_group: str = _setting("orders-retry-group", "consumer group of retry")
    dlq_group: str = _setting("orders-dlq-group", "consumer group of the dead letter viewer")
    partitions: int = _setting(6, "partitions of a topic that is created", least=1, most=10_000)
    max_retries: int = _setting(3, "retries before an order is dead", least=0, most=100)
    retry_delay_ms: int = _setting(2_000, "first delay in ms; each next one doubles", least=0, most=3_600_000)
    retry_jitter: float = _setting(0.1, "fraction of the delay that may be added", least=0.0, most=1.0)
    batch_size: int = _setting(20_000, "most orders in one transaction", least=1, most=1_000_000)
    batch_ms: int = _setting(50, "longest gathering of one transaction, in ms", least=1, most=60_000)
    handler: str = _setting("", "your handler, as module:function")
    breaker: float = _setting(
        0.9, "share of temporary failures in the last 100 records that is an outage; 0: none", least=0.0, most=1.0
    )
    probe: str = _setting("", "function that fails while what your handler needs is away, as module:function")
    format: str = _setting(
        "",
        "format of orders that do not tell theirs; default: the schema's, avro",
        choices=("", "avro", "json", "protobuf"),
    )
    schema: str = _setting(
        "",
        "file of the records' schema (.avsc, .json, .proto#Message); default: the order's; several by commas",
    )
    content_type: str = _setting(
        "unless-avro", "when orders are sent with a content-type header", choices=("unless-avro", "always")
    )
    registry_url: str = _setting("", "address of a schema registry (Confluent's API); default: none, no frames")
    registry: Mapping[str, str] = _setting({}, "properties of the registry's client, key=value")
    subject_strategy: str = _setting(
        "topic", "how schemas are named in the registry", choices=("topic", "record", "topic-record")
    )
    schema_id_in: str = _setting(
        "frame", "with a registry, where written orders tell their schema's id", choices=("frame", "header")
    )
    subjects: tuple[str, ...] = _setting((), "more subjects of the registry whose schemas are trusted")
    id_field: str = _setting("", "field that must not be empty; default: orderId where the schema has it")
    value_field: str = _setting("price", "field whose average is kept")
    group_by: str = _setting("product", "field whose every value has an average of its own")
    output_topic: str = _setting("", "topic for what the handler returns; default: nowhere")
    fail: tuple[str, ...] = _setting((), "products that fail with a simulated temporary error")
    rate: float = _setting(1.0, "orders produced per second; 0 = as fast as possible", least=0.0)
    count: int = _setting(0, "orders to produce; 0 = for ever", least=0)
    seed: int | None = _setting(None, "seed of the random orders; default: another one each time")
    epoch: str = _setting(
        "when-suspect", "when a producer takes a new epoch", choices=("when-suspect", "per-transaction")
    )
    instance_id: str = _setting("", "this instance; default: host name and a hash of home")
    group_protocol: str = _setting("classic", "rebalance protocol", choices=("classic", "consumer"))
    session_timeout_ms: int = _setting(10_000, "a dead member is noticed after, ms", least=1_000, most=1_800_000)
    log_format: str = _setting("text", "format of log lines", choices=("text", "json"))
    knobs: str = _setting("", "file of live controls, written by the page of `up`; default: none")
    metrics_port: int = _setting(0, "port of a role's Prometheus metrics; 0: none", least=0, most=65_535)
    metrics_host: str = _setting("127.0.0.1", "address that the metrics are told at")
    plain_without_tls: str = _setting("refuse", "SASL PLAIN without TLS", choices=("refuse", "allow"))
    kafka: Mapping[str, str] = _setting({}, "librdkafka properties passed through, key=value")

    @property
    def policy(self) -> RetryPolicy:
        """The retry policy these settings describe."""
        return RetryPolicy(self.max_retries, self.retry_delay_ms, self.retry_jitter)

    @property
    def retry_partitions(self) -> int:
        """Partitions of a retry topic that is created: two per band, band 0 for replays."""
        return 2 * (self.max_retries + 1)


@dataclass(frozen=True, slots=True)
class Layer:
    """Raw values from one source, by setting name; ``name`` is what an error calls the source."""

    name: str
    values: Mapping[str, Any]


#: Name of every setting and its declaration.
DECLARED = {one.name: one for one in fields(Settings)}


def env_name(setting: str) -> str:
    """Return the environment variable of a setting."""
    return ENV_PREFIX + setting.upper()


def build(layers: Iterable[Layer]) -> tuple[Settings, dict[str, str]]:
    """Resolve layers, strongest first, to settings and the source of each value that is set.

    Client properties (``kafka``) are resolved one by one, so they may have several sources, strongest first.

    Raises:
        SettingsError: unknown name, impossible value, or a secret for all to see; the message names setting and
            source, never a client property's value.
    """
    chosen: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for layer in layers:
        named = _named(str(layer.values.get("name") or ""))
        for name, raw in {**named, **layer.values}.items():
            if name not in DECLARED:
                close = get_close_matches(name, DECLARED, 1)
                hint = f"; did you mean {close[0]}?" if close else ""
                raise SettingsError(f"{layer.name}: there is no setting {name}{hint}")
            if name in PROPERTIES:
                weaker, stronger = _value(name, raw, layer.name), chosen.get(name, {})
                chosen[name] = {**weaker, **stronger}
                if chosen[name] != stronger:
                    sources[name] = f"{sources[name]}, {layer.name}" if stronger else layer.name
            elif name not in chosen:
                chosen[name] = _value(name, raw, layer.name)
                sources[name] = layer.name
    return Settings(**chosen), sources


def _named(name: str) -> dict[str, str]:
    """Return the names of a pipeline's topics and groups; none said, each has its default."""
    if not name:
        return {}
    others = ("retry", "dlq", "averages", "dlq_status")
    topics = {"topic": name} | {f"{one}_topic": f"{name}_{one}" for one in others}
    groups = {"group": "consumer", "retry_group": "retry", "dlq_group": "dlq"}
    return topics | {setting: f"{name}-{word}-group" for setting, word in groups.items()}


def refuse_shared_topics(settings: Settings, sources: Mapping[str, str]) -> None:
    """Refuse one topic in two places: what is written to it would come back as something else.

    Raises:
        SettingsError: naming both settings, and where they come from.
    """
    held: dict[str, str] = {}
    for name in (one for one in DECLARED if one.endswith("topic")):
        topic = getattr(settings, name)
        if topic and (other := held.setdefault(topic, name)) != name:
            where = sources.get(name) or sources.get(other) or "program"
            raise SettingsError(f"{where}: {name} and {other} are both {topic!r}; each needs a topic of its own")


def is_secret(name: str) -> bool:
    """Say whether a client property's value must not be shown."""
    return any(part in name for part in _SECRET) and not name.endswith((".location", ".file", ".url", ".id"))


def _value(name: str, raw: Any, source: str) -> Any:
    declared = DECLARED[name]
    # A client property may be a password, and so may what a file holds: it is not repeated, the cause not chained.
    shown = "..." if name in PROPERTIES or isinstance(raw, FileContent) else repr(raw)
    try:
        value = _convert(name, str(declared.type), raw)
    except (TypeError, ValueError, AttributeError, OverflowError):
        raise SettingsError(f"{source}: {name} = {shown} is not {_kind(str(declared.type))}") from None
    seen = name in PROPERTIES and source == "command line"
    on_argv = [*value, *_PAIRS.findall(" ".join(value.values()))] if seen else []
    for secret in filter(is_secret, on_argv):
        where = f"in {env_name(name)}, in .env, or in a file that {env_name(name)}_FILE names"
        raise SettingsError(f"{source}: {secret} is a secret that all can read there: set it {where}")
    rules = declared.metadata
    if "choices" in rules and value not in rules["choices"]:
        raise SettingsError(f"{source}: {name} = {shown} is none of {', '.join(filter(None, rules['choices']))}")
    # Written so that NaN, which compares false with everything, is refused too.
    if "least" in rules and not (rules["least"] <= value <= rules.get("most", float("1e300"))):
        most = f" to {rules['most']}" if "most" in rules else " or more"
        raise SettingsError(f"{source}: {name} = {shown} is not {rules['least']}{most}")
    return value


def _convert(name: str, kind: str, raw: Any) -> Any:
    if kind.startswith("int"):
        return None if raw is None else int(str(raw))
    if kind == "float":
        return float(raw)
    if kind.startswith("tuple"):
        parts = raw.split(",") if isinstance(raw, str) else list(raw)
        return tuple(part.strip() for part in parts if part.strip())
    if name in PROPERTIES:
        return _one_spelling(_properties(raw))
    if not isinstance(raw, str):
        raise TypeError(raw)
    return raw


def _properties(raw: Any) -> dict[str, str]:
    """Return client properties from a TOML table, JSON, or key=value pairs."""
    if isinstance(raw, str) and raw.lstrip().startswith("{"):
        raw = json.loads(raw)
    if isinstance(raw, Mapping):
        return dict(_flat(raw))
    # A comma inside a value stays: only one before the next key= separates.
    parts = re.split(r",(?=\s*[\w.-]+=)", raw) if isinstance(raw, str) else list(raw)
    return dict(_pair(part) for part in parts if part.strip() and not part.lstrip().startswith("#"))


def _one_spelling(properties: dict[str, str]) -> dict[str, str]:
    return {_ALIASES.get(name, name): value for name, value in properties.items()}


def _flat(table: Mapping[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    """Yield the properties of a table: TOML reads a dotted key as a table in a table."""
    for key, value in table.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield prefix + key, str(value).lower() if isinstance(value, bool) else str(value)


#: A name that looks like a property's, inside of another's value.
_PAIRS = re.compile(r",\s*([\w.-]+)=")
#: Two spellings of librdkafka for one property; as two they would not be merged.
_ALIASES = {"sasl.mechanisms": "sasl.mechanism"}


def _pair(part: str) -> tuple[str, str]:
    key, equals, value = part.partition("=")
    if not equals or not key.strip():
        raise ValueError(part)
    return key.strip(), value.strip()


def _kind(declared: str) -> str:
    kinds = {"int": "a whole number", "float": "a number", "tuple": "a list", "Mapping": "key=value"}
    return next((told for start, told in kinds.items() if declared.startswith(start)), "a text")
