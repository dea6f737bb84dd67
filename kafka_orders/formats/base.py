"""What a format is: one schema, and functions from bytes to orders and back."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any, Literal, NamedTuple, Protocol, get_args

from kafka_orders.domain.errors import DecodeError, SettingsError
from kafka_orders.domain.order import Contract, Read

Record = dict[str, Any]
#: A record to its bytes; raises ValueError where it does not fit the schema.
Encode = Callable[[Mapping[str, Any]], bytes]
Kind = Literal["avro", "json", "protobuf"]
KINDS: tuple[Kind, ...] = get_args(Kind)

#: Larger payloads are not looked into: what a stranger's bytes may cost has to end somewhere, since nothing else
#: is done meanwhile (``tests/unit/test_fuzz.py``). A compiled Avro reader needs no such limit: it takes as long as
#: its fields.
MOST_BYTES = 1 << 18
#: Nor are records of more values, at 0.3 to 0.5 us each: no record takes 100 ms, whatever its schema. What costs
#: more than a small number counts as several: records, lists, messages, what has a logical type.
MOST_VALUES = 150_000
#: Nor are larger schemas, be they from a file or from a registry.
MOST_SCHEMA_BYTES = 256 * 1024
#: Protobuf's own files come with every compiler, and are in no registry.
WELL_KNOWN = "google/protobuf/"
_MOST_DIGITS = 100


class Part(NamedTuple):
    """A file of a schema: the name that others import it by, its text, and the names of what it imports itself."""

    name: str
    text: str
    needs: tuple[str, ...] = ()


def parts_of(own: Format) -> tuple[Part, ...]:
    """Return the files of a schema, itself the last, each after what it imports; most schemas are one.

    Raises:
        SettingsError: one cannot be read any more, or together they are too large.
    """
    return getattr(own, "parts", (Part("", own.text),))


class Format(Protocol):
    """One schema of one kind. ``text`` is the schema as a registry takes it."""

    @property
    def kind(self) -> Kind:
        """Avro, JSON (with JSON Schema) or Protobuf."""

    @property
    def text(self) -> str:
        """The schema."""

    @property
    def name(self) -> str:
        """The record's full name: Avro's, the message's, or the JSON Schema's title."""

    @property
    def fields(self) -> Mapping[str, int | None]:
        """Names of a record's fields, those of records inside with a dotted path; the scale of decimal numbers."""

    @property
    def decode(self) -> Callable[[bytes], Record]:
        """Bytes -> record; raises DecodeError, or InvalidOrderError where the bytes hold another record."""

    @property
    def encode(self) -> Encode:
        """Record -> bytes; raises ValueError where the record does not fit the schema."""

    def reader(self, contract: Contract) -> Read:
        """Return decoder and validator for records under ``contract``, in one where the schema allows it."""


def refuse_large(payload: bytes) -> None:
    """Refuse a payload beyond :data:`MOST_BYTES`.

    Raises:
        DecodeError: it is larger.
    """
    if len(payload) > MOST_BYTES:
        raise DecodeError(f"{len(payload)} bytes: more than {MOST_BYTES} are not decoded")


class Budget:
    """The values that may still be made of one record."""

    __slots__ = ("left",)

    def __init__(self) -> None:
        self.left: float = MOST_VALUES

    def spend(self, values: float) -> None:
        """Count some values.

        Raises:
            DecodeError: they are too many by now.
        """
        self.left -= values
        if self.left < 0:
            raise DecodeError(f"a record of more than {MOST_VALUES} values is not decoded")


def number_of(text: str) -> Decimal:
    """Return the decimal number that a text spells.

    Raises:
        ValueError: it spells none. Nor is a signalling NaN one: no arithmetic takes it, not even ``float``.
    """
    try:
        number = Decimal(text)
    except InvalidOperation:
        raise ValueError(text) from None
    if number.is_snan():
        raise ValueError(text)
    return number


def exact(value: Decimal | float | str) -> Decimal:
    """Return the decimal number that a number or a text is written as.

    Raises:
        ValueError: it is none, or of more digits than any price has: these would take minutes to write.
    """
    try:
        number = number_of(str(value))
    except ValueError:
        raise ValueError(f"{value!r:.80} is not a decimal number") from None
    if not number.is_finite() or abs(number.adjusted()) > _MOST_DIGITS:
        raise ValueError(f"{value!r:.80} is not a decimal number of at most {_MOST_DIGITS} digits")
    return number


def refuse_large_schema(text: str) -> None:
    """Refuse a schema beyond :data:`MOST_SCHEMA_BYTES`.

    Raises:
        SettingsError: it is larger.
    """
    if len(text) > MOST_SCHEMA_BYTES:
        raise SettingsError(f"the schema has {len(text)} characters, more than {MOST_SCHEMA_BYTES} are not read")
