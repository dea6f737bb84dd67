"""A real schema registry: frames of ours and of Confluent's own serializers, refusals, an outage, strange ids."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from signal import SIGTERM
from typing import Any

import pytest
from confluent_kafka import Producer
from confluent_kafka.schema_registry import Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_orders.app import App
from kafka_orders.formats.base import KINDS, Kind
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.protobuf import ProtobufFormat
from kafka_orders.formats.registry import TYPES
from kafka_orders.views.verify import Verdict, verify
from tests.support.pipeline import Pipeline, Role
from tests.support.registry import BROKEN, Registry
from tests.support.waiting import eventually
from tests.support.witness import read_all

pytestmark = pytest.mark.broker

ORDER = {"orderId": "theirs-1", "product": "Tea", "price": 4.5}


def framed(line: Pipeline, registry: Registry, kind: Kind) -> Pipeline:
    line.extra.update(REGISTRY_URL=registry.url, FORMAT=kind)
    return line


def client(registry: Registry) -> SchemaRegistryClient:
    return SchemaRegistryClient({"url": registry.url, "timeout": 10})


def subject(line: Pipeline) -> str:
    return f"{line.settings().topic}-value"


def send(line: Pipeline, *records: tuple[bytes, list[tuple[str, bytes]]]) -> None:
    producer = Producer({"bootstrap.servers": line.bootstrap})
    for number, (value, headers) in enumerate(records):
        producer.produce(line.settings().topic, value, str(number), headers=headers)
    assert producer.flush(20) == 0


def judged(line: Pipeline, *, deep: bool = True) -> Verdict:
    settings = line.settings()
    job = App().job(settings)
    return verify(settings, job.decode, deep=deep, contract=job.contract)


def settled(line: Pipeline, handled: int, within: float = 40.0) -> Verdict:
    def done() -> bool:
        found = judged(line, deep=False)
        return found.unread == 0 and found.waiting == 0 and found.counted + found.dead == handled

    eventually(done, within, f"{handled} orders counted or dead")
    found = judged(line)
    assert found.findings == []
    return found


def theirs(registry: Registry, kind: Kind, line: Pipeline) -> tuple[Any, Any]:
    """Return serializer and deserializer of Confluent's own client."""
    asked, text = client(registry), contract_format(kind).text
    if kind == "avro":
        return AvroSerializer(asked, text), AvroDeserializer(asked)
    if kind == "json":
        return JSONSerializer(text, asked), JSONDeserializer(text, schema_registry_client=asked)
    form = contract_format(kind)
    assert isinstance(form, ProtobufFormat)
    made = form.message_class
    encode = ProtobufSerializer(made, asked, {"use.deprecated.format": False})
    # Without the registry: it asks for schemas in base64, which Apicurio does not give (Confluent's does).
    read = ProtobufDeserializer(made, {"use.deprecated.format": False})
    return (lambda order, told: encode(made(**order), told)), read


@pytest.mark.parametrize("kind", KINDS)
def test_ours_are_read_by_confluents_client_and_theirs_by_us(
    line: Pipeline, registry: Registry, kind: Kind
) -> None:
    """Registered once, framed, counted; in each format."""
    framed(line, registry, kind)
    main = line.start("-m", "kafka_orders", "consume")
    main.says("restored")
    line.produce(20)
    encode, decode = theirs(registry, kind, line)
    told = SerializationContext(line.settings().topic, MessageField.VALUE)
    send(line, (encode(ORDER, told), []))
    found = settled(line, 21)
    assert (found.counted, found.dead) == (21, 0)
    records = read_all(line.bootstrap, line.settings().topic)
    assert {(one.value() or b"")[:1] for one in records} == {b"\0"}
    versions = client(registry).get_versions(subject(line))
    assert len({(one.value() or b"")[:5] for one in records}) == len(versions)
    read = [decode(one.value(), told) for one in records]
    products = {one["product"] if isinstance(one, dict) else one.product for one in read}
    assert "Tea" in products
    assert len(products) > 2
    # Confluent's Protobuf serializer registers its own rendering of the same message.
    assert versions == ([1, 2] if kind == "protobuf" else [1])
    assert main.stop() == 0


@pytest.mark.parametrize("kind", KINDS)
def test_a_schema_that_breaks_others_is_refused_and_nothing_is_sent(
    line: Pipeline, registry: Registry, kind: Kind
) -> None:
    """By the registry's own rule; exit 4, with its words."""
    framed(line, registry, kind)
    client(registry).register_schema(subject(line), Schema(BROKEN[kind], TYPES[kind]))
    done = line.run("produce", "--count", "3", "--rate", "0")
    assert done.returncode == 4, done.stderr
    assert "does not take it" in done.stderr
    assert read_all(line.bootstrap, line.settings().topic) == []


def test_a_schema_is_checked_and_registered_before_it_is_used(
    line: Pipeline, registry: Registry, tmp_path: Path
) -> None:
    """Against all versions; one that breaks is refused by both, and told by which field."""
    framed(line, registry, "avro")
    words = ("-o", "json")
    first = line.run("schema", "register", *words)
    assert first.returncode == 0, first.stderr
    assert line.run("schema", "register", *words).stdout == first.stdout
    (told,) = json.loads(first.stdout)
    assert (told["subject"], told["format"], told["record"]) == (subject(line), "avro", "com.example.orders.Order")
    plain = json.loads(contract_format("avro").text)
    for default, code, takes in (({"default": "EUR"}, 0, True), ({}, 1, False)):
        changed = {**plain, "fields": [*plain["fields"], {"name": "currency", "type": "string", **default}]}
        file = tmp_path / "order.avsc"
        file.write_text(json.dumps(changed))
        checked = line.run("schema", "check", "--schema", str(file), *words)
        assert checked.returncode == code, checked.stderr
        (row,) = json.loads(checked.stdout)
        assert (row["against"], row["where"]) == ("version 1", "currency")
        assert (row["new consumers, old orders"] == "read") is takes
        assert ("the registry would not take it" in checked.stderr) is not takes
    refused = line.run("schema", "register", "--schema", str(file))
    assert (refused.returncode, "does not take it" in refused.stderr) == (4, True)
    lost = line.run("schema", "check", "--against", str(tmp_path / "none.avsc"))
    assert (lost.returncode, "cannot be read" in lost.stderr) == (2, True)
    without = line.run("schema", "register", "--registry-url", "http://127.0.0.1:1")
    assert (without.returncode, "does not answer" in without.stderr) == (3, True)


def test_unknown_and_foreign_ids_are_dead_letters_of_decode(line: Pipeline, registry: Registry) -> None:
    """Each once; another topic's schema is not used, were it the same one."""
    framed(line, registry, "avro")
    foreign = client(registry).register_schema(f"{line.name}-others-value", Schema(PAYMENT, "AVRO"))
    raw = contract_format("avro").encode(ORDER)
    values = [
        (b"\0" + foreign.to_bytes(4, "big") + raw, []),
        (b"\0\x7f\xff\xff\xff" + raw, []),
        (b"\0\1", []),
        (raw, [("__value_schema_id", b"\1" + bytes(16))]),
        (raw, [("__value_schema_id", b"nonsense")]),
    ]
    main = line.start("-m", "kafka_orders", "consume")
    main.says("restored")
    line.produce(5)
    send(line, *values, (raw, []))
    found = settled(line, 11)
    assert (found.counted, found.dead) == (6, 5)  # unframed records are read raw: those of before the migration
    dead = [dict(one.headers() or []) for one in read_all(line.bootstrap, line.settings().dlq_topic)]
    assert {one["x-failure-stage"] for one in dead} == {b"decode"}
    said = " ".join(one["error"].decode() for one in dead)
    for words in (f"belongs to {line.name}-others-value", "schema id 2147483647 is not in", "frame has 5 bytes",
                  "knows no global ids", "tells no schema id"):  # fmt: skip
        assert words in said
    assert main.stop() == 0


PAYMENT = '{"type":"record","name":"Payment","fields":[{"name":"iban","type":"string"}]}'


@pytest.fixture
def lines(bootstrap: str, tmp_path: Path, durable: Registry) -> Iterator[dict[Kind, Pipeline]]:
    """A pipeline for each format, by one registry: a restart of it takes seconds, so they share its outage."""
    made = {kind: framed(Pipeline(bootstrap, tmp_path / kind), durable, kind) for kind in KINDS}
    for line in made.values():
        line.home.mkdir()
        line.extra["SUBJECTS"] = f"{line.name}-new"
    yield made
    for line in made.values():
        line.close()


def consumers(lines: dict[Kind, Pipeline]) -> dict[Kind, Role]:
    """Start a worker for each; they go on by what the registry tells alone, not by a share of failures."""
    made = {kind: line.start("-m", "kafka_orders", "consume", "--breaker", "0") for kind, line in lines.items()}
    for role in made.values():
        role.says("restored")
    return made


def producers(lines: dict[Kind, Pipeline], seed: int) -> list[Role]:
    words = ("-m", "kafka_orders", "produce", "--count", "10", "--rate", "0", "--seed", str(seed))
    return [line.start(*words) for line in lines.values()]


def another_id(registry: Registry, kind: Kind, line: Pipeline) -> bytes:
    """Register the contract with other blanks, under a subject that is trusted; return the frame's beginning."""
    text = contract_format(kind).text + "\n\n"
    found = client(registry).register_schema(f"{line.name}-new", Schema(text, TYPES[kind]))
    return b"\0" + found.to_bytes(4, "big")


def test_an_outage_of_the_registry_holds_orders_and_kills_none(
    lines: dict[Kind, Pipeline], durable: Registry
) -> None:
    """What workers know they go on reading; what they would have to ask for waits, as do those who start."""
    heads = {kind: another_id(durable, kind, line) for kind, line in lines.items()}
    know, first = consumers(lines), producers(lines, 1)
    assert [role.process.wait(30) for role in first] == [0] * len(first)
    known = {kind: settled(line, 10) and a_value(line) for kind, line in lines.items()}
    assert all(known[kind][:5] != heads[kind] for kind in lines)
    durable.kill()
    sending = producers(lines, 2)
    for kind, line in lines.items():
        send(line, *[(known[kind], [])] * 3)
        eventually(partial(counts, line, 13), 30, f"{kind} of a known id is counted meanwhile")
        send(line, *[(heads[kind] + known[kind][5:], [])] * 4)
        know[kind].says("pausing, since it is not about single records: the schema registry at")
    for role in sending:
        role.says("does not answer")
    assert [role.stop(number=SIGTERM) for role in know.values()] == [0] * len(lines)
    fresh = consumers(lines)
    for kind, line in lines.items():
        send(line, *[(known[kind], [])] * 7)
        fresh[kind].says("does not answer")
        found = judged(line, deep=False)
        assert (found.counted, found.dead, found.waiting, found.unread) == (13, 0, 0, 11), kind
    durable.start()
    assert [role.process.wait(60) for role in sending] == [0] * len(sending)
    for kind, line in lines.items():
        after = settled(line, 34, within=60)
        assert (after.counted, after.dead) == (34, 0), kind
        assert fresh[kind].stop() == 0


def a_value(line: Pipeline) -> bytes:
    return read_all(line.bootstrap, line.settings().topic)[0].value() or b""


def counts(line: Pipeline, handled: int) -> bool:
    return judged(line, deep=False).counted == handled
