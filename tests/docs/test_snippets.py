"""Every block of the documents is run, or what it names is checked; none is passed over."""

from __future__ import annotations

import doctest
import itertools
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from confluent_kafka.admin import AdminClient

from kafka_orders.cli import root
from kafka_orders.domain.errors import BrokerError
from kafka_orders.log import topics
from kafka_orders.log.admin import Admin
from kafka_orders.log.clients import Connection
from kafka_orders.log.patience import Patience
from kafka_orders.pipeline import upkeep
from kafka_orders.sources import load
from tests.docs.snippets import ALL, PAGES, ROOT, Block, Reader, blocks, prints, treated
from tests.support.waiting import eventually
from tests.support.witness import decode, read_all
from tools.reference import commands

#: Other people's programs that a page may name.
STRANGERS = {".", "activate", "docker", "export", "opentelemetry-instrument", "pip", "pkill", "set"}
#: Flags of theirs.
FOREIGN_FLAGS = {"--strict"}
FOLLOWED = [page for page in PAGES if any(one.treatment in ("run", "start") for one in blocks(page))]


def named(block: Block | Path) -> str:
    return str(block.relative_to(ROOT)) if isinstance(block, Path) else str(block)


@pytest.mark.parametrize("block", ALL, ids=named)
def test_no_block_is_passed_over(block: Block) -> None:
    """Each has a treatment, and programs and settings a name of their own."""
    assert block.treatment, f"{block}: nothing is done with a {block.kind!r} block marked {block.marker!r}"


def test_every_fence_is_a_block() -> None:
    """So none hides from the others: in a list, with tildes, or indented."""
    for page in PAGES:
        fences = len(re.findall(r"^\s*(?:```|~~~)", page.read_text(), re.M))
        assert fences == 2 * len(blocks(page)), page


def test_every_program_is_run() -> None:
    """By a command that is, or because such a program imports it."""
    programs = {block.name.removesuffix(".py"): block.text for block in treated("program")}
    assert len(programs) == len(treated("program")), "two programs of one name"
    commands = " ".join(command for block in treated("run", "start") for command in block.commands)
    run = {name for name in programs if f"{name}.py" in commands or f"{name}:" in commands}
    while more := {
        name for name in set(programs) - run if any(f"from {name} import" in programs[one] for one in run)
    }:
        run |= more
    assert run == set(programs)


@pytest.mark.parametrize("page", [page for page in PAGES if any(one.page == page for one in treated("example"))],
                         ids=named)  # fmt: skip
def test_the_python_examples_run(page: Path) -> None:
    """Without a broker, one after the other; a `>>>` prints what stands under it."""
    names: dict[str, object] = {"__name__": page.stem}
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE, verbose=False)
    for block in (one for one in treated("example") if one.page == page):
        if ">>> " in block.text:
            found = doctest.DocTestParser().get_doctest(block.text, names, str(block), str(page), block.line)
            runner.run(found, clear_globs=False)
            names = found.globs
        else:
            exec(compile(block.text, str(block), "exec"), names)
    assert runner.summarize(verbose=False).failed == 0


COMMANDS = [
    (block, command)
    for block in treated("shown", "run", "start")
    for line in block.commands
    for command in line.split(" && ")
]


@pytest.mark.parametrize(("block", "line"), COMMANDS, ids=str)
def test_every_command_exists(block: Block, line: str) -> None:
    """make targets, verbs with their flags, modules, programs of the documents; anything else is a stranger."""
    words = shlex.split(re.sub(r"^(\w+=\S+ +)+", "", line.replace("\\", "/").split(" > ")[0]))
    program, arguments = words[0].rpartition("/")[2], words[1:]
    if program == "make":
        assert set(arguments) <= set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))
    elif program == "kafka-orders":
        check_verb(arguments, str(block))
    elif program == "python" and arguments[:2] == ["-m", "kafka_orders"]:
        check_verb(arguments[2:], str(block))
    elif program == "python" and arguments[0] == "-m":
        module = ROOT / (arguments[1].replace(".", "/") + ".py")
        assert arguments[1] in ("pip", "venv", "pytest") or module.is_file(), f"{block}: {line}"
    elif program == "python" and arguments[0] == "-c":
        compile(arguments[1], str(block), "exec")
    elif program == "python":
        known = {one.name for one in treated("program")}
        assert arguments[0] in known or (ROOT / arguments[0]).is_file(), f"{block}: {line}"
    else:
        assert program in STRANGERS, f"{block}: {line}"
        files = [one for one in arguments if one.endswith((".yml", ".yaml", ".txt"))]
        assert [one for one in files if not (ROOT / one).is_file()] == [], f"{block}: {line}"


def check_verb(arguments: list[str], where: str) -> None:
    """A command of ours, with flags that it has and values that they take."""
    command, rest = root, arguments
    while isinstance(command, click.Group) and not rest[0].startswith("-"):
        found = command.get_command(click.Context(command), rest[0])
        assert found is not None, f"{where}: {' '.join(arguments)}"
        command, rest = found, rest[1:]
    if not {"-h", "--help", "--version"} & set(rest):
        parent = click.Context(
            root, help_option_names=["-h", "--help"]
        )  # or the command keeps another -h for good
        command.make_context(where, list(rest), parent=parent)  # raises a usage error


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_commands_and_flags_in_the_text_exist(page: Path) -> None:
    """What stands in backticks: whole commands of ours, and flags of any of them."""
    text = re.sub(r"(?ms)^```.*?^```$", "", page.read_text())
    flags = {flag for _, command in commands(root, "") for one in command.params for flag in one.opts}
    for span in re.findall(r"`([^`]+)`", text):
        words = span.replace("python -m kafka_orders", "kafka-orders").split()
        assert {word for word in words if re.fullmatch(r"--[a-z-]+", word)} <= flags | FOREIGN_FLAGS, span
        if words[:1] == ["kafka-orders"] and words[1:2] not in ([], ["VERB"]):
            path = "kafka-orders"
            for word in itertools.takewhile(str.isalpha, words[1:]):
                path += f" {word}"
            assert path in dict(commands(root, "kafka-orders")), f"{page.name}: {span}"


@pytest.mark.parametrize("block", treated("settings"), ids=named)
def test_settings_that_are_shown_are_settings(block: Block, tmp_path: Path) -> None:
    """A file with an unknown name or an impossible value is refused."""
    (tmp_path / block.name).write_text(block.text)
    if block.kind == "toml":
        assert tomllib.loads(block.text)
    assert load(environ={}, folder=tmp_path) != load(environ={}, folder=tmp_path / "none")


@pytest.mark.parametrize("block", treated("recorded"), ids=named)
def test_recorded_figures_add_up(block: Block) -> None:
    """Rows of partitions, and the sentence that counts; what the demo says, it still says."""
    rows = re.findall(r"^\S+/\d+" + r" +(\d+)" * 6 + "$", block.text, re.M)
    assert rows
    orders = [list(map(int, row)) for row in rows if row]
    proved = re.search(r"(\d+) orders = (\d+) counted \+ (\d+) waiting for a retry \+ (\d+) dead", block.text)
    assert proved
    sent, counted, waiting, dead = map(int, proved.groups())
    assert sent == counted + waiting + dead
    assert (sum(row[1] for row in orders), sum(row[3] for row in orders)) == (counted, dead)
    told = (ROOT / "kafka_orders/stage/demo.py").read_text()
    steps = re.findall(r"^\d\. (?:\d+ )?([a-z]+(?: [a-z]+)?)", block.text, re.M)
    assert len(steps) == 7
    assert [step for step in steps if step not in told] == []


def test_the_presenter_uncomments_what_is_there() -> None:
    """The tutorial's lines are those of the example app."""
    (block,) = (one for one in treated("example") if one.page.name == "tutorial.md")
    app = (ROOT / "consumer/main_consumer.py").read_text()
    first, *lines = block.text.splitlines()
    assert first.split("(")[0] in app
    assert "\n".join(f"    # {line[4:]}" for line in lines) in app


def test_shown_output_is_compared_line_by_line() -> None:
    """With dots for what differs from run to run."""
    assert prints("a\n...\nb 1...\n", "a\nx\ny\nb 12\n")
    assert prints("a\n...\n", "a  \n")
    assert not prints("a\n", "a\nb\n")
    assert not prints("a\n...\nb\n", "a\nx\n")
    assert not prints("", "a\n")


def test_the_twenty_lines_are_twenty() -> None:
    """As promised, blank lines aside."""
    (block,) = (one for one in treated("program") if one.name == "payments.py")
    assert sum(bool(line.strip()) for line in block.text.splitlines()) <= 20


@pytest.fixture
def reader(bootstrap: str, tmp_path: Path) -> Iterator[Reader]:
    made = Reader(tmp_path / "reader", bootstrap)
    yield made
    made.close()


@pytest.mark.broker
@pytest.mark.parametrize("page", FOLLOWED, ids=named)
def test_a_page_does_what_it_says(page: Path, reader: Reader) -> None:
    """Followed from top to bottom on a real broker; what it made there is removed again."""
    told = {name for block in blocks(page) for name in re.findall(r"--name (\w+)", block.text)}
    lines = {name: load({"name": name, "bootstrap_servers": reader.bootstrap}, environ={}, folder=reader.folder)
             for name in told}  # fmt: skip
    outputs = {name for block in blocks(page) for name in re.findall(r"--output-topic (\w+)", block.text)}
    ours = outputs.union(*(upkeep.names(one) for one in lines.values()))
    there = AdminClient({"bootstrap.servers": reader.bootstrap}).list_topics(timeout=10).topics
    assert not there.keys() & ours, "this broker has topics of the page's names already: not ours"
    try:
        reader.follow(page)
        AFTERWARDS.get(page.name, lambda _reader: None)(reader)
        assert reader.stop() <= {0}
    finally:
        reader.close()
        groups = [name for one in lines.values() for name in (one.group, one.retry_group, one.dlq_group)]
        if lines:
            eventually(lambda: removed(reader.bootstrap, ours, groups), 20, "what the page made is removed")


def payments(reader: Reader) -> None:
    """The page's one dead letter and one retry, by their own clients; the viewer shows why."""
    viewer = reader.roles["python payments.py dlq"]
    eventually(lambda: "error: more than we may book" in viewer.text(), 20, viewer.text())
    (dead,) = read_all(reader.bootstrap, "payments_dlq")
    (retried,) = read_all(reader.bootstrap, "payments_retry")
    assert dead.key() == b"FR01"
    assert dict(dead.headers())["x-exception-fqcn"] == b"kafka_orders.domain.errors.PermanentError"
    assert (retried.key(), dict(retried.headers())["error"]) == (b"NL01", b"the bank is busy")


def invoices(reader: Reader) -> None:
    """What the handler returned stands in the output topic, committed, under the order's key."""
    sent = {one.key(): decode(one.value()) for one in read_all(reader.bootstrap, "billing")}
    found = {one.key(): decode(one.value()) for one in read_all(reader.bootstrap, "invoices")}
    assert len(found) == len(sent) == 3
    assert {key: order["price"] for key, order in found.items()} == {
        key: pytest.approx(order["price"] * 1.2) for key, order in sent.items()
    }


def traces(reader: Reader) -> None:
    """Each order has its span, and what the handler does is in the same trace."""
    role = reader.roles["python traced.py"]
    assert role.stop() == 0
    found = re.findall(r'"name": "([^"]+)",\s+"context": {\s+"trace_id": "(\w+)"', role.text())
    traced = {name: sorted(trace for one, trace in found if one == name) for name, _ in found}
    assert set(traced) == {"process traced", "pack"}
    assert traced["pack"] == traced["process traced"]
    assert len(set(traced["pack"])) == 3


AFTERWARDS = {"schema.md": payments, "handler.md": invoices, "traces.md": traces}


def removed(bootstrap: str, names: set[str], groups: list[str]) -> bool:
    admin = Admin(Connection(bootstrap), Patience(limit=20))
    try:
        topics.delete(admin, names, groups)
    except BrokerError:  # the members that a failed test killed are still remembered
        return False
    return True
