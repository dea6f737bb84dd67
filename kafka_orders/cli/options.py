"""Options that are settings: declared once in the domain, offered by every command that needs them."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import click

from kafka_orders.domain.settings import DECLARED, PROPERTIES, env_name
from kafka_orders.sources import load_with_sources

#: Settings that every command takes.
COMMON = ("bootstrap_servers", "home", "name", "kafka")
#: The topics that every role knows, and the groups.
TOPICS = ("topic", "retry_topic", "dlq_topic", "averages_topic")
GROUPS = ("group", "retry_group", "dlq_group")
#: How orders are read and written.
FORMAT = (
    "format", "schema", "content_type", "registry_url", "registry", "subject_strategy", "schema_id_in", "subjects",
)  # fmt: skip
#: What an order's fields are, beside: all that reads orders takes these.
ORDERS = (*FORMAT, "value_field", "group_by", "id_field")
#: Flags whose name is shorter than the setting's.
_SHORT = {"bootstrap_servers": "--bootstrap", "home": "--home"}

_SOURCES = "kafka_orders.sources"

F = TypeVar("F", bound=Callable[..., Any])


def flag_of(name: str) -> str:
    """Return the flag of a setting."""
    return _SHORT.get(name, "--" + name.replace("_", "-"))


def with_settings(*names: str) -> Callable[[F], F]:
    """Give a command flags for settings, and the resolved :class:`Settings` as its first argument."""
    offered = (*COMMON, *names)

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def run(*args: Any, **kwargs: Any) -> Any:
            flags = {name: kwargs.pop(name) or None for name in offered}
            settings, sources = load_with_sources(flags)
            click.get_current_context().meta[_SOURCES] = sources
            return command(settings, *args, **kwargs)

        decorated: Any = run
        for name in reversed(offered):
            decorated = _option(name)(decorated)
        return decorated  # type: ignore[no-any-return]

    return decorate


def sources_of(context: click.Context) -> Mapping[str, str]:
    """Return where each setting of the command came from that is not at its default."""
    found: Mapping[str, str] = context.meta[_SOURCES]
    return found


def _option(name: str) -> Callable[[F], F]:
    is_list = name in PROPERTIES or str(DECLARED[name].type).startswith("tuple")
    about = f"{DECLARED[name].metadata['about']} [{env_name(name)}]"
    return click.option(flag_of(name), name, help=about, multiple=is_list, metavar="VALUE")


output_option = click.option(
    "-o", "--output", type=click.Choice(["table", "json", "jsonl"]), default="table", help="format of stdout"
)
quiet_option = click.option("-q", "--quiet", is_flag=True, help="no talk and no progress bars, only results")


def say(text: str, *, quiet: bool = False) -> None:
    """Talk goes to stderr, so that stdout is data."""
    if not quiet:
        click.echo(text, err=True)
