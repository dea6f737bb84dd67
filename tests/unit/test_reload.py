"""The handler's file: watched with a clock passed in, a change only when it can be used."""

import functools
import os
from pathlib import Path

import pytest

from kafka_orders.pipeline.reload import SourceWatch

START = "def handle(order):\n    pass\n"
OTHER = "def handle(order):\n    raise RuntimeError\n"


class Bench:
    """A file with a handler, and a clock that is set by hand."""

    def __init__(self, folder: Path) -> None:
        self.file, self.now, self.stamp = folder / "watched_handler.py", 100.0, 0
        self.write(START)
        space: dict = {}
        exec(compile(START, str(self.file), "exec"), space)
        self.handler = space["handle"]
        self.watch = SourceWatch(self.handler, lambda: self.now)

    def write(self, text: str) -> None:
        self.file.write_bytes(text.encode())
        self.touch()

    def touch(self) -> None:
        self.stamp += 10**9
        os.utime(self.file, ns=(self.stamp, self.stamp))

    def later(self, seconds: float = 1.0) -> bool:
        self.now += seconds
        return self.watch.changed()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_another_program_is_a_change(bench: Bench) -> None:
    """Once it is written; nothing changes by itself."""
    assert not bench.later()
    bench.write(OTHER)
    assert bench.later()
    assert bench.watch.complaint == ""


def test_the_file_is_looked_at_twice_a_second_at_most(bench: Bench) -> None:
    """The worker asks after every batch."""
    assert not bench.later()
    bench.write(OTHER)
    assert not bench.later(0.25)
    assert not bench.later(0.125)
    assert bench.later(0.125)


def test_a_touch_is_no_change(bench: Bench) -> None:
    """The same program with a newer date; nor one that was put back."""
    bench.touch()
    assert not bench.later()
    bench.write("def handle(\n")
    assert not bench.later()
    bench.write(START)
    assert not bench.later()


@pytest.mark.parametrize(
    "broken", ["def handle(order:\n", "\0", "def handle(order):\nx\n", "# coding: nonsense\n"]
)
def test_a_file_that_does_not_compile_is_no_change_yet(bench: Bench, broken: str) -> None:
    """It is told once, by name, until it is mended."""
    bench.write(broken)
    assert not bench.later()
    assert bench.watch.complaint.startswith(f"{bench.file} has changed but cannot be used yet: ")
    assert not bench.later()
    assert bench.watch.complaint == ""
    bench.write(OTHER)
    assert bench.later()


def test_a_file_that_is_gone_for_a_moment_is_no_change(bench: Bench) -> None:
    """Editors replace files."""
    bench.file.unlink()
    assert not bench.later()
    bench.write(START)
    assert not bench.later()
    bench.file.unlink()
    assert not bench.later()
    bench.write(OTHER)
    assert bench.later()


def test_the_handler_behind_a_decorator_is_watched(bench: Bench) -> None:
    """Its file, not the decorator's."""

    @functools.wraps(bench.handler)
    def wrapped(order):
        return bench.handler(order)

    assert SourceWatch(wrapped).path == bench.file


@pytest.mark.parametrize("handler", [print, functools.partial(print), {}.get])
def test_a_handler_without_a_file_never_changes(handler) -> None:
    """There is nothing to watch, and nothing to complain of."""
    watch = SourceWatch(handler, iter(range(10)).__next__)
    assert (watch.path, watch.changed(), watch.complaint) == (None, False, "")
