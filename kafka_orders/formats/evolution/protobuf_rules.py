"""Protobuf: fields are their numbers; what a reader does not know it passes over."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from kafka_orders.domain.errors import SettingsError
from kafka_orders.formats.evolution.change import Change, Source, below
from kafka_orders.formats.protobuf import message_in
from kafka_orders.formats.protobuf_decimal import DECIMALS
from kafka_orders.formats.protoc import files_of

_F = FieldDescriptor
#: Types that are written alike, the narrower before the wider: a reader of a wider one misses nothing.
_FAMILIES = (
    (_F.TYPE_BOOL, _F.TYPE_ENUM, _F.TYPE_INT32, _F.TYPE_INT64), (_F.TYPE_BOOL, _F.TYPE_UINT32, _F.TYPE_UINT64),
    (_F.TYPE_UINT32, _F.TYPE_INT64),
    (_F.TYPE_SINT32, _F.TYPE_SINT64), (_F.TYPE_STRING, _F.TYPE_BYTES),
)  # fmt: skip
_NAMES = {
    value: name.removeprefix("TYPE_").lower() for name, value in vars(_F).items() if name.startswith("TYPE_")
}
#: Messages may hold themselves.
_DEPTH = 8


def changes(old: Source, new: Source, needed: Collection[str] = ()) -> list[Change]:
    """Return what differs; a field that is needed must be there, though Protobuf reads without it."""
    after = _message(new, new.record)
    try:
        before = _message(old, old.record or after.full_name)
    except SettingsError:
        before = _message(old, "")  # it had another name
    found = list(_compare(before, after, "", frozenset(needed), _DEPTH))
    if before.full_name != after.full_name:
        why = "with a registry, a message of another name is refused"
        found.insert(0, Change("the message", f"{before.full_name} is now called {after.full_name}", why, why))
    return found


def _message(source: Source, name: str) -> Descriptor:
    return message_in(files_of(source.text, source.imports, source.folder), name)


def _compare(old: Descriptor, new: Descriptor, path: str, needed: frozenset[str], depth: int) -> Iterator[Change]:
    before, after = ({one.number: one for one in held.fields} for held in (old, new))
    for number, field in after.items():
        here = below(path, field.name)
        if number not in before:
            yield _added(field, old, here, needed)
            continue
        was = before[number]
        if was.name != field.name:
            yield _exchanged(was, field, old, new, here) or _renamed(
                was, field, below(path, was.name), here, needed
            )
        yield from _retyped(was, field, here, is_needed=here in needed)
        if was.message_type and field.message_type and depth:
            yield from _compare(was.message_type, field.message_type, here, needed, depth - 1)
    for number, field in before.items():
        if number not in after and field.name not in new.fields_by_name:
            here = below(path, field.name)
            yield Change(here, f"number {number} removed", "", _missing(field, here, needed, "they need it"))


def _added(field: FieldDescriptor, old: Descriptor, here: str, needed: frozenset[str]) -> Change:
    moved = old.fields_by_name.get(field.name)
    if moved is not None:
        why = f"its number was {moved.number}: what was written there is not found"
        return Change(here, f"number {moved.number} becomes {field.number}", why, why)
    return Change(
        here, f"added, number {field.number}", _missing(field, here, needed, "old orders do not have it")
    )


def _missing(field: FieldDescriptor, here: str, needed: frozenset[str], why: str) -> str:
    return why if here in needed or field.is_required else ""


def _renamed(
    was: FieldDescriptor, field: FieldDescriptor, there: str, here: str, needed: frozenset[str]
) -> Change:
    """The bytes are the same; but the pipeline finds what it needs by name."""
    back = f"{there} is what orders are counted by" if there in needed and here not in needed else ""
    return Change(here, f"number {field.number} was called {was.name}", back)


def _exchanged(
    was: FieldDescriptor, field: FieldDescriptor, old: Descriptor, new: Descriptor, here: str
) -> Change | None:
    """A number that another field had, or whose field has another one: each reader takes one for the other."""
    before, after = old.fields_by_name.get(field.name), new.fields_by_name.get(was.name)
    if before is None and after is None:
        return None
    back = f"they have {was.name} there" if before is not None else ""
    return Change(here, f"number {field.number} was that of {was.name}", back, f"they take it for {was.name}")


def _retyped(was: FieldDescriptor, field: FieldDescriptor, here: str, *, is_needed: bool) -> Iterator[Change]:
    if was.is_repeated != field.is_repeated:
        why = "one value is not a list of them"
        yield Change(here, "repeated" if field.is_repeated else "no longer repeated", why, why)
    elif was.type != field.type:
        told = f"{_NAMES[was.type]} becomes {_NAMES[field.type]}"
        why = "it would be another group" if is_needed and {was.type, field.type} & _OTHERWISE_TOLD else ""
        yield Change(
            here, told, _unreadable(was.type, field.type) or why, _unreadable(field.type, was.type) or why
        )
    else:
        yield from _revalued(was, field, here, is_needed=is_needed)


#: What one of these is told as differs from what those of its family are told as.
_OTHERWISE_TOLD = {_F.TYPE_ENUM, _F.TYPE_BYTES}


def _revalued(was: FieldDescriptor, field: FieldDescriptor, here: str, *, is_needed: bool) -> Iterator[Change]:
    """Yield changes of a field whose type is the same."""
    if was.is_required != field.is_required:
        why = "it may be missing"
        back, forth = (why, "") if field.is_required else ("", why)
        yield Change(here, "now required" if field.is_required else "no longer required", back, forth)
    elif is_needed and was.has_presence != field.has_presence:
        why = "where it is missing for one, it is zero for the other"
        yield Change(here, f"{'now' if field.has_presence else 'no longer'} optional", why, why)
    if was.default_value != field.default_value and is_needed:
        why = "where it is missing, it is another value"
        yield Change(here, f"default {was.default_value!r} becomes {field.default_value!r}", why, why)
    if was.enum_type:
        yield from _renumbered(was, field, here, is_needed=is_needed)
    if was.message_type and was.message_type.full_name != field.message_type.full_name:
        told = was.message_type.full_name, field.message_type.full_name
        why = "a number is told otherwise there" if DECIMALS & {*told} else ""
        yield Change(here, "{} becomes {}".format(*told), why, why)


def _renumbered(was: FieldDescriptor, field: FieldDescriptor, here: str, *, is_needed: bool) -> Iterator[Change]:
    before, after = ({one.number: one.name for one in held.enum_type.values} for held in (was, field))
    for number in sorted(before.keys() | after.keys()):
        old, new = before.get(number), after.get(number)
        if old != new and old and new:
            yield Change(
                here, f"{old} is now called {new}", "they are told apart by name", "they are told apart by name"
            )
        elif old != new:
            back, forth = (f"they do not know {name}" if name and is_needed else "" for name in (old, new))
            yield Change(here, f"{new} added" if new else f"{old} removed", back, forth)


def _unreadable(written: int, read: int) -> str:
    for family in _FAMILIES:
        if written in family and read in family:
            if family.index(written) < family.index(read):
                return ""
            what = "what is no UTF-8" if read == _F.TYPE_STRING else "what is larger"
            return f"{what} is not read as it was written"
    return f"{_NAMES[written]} is written otherwise than {_NAMES[read]}"
