"""Which format a schema is of. Formats beside Avro are imported when they are used: their packages are extras."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any, cast

from kafka_orders.domain.errors import SettingsError
from kafka_orders.formats.avro import AvroFormat
from kafka_orders.formats.base import KINDS, Format, Kind

#: The order contract in each format, in ``kafka_orders/schemas``.
CONTRACT: Mapping[Kind, str] = {"avro": "order.avsc", "json": "order.schema.json", "protobuf": "order.proto"}
#: Words that only a JSON Schema has, not an Avro one.
_JSON_SCHEMA = {"$schema", "$id", "properties", "$ref", "$defs"}


def make_format(kind: Kind, schema: str | bytes | Mapping[str, Any], message: str = "", near: str = "") -> Format:
    """Return the format of a schema.

    Args:
        kind: what kind of schema it is.
        schema: its text, or for Avro and JSON the text's content.
        message: which message of a .proto file; default: its first.
        near: a file in whose folder a .proto file's imports are looked for.

    Raises:
        SettingsError: it cannot be used, or the packages that its kind needs are not there.
    """
    if kind == "avro":
        return AvroFormat(schema)
    try:
        if kind == "json":
            from kafka_orders.formats.json_schema import JsonFormat  # noqa: PLC0415  an extra

            return JsonFormat(schema)
        from kafka_orders.formats.protobuf import ProtobufFormat  # noqa: PLC0415  an extra
    except ImportError as error:
        raise MissingPackageError(
            f"{kind} orders need {error.name}: pip install 'kafka-orders[{kind}]'"
        ) from error
    if isinstance(schema, Mapping):
        raise SettingsError("a Protobuf schema is the text of a .proto file")
    return ProtobufFormat(schema, message, Path(near).resolve().parent if near else None)


class MissingPackageError(SettingsError):
    """Orders came in a format whose packages are not installed."""


def open_format(schema_file: str = "", kind: str = "") -> Format:
    """Return the format of a schema file; the order contract's where none is named.

    ``kind`` is told by the file where it is not said. A message of a .proto file that is not the first is named
    behind it: ``shop.proto#Sale``.

    Raises:
        SettingsError: the file cannot be read, or is no such schema.
    """
    if not schema_file:
        return contract_format(cast("Kind", kind or "avro"))
    name, _, message = schema_file.partition("#")
    try:
        text = Path(name).read_bytes()
    except OSError as error:
        raise SettingsError(f"schema = {schema_file!r} cannot be read: {error.strerror or error}") from error
    if not name.endswith((".proto", ".avsc")):
        _refuse_no_json(schema_file, text)
    found = kind_of(name, text)
    if kind and kind != found:
        raise SettingsError(f"schema = {schema_file!r} is a schema for {found}, and format = {kind!r}")
    try:
        return make_format(found, text, message, name)
    except MissingPackageError:
        raise
    except SettingsError as error:
        raise SettingsError(f"schema = {schema_file!r}: {error}") from error


def _refuse_no_json(file: str, text: bytes) -> None:
    try:
        json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(
            f"schema = {file!r} is not JSON: {error}. A schema is an .avsc, a JSON Schema (.json) or a .proto file"
        ) from error


def contract_format(kind: Kind) -> Format:
    """Return the order contract's format of a kind.

    Raises:
        SettingsError: there is no such kind, or its packages are not there.
    """
    if kind not in KINDS:
        raise SettingsError(f"format = {kind!r} is none of {', '.join(KINDS)}")
    return make_format(kind, resources.files("kafka_orders").joinpath("schemas", CONTRACT[kind]).read_bytes())


def kind_of(name: str, text: bytes | str) -> Kind:
    """Say of what kind a schema is: by the file's ending, and where that is .json by what it holds."""
    if name.endswith(".proto"):
        return "protobuf"
    if name.endswith(".avsc"):
        return "avro"
    try:
        held = json.loads(text)
    except (ValueError, RecursionError):
        return "avro"  # which says what is wrong with it
    return "json" if isinstance(held, dict) and _JSON_SCHEMA & held.keys() else "avro"
