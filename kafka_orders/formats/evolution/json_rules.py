"""JSON Schema: what all orders of one schema are to a reader with another.

Writers are taken to write what their schema names and nothing else. (A registry may be stricter: Confluent's
refuses a property that is added where the old schema allowed any.)
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from math import inf
from typing import Any

from kafka_orders.formats.evolution.change import Change, Source, below, read_json
from kafka_orders.formats.json_schema import JsonFormat

#: Keywords that say nothing about what is valid.
_SILENT = {"$schema", "$id", "$comment", "title", "description", "default", "examples", "deprecated", "readOnly",
           "writeOnly", "definitions", "$defs"}  # fmt: skip
#: Keywords that are compared here; of any other it is only known whether they differ.
_EXCLUSIVE = ("exclusiveMinimum", "exclusiveMaximum")
_SIZES = {
    "minLength": ("shorter than", 0), "maxLength": ("longer than", inf), "minItems": ("fewer than", 0),
    "maxItems": ("more than", inf),
}  # fmt: skip
_JUDGED = {
    "type",
    "enum",
    "const",
    "properties",
    "required",
    "additionalProperties",
    "items",
    "minimum",
    "maximum",
    *_EXCLUSIVE,
    *_SIZES,
}
_DEFINED = ("definitions", "$defs")
_OBJECT = {"properties", "required", "additionalProperties"}


def changes(old: Source, new: Source, needed: Collection[str] = ()) -> list[Change]:
    """Return what differs."""
    for one in (old, new):
        JsonFormat(one.text)  # which says what is wrong
    before, after = read_json(old.text), read_json(new.text)
    found = list(_compare(before, after, "", frozenset(needed)))
    if "$ref" in old.text + new.text and any(before.get(name) != after.get(name) for name in _DEFINED):
        why = "this cannot be judged: what $ref points at differs"
        found.append(Change("the order", "its definitions differ", why, why))
    return found


def _compare(old: Any, new: Any, path: str, needed: frozenset[str]) -> Iterator[Change]:
    if not (_is_object(old) and _is_object(new)):
        if _spoken(old) != _spoken(new):
            told = f"{_told(old, new)} becomes {_told(new, old)}"
            yield Change(path or "the order", told, _refused(old, new), _refused(new, old))
        return
    before, after = _named(old), _named(new)
    for name in [*after, *(one for one in before if one not in after)]:
        here = below(path, name)
        if name not in before:
            yield _added(name, here, old, new, needed)
        elif name not in after:
            yield _removed(name, here, old, new, needed)
        else:
            yield from _required(name, here, old, new)
            if here in needed and _filled(old, name) != _filled(new, name):
                told, why = (
                    f"default {_filled(old, name)} becomes {_filled(new, name)}",
                    "where it is missing, it differs",
                )
                yield Change(here, told, why, why)
            yield from _compare(before[name], after[name], here, needed)
    rest, other = (
        {name: one for name, one in _spoken(held).items() if name not in _OBJECT} for held in (old, new)
    )
    if rest != other:
        told = f"{_told(old, new)} becomes {_told(new, old)}"
        yield Change(path or "the order", told, _refused(rest, other), _refused(other, rest))


def _named(schema: Any) -> dict[str, Any]:
    """Return what an order has by name; what is required without a description is one of the other properties."""
    others = schema.get("additionalProperties", True)
    return {**dict.fromkeys(schema.get("required", ()), others), **schema["properties"]}


def _added(name: str, here: str, old: Any, new: Any, needed: frozenset[str]) -> Change:
    is_needed = name in new.get("required", ()) or here in needed
    filled = _filled(new, name)
    default = "" if filled == "none" else f", default {filled}"
    back = "old orders do not have it" if is_needed else ""
    return Change(
        here,
        f"added, {'required' if is_needed else 'not required'}{default}",
        back,
        _closed(old, name, _named(new)[name]),
    )


def _removed(name: str, here: str, old: Any, new: Any, needed: frozenset[str]) -> Change:
    is_needed = name in old.get("required", ()) or here in needed
    return Change(here, "removed", _closed(new, name, _named(old)[name]), "they require it" if is_needed else "")


def _closed(schema: Any, name: str, held: Any) -> str:
    """Return why a schema does not take a property that it does not name."""
    others = schema.get("additionalProperties", True)
    if others is False:
        return f"they allow no other properties, such as {name}"
    why = _refused(held, others)
    return f"as any other property: {why}" if why else ""


def _filled(schema: Any, name: str) -> str:
    """Return what is filled in for a property that is missing; "none" where nothing is."""
    held = schema["properties"].get(name)
    return repr(held["default"]) if isinstance(held, dict) and "default" in held else "none"


def _required(name: str, here: str, old: Any, new: Any) -> Iterator[Change]:
    was, is_now = (name in held.get("required", ()) for held in (old, new))
    if was != is_now:
        back, forth = ("", "they require it") if was else ("old orders may not have it", "")
        yield Change(here, "no longer required" if was else "now required", back, forth)


def _is_object(schema: Any) -> bool:
    return isinstance(schema, dict) and isinstance(schema.get("properties"), dict)


def _spoken(schema: Any) -> dict[str, Any]:
    if not isinstance(schema, dict):
        return {} if schema else {"not": {}}
    return {name: one for name, one in schema.items() if name not in _SILENT}


def _refused(writer: Any, reader: Any) -> str:
    """Return why something valid for a writer is not valid for a reader; empty: all of it is."""
    theirs, ours = _spoken(writer), _spoken(reader)
    if not ours or theirs == ours:
        return ""
    differ = {name for name in theirs.keys() | ours if theirs.get(name) != ours.get(name)} - _JUDGED
    if differ & ours.keys():
        return f"this cannot be judged: {', '.join(sorted(differ))} differ"
    return (
        _types(theirs, ours) or _choices(theirs, ours) or _bounds(theirs, ours) or _items(theirs, ours)
        or _object(theirs, ours)
    )  # fmt: skip


def _types(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    wanted = _list(ours.get("type"))
    if not wanted or "enum" in theirs or "const" in theirs:
        return ""
    given = _list(theirs.get("type"))
    unread = [one for one in given if one not in wanted and not (one == "integer" and "number" in wanted)]
    if unread or not given:
        return f"{' or '.join(unread) or 'anything'} is not {' or '.join(wanted)}"
    return ""


def _choices(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    given, wanted = _values(theirs), _values(ours)
    if wanted is None and given is not None:
        valid = [one for one in given if not _has_type(one, _list(ours.get("type")))]
        return f"{valid[0]!r} is not {' or '.join(_list(ours['type']))}" if valid else ""
    if wanted is None:
        return ""
    unread = given if given is None else [one for one in given if one not in wanted]
    return "" if unread == [] else f"{unread[0]!r} would be unknown" if unread else "other values would be unknown"


def _bounds(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    if any(isinstance(held.get(name), bool) for held in (theirs, ours) for name in _EXCLUSIVE):
        return "this cannot be judged: in draft 4, exclusive bounds are words"
    values = [one for one in _values(theirs) or () if isinstance(one, int | float) and not isinstance(one, bool)]
    if (least := _lowest(ours)) > min(((one, 0) for one in values), default=_lowest(theirs)):
        return f"{'no more' if least[1] else 'less'} than {least[0]} is refused"
    if (most := _highest(ours)) < max(((one, 0) for one in values), default=_highest(theirs)):
        return f"{'no less' if most[1] else 'more'} than {most[0]} is refused"
    for name, (told, none) in _SIZES.items():
        mine, given = ours.get(name, none), theirs.get(name, none)
        if (given < mine) if name.startswith("min") else (given > mine):
            return f"{told} {mine} is refused"
    return ""


def _lowest(schema: dict[str, Any]) -> tuple[float, int]:
    """Return the bound below, and 1 where it is itself refused."""
    return max((schema.get("minimum", -inf), 0), (schema.get("exclusiveMinimum", -inf), 1))


def _highest(schema: dict[str, Any]) -> tuple[float, int]:
    """Return the bound above, and -1 where it is itself refused."""
    return min((schema.get("maximum", inf), 0), (schema.get("exclusiveMaximum", inf), -1))


def _items(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    why = _refused(theirs.get("items", {}), ours["items"]) if "items" in ours else ""
    return f"in its items: {why}" if why else ""


def _object(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    given = theirs.get("properties", {})
    if missing := [one for one in ours.get("required", ()) if one not in theirs.get("required", ())]:
        return f"{missing[0]} may be missing"
    for name, one in given.items():
        wanted = ours.get("properties", {}).get(name, ours.get("additionalProperties", True))
        if wanted is False:
            return f"{name} is not allowed"
        if why := _refused(one, wanted):
            return f"{name}: {why}"
    return ""


def _list(told: Any) -> list[str]:
    return [told] if isinstance(told, str) else list(told or ())


def _values(schema: dict[str, Any]) -> list[Any] | None:
    return [schema["const"]] if "const" in schema else schema.get("enum")


def _has_type(value: Any, types: list[str]) -> bool:
    kinds = {"string": str, "boolean": bool, "object": dict, "array": list, "null": type(None)}
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    told = {name for name, kind in kinds.items() if isinstance(value, kind)} | ({"number"} if is_number else set())
    if is_number and float(value).is_integer():
        told.add("integer")
    return not types or bool(told & set(types))


def _told(schema: Any, other: Any) -> str:
    """Return what a schema says that another does not."""
    mine, theirs = _spoken(schema), _spoken(other)
    said = {name: one for name, one in mine.items() if theirs.get(name) != one and name not in _OBJECT}
    return ", ".join(f"{name} {one}" for name, one in said.items()) or "anything"
