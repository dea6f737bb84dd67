"""Orders between kafka-orders, Confluent's Python client and other people's: ``make interop``.

Each client writes orders with its own serializer, by a real registry and a real Kafka, and we and Confluent's
client read them; then it reads what we and Confluent's client wrote. Prints what each read. ``--record`` keeps
what the clients wrote in ``tests/fixtures/registry``, a file for each and format: a line about the writer, its
schemas and orders, then a line for each record (``tests/support/foreign.py`` reads it). No record is made by hand.

Who writes: ``RegistryOrders.java`` with Apicurio's serdes in Confluent's frame (Confluent's own are not on Maven
Central); ``orders.mjs`` with kafkajs and ``main.go`` with franz-go, where there are node and Go. Their packages
are locked beside them, by hashes: for Java resolve the three ``apicurio-registry-*-serde-kafka`` and
``kiota-http-jdk``, and keep what ``-Xlog:class+load`` names; for node ``npm install --package-lock-only
--omit-lockfile-registry-resolved --ignore-scripts``, without what it tells of funding; for Go ``go mod tidy``.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]
from confluent_kafka.schema_registry import RegisteredSchema, Schema, SchemaRegistryClient
from confluent_kafka.schema_registry.avro import AvroDeserializer, AvroSerializer
from confluent_kafka.schema_registry.json_schema import JSONDeserializer, JSONSerializer
from confluent_kafka.schema_registry.protobuf import ProtobufDeserializer, ProtobufSerializer
from confluent_kafka.serialization import MessageField, SerializationContext

from kafka_orders.formats.base import KINDS, Kind
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.codec import Codec
from kafka_orders.formats.framing import Naming
from kafka_orders.formats.protobuf import ProtobufFormat
from kafka_orders.formats.protoc import files_of
from kafka_orders.formats.registry import SchemaRegistry
from kafka_orders.local import Cluster, jars
from kafka_orders.sources import home_folder
from tests.interop import clients as others
from tests.interop.clients import FOLDER, ORDERS, UNREADABLE, Client, Order, Place, rounded
from tests.support import registry as registries
from tests.support.foreign import Recorded, line
from tests.support.registry import Registry
from tests.support.witness import read_all

#: Confluent's client would wait for ever.
_ANSWER_SECONDS = 10

Encode = Callable[[Order], bytes]
Decode = Callable[[bytes], Any]


class Bed(NamedTuple):
    """What all exchanges have in common."""

    bootstrap: str
    registry: Registry
    folder: Path

    def place(self, client: Client, kind: Kind, topic: str) -> Place:
        """Return a new topic, as a client is told of it."""
        admin = AdminClient({"bootstrap.servers": self.bootstrap})
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result()
        form, schema = contract_format(kind), self.folder / f"{client.name}-{kind}.schema"
        compiled = client.name == "java" and kind == "protobuf"
        schema.write_bytes(files_of(form.text).SerializeToString() if compiled else form.text.encode())
        return Place(kind, self.bootstrap, self.registry.url.removesuffix("/apis/ccompat/v7"), topic, schema)


def ours(url: str, kind: Kind, topic: str) -> tuple[Encode, Decode]:
    """Return what kafka-orders writes and reads by."""
    codec = Codec(contract_format(kind), registry=(SchemaRegistry(url), Naming(topic)))
    return lambda order: codec.writes(topic).encode(order), codec.decode


class TextClient(SchemaRegistryClient):
    """Registers the .proto text where Confluent's serializer sends base64: its own registry makes text of that.

    Apicurio keeps it as it is, and then no other client can read the schema.
    """

    def register_schema_full_response(
        self, subject_name: str, schema: Schema, normalize_schemas: bool = False
    ) -> RegisteredSchema:
        if schema.schema_type == "PROTOBUF":
            schema = Schema(contract_format("protobuf").text, "PROTOBUF")
        return super().register_schema_full_response(subject_name, schema, normalize_schemas)


def confluents(url: str, kind: Kind, topic: str) -> tuple[Encode, Decode]:
    """Return what Confluent's Python client writes and reads by."""
    client, form = TextClient({"url": url, "timeout": _ANSWER_SECONDS}), contract_format(kind)
    told = SerializationContext(topic, MessageField.VALUE)
    write: Any
    read: Any
    if isinstance(form, ProtobufFormat):
        made, modern = form.message_class, {"use.deprecated.format": False}
        protobuf, read = ProtobufSerializer(made, client, modern), ProtobufDeserializer(made, modern)
        write = lambda order, told: protobuf(made(**order), told)  # noqa: E731
    elif kind == "json":
        write, read = JSONSerializer(form.text, client), JSONDeserializer(form.text, schema_registry_client=client)
    else:
        write, read = AvroSerializer(client, form.text), AvroDeserializer(client)
    return lambda order: write(order, told), lambda payload: read(payload, told)


SIDES = {"kafka-orders": ours, "confluent-kafka": confluents}


def main() -> int:
    """Run all exchanges; return 1 where one went otherwise than is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="keep what the clients wrote as fixtures")
    recording = parser.parse_args().record
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = (
            others.java_client(folder / "java"),
            others.node_client(folder / "node"),
            others.go_client(folder / "go"),
        )
        clients = [one for one in made if one]
        cluster = Cluster(folder / "kafka", port=None)
        registry = Registry(registries.ensure(jars.cache_folder(home_folder())), folder)
        try:
            bed = Bed(cluster.start(progress=False).bootstrap_servers, registry.start(), folder)
            sound = [_exchange(bed, client, kind, recording) for client in clients for kind in KINDS]
        finally:
            registry.kill()
            cluster.stop()
    return 0 if all(sound) else 1


def _exchange(bed: Bed, client: Client, kind: Kind, recording: bool) -> bool:
    topic = f"{client.name}-{kind}"
    place = bed.place(client, kind, topic)
    if kind == "json":  # Java's serializer wants it to be there
        ours(bed.registry.url, kind, topic)[0](ORDERS[0])
    client.write(place, ORDERS)
    records = [Recorded.of(one) for one in read_all(bed.bootstrap, topic)]
    if recording:
        _record(bed, client, kind, topic, records)
    print(f"{client.name} {kind}: {(records[0].value or b'').hex(' ')}")
    known, sound = (client.name, kind) not in UNREADABLE, True
    for side, make in SIDES.items():
        decode = make(bed.registry.url, kind, topic)[1]
        sound &= _judge(f"{side} reads it", _decoded, decode, records) is known
        other = bed.place(client, kind, f"{topic}-of-{side}")
        _send(bed, other.topic, make(bed.registry.url, kind, other.topic)[0])
        sound &= _judge(f"it reads {side}", client.read, other, len(ORDERS))
    return sound


def _judge(what: str, read: Callable[..., Sequence[Order]], *told: Any) -> bool:
    try:
        found = read(*told)
    except Exception as error:  # of anybody's client: that it can't read is what is told
        print(f"  {what}: NO, {type(error).__name__}: {error}")
        return False
    same = [rounded(one) for one in found] == [rounded(one) for one in ORDERS]
    print(f"  {what}: {'yes' if same else 'NO'}, {json.dumps(found, ensure_ascii=False)}", flush=True)
    return same


def _decoded(decode: Decode, records: Sequence[Recorded]) -> list[Order]:
    found = [decode(one.value or b"") for one in records]
    return [
        {name: one[name] if isinstance(one, dict) else getattr(one, name) for name in ORDERS[0]} for one in found
    ]


def _send(bed: Bed, topic: str, encode: Encode) -> None:
    producer = Producer({"bootstrap.servers": bed.bootstrap})
    for order in ORDERS:
        producer.produce(topic, encode(order), str(order["orderId"]))
    assert producer.flush(30) == 0


def _record(bed: Bed, client: Client, kind: Kind, topic: str, records: Sequence[Recorded]) -> None:
    asked, subject = TextClient({"url": bed.registry.url, "timeout": _ANSWER_SECONDS}), f"{topic}-value"
    held = [asked.get_version(subject, number) for number in asked.get_versions(subject)]
    about = {
        "writer": client.writer,
        "versions": client.versions,
        "registry": f"{registries.ARTIFACT} {registries.VERSION}",
        "date": datetime.now(UTC).date().isoformat(),
        "kind": kind,
        "topic": topic,
        "orders": ORDERS,
        "schemas": [{"id": one.schema_id, "text": one.schema.schema_str} for one in held],
    }
    lines = [json.dumps(about), *map(line, records)]
    (FOLDER / f"{topic}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
