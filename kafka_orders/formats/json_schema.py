"""Orders as JSON, checked against a JSON Schema (by jsonschema-rs; the bytes are read by orjson)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from itertools import chain, islice
from typing import Any, NoReturn
from urllib.parse import unquote

import jsonschema_rs
import orjson

from kafka_orders.domain.errors import DecodeError, InvalidOrderError, SettingsError
from kafka_orders.domain.order import Contract, Read
from kafka_orders.formats.base import Kind, Record, number_of, refuse_large, refuse_large_schema

#: A text of this format is read as the decimal number that it spells: how JSON tells exact prices.
DECIMAL = "decimal"
_MOST_DIGITS = 64


class JsonFormat:
    """One JSON Schema. Orders that are JSON but not of the schema fail validation, other bytes do not decode.

    What a schema calls the ``default`` of a property of the order is filled in where an order has none. Of a
    name that stands twice in an object the last one counts. References to other documents are not followed.
    """

    kind: Kind = "json"

    def __init__(self, schema: str | bytes | Mapping[str, Any]) -> None:
        """Compile the schema.

        Raises:
            SettingsError: it is not JSON, or no JSON Schema of an object.
        """
        self.text = _text(schema)
        refuse_large_schema(self.text)
        try:
            plain = json.loads(self.text)
            # Patterns by an engine without backtracking: a stranger's order must not take minutes to match.
            self._validator = jsonschema_rs.validator_for(
                plain, retriever=_refuse, pattern_options=jsonschema_rs.RegexOptions()
            )
        except (ValueError, TypeError, RecursionError) as error:
            why = str(error).partition("\n")[0]
            raise SettingsError(f"the JSON Schema cannot be used: {why}") from error
        held: Any = plain.get("properties") if isinstance(plain, dict) else None
        properties: dict[str, Any] = held if isinstance(held, dict) else {}
        if not properties:
            raise SettingsError("the JSON Schema names no properties: records have fields, one of them is counted")
        self.name = str(plain.get("title", "")) or "record"
        told = _described(plain)
        self.fields = {".".join(path): _scale(some) for path, some in told.items()}
        direct = {name: one for name, one in properties.items() if isinstance(one, dict)}
        self._defaults = {name: one["default"] for name, one in direct.items() if "default" in one}
        decimals = [path for path, some in told.items() if any(one.get("format") == DECIMAL for one in some)]
        self._decimals = [(path[:-1], path[-1]) for path in decimals]

    def decode(self, payload: bytes) -> Record:
        """Decode and check an order.

        Raises:
            DecodeError: the bytes are not JSON, nested too deeply, or too large.
            InvalidOrderError: the JSON is not of the schema.
        """
        refuse_large(payload)
        try:
            order = orjson.loads(payload)
        except ValueError as error:
            raise DecodeError(f"not JSON: {error}") from None
        if complaint := self._complaint(order):
            raise InvalidOrderError(complaint)
        if order.__class__ is not dict:  # a schema need not say that it is of objects
            raise InvalidOrderError(f"not a record with fields: {order!r:.80}")
        if self._defaults:
            order = self._defaults | order
        for within, name in self._decimals:
            record: Any = order
            for step in within:
                record = record.get(step) if record.__class__ is dict else None
            if record.__class__ is dict and record.get(name) is not None:
                record[name] = _decimal(".".join((*within, name)), record[name])
        return order  # type: ignore[no-any-return]

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Encode an order; it is read back, so what is written can be read.

        Raises:
            ValueError: the order does not fit the schema.
        """
        try:
            payload = orjson.dumps(dict(record), default=_spelt)
            self.decode(payload)
        except (TypeError, ValueError) as error:
            raise ValueError(f"the record does not fit the schema: {error}") from error
        return payload

    def reader(self, contract: Contract) -> Read:
        """Return decoder and validator one after the other."""
        return contract.reader(self.decode)

    def _complaint(self, order: Any) -> str:
        try:
            if not self._validator.is_valid(order):  # which is quicker
                self._validator.validate(order)  # raises the first error; to list them all may take seconds
        except jsonschema_rs.ValidationError as error:
            where = ".".join(map(str, error.instance_path))
            return f"field {where}: {error.message:.200}" if where else f"{error.message:.200}"
        except ValueError as error:  # it goes no deeper than some 250 levels
            raise DecodeError(f"JSON that is not looked into: {error}") from None
        return ""


def _text(schema: str | bytes | Mapping[str, Any]) -> str:
    if isinstance(schema, Mapping):
        return json.dumps(schema)
    try:
        return schema.decode() if isinstance(schema, bytes) else schema
    except UnicodeDecodeError:
        raise SettingsError("the JSON Schema is not UTF-8 text") from None


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is another document; a schema has to be whole")


#: Fields that are known of a schema, how deep, and what is looked at of each: one may refer to itself without end.
_MOST_FIELDS, _DEEPEST, _MOST_ALTERNATIVES = 1_000, 8, 100
Path = tuple[str, ...]


def _described(root: dict[str, Any]) -> dict[Path, list[dict[str, Any]]]:
    """Return the fields of a schema's records, and what describes each; the outer ones first."""
    found: dict[Path, list[dict[str, Any]]] = {}
    level: list[tuple[Path, list[dict[str, Any]]]] = [((), list(_alternatives(root, root)))]
    while level and len(level[0][0]) < _DEEPEST:
        inner: dict[Path, list[dict[str, Any]]] = {}
        for path, some in level:
            held = [one["properties"] for one in some if isinstance(one.get("properties"), dict)]
            for name, one in chain.from_iterable(each.items() for each in held):
                if len(found) + len(inner) < _MOST_FIELDS:
                    inner.setdefault((*path, name), []).extend(_alternatives(root, one))
        found |= inner
        level = list(inner.items())
    return found


def _alternatives(root: Any, schema: Any) -> Iterator[dict[str, Any]]:
    """Yield all that describes a value: a schema, what it refers to in its own document, its alternatives."""
    waiting = [schema]
    for one in islice(waiting, _MOST_ALTERNATIVES):  # grows under way
        if not isinstance(one, dict):
            continue
        yield one
        for words in ("allOf", "anyOf", "oneOf"):
            waiting += one[words][:_MOST_ALTERNATIVES] if isinstance(one.get(words), list) else []
        to = one.get("$ref")
        if isinstance(to, str) and to.startswith("#"):
            waiting.append(_pointed(root, to))


def _pointed(root: Any, pointer: str) -> Any:
    """Return what a pointer such as ``#/$defs/Total`` points to; None where that is nothing."""
    for name in unquote(pointer).split("/")[1:]:
        root = root.get(name.replace("~1", "/").replace("~0", "~")) if isinstance(root, dict) else None
    return root


def _scale(some: list[dict[str, Any]]) -> int | None:
    """Return the digits behind the point that ``multipleOf`` allows, as 0.01 does two."""
    steps = [one["multipleOf"] for one in some if isinstance(one.get("multipleOf"), int | float)]
    exponents = [Decimal(str(step)).normalize().as_tuple().exponent for step in steps]
    return next((max(0, -one) for one in exponents if isinstance(one, int)), None)


def _decimal(name: str, told: Any) -> Decimal:
    try:
        if isinstance(told, str) and len(told) <= _MOST_DIGITS:
            return number_of(told)
        raise ValueError(told)
    except ValueError:
        raise InvalidOrderError(f"field {name} is not a decimal number: {told!r:.80}") from None


def _spelt(value: Any) -> Any:
    if isinstance(value, Decimal):
        return str(value)
    raise TypeError(f"{type(value).__name__} has no JSON")
