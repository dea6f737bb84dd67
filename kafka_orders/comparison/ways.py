"""The ways in which one order can stand in a record: each format, raw or in a schema registry's frame."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import partial
from typing import Any

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.headers import Headers
from kafka_orders.domain.order import Contract, Order, Read
from kafka_orders.formats.base import Encode, Format
from kafka_orders.formats.codec import Codec, ReadTold
from kafka_orders.formats.framing import Naming
from kafka_orders.formats.registry import Registered

#: An id as a registry gives them; its bytes are four, whatever it is.
_SCHEMA_ID = 1
_NAMING = Naming("orders")


@dataclass(frozen=True, slots=True)
class Way:
    """One way: ``orders`` are the samples as its format takes them."""

    name: str
    form: Format
    contract: Contract
    encode: Encode
    read: Read
    headers: Headers
    orders: Sequence[Mapping[str, Any]]

    @property
    def head_bytes(self) -> int:
        """Bytes that tell the format and the schema: of the headers, or of the frame before the value."""
        framed = len(self.encode(self.orders[0])) - len(self.form.encode(self.orders[0]))
        return framed + sum(len(name.encode()) + len(value or b"") for name, value in self.headers)


class _Shelf:
    """In a schema registry's place: it holds the one schema of a format."""

    def __init__(self, form: Format) -> None:
        subjects = frozenset({_NAMING.subject(_NAMING.topic, form.name)})
        self._held = Registered(form.kind, _registered(form), subjects, {})

    def by_id(self, _schema_id: int, _trusted: frozenset[str]) -> Registered:
        return self._held

    def id_of(self, _subject: str, _own: Format) -> int:
        return _SCHEMA_ID


def _registered(form: Format) -> str:
    """Return a schema as a registry may hold it; a .proto file as its descriptor, which needs no imports."""
    message = getattr(form, "message_class", None)
    return form.text if message is None else b64encode(message.DESCRIPTOR.file.serialized_pb).decode()


def ways(
    formats: Iterable[Format], orders: Sequence[Mapping[str, Any]], contract: Callable[[Format], Contract]
) -> list[Way]:
    """Return all ways of these formats, raw ones first; each is written and read as the roles do it.

    Raises:
        SettingsError: an order is not of one of the schemas, or does not fulfil the contract.
    """
    raw, framed = [], []
    for form in formats:
        held, made = contract(form), _fitting(form, orders)
        shelf: Any = _Shelf(form)
        raw.append(_way(form.kind, form, Codec(form), held, made))
        framed.append(_way(f"{form.kind}, framed", form, Codec(form, registry=(shelf, _NAMING)), held, made))
    for way in raw:
        _check(way)
    return raw + framed


def _way(name: str, form: Format, codec: Codec, contract: Contract, orders: Sequence[Mapping[str, Any]]) -> Way:
    encode, told = codec.writes(_NAMING.topic)
    plain, with_headers = codec.reads(contract)
    read = partial(_told, with_headers, told) if told and with_headers else plain
    return Way(name, form, contract, encode, read, told, orders)


def _told(read: ReadTold, held: Headers, payload: bytes) -> tuple[Order, str, float]:
    return read(payload, held)


def _fitting(form: Format, orders: Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """Return the orders with decimal numbers in place of others, where the schema does not take these."""
    return [order if _fits(form, order) else _exact(order, form) for order in orders]


def _fits(form: Format, order: Mapping[str, Any]) -> bool:
    try:
        form.encode(order)
    except ValueError:
        return False
    return True


def _exact(order: Mapping[str, Any], form: Format) -> Mapping[str, Any]:
    """Return the order with exact numbers: its fractions, or all its numbers; as it is where neither fits."""
    made = [_decimals(order, kinds) for kinds in (float, float | int)]
    return next((one for one in made if _fits(form, one)), order)


def _decimals(value: Any, kinds: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _decimals(one, kinds) for name, one in value.items()}
    if isinstance(value, list):
        return [_decimals(one, kinds) for one in value]
    return Decimal(str(value)) if isinstance(value, kinds) and not isinstance(value, bool) else value


def _check(way: Way) -> None:
    for number, order in enumerate(way.orders, 1):
        try:
            way.read(way.encode(order))
        except ValueError as error:
            raise SettingsError(f"order {number} of the sample, as {way.name}: {error}") from error
