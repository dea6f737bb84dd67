"""What a registered schema imports: read with all that it needs, and registered before it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from kafka_orders.domain.errors import NotFoundError
from kafka_orders.formats.answers import text_of
from kafka_orders.formats.base import MOST_SCHEMA_BYTES, WELL_KNOWN, Format, parts_of

#: Files that one schema may import, with those that these import.
_MOST = 100


def imported(schema: Any, name: str, version: Callable[[Any, str], Any]) -> dict[str, str]:
    """Return texts of all that a schema imports, by their names, each after what it imports itself.

    Args:
        schema: as the registry's client tells it.
        name: what it is called in errors.
        version: returns the schema that a reference tells, and is given what to call that.

    Raises:
        NotFoundError: one is not there, or they are too many or too large.
    """
    seen: set[str] = set()
    found: dict[str, str] = {}
    left = MOST_SCHEMA_BYTES - len(text_of(schema))

    def look(importer: Any) -> None:
        nonlocal left
        for one in importer.references or ():
            if one.name in seen or one.name.startswith(WELL_KNOWN):
                continue  # a circle ends here, too: who compiles it says what is wrong
            seen.add(one.name)
            held = version(
                one, f"{name} imports {one.name:.80}, which: version {one.version} of {one.subject:.80}"
            )
            left -= len(text_of(held))
            if left < 0 or len(seen) > _MOST:
                more = f"more than {_MOST} files or {MOST_SCHEMA_BYTES} characters, which are not read"
                raise NotFoundError(f"{name} imports {more}")
            look(held)
            found[one.name] = text_of(held)

    look(schema)
    return found


def written(
    own: Format, make: Callable[[str, Sequence[tuple[str, int]]], Any], number: Callable[[str, Any], int]
) -> Any:
    """Return a schema as a registry takes it, with references to its imports, named as Confluent's clients do.

    Args:
        own: the schema.
        make: a text, and subjects and versions that it refers to, to what the registry's client takes.
        number: returns the version that an import has as a subject of its own.

    Raises:
        SettingsError: an import cannot be read any more, or together they are too large.
    """
    known: dict[str, tuple[str, int]] = {}
    *imports, main = parts_of(own)
    for name, text, needs in imports:
        known[name] = name, number(name, make(text, [known[one] for one in needs]))
    return make(main.text, [known[one] for one in main.needs])
