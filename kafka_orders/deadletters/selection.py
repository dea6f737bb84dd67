"""Which dead letters are meant: the filters of every command, and whether a letter passes them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from kafka_orders.deadletters.letters import Letter
from kafka_orders.domain.errors import OutageError, SettingsError
from kafka_orders.domain.order import Decode, field_text
from kafka_orders.domain.standing import STATUSES, LetterId

_AGES = {"s": 1_000, "m": 60_000, "h": 3_600_000, "d": 86_400_000}
_AGE = re.compile(r"(\d{1,9})([smhd])")


@dataclass(frozen=True, slots=True)
class Selection:
    """Filters, all of which have to pass; those left empty pass everything.

    ``ids`` and ``statuses`` and ``groups`` pass any of theirs. ``match`` is looked for, whatever its case, in the
    error's class, its message and the decoded order. ``since`` and ``until`` (exclusive) are epoch milliseconds
    of the failure. ``headers`` are name and value, as text. ``limit`` 0: no limit.
    """

    ids: tuple[LetterId, ...] = ()
    groups: tuple[str, ...] = ()
    error_class: str = ""
    match: str = ""
    key: str = ""
    product: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    since_ms: int | None = None
    until_ms: int | None = None
    statuses: tuple[str, ...] = ()
    limit: int = 0

    @property
    def is_everything(self) -> bool:
        """No filter narrows it, but perhaps the status."""
        return self == Selection(statuses=self.statuses, limit=self.limit)

    def as_dict(self) -> dict[str, Any]:
        """Return the filters that are set, as JSON has them; :meth:`of_dict` takes them back."""
        held = {"ids": [str(one) for one in self.ids], "headers": [list(one) for one in self.headers]}
        plain = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return {name: value for name, value in (plain | held).items() if value not in ("", None, 0, (), [])}

    @classmethod
    def of_dict(cls, told: Mapping[str, Any]) -> Selection:
        """Return the selection that :meth:`as_dict` told of."""
        held: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in told.items()
        }
        held["ids"] = tuple(map(LetterId.parse, told.get("ids", ())))
        held["headers"] = tuple((name, value) for name, value in told.get("headers", ()))
        return cls(**{name: value for name, value in held.items() if name in cls.__dataclass_fields__})

    def tests(self, decode: Decode, group_by: str) -> list[Callable[[Letter], bool]]:
        """Return the tests that are needed, the cheap ones first; ``group_by`` is the order's product field."""
        ids, key, text = frozenset(self.ids), self.key.encode(), self.match.casefold()
        tests: list[tuple[bool, Callable[[Letter], bool]]] = [
            (bool(self.statuses), lambda one: one.standing.status in self.statuses),
            (bool(self.ids), lambda one: one.id in ids),
            (bool(self.key), lambda one: one.key == key),
            (bool(self.groups), lambda one: one.fingerprint in self.groups),
            (self.since_ms is not None, lambda one: one.failed_at_ms >= (self.since_ms or 0)),
            (self.until_ms is not None, lambda one: one.failed_at_ms < (self.until_ms or 0)),
            (bool(self.error_class), lambda one: self._is_class(one.error_class)),
            (bool(self.headers), lambda one: self._has_headers(one.headers)),
            (bool(self.product), lambda one: field_text(_read(one, decode), group_by) == self.product),
            (bool(self.match), lambda one: _matches(one, text, decode)),
        ]
        return [test for is_wanted, test in tests if is_wanted]

    def _is_class(self, fqcn: str) -> bool:
        return fqcn == self.error_class or fqcn.rpartition(".")[2] == self.error_class

    def _has_headers(self, held: Iterable[tuple[str, bytes | None]]) -> bool:
        told = {(name, (value or b"").decode(errors="replace")) for name, value in held}
        return told.issuperset(self.headers)


def order_of(letter: Letter, decode: Decode) -> Mapping[str, Any]:
    """Return the decoded order; nothing where it does not decode, or what knows its schema is away."""
    try:
        return _read(letter, decode)
    except OutageError:
        return {}


def _read(letter: Letter, decode: Decode) -> Mapping[str, Any]:
    """Return the decoded order; nothing where it does not decode. What cannot be known is not passed over."""
    try:
        return decode(letter.payload or b"", letter.headers)
    except OutageError:
        raise
    except Exception:  # an app's own decoder raises what it likes
        return {}


def _matches(letter: Letter, text: str, decode: Decode) -> bool:
    if text in letter.error.casefold() or text in letter.error_class.casefold():
        return True
    return any(text in str(value).casefold() for value in _read(letter, decode).values())


def parse_header(text: str) -> tuple[str, str]:
    """Return name and value of ``name=value``.

    Raises:
        SettingsError: there is no ``=``.
    """
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise SettingsError(f"{text!r} is no header filter; write --header name=value")
    return name, value


def parse_time(text: str, now_ms: int) -> int:
    """Return epoch milliseconds of an ISO time (UTC unless it says otherwise), or of an age as in ``90m``.

    Raises:
        SettingsError: it is neither.
    """
    if (age := _AGE.fullmatch(text)) is not None:
        return now_ms - int(age[1]) * _AGES[age[2]]
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        raise SettingsError(
            f"{text!r} is no time; write 2026-11-26T12:00, or an age as 30s, 90m, 2h, 7d"
        ) from None
    try:
        return int((told if told.tzinfo else told.replace(tzinfo=UTC)).timestamp() * 1000)
    except (OverflowError, ValueError):
        raise SettingsError(f"{text!r} is beyond the times that a computer knows") from None


def check_status(text: str) -> str:
    """Return a status that is one.

    Raises:
        SettingsError: it is none.
    """
    if text not in STATUSES:
        raise SettingsError(f"{text!r} is no status; they are {', '.join(STATUSES)}")
    return text
