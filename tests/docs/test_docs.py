"""The documents: what they name exists, and the commands they show run."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kafka_orders.cli import root
from kafka_orders.domain.settings import DECLARED, env_name
from kafka_orders.pipeline import worker

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md")]


def snippets(page: Path) -> list[str]:
    """Return the lines of a page's shell blocks, without prompts and comments."""
    blocks = re.findall(r"```(?:sh|shell|bat)\n(.*?)```", page.read_text(), re.S)
    lines = [line.split("  #")[0].strip() for block in blocks for line in block.splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


SHOWN = [(page.name, line) for page in PAGES for line in snippets(page)]


def targets() -> set[str]:
    return set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.M))


@pytest.mark.parametrize(("page", "line"), SHOWN)
def test_every_command_shown_exists(page: str, line: str) -> None:
    """make targets, kafka-orders verbs with their flags, modules."""
    words = shlex.split(re.sub(r"^(\w+=\S+ +)+", "", line), posix=True)
    if words[0] == "make":
        assert set(words[1:]) <= targets()
        return
    ours = None
    if words[0] == "kafka-orders":
        ours = words[1:]
    elif words[1:3] == ["-m", "kafka_orders"]:
        ours = words[3:]
    if ours is not None:
        command, rest = root, ours
        while isinstance(command, click.Group):
            found = command.get_command(click.Context(command), rest[0])
            assert found is not None, f"{page}: {line}"
            command, rest = found, rest[1:]
        flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
        assert {word for word in rest if word.startswith("-")} <= flags, f"{page}: {line}"
    elif words[1:2] == ["-m"] and words[2] not in ("pip", "venv"):
        assert (ROOT / (words[2].replace(".", "/") + ".py")).is_file(), f"{page}: {line}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_linked_file_exists(page: Path) -> None:
    """Relative links lead somewhere; tests named in the text are there."""
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (ROOT / target).exists(), f"{page.name}: {target}"
    for name in re.findall(r"`(tests/[\w/.]+\.py)`", text):
        assert (ROOT / name).is_file(), f"{page.name}: {name}"


def test_the_settings_table_is_complete() -> None:
    """Every setting is in the README, and every one there exists."""
    named = set(re.findall(r"`(KAFKA_ORDERS_[A-Z_]+)`", (ROOT / "README.md").read_text()))
    expected = {env_name(name) for name in DECLARED}
    assert expected - named == set()
    assert {one for one in named if one not in expected} <= {"KAFKA_ORDERS_CACHE", "KAFKA_ORDERS_TEST_BOOTSTRAP"}


def test_every_command_is_in_the_readme() -> None:
    """By its verb."""
    text = (ROOT / "README.md").read_text()
    with click.Context(root) as context:
        for verb in root.list_commands(context):
            assert f"`{verb}" in text, verb


def test_the_numbered_steps_are_told_in_the_same_words() -> None:
    """Docstring and DESIGN.md."""
    steps = re.findall(r"^(\d)\. (.+)$", worker.__doc__ or "", re.M)
    assert len(steps) == 8
    design = (ROOT / "DESIGN.md").read_text()
    for number, words in steps:
        assert f"{number}. {words}" in design


def test_the_help_runs_as_the_readme_says() -> None:
    """`kafka-orders -h` lists the exit codes."""
    assert "4 refused" in CliRunner().invoke(root, ["-h"]).stdout
