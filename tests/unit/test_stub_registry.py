"""The registry that fails on demand, asked by Confluent's own client and by ours."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError

from kafka_orders.domain.errors import DecodeError, NotFoundError, OutageError
from kafka_orders.formats.base import MOST_SCHEMA_BYTES
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.codec import Codec
from kafka_orders.formats.framing import Naming
from kafka_orders.formats.registry import SchemaRegistry
from tests.support.stub_registry import GARBAGE, HANG, NONSENSE, RECURSIVE, StubRegistry, huge, stub_registry

AVRO = contract_format("avro")
PLAIN = {"max.retries": "0", "timeout": "0.3"}


@pytest.fixture
def stub() -> Iterator[StubRegistry]:
    with stub_registry() as made:
        yield made


def test_confluents_client_takes_it_for_a_registry(stub: StubRegistry) -> None:
    """Registration, lookup, ids, versions, and what is not there."""
    client = SchemaRegistryClient({"url": stub.url, "timeout": 10})
    first = client.register_schema("a-value", Schema(AVRO.text, "AVRO"))
    other = stub.add('{"type": "object"}', "JSON", "b/c value")
    assert client.lookup_schema("a-value", Schema(AVRO.text, "AVRO")).schema_id == first
    assert (
        SchemaRegistryClient({"url": stub.url, "timeout": 10}).register_schema(
            "a-value", Schema(AVRO.text, "AVRO")
        )
        == first
    )
    assert client.test_compatibility("a-value", Schema('"int"', "AVRO"))  # a stub knows no rule
    assert client.get_schema(other).schema_type == "JSON"
    assert client.get_subjects_by_schema_id(other) == ["b/c value"]
    assert [(one.subject, one.version) for one in client.get_schema_versions(first)] == [("a-value", 1)]
    assert client.get_subjects() == ["a-value", "b/c value"]
    assert client.get_versions("a-value") == [1]
    assert client.get_latest_version("a-value").schema_id == first
    assert stub.asked[0] == "POST /subjects/a-value/versions"
    for ask, code in (
        (lambda: client.get_schema(99), 40403),
        (lambda: client.get_versions("none"), 40401),
        (lambda: client.get_version("a-value", 7), 40402),
        (lambda: client.lookup_schema("a-value", Schema('"int"', "AVRO")), 40403),
        (lambda: client.get_schema_by_guid("nonsense"), -1),
    ):
        with pytest.raises(SchemaRegistryError) as seen:
            ask()
        assert (seen.value.http_status_code, seen.value.error_code) == (404, code)


@pytest.mark.parametrize("fault", [400, 401, 403, 429, 500, 503, GARBAGE, NONSENSE, HANG])
def test_every_fault_is_an_outage_and_passes(stub: StubRegistry, fault: int) -> None:
    """Nothing of it is the record's fault."""
    known, registry = stub.add(AVRO.text), SchemaRegistry(stub.url, PLAIN)
    stub.fault = fault
    with pytest.raises(OutageError, match="no order was touched"):
        registry.by_id(known)
    stub.fault = None
    assert registry.by_id(known).subjects == {"orders-value"}
    with pytest.raises(NotFoundError):
        registry.by_id(known + 1)


def test_a_wrong_password_is_an_outage(stub: StubRegistry) -> None:
    """And the right one is none; neither is told."""
    known, stub.secret = stub.add(AVRO.text), "Basic bWU6cmlnaHQ="
    with pytest.raises(OutageError, match="401") as seen:
        SchemaRegistry(stub.url, {**PLAIN, "basic.auth.user.info": "me:wrong"}).by_id(known)
    assert "wrong" not in str(seen.value)
    assert SchemaRegistry(stub.url, {**PLAIN, "basic.auth.user.info": "me:right"}).by_id(known)


def test_it_comes_back_where_it_was(stub: StubRegistry) -> None:
    """With what it had; while it is down, connections are refused."""
    known, url = stub.add(AVRO.text), stub.url
    stub.down()
    with pytest.raises(OutageError, match="Connect"):
        SchemaRegistry(url, PLAIN).by_id(known)
    stub.up()
    assert stub.url == url
    assert SchemaRegistry(url, PLAIN).by_id(known).text == AVRO.text


@pytest.mark.parametrize(
    ("text", "why"),
    [(RECURSIVE, "contains itself"), (huge(MOST_SCHEMA_BYTES), "characters"), ("{", "cannot be used")],
    ids=["recursive", "huge", "broken"],
)
def test_a_dangerous_schema_is_the_records_fault(stub: StubRegistry, text: str, why: str) -> None:
    """A writer's schema that can't be used: a dead letter, no crash, no outage."""
    known = stub.add(text)
    codec = Codec(AVRO, registry=(SchemaRegistry(stub.url, PLAIN), Naming("orders")))
    with pytest.raises(DecodeError, match=why):
        codec.decode(b"\0" + known.to_bytes(4, "big") + b"\2a")
