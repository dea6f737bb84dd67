"""A change, and who is broken by it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

from kafka_orders.domain.errors import SettingsError
from kafka_orders.formats.base import Kind, refuse_large_schema


@dataclass(frozen=True, slots=True)
class Change:
    """One difference of two schemas.

    ``where`` is a field, by its dotted path. ``new_reads_old`` is why consumers with the new schema cannot read
    orders of the old one, ``old_reads_new`` the reverse; empty: they can.
    """

    where: str
    what: str
    new_reads_old: str = ""
    old_reads_new: str = ""


class Source(NamedTuple):
    """A schema's text, and what it does not say itself: texts of others by the names it has for them.

    ``folder`` is where else a .proto file's imports are, ``record`` which message is meant (default: the first).
    """

    text: str
    imports: Mapping[str, str] = {}
    folder: Path | None = None
    record: str = ""


def changes(kind: Kind, old: Source, new: Source, needed: Collection[str] = ()) -> list[Change]:
    """Return what differs between two schemas; nothing where orders are written and read alike.

    Args:
        kind: of both.
        old: the one that orders were written by so far.
        new: the other.
        needed: fields that an order is not counted without.

    Raises:
        SettingsError: one of them is no schema of the kind.
    """
    for one in (old, new):
        refuse_large_schema(one.text)
    found: Callable[..., list[Change]] = import_module(f"kafka_orders.formats.evolution.{kind}_rules").changes
    return found(old, new, needed)


def read_json(text: str) -> Any:
    """Return what a schema's text holds.

    Raises:
        SettingsError: it is not JSON.
    """
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"the schema is not JSON: {error}") from error


def below(path: str, name: str) -> str:
    """Return the path of a field inside another one."""
    return f"{path}.{name}" if path else name
