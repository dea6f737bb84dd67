"""The filters of the dead letter commands, as flags."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from kafka_orders.deadletters.selection import Selection, check_status, parse_header, parse_time
from kafka_orders.domain.standing import LetterId

F = TypeVar("F", bound=Callable[..., Any])

_FILTERS = (
    click.option("--id", "ids", multiple=True, metavar="TOPIC/PARTITION/OFFSET",
                 help="this dead letter"),
    click.option("--group", "groups", multiple=True, metavar="FINGERPRINT", help="of this group"),
    click.option("--error-class", default="", metavar="CLASS", help="class of the error, with or without module"),
    click.option("--match", default="", metavar="TEXT", help="this text in error or order, in any case"),
    click.option("--key", default="", metavar="KEY", help="orders with this key"),
    click.option("--product", default="", metavar="NAME", help="orders of this product"),
    click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="with this header"),
    click.option("--since", default="", metavar="TIME", help="failed then or later; ISO time, or age as in 2h"),
    click.option("--until", default="", metavar="TIME", help="failed before this time"),
    click.option("--status", "statuses", multiple=True, metavar="STATUS",
                 help="open, replaying, resolved, failed_again or discarded"),
    click.option("--limit", default=0, type=click.IntRange(0), metavar="N", help="at most so many; 0: all"),
)  # fmt: skip


def with_selection(command: F) -> F:
    """Give a command the filters, and the :class:`Selection` they make as its argument ``selection``."""

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        flags = {name: kwargs.pop(name) for name in _NAMES}
        return command(*args, selection=selection_of(**flags), **kwargs)

    decorated: Any = run
    for option in reversed(_FILTERS):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]


_NAMES = (
    "ids",
    "groups",
    "error_class",
    "match",
    "key",
    "product",
    "headers",
    "since",
    "until",
    "statuses",
    "limit",
)


def selection_of(
    ids: tuple[str, ...], since: str, until: str, statuses: tuple[str, ...], headers: tuple[str, ...], **plain: Any
) -> Selection:
    """Return the selection that flags make.

    Raises:
        SettingsError: an id, a time, a header or a status is none.
    """
    now = int(time.time() * 1000)
    return Selection(
        ids=tuple(map(LetterId.parse, ids)),
        since_ms=parse_time(since, now) if since else None,
        until_ms=parse_time(until, now) if until else None,
        statuses=tuple(map(check_status, statuses)),
        headers=tuple(map(parse_header, headers)),
        **plain,
    )


topic_option = click.option(
    "--topic", "other_topic", default="", metavar="TOPIC", help="another system's dead letter topic"
)
