"""Confluent's wire format: a zero byte and the id of the value's schema before it, big-endian in four bytes.

Protobuf has the place of the message in its schema behind the id (zigzag varints: how many numbers, then these; a
single zero for the first message). A newer way has no frame: a header holds a one byte and a global id of 16
bytes.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from time import monotonic
from typing import Any, NamedTuple, TypeVar

from kafka_orders.domain.errors import DecodeError, NotFoundError, SettingsError
from kafka_orders.domain.headers import SCHEMA_ID, Headers
from kafka_orders.domain.order import Contract, Read
from kafka_orders.formats.avro import AvroFormat
from kafka_orders.formats.base import Encode, Format, Kind, Record, refuse_large_schema
from kafka_orders.formats.flat_encode import zigzag
from kafka_orders.formats.registry import Registered, SchemaRegistry

FRAME = b"\0"
#: Bytes of a frame, and of a header that tells a global id.
FRAME_BYTES, HEADER_BYTES = 5, 17
#: An id that nobody knew is asked for again after so many seconds: it may have been registered meanwhile.
_FORGET_SECONDS = 30.0
_MOST_KEPT = 1000
#: Messages in messages, to the one that a frame names.
_MOST_PLACES = 16

NO_PLACES: tuple[int, ...] = ()

T = TypeVar("T")


class Form(NamedTuple):
    """How one kind of value is read and written, its frame included; ``head`` is the frame, if there is one."""

    decode: Callable[[bytes], Record]
    encode: Encode
    reader: Callable[[Contract], Read]
    head: bytes = b""

    @classmethod
    def raw(cls, format_: Format) -> Form:
        """Return the form of unframed values."""
        return cls(format_.decode, format_.encode, format_.reader)

    def framed(self, head: bytes) -> Form:
        """Return this form behind a frame, which is taken off by its length and put on as it is."""
        decode, encode, reader, _ = self
        size = len(head)

        def framed_reader(contract: Contract) -> Read:
            read = reader(contract)
            return lambda payload: read(payload[size:])

        return Form(
            lambda payload: decode(payload[size:]), lambda record: head + encode(record), framed_reader, head
        )  # fmt: skip


class Naming(NamedTuple):
    """The topic that values come from, how its subject is named, and more subjects whose schemas are trusted.

    ``strategy`` is one of Confluent's: ``topic``, ``record`` or ``topic-record``.
    """

    topic: str
    strategy: str = "topic"
    trusted: frozenset[str] = frozenset()

    def subject(self, topic: str, record: str) -> str:
        """Return the subject that a topic's values of a record type are registered under."""
        return {"topic": f"{topic}-value", "record": record, "topic-record": f"{topic}-{record}"}[self.strategy]


class _Refused(NamedTuple):
    """Why nothing is decoded by a schema, until a time of the monotonic clock."""

    why: str
    until: float


class Frames:
    """Forms of framed values, by the schemas of a registry; asked for once each."""

    def __init__(
        self,
        own: Format,
        registry: SchemaRegistry,
        naming: Naming,
        of_kind: Callable[[Kind], Format],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        """Describe what is read.

        Args:
            own: the format that values are written in.
            registry: which knows the writers' schemas.
            naming: whose schemas are trusted: of any other subject, nothing is decoded.
            of_kind: the format that values of a kind are read as.
            clock: monotonic seconds.
        """
        self._own, self._registry, self._naming = own, registry, naming
        self._of_kind, self._clock = of_kind, clock
        self._subjects = naming.trusted | {naming.subject(naming.topic, own.name)}
        #: By what told of them: forms by a whole frame or header, schemas by the id in it.
        self._forms: dict[bytes, Form | _Refused] = {}
        self._schemas: dict[bytes, Registered | _Refused] = {}
        self._files: dict[bytes, Any | _Refused] = {}

    def form(self, payload: bytes) -> Form:
        """Return the form of a framed value.

        Raises:
            DecodeError: the frame is broken, or tells a schema that is unknown or not to be trusted.
            OutageError: the registry does not answer.
        """
        told = head = payload[:FRAME_BYTES]
        if (form := self._forms.get(head)).__class__ is Form:
            return form
        if len(head) < FRAME_BYTES:
            raise DecodeError(f"a schema registry's frame has {FRAME_BYTES} bytes, this value has {len(head)}")
        found, places = self._schema(told), NO_PLACES
        if found.kind == "protobuf":
            places, end = read_places(payload, FRAME_BYTES)
            head = payload[:end]
        return self._once(self._forms, head, lambda: self._made(found, told, places).framed(head))

    def told(self, header: bytes) -> Form:
        """Return the form of a value whose header tells a global id, or an id as a frame would.

        Raises:
            DecodeError: the id is broken, or tells a schema that is unknown or not to be trusted.
            OutageError: the registry does not answer.
        """
        size = {0: FRAME_BYTES, 1: HEADER_BYTES}.get(header[0] if header else -1, len(header) + 1)
        if len(header) < size:
            raise DecodeError(f"a header that tells no schema id: {header[:20].hex()}")
        found, told = self._schema(header[:size]), header[:size]
        places, end = read_places(header, size) if found.kind == "protobuf" else (NO_PLACES, size)
        return self._once(self._forms, b"header" + header[:end], lambda: self._made(found, told, places))

    def writer(self, topic: str, *, in_header: bool = False) -> tuple[Encode, Headers]:
        """Return the encoder of values for a topic, in frames or with a header; registers the schema if missing.

        Raises:
            RefusedError: the registry does not take the schema.
            OutageError: it does not answer.
            SettingsError: it gives no ids for headers.
        """
        own, subject = self._own, self._naming.subject(topic, self._own.name)
        places = written_places(getattr(own, "indexes", ()))
        if in_header:
            return own.encode, [(SCHEMA_ID, b"\1" + self._registry.guid_of(subject, own).bytes + places)]
        head = FRAME + self._registry.id_of(subject, own).to_bytes(4, "big") + places
        return Form.raw(own).framed(head).encode, []

    def _schema(self, told: bytes) -> Registered:
        return self._once(self._schemas, told, lambda: self._trusted(told))

    def _once(self, held: dict[bytes, T | _Refused], told: bytes, make: Callable[[], T]) -> T:
        """Return what is remembered, or make it; what is refused is remembered for a while, too."""
        found = held.get(told)
        if isinstance(found, _Refused):
            if self._clock() < found.until:
                raise DecodeError(found.why)
        elif found is not None:
            return found
        if len(held) >= _MOST_KEPT:
            held.clear()
        try:
            made = held[told] = make()
        except (NotFoundError, DecodeError) as error:
            held[told] = _Refused(str(error), self._clock() + _FORGET_SECONDS)
            raise DecodeError(str(error)) from error
        return made

    def _trusted(self, told: bytes) -> Registered:
        if len(told) == HEADER_BYTES:
            found = self._registry.by_guid(str(uuid.UUID(bytes=told[1:])), self._subjects)
        else:
            found = self._registry.by_id(int.from_bytes(told[1:], "big"), self._subjects)
        if not found.subjects & self._subjects:
            theirs = ", ".join(sorted(found.subjects)) or "no subject of ours"
            ours = ", ".join(sorted(self._subjects))
            raise DecodeError(f"{_name(told)} belongs to {theirs:.200}; this pipeline reads {ours:.200}")
        return found

    def _made(self, found: Registered, told: bytes, places: tuple[int, ...] = ()) -> Form:
        """Return the form of values that were written by a schema."""
        own = self._of_kind(found.kind)
        try:
            refuse_large_schema(found.text)
            if isinstance(own, AvroFormat):
                return Form.raw(own.resolving(found.text, found.imports))
            if found.kind == "protobuf":
                # Once for a schema, not for each place: a stranger has thousands of these, and protoc takes 60 ms.
                _refuse_other_message(own, self._once(self._files, told, lambda: _file(found, told)), places)
        except SettingsError as error:  # of the writer, not ours
            raise DecodeError(f"{_name(told)}: {error}") from error
        return Form.raw(own)


def _name(told: bytes) -> str:
    if len(told) == HEADER_BYTES:
        return f"schema {uuid.UUID(bytes=told[1:])}"
    return f"schema id {int.from_bytes(told[1:FRAME_BYTES], 'big')}"


def _file(found: Registered, told: bytes) -> Any:
    from kafka_orders.formats.protoc import registered_file  # noqa: PLC0415  an extra

    try:
        return registered_file(found.text, found.imports)
    except SettingsError as error:
        raise DecodeError(f"{_name(told)}: {error}") from error


def _refuse_other_message(own: Any, file: Any, places: tuple[int, ...]) -> None:
    from kafka_orders.formats.protobuf import message_at  # noqa: PLC0415  an extra

    try:
        told = message_at(file, places)
    except SettingsError as error:
        raise SettingsError(f"{error} (a writer that leaves the message indexes out of the frame?)") from error
    if told != own.name:
        raise DecodeError(f"the message is {told}, this pipeline reads {own.name}")


def read_places(payload: bytes, at: int) -> tuple[tuple[int, ...], int]:
    """Return the message's place that is told at a byte, and the byte behind it.

    Raises:
        DecodeError: it is cut short, or absurd.
    """
    many, at = _varint(payload, at)
    if many == 0:
        return (0,), at
    if not 0 < many <= _MOST_PLACES:
        raise DecodeError(f"{many} message indexes in the frame")
    places = []
    for _ in range(many):
        place, at = _varint(payload, at)
        places.append(place)
    return tuple(places), at


def written_places(places: tuple[int, ...]) -> bytes:
    """Return a message's place as the wire format has it; nothing where there is none."""
    if places == (0,):
        return b"\0"
    return b"".join(zigzag(number, 31) for number in (len(places), *places)) if places else b""


def _varint(payload: bytes, at: int) -> tuple[int, int]:
    number = 0
    for shift in range(0, 35, 7):
        if at >= len(payload):
            break
        byte = payload[at]
        at += 1
        number |= (byte & 127) << shift
        if byte < 128:
            return number >> 1 ^ -(number & 1), at
    raise DecodeError("the message indexes in the frame are broken")
