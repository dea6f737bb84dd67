"""What other people's serializers framed, as recorded by ``make interop INTEROP=--record``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kafka_orders.domain.errors import DecodeError
from kafka_orders.formats.base import KINDS
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.codec import Codec
from kafka_orders.formats.framing import Naming
from kafka_orders.formats.registry import TYPES, SchemaRegistry
from kafka_orders.local.jars import locked
from tests.interop.clients import FOLDER, UNREADABLE, rounded
from tests.support.foreign import Recorded, read
from tests.support.stub_registry import StubRegistry, stub_registry

FILES = sorted(FOLDER.glob("*.jsonl"))
SOUND = [one for one in FILES if tuple(one.stem.split("-")) not in UNREADABLE]

each = pytest.mark.parametrize("file", FILES, ids=lambda one: one.stem)
each_sound = pytest.mark.parametrize("file", SOUND, ids=lambda one: one.stem)


def recorded(file: Path) -> tuple[dict[str, Any], list[Recorded]]:
    first, *lines = file.read_text(encoding="utf-8").splitlines()
    return json.loads(first), [read(one) for one in lines]


@pytest.fixture
def stub() -> Iterator[StubRegistry]:
    with stub_registry() as made:
        yield made


def codec(stub: StubRegistry, about: dict[str, Any]) -> Codec:
    """Return what reads the topic, by a registry that has what the real one had."""
    for one in about["schemas"]:
        stub.add(one["text"], TYPES[about["kind"]], f"{about['topic']}-value", one["id"])
    return Codec(contract_format(about["kind"]), registry=(SchemaRegistry(stub.url), Naming(about["topic"])))


def payload(about: dict[str, Any], value: bytes) -> bytes:
    """Return what stands behind the frame, and for Protobuf behind the message's place as each of them puts it."""
    place = {"java-protobuf": b"\x02\x00", "go-protobuf": b"\x00"}.get(about["topic"], b"")
    assert value[5:].startswith(place)
    return value[5 + len(place) :]


def test_every_client_has_its_records() -> None:
    """Of each format; and nothing else lies there."""
    assert [one.stem for one in FILES] == [
        f"{client}-{kind}" for client in ("go", "java", "node") for kind in sorted(KINDS)
    ]


@each
def test_the_versions_are_those_of_the_locks(file: Path) -> None:
    """Whoever locks newer packages records anew."""
    about, _ = recorded(file)
    if file.stem.startswith("java"):
        of = {one.artifact: one.version for one in [*locked(FOLDER / "java/java.lock.toml"), *locked()]}
    elif file.stem.startswith("go"):
        of = dict(re.findall(r"^\t(\S+) (\S+)$", (FOLDER / "go/go.mod").read_text(encoding="utf-8"), re.M))
    else:
        packages = json.loads((FOLDER / "node/package-lock.json").read_text(encoding="utf-8"))["packages"]
        of = {name.removeprefix("node_modules/"): one.get("version") for name, one in packages.items()}
    assert about["versions"]
    assert about["versions"] == {name: of[name] for name in about["versions"]}
    assert (FOLDER / about["writer"]).is_file()


@each
def test_the_frame_tells_a_registered_id_and_no_header_does(file: Path) -> None:
    """A zero byte and the id, big-endian: all of them agree on that."""
    about, records = recorded(file)
    assert {one.value[0] for one in records if one.value} == {0}
    assert {int.from_bytes((one.value or b"")[1:5]) for one in records} <= {one["id"] for one in about["schemas"]}
    assert [one.headers for one in records] == [[]] * len(about["orders"])


@each_sound
def test_ours_reads_theirs(stub: StubRegistry, file: Path) -> None:
    """Also a place that is told at length where one byte would do (Apicurio: 2, 0)."""
    about, records = recorded(file)
    reads = codec(stub, about)
    assert [rounded(reads.decode(one.value or b"")) for one in records] == [
        rounded(one) for one in about["orders"]
    ]
    assert stub.asked.count(f"GET /schemas/ids/{about['schemas'][0]['id']}") == 1


@each
def test_ours_writes_the_same_payload(file: Path) -> None:
    """Byte for byte, zeros and letters beyond ASCII included; in JSON the same values."""
    about, records = recorded(file)
    form = contract_format(about["kind"])
    for one, order in zip(records, about["orders"], strict=True):
        theirs, mine = payload(about, one.value or b""), form.encode(order)
        assert (json.loads(theirs), json.loads(mine)) == (order, order) if form.kind == "json" else theirs == mine


def test_who_leaves_the_messages_place_out_is_refused(stub: StubRegistry) -> None:
    """As by Confluent's own client; no order is read as something else."""
    (client, kind), *others = UNREADABLE
    assert not others
    about, records = recorded(FOLDER / f"{client}-{kind}.jsonl")
    reads = codec(stub, about)
    for one in records:
        with pytest.raises(DecodeError, match="no message"):
            reads.decode(one.value or b"")


@each
def test_nothing_tells_of_a_machine(file: Path) -> None:
    """No path and no address beside those of JSON Schema."""
    about, records = recorded(file)
    text = json.dumps(about).replace("http://json-schema.org/", "") + repr(records)
    assert re.search(r"/(tmp|home|root|work)/|127\.0\.0\.1|localhost|://", text) is None
