"""Avro schemas that are refused, since few bytes of a record could crash or choke the process; others, measured.

A writer's schema comes from whoever may register one. fastavro is native code: in a schema that contains itself
some 20,000 levels end the process (measured; 900 are fine), and an array of nulls takes no bytes at all, so five
bytes can make 50 million of them. Both are refused whoever they come from: a reader that may crash holds up
everybody's orders. By any other schema a byte makes so many values at the most, and a record of many bytes is read
with its values counted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kafka_orders.domain.errors import SettingsError

#: Most values of a record beside its arrays and maps: records in records multiply.
MOST_OF_FIELDS = 10_000
#: Most values per byte in arrays and maps.
_VALUES_PER_BYTE = 4
#: As many values does one of a logical type cost, which is made in Python.
_LOGICAL = 3
#: And so many a record, a list or a map, beside what is in it.
_HOLDER = 2
_NAMED = ("record", "error", "enum", "fixed")
#: Primitive types, which a name means before any other, and their least bytes.
_WIDTHS = {"null": 0, "boolean": 1, "int": 1, "long": 1, "float": 4, "double": 8, "bytes": 1, "string": 1}


class _Size(NamedTuple):
    """How many values one makes at the least bytes, how many bytes these are, what the values cost (in values).

    ``defaults``: how many fields a reader fills in where a writer does not have them.
    """

    values: int
    width: int
    cost: int
    defaults: int = 0


class Density(NamedTuple):
    """What the arrays and maps of a record may cost, in values, and the least bytes of an item of one of them.

    ``cost`` is by byte, ``defaults`` by item: fields that a reader fills in.
    """

    cost: float = 0
    defaults: int = 0
    width: int = 1 << 20

    def read_by(self, reader: Density) -> float:
        """Return the cost by byte where another schema's reader fills in what this one's items do not have."""
        return self.cost + reader.defaults / self.width


def measure(parsed: Any) -> Density:
    """Return what a record may cost, or refuse its schema: a small record could take much, or the process.

    Args:
        parsed: the schema as fastavro has parsed it. What a name means there, it means to the decoder: a look-up
            of our own took a type for another one of that name, and what was let through ended the process.

    Raises:
        SettingsError: it contains itself, or makes many values of few bytes.
    """
    measuring = _Measure()
    try:
        values = measuring.of(parsed).values
    except RecursionError:
        raise SettingsError("the Avro schema is nested too deeply") from None
    if values > MOST_OF_FIELDS:
        raise SettingsError(f"the Avro schema makes more than {MOST_OF_FIELDS} values of one record")
    return measuring.density


class _Measure:
    def __init__(self) -> None:
        #: Sizes of named types; None while one is being measured.
        self._named: dict[str, _Size | None] = {}
        self.density = Density()

    def of(self, schema: Any) -> _Size:
        if isinstance(schema, list):
            parts = [self.of(one) for one in schema] or [_Size(1, 0, 1)]
            values, widths, costs, defaults = zip(*parts, strict=True)
            return _Size(max(values), 1 + min(widths), max(costs), max(defaults))
        if isinstance(schema, str):
            return self._known(schema)
        size = self._of_kind(schema)
        if "logicalType" in schema:
            size = size._replace(cost=size.cost + _LOGICAL)
        if schema.get("type") in _NAMED:
            self._named[schema["name"]] = size
        return size

    def _of_kind(self, schema: Mapping[str, Any]) -> _Size:
        match schema.get("type"):
            case "record" | "error":
                return self._record(schema)
            case "array" | "map" as kind:
                self._many(self.of(schema.get("items" if kind == "array" else "values")), kind)
                return _Size(1, 1, _HOLDER)
            case "enum":
                return _Size(1, 1, 1)
            case "fixed":
                return _Size(1, int(schema.get("size", 0)), 1)
            case inner:
                return self.of(inner)

    def _record(self, schema: Mapping[str, Any]) -> _Size:
        self._named[schema["name"]] = None
        fields = schema.get("fields", ())
        parts = [self.of(one["type"]) for one in fields]
        filled = [1 if "default" in field else one.defaults for field, one in zip(fields, parts, strict=True)]
        values, width, cost, _ = map(sum, zip(*parts, strict=True)) if parts else (0, 0, 0, 0)
        return _Size(1 + values, width, _HOLDER + cost, sum(filled))

    def _known(self, name: str) -> _Size:
        if name in _WIDTHS:
            return _Size(1, _WIDTHS[name], 1)
        if (size := self._named[name]) is None:
            raise SettingsError(f"the Avro schema contains itself ({name}): deep records crash readers")
        return size

    def _many(self, item: _Size, kind: str) -> None:
        width = item.width + (kind == "map")
        if item.values > _VALUES_PER_BYTE * width:
            raise SettingsError(f"the Avro schema has {kind}s of what takes no bytes: a few bytes make millions")
        known, cost = self.density, (item.cost + (kind == "map")) / width
        self.density = Density(max(known.cost, cost), max(known.defaults, item.defaults), min(known.width, width))
