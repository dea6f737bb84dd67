"""Schemaless Avro: bytes to records and back, strict about every byte."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import fastavro

from kafka_orders.domain.errors import DecodeError, SettingsError
from kafka_orders.domain.order import Contract, Read
from kafka_orders.formats.flat import compile_flat

Record = dict[str, Any]
Decoder = Callable[[bytes], Record]


class AvroFormat:
    """One Avro schema, parsed once; records travel without a schema id."""

    def __init__(self, schema: str | bytes | Mapping[str, Any]) -> None:
        """Parse the schema.

        Raises:
            SettingsError: it is not JSON, or not an Avro schema.
        """
        try:
            plain: dict[str, Any] = json.loads(schema) if isinstance(schema, str | bytes) else dict(schema)
            self._schema = fastavro.parse_schema(plain)
        except (ValueError, KeyError, TypeError, fastavro.schema.SchemaParseException) as error:
            raise SettingsError(f"the Avro schema cannot be used: {error}") from error
        #: Names of a record's fields; empty for other schemas.
        self.fields = tuple(str(one["name"]) for one in plain.get("fields", ())) if type(plain) is dict else ()
        #: bytes -> record; raises DecodeError. Flat records take the compiled path (``flat.py``).
        self.decode: Decoder = compile_flat(plain, self.decode_any) or self.decode_any

    def reader(self, contract: Contract) -> Read:
        """Return decoding and validation as one function of a record's bytes."""
        return contract.reader(self.decode)

    def decode_any(self, payload: bytes) -> Record:
        """Decode any record with fastavro, the reference.

        Raises:
            DecodeError: the bytes are cut short, go on after the record, or are not of this schema.
        """
        stream = io.BytesIO(payload)
        try:
            record = fastavro.schemaless_reader(stream, self._schema, None)
        except Exception as error:  # fastavro raises a dozen kinds for corrupt bytes; all mean the same here
            raise DecodeError(
                f"not a record of the schema: {type(error).__name__} at byte {stream.tell()}"
            ) from error
        if stream.tell() != len(payload):
            raise DecodeError(f"{len(payload) - stream.tell()} bytes too many after the record")
        return record  # type: ignore[return-value]

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Encode a record.

        Raises:
            ValueError: the record does not fit the schema.
        """
        stream = io.BytesIO()
        try:
            fastavro.schemaless_writer(stream, self._schema, dict(record))
        except Exception as error:
            raise ValueError(f"the record does not fit the schema: {error}") from error
        return stream.getvalue()


def format_of(schema_file: str) -> AvroFormat:
    """Return the format of a schema file; the order contract's where none is named.

    Raises:
        SettingsError: the file cannot be read, or is no Avro schema.
    """
    if not schema_file:
        return order_format()
    try:
        return AvroFormat(Path(schema_file).read_bytes())
    except OSError as error:
        raise SettingsError(f"schema = {schema_file!r} cannot be read: {error.strerror or error}") from error


def order_format() -> AvroFormat:
    """Return the format of the order contract (``kafka_orders/schemas/order.avsc``)."""
    return AvroFormat(resources.files("kafka_orders").joinpath("schemas/order.avsc").read_bytes())
