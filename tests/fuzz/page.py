"""docs/fuzzing.md: the figures of the last campaign."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

_ABOUT = """\
# The last fuzzing

`python -m tests.fuzz all`, for ten minutes each in `make long`: atheris, guided by what each input reaches,
on every way from bytes to an order, each in a process of its own ([tests/fuzz](../tests/fuzz/targets.py)
says what each target reads). *Crashes* are errors that are not of the two types that lead to a dead letter,
*slow* are records that take more than 100 ms of the processor, *memory* is that of the process after a
third of its time and at its end.
"""


def page(folder: Path, names: Iterable[str]) -> str:
    """Return the page of what stands in ``folder``, for the targets of these names."""
    files = [(name, folder / name / "figures.json") for name in names]
    found = [(name, json.loads(file.read_text())) for name, file in files if file.exists()]
    dates = [datetime.fromtimestamp(file.stat().st_mtime, UTC) for _, file in files if file.exists()]
    about = f"{max(dates):%Y-%m-%d}, {platform.system()} {platform.machine()}, {os.cpu_count()} CPUs,"
    lines = [
        f"| {name} | {one['seconds']:g} s | {one['seed']} | {one['runs']:,} | {one['crashes']} | {one['slow']} |"
        f" {one['third']} MiB, {one['end']} MiB |"
        for name, one in found
    ]
    head = ["| target | time | seed | records | crashes | slow | memory |", "|---|---|---|---|---|---|---|"]
    return "\n".join([_ABOUT, f"{about} Python {platform.python_version()}:", "", *head, *lines, ""])
