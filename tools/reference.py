"""Write docs/reference/ from the code, so that what exists is there and nothing else: ``make docs``.

``tests/docs/test_reference.py`` compares the pages with what this makes of the code.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from kafka_orders.cli import root
from kafka_orders.cli.options import COMMON, flag_of
from kafka_orders.domain import errors, headers
from kafka_orders.domain.settings import DECLARED, Layer, Settings, build, env_name
from kafka_orders.log import topics
from kafka_orders.views.metrics import PREFIX, ROLE_METRICS
from kafka_orders.web.exposition import REPORT_METRICS
from tools.docstrings import api, markdown

FOLDER = Path(__file__).resolve().parents[1] / "docs/reference"
_NOTE = "<!-- Made from the code by `make docs`; edit the code, not this page. -->"


def pages() -> dict[str, str]:
    """Return the text of each page by its file name."""
    made = {
        "commands.md": _commands(),
        "settings.md": _settings(),
        "headers.md": _headers(),
        "topics.md": _topics(),
        "exit-codes.md": _exit_codes(),
        "metrics.md": _metrics(),
        "api.md": api(),
    }
    return {name: _NOTE + "\n" + re.sub(r"\n{3,}", "\n\n", text).rstrip() + "\n" for name, text in made.items()}


def table(*rows: Iterable[object]) -> str:
    """Return rows as a Markdown table; the first one is its head."""
    first, *rest = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    lines = [first, ["---"] * len(first), *rest]
    return "\n" + "\n".join("| " + " | ".join(cells) + " |" for cells in lines) + "\n"


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    """Yield a command and all below it, each with its full name."""
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            if (found := command.get_command(context, name)) is not None:
                yield from commands(found, f"{path} {name}")


def _commands() -> str:
    common = ", ".join(f"`{flag_of(name)}`" for name in COMMON)
    text = (
        f"# Commands\n\n`kafka-orders VERB` and `python -m kafka_orders VERB` are the same. Every command has"
        f" `-h`.\nThe flags {common} are told once, here:\n"
    )
    verify = next(command for path, command in commands(root, "") if path.endswith("verify"))
    shared = [one for one in verify.params if one.name in COMMON]
    text += table(("flag", "meaning"), *map(_flag, shared))
    for path, command in commands(root, "kafka-orders"):
        text += f"\n## {path}\n\n{markdown(command.help or '')}\n"
        own = [one for one in command.params if one.name not in COMMON]
        has_common = {one.name for one in command.params} >= set(COMMON)
        rows = [*map(_flag, own)] + ([(common, "see above")] if has_common else [])
        text += table(("flag", "meaning"), *rows) if rows else ""
    return text


def _flag(parameter: click.Parameter) -> tuple[str, str]:
    names = ", ".join(f"`{one}`" for one in sorted(parameter.opts, key=len, reverse=True))
    if not isinstance(parameter, click.Option):
        return f"`{parameter.human_readable_name}`", "argument"
    notes = []
    if isinstance(parameter.type, click.Choice):
        notes.append(" or ".join(map(str, parameter.type.choices)))
    if isinstance(parameter.default, str | int) and parameter.default != "" and not parameter.is_flag:
        notes.append(f"default {parameter.default}")
    if parameter.multiple:
        notes.append("may be given more than once")
    said = re.sub(r"\[(KAFKA_ORDERS_\w+)\]", r"(`\1`)", parameter.help or "")
    return names, "; ".join([said, *notes])


def _settings() -> str:
    flags = {one.name for _, command in commands(root, "") for one in command.params}
    text = (
        "# Settings\n\nEach has one name in four spellings: the flag of a command, the environment variable (also"
        " in `.env`), and the key in `kafka-orders.toml`.\nThe order of strength stands in"
        " [how-to: settings](../howto/settings.md). A setting without a flag is set in the other places.\n"
    )
    rows = []
    for name, declared in DECLARED.items():
        rules, default = declared.metadata, declared.default
        about = rules["about"]
        if "choices" in rules:
            about += f": {' or '.join(rules['choices'])}"
        if "least" in rules:
            about += f"; {rules['least']} " + (f"to {rules['most']}" if "most" in rules else "or more")
        shown = f"`{default}`" if isinstance(default, str | int | float) and default != "" else ""
        flag = f"`{flag_of(name)}`" if name in flags else ""
        rows.append((f"`{env_name(name)}`", flag, f"`{name}`", about, shown))
    text += table(("environment", "flag", "TOML", "meaning", "default"), *rows)
    return text + (
        "\nWith `_FILE` behind it, a variable names a file that holds the value.\n"
        "One more variable is no setting of a pipeline: `KAFKA_ORDERS_CACHE`, the folder of Kafka's jars, by"
        " default `jars` in the home folder.\n"
    )


def declared(source: str, kind: type, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the value and the ``#:`` comment of each public constant of a kind in a module's source.

    Raises:
        ValueError: one has no comment.
    """
    lines = source.splitlines()
    for node in ast.parse(source).body:
        match node:
            case ast.Assign(targets=[ast.Name(name)], value=ast.Constant(value)) if (
                isinstance(value, kind) and name.startswith(prefix) and not name.startswith("_")
            ):
                if not (above := lines[node.lineno - 2]).startswith("#: "):
                    raise ValueError(f"{name} has no #: comment")
                yield str(value), above.removeprefix("#: ").rstrip(".")


def _headers() -> str:
    rows = [(f"`{name}`", about) for name, about in declared(inspect.getsource(headers), str)]
    return (
        "# Headers\n\nOf records in the retry topic and the dead letter queue. All values are UTF-8 text; each"
        " stands there once: it is replaced, never appended.\nKey, value and other headers of the order stay as"
        " they came, byte for byte. On the orders topic these headers are ignored, since anyone can send them;"
        " what is read of them later is read with bounds.\n" + table(("header", "value"), *rows)
    )


def _state() -> str:
    progress = "progress, in every transaction: `group`, `next_offset`, `processed`, `retried`, `dead`, `skipped`,"
    shard = "a shard: `count`, `sum` (a number, or several whose exact sum it is), `min`, `max`, `average`,"
    delta = (
        "what one transaction counted that changed more than 1,000 shards: `number`, `oldest`, `from`,"
        " `next_offset`, `products` (one text with a line for each, or a list), `counts` (base64, a byte for"
        " each, or a list), `values` (base64, doubles, little-endian)"
    )
    block = (
        "up to 1,000 whole shards: `mark`, `products`, `shards` (base64, little-endian; of each `next_offset`"
        " and count as int64, minimum, maximum and sum as doubles), `parts` (of how many doubles each sum is;"
        " null: one)"
    )
    return (
        "\n## State records\n\nIn `orders_averages`; keys are text, values JSON. All records of a source partition"
        " lie in one partition.\n"
        + table(
            ("key", "value"),
            ("`orders/3`", f"{progress} `topic_id`"),
            ("`orders/3/Item2`", f"{shard} `next_offset`"),
            ("`orders/3#delta-0`", delta),
            ("`orders/3#block-0`", block),
        )
        + "\nA product's state: take its newest whole shard, by `next_offset`, from its own record or a block;"
        " then add the\nvalues of every delta whose `from` is not below that `next_offset`, in the order"
        " of `from`. Whole shards come first,\n"
        "wherever they stand in the log. Where no transaction changes more than 1,000"
        " shards, there are neither deltas nor blocks.\n"
    )


def _topics() -> str:
    named = build([Layer("program", {"name": "NAME"})])[0]
    groups = [name for name in DECLARED if name.endswith("group")]
    wanted = [name for name in DECLARED if name.endswith("topic") and name != "output_topic"]
    rows = []
    for name, spec, other in zip(wanted, topics.specs(Settings()), topics.specs(named), strict=True):
        config = "<br>".join(f"`{key}={value}`" for key, value in spec.config.items())
        about = DECLARED[name].metadata["about"]
        rows.append((f"`{spec.name}`", about, spec.partitions, config, f"`{other.name}`", f"`{env_name(name)}`"))
    told = [(f"`{getattr(Settings(), name)}`", DECLARED[name].metadata["about"], f"`{getattr(named, name)}`",
             f"`{env_name(name)}`") for name in groups]  # fmt: skip
    return (
        "# Topics and groups\n\nWhoever starts first makes the topics that are missing, with these settings;"
        " `kafka-orders topics check` says which differ.\nThe retry topic has two partitions for each retry and"
        " two for replays, so their number follows `KAFKA_ORDERS_MAX_RETRIES`.\n"
        + table(("topic", "what", "partitions", "settings", "with `--name NAME`", "setting"), *rows)
        + _state()
        + "\nThe output topic (`KAFKA_ORDERS_OUTPUT_TOPIC`) is yours: made if it is missing, never checked or"
        " deleted.\n\n## Consumer groups\n" + table(("group", "what", "with `--name NAME`", "setting"), *told)
    )


def _metrics() -> str:
    def told(found: Iterable[tuple[str, str, str, tuple[str, ...]]]) -> str:
        rows = []
        for name, kind, about, labels in found:
            full = f"`{PREFIX}{name}{'_total' if kind == 'counter' else ''}`"
            rows.append((full, kind, ", ".join(f"`{one}`" for one in labels), about))
        return table(("metric", "kind", "labels", "meaning"), *rows)

    return (
        "# Metrics\n\nIn Prometheus's text format. No label comes from keys, ids or error texts.\n\n"
        "## Of each role\n\nAt `/metrics` of its own port (`--metrics-port`); with `up` at the page's.\n"
        + told(ROLE_METRICS)
        + "\n## Of the pipeline\n\nAt `/metrics` of `serve` and `up`, read from the topics: one process tells"
        " them, however many workers there are.\n" + told(REPORT_METRICS)
    )


def _exit_codes() -> str:
    rows = [("0", "Done; also after the first Ctrl-C or SIGTERM of a role", "")]
    for code, about in declared(inspect.getsource(errors), int, "EXIT_"):
        rows.append((code, about, ", ".join(f"`{one.__name__}`" for one in _raised(int(code)))))
    return "# Exit codes\n" + table(("code", "meaning", "errors that end with it"), *rows)


def _raised(code: int) -> list[type[errors.KafkaOrdersError]]:
    found = [one for one in vars(errors).values() if inspect.isclass(one) and one.__module__ == errors.__name__]
    return [one for one in found if issubclass(one, errors.KafkaOrdersError) and one.exit_code == code]


def main() -> None:
    """Write the pages into docs/reference, or into the folder that is given."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages().items():
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
