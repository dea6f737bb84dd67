"""``kafka-orders``: one small file per group of commands; each prints and exits, logic lives below."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import click

from kafka_orders._version import __version__
from kafka_orders.domain.errors import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_USAGE, KafkaOrdersError

#: Module of this room -> its verbs; imported when used, so that no command pays for the others.
_MODULES = {
    "broker": ["broker"],
    "config": ["config"],
    "demo": ["demo", "up"],
    "dlq": ["dlq"],
    "doctor": ["doctor"],
    "report": ["report"],
    "roles": ["consume", "produce", "retry"],
    "schema": ["schema"],
    "serve": ["serve"],
    "topics": ["reset", "topics"],
    "views": ["averages", "lag", "verify"],
}
_VERBS = {verb: f"kafka_orders.cli.{module}" for module, verbs in _MODULES.items() for verb in verbs}


class _Verbs(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in _VERBS:
            return None
        found: click.Command = getattr(import_module(_VERBS[cmd_name]), cmd_name)
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
