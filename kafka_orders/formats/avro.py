"""Schemaless Avro: bytes to records and back, strict about every byte."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from importlib import resources
from typing import Any

import fastavro

from kafka_orders.domain.errors import DecodeError, SettingsError
from kafka_orders.domain.order import Contract, Read
from kafka_orders.formats.avro_guard import Density, measure
from kafka_orders.formats.base import (
    MOST_VALUES,
    Budget,
    Encode,
    Kind,
    Record,
    exact,
    refuse_large,
    refuse_large_schema,
)
from kafka_orders.formats.flat import compile_flat, compile_reader
from kafka_orders.formats.flat_encode import compile_encoder

Decoder = Callable[[bytes], Record]


class AvroFormat:
    """One Avro schema, parsed once; records travel without a schema id."""

    kind: Kind = "avro"

    def __init__(self, schema: str | bytes | Mapping[str, Any]) -> None:
        """Parse the schema.

        Raises:
            SettingsError: it is not JSON, not an Avro schema, or one that may crash its readers.
        """
        try:
            self._make(schema)
        except SettingsError:
            raise
        except Exception as error:  # a stranger's schema is wrong in a dozen ways; all mean the same here
            raise SettingsError(f"the Avro schema cannot be used: {type(error).__name__}: {error}") from error

    def _make(self, schema: str | bytes | Mapping[str, Any]) -> None:
        plain, self._schema, self._reads, self._density = _parsed(schema)
        #: The schema as a registry takes it.
        self.text = json.dumps(plain)
        self.name = str(fastavro.schema.fullname(plain)) if isinstance(plain, dict) and "name" in plain else ""
        #: Names of a record's fields, those of records inside with a dotted path, and the scale of decimal ones.
        self.fields = dict(_paths(plain))
        #: bytes -> record; raises DecodeError. Flat records take the compiled path (``flat.py``).
        self.decode: Decoder = compile_flat(plain, self.decode_any) or self.decode_any
        #: record -> bytes; raises ValueError where the record does not fit the schema. Compiled likewise.
        self.encode: Encode = compile_encoder(plain, self.encode_any) or self.encode_any
        self._plain = plain
        #: Records are written by the schema they are read by.
        self.is_own = True

    def decode_any(self, payload: bytes) -> Record:
        """Decode any record with fastavro, the reference.

        Raises:
            DecodeError: the bytes are cut short, go on after the record, or are not of this schema.
        """
        return self._read(payload, self._reads, None, self._density.cost)

    def resolving(self, writer: str, named: Mapping[str, str] | None = None) -> AvroFormat:
        """Return this format for records of an older or newer writer, by Avro's rules of schema resolution.

        Args:
            writer: the writer's schema.
            named: schemas of the types that it names without having them, by these names.

        Raises:
            SettingsError: the writer's schema cannot be used.
        """
        other = AvroFormat(whole(writer, named) if named else writer)
        if other._plain == self._plain:
            return self
        # What is written goes out as it came in, by the writer's schema.
        other.fields, theirs = self.fields, other._reads
        cost = other._density.read_by(self._density)
        other.decode = lambda payload: self._read(payload, theirs, self._reads, cost)
        other.is_own = False
        return other

    @staticmethod
    def _read(payload: bytes, writer: Any, reader: Any, cost: float) -> Record:
        refuse_large(payload)
        # Where all bytes together cannot make too many values, none needs to be counted.
        counts = len(payload) * cost > MOST_VALUES
        stream = _Counted(payload, cost) if counts else _Ended(payload) if reader else io.BytesIO(payload)
        try:
            record = fastavro.schemaless_reader(stream, writer, reader)
        except DecodeError:  # our own: too many values
            raise
        except Exception as error:  # fastavro raises a dozen kinds for corrupt bytes; all mean the same here
            raise DecodeError(
                f"not a record of the schema: {type(error).__name__} at byte {stream.tell()}"
            ) from error
        if stream.tell() != len(payload):
            raise DecodeError(f"{len(payload) - stream.tell()} bytes too many after the record")
        return record  # type: ignore[return-value]

    def reader(self, contract: Contract) -> Read:
        """Return decoder and validator for records under ``contract``, in one where the schema allows it."""
        apart = contract.reader(self.decode)
        return (compile_reader(self._plain, contract, apart) if self.is_own else None) or apart

    def encode_any(self, record: Mapping[str, Any]) -> bytes:
        """Encode any record with fastavro, the reference.

        Raises:
            ValueError: the record does not fit the schema.
        """
        for schema in (self._schema, self._reads):  # which takes decimals from what spells them, too
            stream = io.BytesIO()
            try:
                fastavro.schemaless_writer(stream, schema, dict(record))
            except Exception as error:  # as when it reads
                why = error
            else:
                return stream.getvalue()
        raise ValueError(f"the record does not fit the schema: {why}") from why


#: To be counted costs a read as much as so many values.
_READ = 3


class _Ended(io.BytesIO):
    """Bytes that end with an error: fastavro passes over items that are not there, for years if told of 2**61."""

    def read(self, size: int | None = -1, /) -> bytes:
        held = super().read(size)
        if size is not None and len(held) < size:
            raise EOFError
        return held


class _Counted(_Ended):
    """Bytes that are read as long as the values made of them are not too many: each read ends so many, or none."""

    def __init__(self, payload: bytes, cost: float) -> None:
        super().__init__(payload)
        self._spend, self._cost = Budget().spend, _READ + cost

    def read(self, size: int | None = -1, /) -> bytes:
        held = super().read(size)
        # A byte that says that its number goes on makes no value yet.
        self._spend(_READ if size == 1 and held[0] > 127 else self._cost)
        return held


def _parsed(schema: str | bytes | Mapping[str, Any]) -> tuple[Any, Any, Any, Density]:
    """Return a schema as JSON, as fastavro takes it to write and to read, and what it costs."""
    refuse_large_schema(schema if isinstance(schema, str) else str(schema))
    plain = json.loads(schema) if isinstance(schema, str | bytes) else dict(schema)
    parsed = fastavro.parse_schema(plain)
    density = measure(parsed)
    return plain, parsed, fastavro.parse_schema(_bounded(plain)), density


def whole(text: str, named: Mapping[str, str]) -> str:
    """Return a schema with the types in it that it only names.

    Raises:
        SettingsError: one of the texts is not JSON.
    """
    missing = dict(named)

    def filled(one: Any) -> Any:
        if isinstance(one, str) and one in missing:
            return filled(json.loads(missing.pop(one)))  # from its second place on it is known by name
        if isinstance(one, list):
            return [filled(each) for each in one]
        return (
            {key: filled(each) if key in _INNER else each for key, each in one.items()}
            if type(one) is dict
            else one
        )

    try:
        return json.dumps(filled(json.loads(text)))
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the Avro schema cannot be used: {error}") from error


def _bounded(plain: Any) -> Any:
    """Return a schema whose decimals are read by :func:`_decimal`, and written by :func:`_spelt`."""
    if isinstance(plain, list):
        return [_bounded(one) for one in plain]
    if not isinstance(plain, dict):
        return plain
    changed = {name: _bounded(one) if name in _INNER else one for name, one in plain.items()}
    return {**changed, "logicalType": _DECIMAL} if plain.get("logicalType") == "decimal" else changed


def _decimal(unscaled: bytes, writer: Any = None, _reader: Any = None) -> Decimal:
    if len(unscaled) > _DECIMAL_BYTES:
        raise ValueError(f"a decimal number of {len(unscaled)} bytes")
    return Decimal(int.from_bytes(unscaled, "big", signed=True)).scaleb(-writer.get("scale", 0))


def _spelt(prepare: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    return lambda value, schema: prepare(exact(value) if isinstance(value, int | float | str) else value, schema)


# fastavro's own reader takes 86 s for a megabyte of digits (measured), so decimals have a type of our own while
# they are read; other users of fastavro in this process keep theirs.
_DECIMAL, _DECIMAL_BYTES = "kafka-orders-decimal", 64
_INNER = {"type", "fields", "items", "values"}
for _kind in ("bytes", "fixed"):
    fastavro.read.LOGICAL_READERS[f"{_kind}-{_DECIMAL}"] = _decimal
    _written = fastavro.write.LOGICAL_WRITERS
    _written[f"{_kind}-{_DECIMAL}"] = _spelt(_written[f"{_kind}-decimal"])


def _paths(plain: Any, before: str = "") -> Iterator[tuple[str, int | None]]:
    """Yield names of fields and their scales; what may be null is looked into, too."""
    for one in _some(plain).get("fields", ()):
        name, kind = f"{before}{one['name']}", _some(one["type"])
        yield name, int(kind.get("scale", 0)) if kind.get("logicalType") == "decimal" else None
        yield from _paths(kind, name + ".")


def _some(kind: Any) -> Mapping[str, Any]:
    """Return a type with properties; of a union the first that is not null."""
    if isinstance(kind, list):
        kind = next((one for one in kind if one != "null"), None)
    if isinstance(kind, dict):
        return _some(kind["type"]) if isinstance(kind.get("type"), dict) else kind
    return {}


def order_format() -> AvroFormat:
    """Return the format of the order contract (``kafka_orders/schemas/order.avsc``)."""
    return AvroFormat(resources.files("kafka_orders").joinpath("schemas/order.avsc").read_bytes())
