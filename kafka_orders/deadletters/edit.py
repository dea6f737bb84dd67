"""Changing a dead letter's order on its way back: what changes, by field and by byte, before it is sent."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from kafka_orders.deadletters.expressions import Assignment, applied
from kafka_orders.deadletters.letters import Letter
from kafka_orders.deadletters.payloads import describe, flat, readable
from kafka_orders.domain.errors import DecodeError
from kafka_orders.domain.headers import Headers
from kafka_orders.domain.order import Decode
from kafka_orders.domain.standing import LetterId
from kafka_orders.formats.codec import AnyCodec
from kafka_orders.formats.framing import FRAME_BYTES, Form

_SHOWN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Changed:
    """A letter's order before, and after as it will be read; ``before`` is None where nothing can be parsed."""

    before: Mapping[str, Any] | None
    after: Mapping[str, Any]
    old: bytes
    payload: bytes

    @property
    def is_change(self) -> bool:
        """The bytes differ."""
        return self.old != self.payload

    def fields(self) -> list[str]:
        """Return a line for each field that differs."""
        before, after = dict(flat(self.before or {})), dict(flat(self.after))
        names = [*after, *(name for name in before if name not in after)]
        return [
            f"{name}: {_told(before.get(name, '<none>'))} -> {_told(after.get(name, '<none>'))}"
            for name in names
            if before.get(name, _NO) != after.get(name, _NO)
        ]

    def bytes(self) -> str:
        """Return which bytes differ, and how many there are: they are what is sent."""
        old, new = self.old, self.payload
        shared = min(len(old), len(new))
        start = next((at for at in range(shared) if old[at] != new[at]), shared)
        end = next((at for at in range(shared - start) if old[-1 - at] != new[-1 - at]), shared - start)
        was, now = old[start : len(old) - end], new[start : len(new) - end]
        return f"byte {start} of {len(old)}: {_hex(was)} -> {_hex(now)} ({len(new)} bytes)"


_NO = object()


def _told(value: Any) -> str:
    return str(value) if isinstance(value, Decimal) else repr(readable(value))


def _hex(some: bytes) -> str:
    told = some[:_SHOWN_BYTES].hex(" ")
    return f"<{told}{' …' if len(some) > _SHOWN_BYTES else ''}>"


@dataclass(frozen=True, slots=True)
class Edit:
    """One way to change orders: ``assignments``, or a whole order in place of what was there."""

    codec: AnyCodec
    validate: Callable[[Mapping[str, Any]], Any]
    assignments: Sequence[Assignment] = ()
    whole: Mapping[str, Any] | None = None

    def changed(self, letter: Letter) -> Changed:
        """Return what the edit makes of a letter; what would die at once again is refused.

        Raises:
            ValueError: the payload does not decode, an expression fails for it, or the result does not fit the
                schema or cannot be counted.
        """
        held, old = describe(letter.payload, self.codec.decode, letter.headers), letter.payload or b""
        if self.whole is None and held.fields is None:
            raise ValueError(f"its payload does not decode: {held.error or 'it has none'}; edit it alone, whole")
        after = dict(self.whole) if self.whole is not None else applied(self.assignments, held.fields or {})
        form = self._form(old, letter.headers)
        payload = form.encode(after)
        after = form.decode(payload)  # as it will be read: a float is rounded to the schema's own
        self.validate(after)
        frame = old[:FRAME_BYTES] if held.kind == "framed" and not form.head else b""
        return Changed(held.fields, after, old, frame + payload)

    def _form(self, old: bytes, held: Headers) -> Form:
        """Return how the order is written: as it was; where that cannot be told, in the pipeline's own format."""
        try:
            return self.codec.form(old, held)
        except DecodeError:
            return self.codec.form(b"", [])

    def payload(self, letter: Letter) -> bytes:
        """Return the bytes to send in place of a letter's own.

        Raises:
            ValueError: as :meth:`changed`, or nothing would change.
        """
        found = self.changed(letter)
        if not found.is_change:
            raise ValueError("nothing would change")
        return found.payload


@dataclass(slots=True)
class Preview:
    """What an edit would do: how many letters change, some of them in full, and why others do not."""

    changing: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    samples: list[tuple[LetterId, Changed]] = field(default_factory=list)


def preview(edit: Edit, letters: Iterable[Letter], samples: int = 3) -> Preview:
    """Return what the edit would make of letters; nothing is sent."""
    found = Preview()
    for letter in letters:
        try:
            changed = edit.changed(letter)
        except ValueError as error:
            found.refused[str(error)] += 1
            continue
        if not changed.is_change:
            found.refused["nothing would change"] += 1
            continue
        found.changing += 1
        if len(found.samples) < samples:
            found.samples.append((letter.id, changed))
    return found


def editable(letter: Letter, decode: Decode) -> str:
    """Return the order as JSON for an editor; an empty object where nothing can be parsed."""
    return json.dumps(readable(describe(letter.payload, decode, letter.headers).fields or {}), indent=2) + "\n"


def edited(text: str) -> dict[str, Any]:
    """Return the order that was typed.

    Raises:
        ValueError: it is no JSON object.
    """
    try:
        told = json.loads(text)
    except ValueError as error:
        raise ValueError(f"this is not JSON: {error}") from None
    if not isinstance(told, dict):
        raise ValueError("an order is a JSON object, in braces")  # noqa: TRY004  one kind of error for what was typed
    return told
