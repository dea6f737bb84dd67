"""Avro schemas that are refused, since a few bytes of a record could crash or choke the process.

A writer's schema comes from whoever may register one. fastavro is native code: in a schema that contains itself
some 20,000 levels end the process (measured; 900 are fine), and an array of nulls takes no bytes at all, so five
bytes can make 50 million of them. Both are refused whoever they come from: a reader that may crash holds up
everybody's orders.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from kafka_orders.domain.errors import SettingsError

#: Most values of a record beside its arrays and maps: records in records multiply.
MOST_VALUES = 10_000
#: Most values per byte in arrays and maps.
_VALUES_PER_BYTE = 4
_WIDTHS = {"null": 0, "float": 4, "double": 8}


class _Size(NamedTuple):
    """How many values one makes at the least bytes, and how many bytes these are."""

    values: int
    width: int


def refuse_dangerous(schema: Any) -> None:
    """Refuse a schema by which a small record can take much time or memory, or the process.

    Raises:
        SettingsError: it contains itself, or makes many values of few bytes.
    """
    try:
        values = _Measure().of(schema, "").values
    except RecursionError:
        raise SettingsError("the Avro schema is nested too deeply") from None
    if values > MOST_VALUES:
        raise SettingsError(f"the Avro schema makes more than {MOST_VALUES} values of one record")


class _Measure:
    def __init__(self) -> None:
        #: Sizes of named types; None while one is being measured.
        self._named: dict[str, _Size | None] = {}

    def of(self, schema: Any, space: str) -> _Size:
        if isinstance(schema, list):
            parts = [self.of(one, space) for one in schema]
            return (
                _Size(max(one.values for one in parts), 1 + min(one.width for one in parts))
                if parts
                else _Size(1, 1)
            )
        if isinstance(schema, str):
            return self._known(schema, space)
        match schema.get("type"):
            case "record" | "error":
                return self._record(schema, space)
            case "array" | "map" as kind:
                self._refuse_choking(self.of(schema.get("items" if kind == "array" else "values"), space), kind)
                return _Size(1, 1)
            case "fixed" | "enum" as kind:
                width = 1 if kind == "enum" else int(schema.get("size", 0))
                return self._noted(_full(schema, space), _Size(1, width))
            case inner:
                return self.of(inner, space)

    def _record(self, schema: Mapping[str, Any], space: str) -> _Size:
        name = _full(schema, space)
        self._named[name] = None
        parts = [self.of(one["type"], name.rpartition(".")[0]) for one in schema.get("fields", ())]
        return self._noted(name, _Size(1 + sum(one.values for one in parts), sum(one.width for one in parts)))

    def _known(self, name: str, space: str) -> _Size:
        for full in (name, f"{space}.{name}"):
            if full in self._named:
                if (size := self._named[full]) is None:
                    raise SettingsError(f"the Avro schema contains itself ({name}): deep records crash readers")
                return size
        return _Size(1, _WIDTHS.get(name, 1))

    def _noted(self, name: str, size: _Size) -> _Size:
        self._named[name] = size
        return size

    @staticmethod
    def _refuse_choking(item: _Size, kind: str) -> None:
        width = item.width + (kind == "map")
        if item.values > _VALUES_PER_BYTE * width:
            raise SettingsError(f"the Avro schema has {kind}s of what takes no bytes: a few bytes make millions")


def _full(schema: Mapping[str, Any], space: str) -> str:
    name, own = str(schema.get("name", "")), schema.get("namespace", space)
    return name if "." in name or not own else f"{own}.{name}"
