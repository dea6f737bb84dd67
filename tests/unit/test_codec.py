"""Which format a record is in: told by headers and frames, never guessed; and never mixed up."""

from __future__ import annotations

import json

import pytest

from kafka_orders.domain.errors import DecodeError, OutageError
from kafka_orders.domain.order import Contract
from kafka_orders.formats import codec as codecs
from kafka_orders.formats import framing
from kafka_orders.formats.avro import AvroFormat
from kafka_orders.formats.base import KINDS, Kind
from kafka_orders.formats.choice import contract_format
from kafka_orders.formats.codec import CONTENT_TYPES, Codec
from kafka_orders.formats.framing import Naming, read_places, written_places
from kafka_orders.formats.registry import Registered
from tests.unit.test_fuzz import Shelf

ORDER = {"orderId": "1", "product": "Tea", "price": 4.5}
FORMATS = {kind: contract_format(kind) for kind in KINDS}


def says(kind: str) -> list[tuple[str, bytes | None]]:
    return [("x-other", b"1"), ("content-type", kind.encode())]


@pytest.mark.parametrize("own", KINDS)
@pytest.mark.parametrize("sent", KINDS)
def test_a_content_type_is_believed(own: Kind, sent: Kind) -> None:
    """In a pipeline of any format; without one the record is in the pipeline's own."""
    codec, payload = Codec(FORMATS[own]), FORMATS[sent].encode(ORDER)
    assert codec.decode(payload, says(CONTENT_TYPES[sent])) == ORDER
    assert codec.decode(FORMATS[own].encode(ORDER)) == ORDER
    assert codec.decode(FORMATS[own].encode(ORDER), says("application/octet-stream")) == ORDER


@pytest.mark.parametrize(("told", "kind"), [
    ("application/json; charset=utf-8", "json"), ("APPLICATION/JSON", "json"), ("avro/binary", "avro"),
    ("application/cloudevents+json", "json"), ("application/vnd.apache.avro+avro", "avro"),
    ("application/x-protobuf", "protobuf"),
])  # fmt: skip
def test_other_names_of_formats_are_known(told: str, kind: Kind) -> None:
    """As others write them."""
    assert Codec(FORMATS["avro"]).decode(FORMATS[kind].encode(ORDER), says(told)) == ORDER


def test_what_is_no_format_of_ours_is_refused() -> None:
    """As the record's fault; a package that is missing is not."""
    with pytest.raises(DecodeError, match="content-type text/plain"):
        Codec(FORMATS["avro"]).decode(b"x", says("text/plain"))
    own = AvroFormat({"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]})
    with pytest.raises(DecodeError, match="no schema for it, name one with --schema"):
        Codec(own, {"avro": own}).decode(b"{}", says("application/json"))


def test_a_package_that_is_missing_holds_orders(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is this machine's fault, so nothing is routed."""

    def missing(_kind: Kind) -> None:
        raise codecs.MissingPackageError("json orders need orjson")

    monkeypatch.setattr(codecs, "contract_format", missing)
    with pytest.raises(OutageError, match="need orjson; no order was touched"):
        Codec(FORMATS["avro"]).decode(b"{}", says("application/json"))


def versions(count: int) -> Shelf:
    """Return schemas that differ in the order of their fields: one read by another gives another order."""
    names = ["orderId", "product", "other"]
    held = {}
    for number in range(count):
        order = [names[(number + shift) % 3] for shift in range(3)]
        fields = [{"name": one, "type": "string"} for one in order] + [{"name": "price", "type": "float"}]
        schema = {"type": "record", "name": "Order", "namespace": "com.example.orders", "fields": fields,
                  "doc": str(number)}  # fmt: skip
        held[number] = Registered("avro", json.dumps(schema), frozenset({"t-value"}), {})
    return Shelf(held)


@pytest.mark.parametrize("readers", [3, 2000])
def test_schemas_that_are_forgotten_are_not_mixed_up(monkeypatch: pytest.MonkeyPatch, readers: int) -> None:
    """However few are remembered, each order is read by its own schema."""
    monkeypatch.setattr(framing, "_MOST_KEPT", 2)
    monkeypatch.setattr(codecs, "_MOST_READERS", readers)
    shelf = versions(30)
    codec = Codec(FORMATS["avro"], None, (shelf, Naming("t")))  # type: ignore[arg-type]
    read = codec.reads(Contract()).plain
    for turn in range(300):
        number = turn * 7 % 30
        writer = AvroFormat(shelf.held[number].text)
        value = writer.encode({"orderId": f"o{turn}", "product": f"p{turn}", "other": f"x{turn}", "price": 1.5})
        order, product, _ = read(b"\0" + number.to_bytes(4, "big") + value)
        assert (order["orderId"], product) == (f"o{turn}", f"p{turn}")


def test_a_frame_is_seen_behind_a_content_type_that_cannot_begin_so() -> None:
    """JSON and Protobuf never begin with a zero byte; raw Avro may, and says so."""
    held = {1: Registered("json", FORMATS["json"].text, frozenset({"t-value"}), {})}
    codec = Codec(FORMATS["json"], None, (Shelf(held), Naming("t")))  # type: ignore[arg-type]
    framed = b"\0\0\0\0\1" + FORMATS["json"].encode(ORDER)
    assert codec.decode(framed, says("application/json")) == ORDER
    assert codec.decode(framed[5:], says("application/json")) == ORDER
    with pytest.raises(DecodeError):
        codec.decode(framed, says("application/avro"))


@pytest.mark.parametrize("places", [(0,), (1,), (0, 0), (63, 64), (200, 3, 9)])
def test_places_of_messages_are_written_and_read(places: tuple[int, ...]) -> None:
    """The first message is one zero byte."""
    written = written_places(places)
    assert read_places(b"12345" + written + b"rest", 5) == (places, 5 + len(written))
    assert (written == b"\0") == (places == (0,))
