"""Protobuf schemas that import others, at a real schema registry: registered, looked up and read with these."""

from __future__ import annotations

import json
from pathlib import Path
from uuid import uuid4

import pytest
from confluent_kafka.schema_registry import Schema
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_orders.domain.errors import DecodeError
from kafka_orders.formats.choice import open_format
from kafka_orders.formats.codec import Codec
from kafka_orders.formats.framing import Naming
from kafka_orders.formats.protobuf import ProtobufFormat
from kafka_orders.formats.registry import SchemaRegistry
from tests.integration.test_registry import client, framed, send, settled, subject
from tests.support.pipeline import Pipeline
from tests.support.registry import Registry
from tests.support.witness import read_all

pytestmark = pytest.mark.broker

ORDER = {"orderId": "mine-1", "product": "Tea", "price": 4.5, "paid": {"sum": {"amount": 4.0}}}


def laid(folder: Path) -> Path:
    """Lay out a schema that imports a file which imports another one; return the first. Subjects are shared."""
    mark = f"p{uuid4().hex[:8]}"
    for name, text in {
        f"{mark}/sum.proto": f"package {mark}; message Sum {{ optional double amount = 1; }}",
        f"{mark}.proto": f'package {mark}; import "{mark}/sum.proto"; message Paid {{ optional Sum sum = 1; }}',
        "order.proto": f'package {mark}; import "{mark}.proto"; import "google/protobuf/timestamp.proto"; '
        "message Order { optional string orderId = 1; optional string product = 2; optional float price = 3; "
        "optional Paid paid = 4; optional google.protobuf.Timestamp at = 5; }",
    }.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f'syntax = "proto3"; {text}')
    return folder / "order.proto"


def test_imports_are_registered_and_orders_by_them_are_counted(
    line: Pipeline, registry: Registry, tmp_path: Path
) -> None:
    """Once, each under its own name, with references that Confluent's client sees; read by whoever starts anew."""
    framed(line, registry, "protobuf")
    file = laid(tmp_path)
    line.extra["SCHEMA"] = str(file)
    first = line.run("schema", "register", "-o", "json")
    assert first.returncode == 0, first.stderr
    assert line.run("schema", "register", "-o", "json").stdout == first.stdout
    (told,) = json.loads(first.stdout)
    asked, name = client(registry), open_format(str(file)).name.partition(".")[0]
    references = asked.get_schema(told["id"]).references or []
    assert [(one.name, one.subject, one.version) for one in references] == [(f"{name}.proto", f"{name}.proto", 1)]
    inner = asked.get_version(f"{name}.proto", 1).schema.references or []
    assert [(one.name, one.version) for one in inner] == [(f"{name}/sum.proto", 1)]
    assert "google/protobuf/timestamp.proto" not in asked.get_subjects()
    checked = line.run("schema", "check")
    assert (checked.returncode, "any order" in checked.stderr) == (0, True), checked.stderr
    doctor = line.run("doctor")
    assert "this schema is one of them" in doctor.stdout
    main = line.start("-m", "kafka_orders", "consume")
    main.says("restored")
    sent = line.run("produce", "--count", "10", "--rate", "0")
    assert sent.returncode == 0, sent.stderr
    form = open_format(str(file))
    assert isinstance(form, ProtobufFormat)
    codec = Codec(form, registry=(SchemaRegistry(registry.url), Naming(line.settings().topic)))
    send(line, (codec.writes(line.settings().topic).encode(ORDER), []))
    context = SerializationContext(line.settings().topic, MessageField.VALUE)
    theirs = ProtobufSerializer(form.message_class, client(registry), {"use.deprecated.format": False})
    found = settled(line, 11)
    assert (found.counted, found.dead) == (11, 0)
    values = [one.value() or b"" for one in read_all(line.bootstrap, line.settings().topic)]
    assert {value[:5] for value in values} == {b"\0" + told["id"].to_bytes(4, "big")}
    read = ProtobufDeserializer(form.message_class, {"use.deprecated.format": False})
    assert {read(value, context).paid.sum.amount for value in values} == {0.0, 4.0}
    send(line, (theirs(form.message_class(**ORDER), context), []))  # with references of its own
    assert (settled(line, 12).dead, asked.get_versions(f"{name}.proto")) == (0, [1, 2])
    checked = line.run("schema", "check")
    assert (checked.returncode, "any order" in checked.stderr) == (0, True), checked.stderr
    assert main.stop() == 0


def test_a_changed_import_is_a_new_version_and_one_that_breaks_is_refused(
    line: Pipeline, registry: Registry, tmp_path: Path
) -> None:
    """`schema check` registers nothing and tells the field inside; the schema's id is another one."""
    framed(line, registry, "protobuf")
    file = laid(tmp_path)
    words = ("--schema", str(file), "-o", "json")
    first = json.loads(line.run("schema", "register", *words).stdout)
    name = open_format(str(file)).name.partition(".")[0]
    inner, asked = tmp_path / name / "sum.proto", client(registry)
    inner.write_text(inner.read_text().replace("amount = 1;", "amount = 1; optional string currency = 2;"))
    checked = line.run("schema", "check", *words)
    assert checked.returncode == 0, checked.stderr
    assert [one["where"] for one in json.loads(checked.stdout)] == ["paid.sum.currency"]
    assert "only when it is registered" in checked.stderr
    assert "only when it is registered" in line.run("doctor", *words[:2]).stdout
    assert asked.get_versions(f"{name}/sum.proto") == [1]
    assert json.loads(line.run("schema", "register", *words).stdout) != first
    versions = [asked.get_versions(one) for one in (f"{name}/sum.proto", f"{name}.proto", subject(line))]
    assert versions == [[1, 2]] * 3
    inner.write_text(inner.read_text().replace("double", "string"))
    refused = line.run("schema", "register", *words)
    assert (refused.returncode, f"does not take it for {name}/sum.proto" in refused.stderr) == (4, True)
    assert line.run("schema", "check", *words).returncode == 1


def test_ids_of_imports_themselves_are_not_trusted(line: Pipeline, registry: Registry, tmp_path: Path) -> None:
    """That a trusted schema refers to a subject does not make this one trusted."""
    form = open_format(str(laid(tmp_path)))
    codec = Codec(form, registry=(SchemaRegistry(registry.url), Naming(line.name)))
    codec.writes(line.name)
    name = form.name.partition(".")[0]
    text = (tmp_path / f"{name}.proto").read_text()
    references = client(registry).get_version(f"{name}.proto", 1).schema.references
    known = client(registry).lookup_schema(f"{name}.proto", Schema(text, "PROTOBUF", references)).schema_id or 0
    with pytest.raises(DecodeError, match=rf"belongs to {name}\.proto"):
        codec.decode(b"\0" + known.to_bytes(4, "big") + b"\0")
