"""How the values of one pipeline are read and written: which format a record is in is told, never guessed.

A record tells it by the header ``__value_schema_id``, or by a frame (a zero byte, the schema's id) before the
value, both where the pipeline has a schema registry, or by the header ``content-type``. A record that tells
nothing is in the pipeline's own format, raw.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from kafka_orders.domain import headers
from kafka_orders.domain.errors import DecodeError, OutageError, PermanentError
from kafka_orders.domain.headers import NO_HEADERS, Headers
from kafka_orders.domain.order import Contract, Order, Read
from kafka_orders.formats.base import Encode, Format, Kind, Record
from kafka_orders.formats.choice import MissingPackageError, contract_format
from kafka_orders.formats.framing import FRAME, FRAME_BYTES, Form, Frames, Naming
from kafka_orders.formats.registry import SchemaRegistry

#: What our producers call the formats.
CONTENT_TYPES: Mapping[Kind, str] = {
    "avro": "application/avro", "json": "application/json", "protobuf": "application/protobuf",
}  # fmt: skip
#: What others call them, beside anything that ends in ``+avro`` and so on.
_CALLED: Mapping[str, Kind] = {
    **{name: kind for kind, name in CONTENT_TYPES.items()},
    "avro/binary": "avro", "application/x-avro": "avro", "application/vnd.apache.avro": "avro",
    "text/json": "json", "application/x-protobuf": "protobuf", "application/vnd.google.protobuf": "protobuf",
}  # fmt: skip
#: Readers that are kept; they are made again when they are needed.
_MOST_READERS = 2000
#: No more of a content type is looked at, in bytes.
_LONGEST_TYPE = 200
#: A content type that says nothing.
_SAYS_NOTHING = ("", "application/octet-stream")

#: Bytes of a record and its headers to order, group and value; raises as :data:`Read` does, and OutageError.
ReadTold = Callable[[bytes, Headers], tuple[Order, str, float]]


class Reads(NamedTuple):
    """How values are read and validated: of records without headers, and of those with some (None: likewise)."""

    plain: Read
    told: ReadTold | None


class Writes(NamedTuple):
    """How values are written for one topic, and the headers that tell their readers of the format."""

    encode: Encode
    headers: Headers


class AnyCodec(Protocol):
    """What reads and writes the values of a pipeline."""

    @property
    def fields(self) -> Mapping[str, int | None]:
        """Names of an order's fields, and the scale of decimal ones; none where they are not known."""

    def form(self, payload: bytes, held: Headers) -> Form:
        """Return how a value is read and written; see :meth:`Codec.form`."""

    def decode(self, payload: bytes, held: Headers) -> Record:
        """Return a value's record."""

    def reads(self, contract: Contract) -> Reads:
        """Return how values are read and validated."""

    def writes(self, topic: str) -> Writes:
        """Return how values are written for a topic; see :meth:`Codec.writes`."""


class OwnCodec:
    """An app's own functions in place of a format: they get bytes, whatever a record's headers tell."""

    fields: Mapping[str, int | None] = {}

    def __init__(
        self,
        decode: Callable[[bytes], Record],
        encode: Encode | None = None,
    ) -> None:
        self._form = Form(decode, encode or unencodable, lambda contract: contract.reader(decode))

    def form(self, payload: bytes, held: Headers = NO_HEADERS) -> Form:  # noqa: ARG002
        """Return the one form there is."""
        return self._form

    def decode(self, payload: bytes, held: Headers = NO_HEADERS) -> Record:  # noqa: ARG002
        """Return a value's record; raises whatever the app's function raises."""
        return self._form.decode(payload)

    def reads(self, contract: Contract) -> Reads:
        """Return how values are read under ``contract``."""
        return Reads(self._form.reader(contract), None)

    def writes(self, topic: str) -> Writes:  # noqa: ARG002
        """Return how values are written, for any topic."""
        return Writes(self._form.encode, [])


def unencodable(record: Mapping[str, Any]) -> bytes:
    """Refuse a dict where the app has a ``decode`` of its own and no ``encode``."""
    raise PermanentError(f"nothing encodes the handler's result {record!r:.80}: return bytes, or give encode=")


class Codec:
    """The formats of a pipeline."""

    def __init__(
        self,
        own: Format,
        others: Mapping[Kind, Format] | None = None,
        registry: tuple[SchemaRegistry, Naming] | None = None,
        *,
        says_always: bool = False,
        in_header: bool = False,
        encode: Encode | None = None,
    ) -> None:
        """Describe how values are told apart.

        Args:
            own: the format of records that tell nothing.
            others: of the other kinds; None: the order contract's.
            registry: which knows the schemas of framed values, and how it names them; None: there are no frames.
            encode: what writes, in place of ``own``.
            says_always: records written tell their format even where it is the default one, Avro.
            in_header: with a registry, records written tell their schema by a header instead of a frame.
        """
        self.own, self._says_always, self._in_header, self._encode = own, says_always, in_header, encode
        self._formats: dict[Kind, Format] = {**(others or {}), own.kind: own}
        self._raw: dict[Kind, Form] = {}
        self._own_raw = self._of(own.kind)
        self._is_closed = others is not None
        self._frames = Frames(own, *registry, self.of_kind) if registry else None

    @property
    def fields(self) -> Mapping[str, int | None]:
        """Names of an order's fields, those of records inside with a dotted path; the scale of decimal ones."""
        return self.own.fields

    def of_kind(self, kind: Kind) -> Format:
        """Return the format of a kind.

        Raises:
            DecodeError: this pipeline has none.
            OutageError: the packages that it needs are not installed here.
        """
        found = self._formats.get(kind)
        if found is None:
            if self._is_closed:
                raise DecodeError(
                    f"an order in {kind}: this pipeline has no schema for it, name one with --schema"
                )
            try:
                found = self._formats[kind] = contract_format(kind)
            except MissingPackageError as missing:  # of this machine, not of the record
                raise OutageError(f"{missing}; no order was touched, all wait for it") from missing
        return found

    def form(self, payload: bytes, held: Headers = NO_HEADERS) -> Form:
        """Return the form of a value.

        Raises:
            DecodeError: it tells a format or a schema that this pipeline does not read.
            OutageError: what knows the schema is away.
        """
        said: bytes | None = None
        for name, value in held:
            if name == headers.SCHEMA_ID and self._frames is not None:
                return self._frames.told(value or b"")
            if name == headers.CONTENT_TYPE and said is None:
                said = value or b""
        kind = None if said is None else _kind(said[:_LONGEST_TYPE])
        # Neither JSON nor Protobuf begins with a zero byte; raw Avro may, so there the header is believed.
        if self._frames is not None and payload[:1] == FRAME and kind != "avro":
            return self._frames.form(payload)
        return self._own_raw if kind is None else self._of(kind)

    def decode(self, payload: bytes, held: Headers = NO_HEADERS) -> Record:
        """Return a value's record; raises as :meth:`form` and the format's own decoder do."""
        return self.form(payload, held).decode(payload)

    def reads(self, contract: Contract) -> Reads:
        """Return how values are read under ``contract``."""
        own = self.own.reader(contract)
        # The form is kept beside its reader: one that was forgotten might leave its id to another one, and orders
        # of one schema would be read by another.
        made: dict[int, tuple[Form, Read]] = {id(self._own_raw): (self._own_raw, own)}
        #: By whole frames: nearly all records have one of a few, and nothing else to look at.
        heads: dict[bytes, Read] = {}

        def told(payload: bytes, held: Headers) -> tuple[Order, str, float]:
            form = self.form(payload, held)
            found = made.get(id(form))
            if found is None:
                if len(made) >= _MOST_READERS:
                    made.clear()
                found = made[id(form)] = form, form.reader(contract)
            if form.head and not held and len(heads) < _MOST_READERS:
                heads[form.head] = found[1]
            return found[1](payload)

        def framed(payload: bytes) -> tuple[Order, str, float]:
            read = heads.get(payload[:FRAME_BYTES]) or heads.get(payload[: FRAME_BYTES + 1])
            return read(payload) if read is not None else told(payload, NO_HEADERS)

        return Reads(own if self._frames is None else framed, told)

    def writes(self, topic: str) -> Writes:
        """Return how values for a topic are written; asks a schema registry where there is one.

        Raises:
            RefusedError: the registry does not take the schema.
            OutageError: it does not answer.
            SettingsError: it gives no ids for headers, which were asked for.
        """
        if self._encode is not None:
            return Writes(self._encode, [])
        if self._frames is not None:
            return Writes(*self._frames.writer(topic, in_header=self._in_header))
        says = self._says_always or self.own.kind != "avro"
        told = CONTENT_TYPES[self.own.kind].encode()
        return Writes(self.own.encode, [(headers.CONTENT_TYPE, told)] if says else [])

    def _of(self, kind: Kind) -> Form:
        return self._raw.get(kind) or self._raw.setdefault(kind, Form.raw(self.of_kind(kind)))


@lru_cache(256)  # each record has one, and all the same
def _kind(value: bytes) -> Kind | None:
    """Return the format that a content type names; None where it says nothing.

    Raises:
        DecodeError: it is of none that is read here.
    """
    told = value.decode(errors="replace").partition(";")[0].strip().lower()
    kind = _CALLED.get(told) or _CALLED.get("application/" + told.rpartition("+")[2])
    if kind is None and told not in _SAYS_NOTHING:
        raise DecodeError(f"content-type {told:.80}: orders are read as {', '.join(CONTENT_TYPES.values())}")
    return kind
