"""What the tests' own registry answers to Confluent's client: that it is one, and where it is not Confluent's."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from signal import SIGINT, SIGTERM, Signals
from typing import Any
from urllib.request import urlopen
from uuid import uuid4

import psutil
import pytest
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.error import SchemaRegistryError
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from kafka_orders.formats.base import KINDS, Kind
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.registry import TYPES
from tests.support.registry import BROKEN, CACHE, Registry


def schema(kind: Kind) -> Schema:
    return Schema(contract_format(kind).text, TYPES[kind])


@pytest.fixture
def client(registry: Registry) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": registry.url, "timeout": 10})


@pytest.fixture
def subject() -> str:
    return f"itself-{uuid4().hex[:8]}-value"


def refusal(ask: Callable[[], object]) -> tuple[int, int]:
    """Return the HTTP code and the registry's own."""
    with pytest.raises(SchemaRegistryError) as seen:
        ask()
    return seen.value.http_status_code, seen.value.error_code


@pytest.mark.parametrize("kind", KINDS)
def test_schemas_are_registered_once_and_found_by_id(
    client: SchemaRegistryClient, subject: str, kind: Kind
) -> None:
    """The same text is the same id, under every subject that has it."""
    other = f"other-{subject}"
    given = schema(kind)
    known = client.register_schema(subject, given)
    assert client.register_schema(other, given) == known
    seen = client.lookup_schema(subject, given)
    assert (seen.schema_id, seen.version, seen.guid) == (known, 1, None)
    assert (client.get_schema(known).schema_type, client.get_latest_version(subject).schema_id) == (
        TYPES[kind],
        known,
    )
    assert {subject, other} <= set(client.get_subjects_by_schema_id(known))
    assert {(subject, 1), (other, 1)} <= {(one.subject, one.version) for one in client.get_schema_versions(known)}


@pytest.mark.parametrize("kind", KINDS)
def test_an_incompatible_schema_is_refused(client: SchemaRegistryClient, subject: str, kind: Kind) -> None:
    """HTTP 409, and the subject stays as it was: the rule is BACKWARD."""
    known = client.register_schema(subject, schema(kind))
    broken = Schema(BROKEN[kind], TYPES[kind])
    assert refusal(lambda: client.register_schema(subject, broken))[0] == 409
    assert client.get_versions(subject) == [1]
    assert client.get_latest_version(subject).schema_id == known


def test_what_is_not_there_is_404_with_a_code(client: SchemaRegistryClient, subject: str) -> None:
    """What it has no path for (global ids) is 404 without one: that is how the two are told apart."""
    assert refusal(lambda: client.get_schema(2_000_000_000)) == (404, 40403)
    assert refusal(lambda: client.get_subjects_by_schema_id(2_000_000_000)) == (404, 40403)
    assert refusal(lambda: client.lookup_schema(subject, schema("avro"))) == (404, 40401)
    assert refusal(lambda: client.get_schema_by_guid("00000000-0000-0000-0000-000000000001")) == (404, -1)


def test_serialized_schemas_are_not_those_of_confluent(
    client: SchemaRegistryClient, registry: Registry, subject: str
) -> None:
    """Avro has none (HTTP 400); Protobuf is the descriptor's bytes as they are, where Confluent's has base64.

    Bytes that are no UTF-8 were lost on the way, which is why ProtobufDeserializer(registry) can't work here.
    """
    avro, proto = (client.register_schema(f"{kind}-{subject}", schema(kind)) for kind in ("avro", "protobuf"))
    fresh = SchemaRegistryClient(
        {"url": registry.url, "timeout": 10}
    )  # ids that it has seen are not asked for again
    assert refusal(lambda: fresh.get_schema(avro, fmt="serialized")) == (400, -1)
    told = fresh.get_schema(proto, fmt="serialized")
    assert told.schema_type == "PROTOBUF"
    assert "com.example.orders" in (told.schema_str or "")
    assert "\N{REPLACEMENT CHARACTER}" in (told.schema_str or "")
    whole = FileDescriptorProto()
    with pytest.raises(Exception, match="parsing"):
        whole.ParseFromString((told.schema_str or "").encode())


def test_a_durable_one_keeps_its_schemas(durable: Registry, subject: str) -> None:
    """Over a stop and over a crash, on the same port; it listens on this machine only."""
    url = durable.url
    known = {
        kind: SchemaRegistryClient({"url": url, "timeout": 10}).register_schema(f"{kind}-{subject}", schema(kind))
        for kind in KINDS
    }
    for end in (durable.stop, durable.kill):
        end()
        with pytest.raises(OSError, match="refused"):
            urlopen(f"{url}/subjects", timeout=2)
        durable.start()
        assert durable.url == url
        client = SchemaRegistryClient({"url": url, "timeout": 10})
        assert {kind: client.lookup_schema(f"{kind}-{subject}", schema(kind)).schema_id for kind in KINDS} == known
    assert durable.process is not None
    listens = {
        one.laddr.ip for one in psutil.Process(durable.process.pid).net_connections() if one.status == "LISTEN"
    }
    assert {ip.removeprefix("::ffff:") for ip in listens} == {"127.0.0.1"}


def test_what_it_says_to_json_schemas_of_others(client: SchemaRegistryClient, subject: str) -> None:
    """As docs/howto/formats.md tells: of an open object, and of the newest draft."""
    plain: dict[str, Any] = {"type": "object", "properties": {"a": {"type": "string"}}}
    more = {**plain, "properties": {**plain["properties"], "b": {"type": "string"}}}
    client.register_schema(subject, Schema(json.dumps(plain), "JSON"))
    assert refusal(lambda: client.register_schema(subject, Schema(json.dumps(more), "JSON")))[0] == 409
    assert client.test_compatibility(subject, Schema(json.dumps(more), "JSON")) is False
    draft = {"$schema": "https://json-schema.org/draft/2020-12/schema", **plain}
    client.register_schema(f"new-{subject}", Schema(json.dumps(draft), "JSON"))
    again = Schema(json.dumps({**draft, "description": "more"}), "JSON")
    assert refusal(lambda: client.register_schema(f"new-{subject}", again))[0] == 500


@pytest.mark.parametrize("end", [SIGINT, SIGTERM])
def test_one_runs_by_a_command_until_it_is_ended(registry: Registry, end: Signals) -> None:
    """As docs/howto/formats.md says: it prints its URL, answers there, and is gone with the command."""
    told = [sys.executable, "-m", "tests.support.registry"]
    environment = os.environ | {"KAFKA_ORDERS_CACHE": str(CACHE)}
    with subprocess.Popen(told, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment) as run:
        assert run.stdout is not None
        url = run.stdout.readline().strip()
        (java,) = psutil.Process(run.pid).children()
        assert urlopen(f"{url}/subjects", timeout=5).read() == b"[]"
        run.send_signal(end)
        assert (run.wait(20), run.stderr.read() if run.stderr else "") == (0, "")
    assert not java.is_running()
