"""The command line: help for everything, clear usage errors, the design's exit codes."""

import json
import sys

import click
import pytest
from click.testing import CliRunner

from kafka_orders.cli import _VERBS, main, root
from kafka_orders.cli.options import with_settings
from kafka_orders.cli.roles import load_handler
from kafka_orders.domain.errors import (
    KafkaOrdersError,
    NoBrokerError,
    SettingsError,
    StateMismatchError,
)
from kafka_orders.domain.settings import DECLARED
from kafka_orders.pipeline.handlers import accept


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
        if isinstance(parameter, click.Option):
            assert parameter.help, parameter.name
        else:  # an argument is told by the usage line
            assert (parameter.metavar or (parameter.name or "").upper()) in done.output


def test_all_verbs_are_there() -> None:
    """Those of the design that this version has."""
    expected = "averages broker config consume demo dlq doctor lag produce report reset retry schema serve topics"
    assert sorted(_VERBS) == [*expected.split(), "up", "verify"]


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


@pytest.mark.parametrize("verb", sorted(_VERBS))
@pytest.mark.parametrize("flag", ["-h", "--help"])
def test_every_verb_has_help(verb, flag) -> None:
    """On stdout, with its usage, without a broker."""
    done = CliRunner().invoke(root, [verb, flag])
    assert done.exit_code == 0
    assert done.stdout.startswith(f"Usage: root {verb}")
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("arguments", "files", "says"),
    [
        (["produce"], {"kafka-orders.toml": "tpoic = 'x'"}, "toml: there is no setting tpoic; did you mean topic"),
        (["lag"], {".env": "KAFKA_ORDERS_TPOIC=x"}, ".env: there is no setting tpoic"),
        (["config", "show"], {"kafka-orders.toml": "= 1"}, "cannot be read"),
        (["verify", "--tpoic", "x"], {}, "--tpoic"), (["reset"], {}, "say --yes"),
        (["broker", "start", "--brokers", "2"], {}, "'2' is not one of"),
    ],
)  # fmt: skip
def test_an_unknown_setting_is_a_usage_error(arguments, files, says, tmp_path, monkeypatch, capsys) -> None:
    """Exit 2 before anything is asked of a broker, whatever source it stands in."""
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["kafka-orders", *arguments])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out) == (2, "")
    assert says in err


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (KafkaOrdersError("it broke"), 1, "error: it broke"),
        (NoBrokerError(), 3, "error: No Kafka broker answers."),
        (StateMismatchError("gone"), 4, "error: gone"),
        (KeyboardInterrupt(), 130, "interrupted"), (click.ClickException("no"), 1, "Error: no"),
    ],
)  # fmt: skip
def test_each_way_to_fail_has_its_exit_code(error, code, says, monkeypatch, capsys) -> None:
    """As the help says; the message stands on stderr."""

    def fail(*_arguments, **_options):
        raise error

    monkeypatch.setattr("kafka_orders.cli.config.load_with_sources", fail)
    monkeypatch.setattr("sys.argv", ["kafka-orders", "config", "show"])
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    assert (ended.value.code, out.strip()) == (code, "")
    assert says in err


def test_a_command_that_ends_well_exits_0(tmp_path, monkeypatch, capsys) -> None:
    """And its data are on stdout, JSON where asked for."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["kafka-orders", "config", "show", "-o", "json"])
    monkeypatch.setenv("KAFKA_ORDERS_KAFKA", "sasl.password=hush")
    with pytest.raises(SystemExit) as ended:
        main()
    out, err = capsys.readouterr()
    told = json.loads(out)
    assert (ended.value.code, err, told.keys()) == (0, "", DECLARED.keys())
    assert told["kafka"] == {"value": {"sasl.password": "********"}, "source": "environment"}
    assert told["group"] == {"value": "orders-consumer-group", "source": "default"}


def test_flags_are_settings(monkeypatch) -> None:
    """Each under its name or its short one; repeated where it is a list; stronger than the environment."""
    monkeypatch.setenv("KAFKA_ORDERS_TOPIC", "weak")

    @click.command()
    @with_settings("topic", "fail", "count")
    def show(found) -> None:
        click.echo(f"{found.bootstrap_servers} {found.topic} {found.fail} {found.kafka} {found.count}")

    flags = "--bootstrap b:1 --topic t --fail A --fail B --kafka a=1 --kafka b=x,y --count 0"
    assert CliRunner().invoke(show, flags.split()).stdout == "b:1 t ('A', 'B') {'a': '1', 'b': 'x,y'} 0\n"
    assert CliRunner().invoke(show, []).stdout.split()[1] == "weak"


def test_a_handler_is_named_by_module_and_function(tmp_path, monkeypatch) -> None:
    """From the working directory, attributes of attributes too; none is plain acceptance."""
    (tmp_path / "shop_for_the_cli.py").write_text("class Shop:\n    @staticmethod\n    def sell(order): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", list(sys.path))
    assert load_handler("shop_for_the_cli:Shop.sell").__qualname__ == "Shop.sell"
    assert load_handler("") is accept
    for wrong in ("shop_for_the_cli", ":sell", "shop_for_the_cli:", "shop_for_the_cli:Shop.buy"):
        with pytest.raises(SettingsError, match=wrong):
            load_handler(wrong)
