"""Who takes part: names, what each promises, and its settings in the words of the table."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

EXACTLY, AT_LEAST, NONE = "exactly once", "at least once", "none"
#: How many orders the slowest contender gets; it does about 2,000 a second.
FEW = 10_000
RAW, OURS = "raw", "ours"


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to do the job. ``python`` names the environment it runs in: app, bench or quix.

    ``checked`` says what is compared with the orders: state (count and sum), failures, offsets (committed).
    """

    name: str
    title: str
    guarantee: str
    settings: str
    module: str
    options: Mapping[str, Any] = field(default_factory=dict)
    python: str = "app"
    percent: float = 1.0
    few: bool = False
    quick: bool = True
    is_reference: bool = False
    checked: frozenset[str] = frozenset({"state", "failures", "offsets"})
    form: str = "avro"
    framed: bool = False

    @property
    def source(self) -> str:
        """Which orders it gets: the few, or all of a format, framed for a schema registry or not."""
        return "few" if self.few else f"{self.form}-framed" if self.framed else self.form


_OURS = "20,000 orders or 50 ms per transaction, polls of 200"
_TX = "up to 20,000 records or 50 ms per transaction"

ALL = [
    Contender(
        RAW, "raw `consume(200)` loop", NONE, "takes the records and does nothing with them; no commit", "raw",
        is_reference=True, checked=frozenset({"size"}),
    ),
    Contender(OURS, "**kafka-orders**", EXACTLY, f"defaults: {_OURS}", "ours"),
    Contender(
        "ours-10k", "kafka-orders, 10,000 per transaction", EXACTLY, "`batch_size` 10,000", "ours",
        {"batch_size": 10_000}, quick=False,
    ),
    Contender("ours-0", "kafka-orders, no failures", EXACTLY, "defaults", "ours", percent=0.0, quick=False),
    Contender("ours-50", "kafka-orders, 50 % failures", EXACTLY, "defaults", "ours", percent=50.0),
    Contender(
        "ours-no-commit", "kafka-orders' loop without commits", NONE,
        "poll, decode, handle, aggregate; failures and offsets are prepared, not sent", "ours_uncommitted",
        is_reference=True, checked=frozenset({"state"}),
    ),
    Contender(
        "python", "Python, hand-written transactional loop", EXACTLY,
        f"{_TX}, our decoder and client settings; no handler, validation, headers, or answer to any error",
        "handwritten", quick=False,
    ),
    Contender(
        "java", "Java, hand-written transactional loop", EXACTLY,
        f"{_TX}, `retry.backoff.ms` 5, state in a compacted topic", "java", {"main": "TransactionalLoop"},
    ),
    Contender(
        "java-default", "Java, the same loop at the default `retry.backoff.ms`", EXACTLY,
        "as above; 100 ms in place of 5, which transactions wait for at their first request", "java",
        {"main": "TransactionalLoop", "mode": "default-backoff"}, quick=False,
    ),
    Contender(
        "streams", "Kafka Streams, Processor API", EXACTLY,
        "`exactly_once_v2`, one thread, commits every 100 ms (its default), state by partition in memory, cached",
        "java", {"main": "StreamsLoop"},
    ),
    Contender(
        "streams-dsl", "Kafka Streams, DSL (`groupBy`)", EXACTLY,
        "as above; `groupBy(product)` sends every order through a repartition topic", "java",
        {"main": "StreamsLoop", "mode": "dsl"}, quick=False,
    ),
    Contender(
        "quix", "Quix Streams", EXACTLY,
        "`exactly-once`, commits every 5 s (its default), state by partition", "quix", python="quix", quick=False,
    ),
    Contender("aiokafka-tx", "aiokafka, transactional", EXACTLY, f"{_TX}, state kept in memory only", "aio",
              {"transactional": True}, python="bench"),
    Contender("aiokafka", "aiokafka", AT_LEAST, "`getmany` of up to 10,000, a commit for each", "aio",
              {"transactional": False}, python="bench"),
    Contender("faststream", "FastStream, batch subscriber on aiokafka", AT_LEAST,
              "batches of up to 10,000, no validation, a commit for each", "faststream_batch",
              {"client": "aiokafka"}, python="bench", quick=False),
    Contender("faststream-confluent", "FastStream, batch subscriber on confluent-kafka", AT_LEAST,
              "batches of up to 10,000, no validation, a commit for each", "faststream_batch",
              {"client": "confluent"}, python="bench"),
    Contender("kafka-python", "kafka-python", AT_LEAST, "`poll` of up to 10,000, a commit for each", "kafkapython",
              python="bench", quick=False),
    Contender("naive-auto", "the tutorials' loop, automatic commit", AT_LEAST,
              "`poll()` record by record, fastavro, a flush per failure", "naive", {"sync": False}),
    Contender("naive-sync", "the tutorials' loop, commit per record", AT_LEAST,
              "as above, `commit(asynchronous=False)` for each record", "naive", {"sync": True}, few=True),
]  # fmt: skip

#: Ours with orders of each format, raw and framed, in a run of their own.
FORMATS = [
    Contender("ours-json", "kafka-orders, JSON Schema", EXACTLY, "`format` json", "ours", {"format": "json"},
              form="json"),
    Contender("ours-protobuf", "kafka-orders, Protobuf", EXACTLY, "`format` protobuf", "ours",
              {"format": "protobuf"}, form="protobuf"),
    Contender("ours-avro-framed", "kafka-orders, Avro, framed", EXACTLY, "`registry_url`", "ours", framed=True),
    Contender("ours-json-framed", "kafka-orders, JSON Schema, framed", EXACTLY, "`format` json, `registry_url`",
              "ours", {"format": "json"}, form="json", framed=True),
    Contender("ours-protobuf-framed", "kafka-orders, Protobuf, framed", EXACTLY,
              "`format` protobuf, `registry_url`", "ours", {"format": "protobuf"}, form="protobuf", framed=True),
]  # fmt: skip

BY_NAME = {one.name: one for one in (*ALL, *FORMATS)}
