"""What the checker works with and what it finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Place = tuple[str, int, int]
#: Of a list of problems of one kind, so many are shown.
_SHOWN = 5


@dataclass(frozen=True)
class Names:
    """The topics and groups of the pipeline under test, and its policy."""

    orders: str
    retry: str
    dlq: str
    averages: str
    output: str
    main_group: str
    retry_group: str
    max_retries: int
    delay_ms: int
    #: Where the tools' statuses stand; empty: no tool is at work.
    status: str = ""


@dataclass
class Report:
    """What was found; holds when ``problems`` is empty."""

    problems: list[str] = field(default_factory=list)
    orders: int = 0
    acknowledged: int = 0
    unknown: int = 0
    counted: int = 0
    dead: int = 0
    retried: int = 0
    replayed: int = 0
    skipped: int = 0
    lost: int = 0
    doubled: int = 0
    transactions: int = 0
    aborted: int = 0

    def problem(self, what: str, some: list[Any]) -> None:
        """Note a kind of problem, if there is any of it."""
        if some:
            self.problems.append(f"{what}: {len(some)}, e.g. {', '.join(map(str, some[:_SHOWN]))}")


@dataclass
class Hop:
    """A record that says what became of an order: where it stands, when it was written, when handled.

    ``replay`` is which sending back of a dead letter it belongs to, ``letter`` that letter; 0 and empty: none.
    """

    origin: Place
    attempt: int
    at: Place
    appended_ms: int
    handled_ms: int
    order_id: str | None
    replay: int = 0
    letter: str = ""
