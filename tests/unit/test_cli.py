"""The command line: help for everything, clear usage errors, the design's exit codes."""

import click
import pytest
from click.testing import CliRunner

from kafka_orders.cli import _VERBS, main, root


def commands(command: click.Command, path: tuple[str, ...] = ()):
    yield path, command
    if isinstance(command, click.Group):
        with click.Context(command) as context:
            for name in command.list_commands(context):
                found = command.get_command(context, name)
                assert found is not None
                yield from commands(found, (*path, name))


ALL = list(commands(root))


@pytest.mark.parametrize(("path", "command"), ALL, ids=lambda one: " ".join(one) if isinstance(one, tuple) else "")
def test_every_command_and_flag_has_help(path, command) -> None:
    """`-h` works everywhere; no flag is unexplained."""
    done = CliRunner().invoke(root, [*path, "-h"])
    assert done.exit_code == 0
    assert (command.help or "").strip()
    for parameter in command.params:
        assert isinstance(parameter, click.Option)
        assert parameter.help, parameter.name


def test_all_verbs_are_there() -> None:
    """Those of the design that this version has."""
    expected = "averages broker config consume demo dlq lag produce reset retry topics up verify"
    assert sorted(_VERBS) == expected.split()


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["nonsense"], 2, "No such command"), (["produce", "--rate", "fast"], 2, "rate = 'fast'"),
        (["consume", "--handler", "nowhere"], 2, "module:function"),
        (["consume", "--handler", "nowhere.at:all"], 2, "cannot be loaded"), (["reset"], 2, "--yes"),
        (["topics", "check", "--kafka", "x"], 2, "kafka"),
    ],
)  # fmt: skip
def test_usage_errors_exit_2(arguments, code, says, monkeypatch, capsys) -> None:
    """And name what is wrong."""
    monkeypatch.setattr("sys.argv", ["kafka-orders", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == code
    assert says in capsys.readouterr().err


def test_config_show_tells_value_and_source(monkeypatch) -> None:
    """Environment and default."""
    monkeypatch.setenv("KAFKA_ORDERS_TOPIC", "other")
    monkeypatch.setenv("KAFKA_ORDERS_KAFKA", "sasl.password=hush")
    done = CliRunner().invoke(root, ["config", "show"])
    assert done.exit_code == 0
    row = next(line for line in done.stdout.splitlines() if line.startswith("KAFKA_ORDERS_TOPIC "))
    assert row.split() == ["KAFKA_ORDERS_TOPIC", "other", "environment"]
    assert "hush" not in done.stdout
