"""docs/reference/ is what the code says: all that exists, and nothing else."""

from __future__ import annotations

import doctest
import re
from pathlib import Path

import pytest

import kafka_orders.app
import kafka_orders.testing
from kafka_orders.cli import root
from kafka_orders.domain import headers
from kafka_orders.domain.settings import DECLARED, env_name
from tools import reference

ROOT = Path(__file__).resolve().parents[2]
PAGES = reference.pages()


@pytest.mark.parametrize("name", sorted(PAGES))
def test_a_page_is_what_the_code_says(name: str) -> None:
    """`make docs` writes it anew."""
    page = ROOT / "docs/reference" / name
    assert page.read_text(encoding="utf-8") == PAGES[name], f"run `make docs`: {page.name} is out of date"


def test_there_is_no_page_beside_them() -> None:
    """A page written by hand belongs elsewhere."""
    assert {one.name for one in (ROOT / "docs/reference").iterdir()} == set(PAGES)


def test_nothing_of_this_machine_is_in_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Neither folders nor settings in force change a page."""
    monkeypatch.setenv("KAFKA_ORDERS_HOME", str(tmp_path))
    monkeypatch.setenv("KAFKA_ORDERS_TOPIC", "mine")
    assert reference.pages() == PAGES
    assert not re.search(r"/(home|root|tmp|usr)/| at 0x", "".join(PAGES.values()))


def test_commands_and_flags_both_ways() -> None:
    """Read back from the page, apart from the code that wrote it."""
    told: dict[str, set[str]] = {}
    for section in PAGES["commands.md"].split("\n## ")[1:]:
        rows = re.findall(r"^\| (`-.*?) \|", section, re.M)
        told[section.splitlines()[0]] = {flag for row in rows for flag in re.findall(r"`(-[^`]+)`", row)}
    there = {path: {flag for one in command.params for flag in one.opts if flag[0] == "-"}
             for path, command in reference.commands(root, "kafka-orders")}  # fmt: skip
    assert told == there


def test_settings_and_headers_both_ways() -> None:
    """Likewise."""
    rows = re.findall(r"^\| `(\w+)` \| (?:`--([\w-]+)`)? \| `(\w+)` \|", PAGES["settings.md"], re.M)
    assert [(variable, name) for variable, _flag, name in rows] == [(env_name(name), name) for name in DECLARED]
    named = re.findall(r"^\| `([\w-]+)` \|", PAGES["headers.md"], re.M)
    assert set(named) == headers.OURS | {
        headers.TRACEPARENT, headers.TRACESTATE, headers.IMPORTED_FROM, headers.CONTENT_TYPE, headers.SCHEMA_ID,
    }  # fmt: skip
    assert len(named) == len(set(named))


def test_a_constant_without_a_comment_is_refused() -> None:
    """So no header and no exit code goes untold."""
    with pytest.raises(ValueError, match="NEW has no #: comment"):
        list(reference.declared('#: Old one.\nOLD = "old"\n_OWN = "own"\nNEW = "new"\n', str))


@pytest.mark.parametrize("module", [kafka_orders.app, kafka_orders.testing], ids=lambda one: one.__name__)
def test_the_examples_in_docstrings_run(module) -> None:
    """Those that the API page shows."""
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0
