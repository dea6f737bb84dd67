"""The documents: what they name exists, and the commands they show run."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from kafka_orders.cli import root
from kafka_orders.domain import headers
from kafka_orders.domain.settings import DECLARED, env_name
from kafka_orders.pipeline import worker
from tests.docs.snippets import DOCS, PAGES, ROOT


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_linked_file_exists(page: Path) -> None:
    """Relative links lead somewhere; tests named in the text are there."""
    text = page.read_text()
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", text):
        assert (page.parent / target).exists(), f"{page.name}: {target}"
    for name in re.findall(r"`(tests/[\w/.]+\.py)`", text):
        assert (ROOT / name).is_file(), f"{page.name}: {name}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_only_settings_that_exist_are_named(page: Path) -> None:
    """In the environment's spelling, on every page; that each stands in the reference holds test_reference.py."""
    known = {env_name(name + end) for name in DECLARED for end in ("", "_file")} | {"KAFKA_ORDERS_CACHE"}
    ours = {"KAFKA_ORDERS_TEST_" + name for name in ("BOOTSTRAP", "BROWSER", "SEED")}
    assert set(re.findall(r"\bKAFKA_ORDERS_[A-Z_]*[A-Z]", page.read_text())) <= known | ours


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_only_headers_that_exist_are_named(page: Path) -> None:
    """Those that begin with x-."""
    assert set(re.findall(r"`(x-[\w-]+)`", page.read_text())) <= headers.OURS | {headers.IMPORTED_FROM}


def test_every_page_is_in_the_index() -> None:
    """docs/README.md links to all of them, one line each."""
    index = ROOT / "docs/README.md"
    linked = {(index.parent / target).resolve() for target in re.findall(r"\]\(([^)#:]+)\)", index.read_text())}
    assert set(DOCS) - {index} <= linked


def test_every_command_is_in_the_readme() -> None:
    """By its verb."""
    text = (ROOT / "README.md").read_text()
    with click.Context(root) as context:
        for verb in root.list_commands(context):
            assert f"`{verb}" in text, verb


def test_the_numbered_steps_are_told_in_the_same_words() -> None:
    """Docstring, DESIGN.md, and how a batch commits."""
    steps = re.findall(r"^(\d)\. (.+)$", worker.__doc__ or "", re.M)
    assert len(steps) == 8
    for page in ("DESIGN.md", "docs/explanation/batch.md"):
        told = (ROOT / page).read_text()
        for number, words in steps:
            assert f"{number}. {words}" in told


def test_the_help_runs_as_the_readme_says() -> None:
    """`kafka-orders -h` lists the exit codes."""
    assert "4 refused" in CliRunner().invoke(root, ["-h"]).stdout
