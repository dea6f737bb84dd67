"""Ids of schemas in headers, as Confluent's registry has them from 8.0 on; its answers come from the stub here."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka.schema_registry import SchemaRegistryClient, header_schema_id_serializer
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_orders.formats.base import KINDS, Kind
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.protobuf import ProtobufFormat
from tests.integration.test_registry import ORDER, framed, send, settled
from tests.support.pipeline import Pipeline
from tests.support.registry import Registry
from tests.support.stub_registry import StubRegistry, stub_registry
from tests.support.witness import Message, read_all

pytestmark = pytest.mark.broker

HEADER = "__value_schema_id"


@pytest.fixture
def stub() -> Iterator[StubRegistry]:
    with stub_registry() as made:
        made.has_guids = True
        yield made


def theirs(stub: StubRegistry, kind: Kind) -> tuple[Any, Any]:
    """Return serializer and deserializer of Confluent's own client; it writes headers, and reads them anyway."""
    asked, text = SchemaRegistryClient({"url": stub.url, "timeout": 10}), contract_format(kind).text
    told: dict[str, Any] = {"schema.id.serializer": header_schema_id_serializer}
    if kind == "avro":
        return AvroSerializer(asked, text, conf=told), AvroDeserializer(asked)
    if kind == "json":
        return JSONSerializer(text, asked, conf=told), JSONDeserializer(text, schema_registry_client=asked)
    form = contract_format(kind)
    assert isinstance(form, ProtobufFormat)
    made, plain = form.message_class, {"use.deprecated.format": False}
    encode = ProtobufSerializer(made, asked, {**plain, **told})
    return lambda order, context: encode(made(**order), context), ProtobufDeserializer(made, plain)


def context(line: Pipeline, held: list[tuple[str, Any]]) -> SerializationContext:
    return SerializationContext(line.settings().topic, MessageField.VALUE, held)


def records(line: Pipeline, topic: str) -> list[Message]:
    return read_all(line.bootstrap, topic)


@pytest.mark.parametrize("kind", KINDS)
def test_orders_with_ids_in_headers_live_as_all_others_do(line: Pipeline, stub: StubRegistry, kind: Kind) -> None:
    """Counted, retried, dead, edited, replayed, with their header; Confluent's client reads them, we read its."""
    line.extra.update(
        REGISTRY_URL=stub.url,
        FORMAT=kind,
        SCHEMA_ID_IN="header",
        MAX_RETRIES="1",
        RETRY_DELAY_MS="200",
        FAIL="Item3",
    )
    for role in ("consume", "retry"):
        line.start("-m", "kafka_orders", role).says("restored")
    line.produce(30)
    encode, decode = theirs(stub, kind)
    held: list[tuple[str, Any]] = []
    send(line, (encode(ORDER, context(line, held)), held))
    found = settled(line, 31)
    assert found.dead > 0
    settings, places = line.settings(), b"\0" if kind == "protobuf" else b""
    sent = records(line, settings.topic)
    for one in sent:
        value, told = one.value() or b"", dict(one.headers() or [])
        assert value == contract_format(kind).encode(contract_format(kind).decode(value))  # nothing before it
        assert told[HEADER] in {b"\1" + UUID(each.guid).bytes + places for each in stub.held}
        read = decode(value, context(line, one.headers() or []))
        assert (read["orderId"] if isinstance(read, dict) else read.orderId) != ""
    assert {dict(one.headers() or [])[HEADER] for one in records(line, settings.dlq_topic)} == {
        b"\1" + UUID(stub.held[0].guid).bytes + places
    }
    edited = line.run("dlq", "edit", "--set", "product=Tea", "--yes", "--reason", "renamed")
    assert edited.returncode == 0, edited.stderr
    after = settled(line, 31)
    assert (after.counted, after.dead) == (31, 0)
    rows = json.loads(line.run("averages", "-o", "json").stdout)
    assert {one["product"]: one["count"] for one in rows}["Tea"] == found.dead + 1


def test_a_registry_without_such_ids_is_told_of_before_anything_is_sent(
    line: Pipeline, registry: Registry
) -> None:
    """Apicurio's; frames are what it has."""
    framed(line, registry, "avro")
    done = line.run("produce", "--count", "3", "--rate", "0", "--schema-id-in", "header")
    assert done.returncode == 2, done.stderr
    assert "gives schemas no global ids" in done.stderr
    assert "nothing was sent" in done.stderr
    assert records(line, line.settings().topic) == []
