"""Orders as Protobuf: one message of a .proto file, by Google's own library."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from functools import cached_property, lru_cache
from keyword import iskeyword
from math import isfinite
from pathlib import Path
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import DecodeError as BrokenMessage
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from kafka_orders.domain.errors import DecodeError, SettingsError
from kafka_orders.domain.order import Contract, Read
from kafka_orders.formats.base import (
    MOST_BYTES,
    Budget,
    Kind,
    Part,
    Record,
    exact,
    refuse_large,
    refuse_large_schema,
)
from kafka_orders.formats.flat import run
from kafka_orders.formats.protobuf_decimal import DECIMALS, MESSAGE_COST, decimal_message, decimal_of
from kafka_orders.formats.protoc import files_of, written_parts

#: From here on a number is rounded to infinity in 32 bits.
LARGEST_SINGLE = 3.4028235677973366e38
#: Dotted paths are listed so deep: messages may hold themselves.
_DEPTH = 4
#: A field's value as Protobuf holds it -> as a record does.
_Tell = Callable[[Any, Budget], Any]

_DECODE = """
def decode(payload):
    if len(payload) > most: return reference(payload)
    try:
        message = parse(payload)
    except Exception:
        return reference(payload)
    {reads}
    if {sure}:
        return {{{told}}}
    return plain(message)
"""


class ProtobufFormat:
    """One message type. A field is called what the .proto file calls it.

    A field that is not set is not in the record, where the schema can tell that (``optional``, proto2, messages);
    where it can't, it has the type's zero, and where the schema names a default, that. Fields that the schema does
    not know are passed over. Enums are told by name, and :data:`DECIMALS` as numbers.
    """

    kind: Kind = "protobuf"

    def __init__(self, schema: str | bytes, message: str = "", folder: Path | None = None) -> None:
        """Compile the schema.

        Args:
            schema: the text of a .proto file.
            message: the record's message; default: the file's first.
            folder: where its imports are looked for.

        Raises:
            SettingsError: protoc refuses it, or it has no such message.
        """
        try:
            self.text = schema.decode() if isinstance(schema, bytes) else schema
        except UnicodeDecodeError:
            raise SettingsError("the Protobuf schema is not UTF-8 text") from None
        refuse_large_schema(self.text)
        #: Where its imports are.
        self.folder = folder
        files = self._files = files_of(self.text, folder=folder)
        descriptor = message_in(files, message)
        #: Full name of the message, and its place in the file: what the wire format's message indexes tell.
        self.name: str = descriptor.full_name
        self.indexes = place_of(descriptor.full_name, files)
        self.fields: dict[str, int | None] = dict.fromkeys(_paths(descriptor))
        #: Google's class of it.
        self.message_class: type[Message] = GetMessageClass(descriptor)
        #: bytes -> record; raises DecodeError. Messages of single values take a compiled path.
        self.decode: Callable[[bytes], Record] = self._compiled(descriptor) or self.decode_any

    @cached_property
    def parts(self) -> tuple[Part, ...]:
        """The files of the schema as a registry takes them; see :func:`parts_of`."""
        return written_parts(self.text, self._files, self.folder)

    def decode_any(self, payload: bytes) -> Record:
        """Decode any message, the reference.

        Raises:
            DecodeError: the bytes are no message, or too large.
        """
        refuse_large(payload)
        try:
            return plain(self.message_class.FromString(payload))
        except (BrokenMessage, UnicodeDecodeError, RecursionError) as error:
            raise DecodeError(f"not a message {self.name}: {error}") from None

    def encode(self, record: Mapping[str, Any]) -> bytes:
        """Encode an order.

        Raises:
            ValueError: the order does not fit the schema.
        """
        try:
            payload: bytes = self.message_class(
                **_fitting(self.message_class.DESCRIPTOR, record)
            ).SerializeToString()
        except (TypeError, ValueError, AttributeError, KeyError, ArithmeticError) as error:
            raise ValueError(f"the record does not fit the schema: {error}") from error
        return payload

    def reader(self, contract: Contract) -> Read:
        """Return decoder and validator one after the other."""
        return contract.reader(self.decode)

    def _compiled(self, descriptor: Descriptor) -> Callable[[bytes], Record] | None:
        """Return a decoder for a message of single values; anything unusual is left to the reference."""
        fields = list(descriptor.fields)
        if not fields or any(one.is_repeated or one.type in _RICH or iskeyword(one.name) for one in fields):
            return None
        reads = "; ".join(f"v{at} = message.{one.name}" for at, one in enumerate(fields))
        # What is not zero is set: the rest, which may be missing, is looked at closely elsewhere.
        unsure = [f"v{at}" for at, one in enumerate(fields) if one.has_presence]
        told = ", ".join(f"{one.name!r}: v{at}" for at, one in enumerate(fields))
        source = _DECODE.format(reads=reads, sure=" and ".join(unsure) or "True", told=told)
        names = {
            "parse": self.message_class.FromString,
            "reference": self.decode_any,
            "plain": plain,
            "most": MOST_BYTES,
        }
        decode: Callable[[bytes], Record] = run(f"<decoder of {self.name}>", source, names)["decode"]
        return decode


#: Kinds of fields that are not told as they are.
_RICH = {FieldDescriptor.TYPE_MESSAGE, FieldDescriptor.TYPE_GROUP, FieldDescriptor.TYPE_ENUM}


def message_in(files: FileDescriptorSet, name: str = "") -> Descriptor:
    """Return a message of the last of ``files``, by its full name or its name in the file; default: its first.

    Raises:
        SettingsError: there is none.
    """
    pool = DescriptorPool()
    try:
        for file in files.file:
            pool.Add(file)
    except TypeError as error:
        raise SettingsError(f"the Protobuf schema cannot be used: {error}") from error
    last = files.file[-1]
    wanted = name or (last.message_type[0].name if last.message_type else "")
    for full in (wanted, f"{last.package}.{wanted}"):
        try:
            found: Descriptor = pool.FindMessageTypeByName(full)
        except KeyError:
            continue
        return found
    there = ", ".join(one.name for one in last.message_type) or "none"
    raise SettingsError(f"the Protobuf schema has no message {name or 'at all'}; there: {there}")


def message_at(file: FileDescriptorProto, places: tuple[int, ...]) -> str:
    """Return the full name of the message at a place of a file, as a frame tells it.

    Raises:
        SettingsError: it has no such message.
    """
    name, level = str(file.package), file.message_type
    for place in places:
        if not 0 <= place < len(level):
            raise SettingsError(f"the Protobuf schema has no message {list(places)}")
        name, level = f"{name}.{level[place].name}".lstrip("."), level[place].nested_type
    return name


def place_of(name: str, files: FileDescriptorSet) -> tuple[int, ...]:
    """Return the place of a message in the last of ``files``; () where it is in another one."""
    last = files.file[-1]
    found, level, places = last.package, last.message_type, []
    for part in name.removeprefix(f"{found}.").split("."):
        at = next((at for at, one in enumerate(level) if one.name == part), None)
        if at is None:
            return ()
        places.append(at)
        level = level[at].nested_type
    return tuple(places)


def _paths(descriptor: Descriptor, before: str = "", depth: int = _DEPTH) -> Iterator[str]:
    for one in descriptor.fields:
        yield before + one.name
        inner = one.message_type
        if inner and depth and not one.is_repeated and inner.full_name not in DECIMALS:
            yield from _paths(inner, f"{before}{one.name}.", depth - 1)


def plain(message: Message, budget: Budget | None = None) -> Record:
    """Return a message as a record; see :class:`ProtobufFormat`.

    Raises:
        DecodeError: it has more values than ``budget`` allows.
    """
    (cost, plan), budget = _plan(message.DESCRIPTOR), budget or Budget()
    budget.spend(cost)
    return {
        name: told(getattr(message, name), budget)
        for name, is_sure, told in plan
        if is_sure or message.HasField(name)
    }


@lru_cache(1024)  # a small order may hold messages by the thousand, and descriptors are slow to ask
def _plan(descriptor: Descriptor) -> tuple[float, list[tuple[str, bool, _Tell]]]:
    """Return what a message costs; name of each field, whether it is told even where it is not set, and how."""
    # To ask whether a field is set is cheap, to look into a list that is empty is not.
    cost = MESSAGE_COST + sum(3 if one.is_repeated else 1 / 3 for one in descriptor.fields)
    return cost, [
        (one.name, one.is_repeated or not one.has_presence or one.has_default_value, _telling(one))
        for one in descriptor.fields
    ]


def _telling(field: FieldDescriptor) -> _Tell:
    inner = field.message_type
    if not field.is_repeated:
        return _telling_one(field)
    if inner and inner.GetOptions().map_entry:
        of = _telling_one(inner.fields_by_name["value"])
        return lambda value, budget: {key: of(one, budget) for key, one in _counted(value, budget).items()}
    each = _telling_one(field)
    return lambda value, budget: [each(one, budget) for one in _counted(value, budget)]


def _counted(many: Any, budget: Budget) -> Any:
    budget.spend(len(many))
    return many


def _telling_one(field: FieldDescriptor) -> _Tell:
    if field.message_type:
        return decimal_of if field.message_type.full_name in DECIMALS else plain
    if field.enum_type:
        names = {number: one.name for number, one in field.enum_type.values_by_number.items()}
        return lambda value, _: names.get(value, value)
    return lambda value, _: value


def _fitting(descriptor: Descriptor, record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record as its message's constructor takes it: decimals as messages; no nulls, nothing strange."""
    known = descriptor.fields_by_name
    return {
        name: _fit(known[name], value) for name, value in record.items() if name in known and value is not None
    }


def _fit(field: FieldDescriptor, value: Any) -> Any:
    inner = field.message_type
    if field.type == FieldDescriptor.TYPE_FLOAT and isinstance(value, float | int) and not _is_single(value):
        raise ValueError(f"{field.name}: {value!r} is too large for a float")
    if inner and isinstance(value, Decimal | int | float | str) and inner.full_name in DECIMALS:
        return decimal_message(inner.full_name, value if isinstance(value, Decimal) else exact(value))
    if inner and not field.is_repeated and isinstance(value, Mapping):
        return _fitting(inner, value)
    return value


def _is_single(value: float) -> bool:
    """Say whether a number stays one in 32 bits; NaN and the infinities are what they were."""
    return abs(value) < LARGEST_SINGLE or not isfinite(value)
