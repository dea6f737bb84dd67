"""``kafka-orders``: one small file per group of commands; each prints and exits, logic lives below."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from kafka_orders._version import __version__
from kafka_orders.domain.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, KafkaOrdersError

#: Verb -> module and object; imported when used, so that no command pays for the others.
_VERBS = {
    "averages": "kafka_orders.cli.views:averages",
    "broker": "kafka_orders.cli.broker:broker",
    "config": "kafka_orders.cli.config:config",
    "consume": "kafka_orders.cli.roles:consume",
    "demo": "kafka_orders.cli.demo:demo",
    "dlq": "kafka_orders.cli.dlq:dlq",
    "doctor": "kafka_orders.cli.doctor:doctor",
    "lag": "kafka_orders.cli.views:lag",
    "produce": "kafka_orders.cli.roles:produce",
    "reset": "kafka_orders.cli.topics:reset",
    "retry": "kafka_orders.cli.roles:retry",
    "topics": "kafka_orders.cli.topics:topics",
    "up": "kafka_orders.cli.demo:up",
    "verify": "kafka_orders.cli.views:verify",
}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _VERBS:
            return None
        module, _, name = _VERBS[cmd_name].partition(":")
        found: click.Command = getattr(import_module(module), name)
        return found


@click.command(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="kafka-orders")
def root() -> None:
    """Orders through a real Kafka: counted once or dead once, whatever crashes.

    Settings: flags > environment KAFKA_ORDERS_* > .env > kafka-orders.toml > defaults.

    \b
    Exit codes: 0 done, 1 failed, 2 usage, 3 no broker, 4 refused, 5 verify does not hold,
    130 interrupted.

    \b
    Examples:
      kafka-orders demo
      kafka-orders broker start
      kafka-orders produce --rate 100
      kafka-orders consume --handler my_app.orders:process
    """


def main() -> NoReturn:
    """Run the command line and exit with the design's codes."""
    try:
        code = root.main(standalone_mode=False, prog_name="kafka-orders")
    except click.exceptions.Abort:
        click.echo("interrupted; nothing is lost: what was not committed aborts", err=True)
        sys.exit(EXIT_INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(EXIT_USAGE if isinstance(error, click.UsageError) else EXIT_FAILED)
    except KafkaOrdersError as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(EXIT_FAILED)
    sys.exit(code if isinstance(code, int) else 0)
