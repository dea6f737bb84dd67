"""Avro: the specification's rules of schema resolution."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import chain
from typing import Any

from kafka_orders.formats.avro import AvroFormat, whole
from kafka_orders.formats.evolution.change import Change, Source, below, read_json

_PROMOTED = {
    "int": {"long", "float", "double"}, "long": {"float", "double"}, "float": {"double"}, "string": {"bytes"},
    "bytes": {"string"},
}  # fmt: skip
_NAMED = ("record", "enum", "fixed", "error")
#: What decides how a decimal's bytes are read.
_LOGICAL = ("logicalType", "precision", "scale")

Types = dict[str, Any]


def changes(old: Source, new: Source, _needed: Collection[str] = ()) -> list[Change]:
    """Return what differs; a field without default cannot be missing, so ``needed`` decides nothing here."""
    texts = [read_json(whole(one.text, one.imports) if one.imports else one.text) for one in (old, new)]
    for one in texts:
        AvroFormat(one)  # which says what is wrong
    before, after = texts
    return list(_Rules(_named(before), _named(after)).compare(before, after, ""))


class _Rules:
    def __init__(self, old: Types, new: Types) -> None:
        self._old, self._new = old, new

    def compare(self, old: Any, new: Any, path: str) -> Iterator[Change]:
        """Yield changes from one type to another."""
        old, new = _type(old, self._old), _type(new, self._new)
        if _is(old, "record") and _is(new, "record"):
            yield from self._records(old, new, path)
        elif old != new:
            back = _unreadable(old, new, self._old, self._new)
            forth = _unreadable(new, old, self._new, self._old)
            yield Change(path or "the record", f"{_told(old)} becomes {_told(new)}", back, forth)

    def _records(self, old: Types, new: Types, path: str) -> Iterator[Change]:
        if why := _renamed(old, new):
            back = "" if _same_name(old, new) else why
            yield Change(path or "the record", f"{old['name']} is now called {new['name']}", back, why)
        before, after = _fields(old), _fields(new)
        came_from = {name: _source(one, before) for name, one in after.items()}
        for name, source in came_from.items():
            here = below(path, name)
            if source is None:
                yield _added(here, after[name])
                continue
            if source == name:
                yield from self.compare(before[name]["type"], after[name]["type"], here)
                continue
            back = _unreadable(before[source]["type"], after[name]["type"], self._old, self._new)
            told = f"{source} is now called {name}, with its old name as an alias"
            yield Change(here, told, back, self._missed(before[source], after))  # old readers know no alias
        for name in before.keys() - set(came_from.values()):
            yield Change(below(path, name), "removed", "", self._missed(before[name], after))

    def _missed(self, field: Types, after: Mapping[str, Types]) -> str:
        """Return why an old reader cannot do without a field of its own; it may know another one as its alias."""
        if (other := _source(field, after)) is not None:
            return _unreadable(after[other]["type"], field["type"], self._new, self._old)
        return "" if "default" in field else f"they need {field['name']}, which has no default"


def _added(path: str, field: Types) -> Change:
    if "default" in field:
        return Change(path, f"added, default {field['default']!r}")
    return Change(path, "added, without a default", "old orders do not have it, and there is no default")


def _unreadable(writer: Any, reader: Any, theirs: Types, ours: Types) -> str:
    """Return why data of one type cannot be read as another; empty: it can."""
    writer, reader = _type(writer, theirs), _type(reader, ours)
    if isinstance(writer, list):
        return next(filter(None, (_unreadable(one, reader, theirs, ours) for one in writer)), "")
    if isinstance(reader, list):
        tries = [_unreadable(writer, one, theirs, ours) for one in reader]
        return "" if "" in tries or not tries else f"{_told(writer)} is none of {_told(reader)}"
    kind, wanted = _kind(writer), _kind(reader)
    if kind != wanted:
        return "" if wanted in _PROMOTED.get(kind, ()) else f"{_told(writer)} cannot be read as {_told(reader)}"
    return _inside(kind, writer, reader, theirs, ours)


def _inside(kind: str, writer: Any, reader: Any, theirs: Types, ours: Types) -> str:
    if kind in _NAMED and not _same_name(writer, reader):
        return f"{_told(writer)} is not {_told(reader)}"
    match kind:
        case "record" | "error":
            before = _fields(writer)
            for name, one in _fields(reader).items():
                source = _source(one, before)
                if source is None and "default" not in one:
                    return f"{name} is missing, and has no default"
                if source and (why := _unreadable(before[source]["type"], one["type"], theirs, ours)):
                    return f"{name}: {why}"
        case "enum":
            unknown = [one for one in writer["symbols"] if one not in reader["symbols"]]
            if unknown and "default" not in reader:
                return f"{', '.join(unknown)} would be unknown"
        case "fixed" if writer["size"] != reader["size"]:
            return f"{writer['size']} bytes are not {reader['size']}"
        case "array" | "map":
            inner = "items" if kind == "array" else "values"
            return _unreadable(writer[inner], reader[inner], theirs, ours)
    return _other_logic(writer, reader)


def _other_logic(writer: Any, reader: Any) -> str:
    one, two = ({name: _property(held, name) for name in _LOGICAL} for held in (writer, reader))
    if one["logicalType"] == two["logicalType"] == "decimal" and (one["scale"] or 0) != (two["scale"] or 0):
        return f"decimals of scale {one['scale'] or 0} are not of scale {two['scale'] or 0}"
    return ""


def _named(schema: Any) -> Types:
    """Return the named types of a schema, by their names and full names."""
    found: Types = {}
    for one in _walk(schema, ""):
        found |= one
    return found


def _walk(schema: Any, space: str) -> Iterator[Types]:
    if isinstance(schema, list):
        yield from chain.from_iterable(_walk(one, space) for one in schema)
    elif isinstance(schema, dict):
        space = str(schema.get("namespace", space))
        if schema.get("type") in _NAMED:
            yield {schema["name"]: schema, f"{space}.{schema['name']}": schema}
        for inner in (schema.get("type"), schema.get("items"), schema.get("values"), *schema.get("fields", ())):
            if isinstance(inner, dict | list):
                yield from _walk(inner, space)


def _type(schema: Any, named: Types) -> Any:
    """Return a type with what stands behind its name; ``{"type": "string"}`` is ``"string"``."""
    if isinstance(schema, str):
        return named.get(schema, schema)
    if isinstance(schema, Mapping):
        inner = schema["type"]
        if isinstance(inner, Mapping | list):
            return _type(inner, named)
        return inner if set(schema) == {"type"} else schema
    return schema


def _kind(schema: Any) -> str:
    return str(schema["type"] if isinstance(schema, Mapping) else schema)


def _is(schema: Any, kind: str) -> bool:
    return isinstance(schema, Mapping) and schema["type"] == kind


def _property(schema: Any, name: str) -> Any:
    return schema.get(name) if isinstance(schema, Mapping) else None


def _told(schema: Any) -> str:
    if isinstance(schema, list):
        return " or ".join(map(_told, schema))
    if isinstance(schema, Mapping) and "logicalType" in schema:
        digits = f"({schema['precision']}, {schema.get('scale', 0)})" if "precision" in schema else ""
        return f"{schema['logicalType']}{digits}"
    named = f" {schema['name']}" if isinstance(schema, Mapping) and "name" in schema else ""
    return _kind(schema) + named


def _fields(record: Types) -> dict[str, Types]:
    return {str(one["name"]): one for one in record["fields"]}


def _source(field: Types, before: Mapping[str, Types]) -> str | None:
    """Return the name that a field had for its writer: its own, or one of its aliases."""
    return next((name for name in (field["name"], *field.get("aliases", ())) if name in before), None)


def _same_name(writer: Types, reader: Types) -> bool:
    names = {_short(one) for one in (reader["name"], *reader.get("aliases", ()))}
    return _short(writer["name"]) in names


def _renamed(old: Types, new: Types) -> str:
    if _short(old["name"]) == _short(new["name"]):
        return ""
    return f"{old['name']} and {new['name']} are not the same record"


def _short(name: str) -> str:
    return name.rpartition(".")[2]
