"""The fenced blocks of the documents, and a reader who does what they say.

What is done with a block follows from its kind, its first line and an HTML comment above it:

- ``python`` or ``pycon`` without a name is run in the test's process, all blocks of a page in one namespace;
- ``python`` that begins with ``# name.py`` is a program: it is written under that name for the reader;
- ``toml`` and ``dotenv`` that begin with ``# name`` are settings, written for the reader of that page;
- ``sh``, ``bat`` and ``console`` are commands: each must exist;
- ``<!-- run -->`` above a ``console`` block: its commands (``$ ``) are run, and print what stands under them;
  ``until`` runs each again until it does, ``exit=N`` is the exit code;
- ``<!-- start -->`` above a ``sh`` block: its commands are started in the background and said to be ready;
- ``<!-- recorded -->`` above a ``text`` block: output of a run of its own, whose figures must add up.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.pipeline import Role
from tests.support.waiting import eventually

ROOT = Path(__file__).resolve().parents[2]
DOCS = sorted((ROOT / "docs").rglob("*.md"))
#: Made from the code and compared with it; its blocks are signatures (``test_reference.py``).
REFERENCE = ROOT / "docs/reference"
PAGES = [ROOT / name for name in ("README.md", "DESIGN.md", "CONTRIBUTING.md", "CHANGELOG.md")] + DOCS

_BLOCK = re.compile(r"(?:^<!-- (?P<marker>[^>]*) -->\n+)?^```(?P<kind>[^\n]*)\n(?P<text>.*?)^```$", re.M | re.S)
_NAME = re.compile(r"# ([\w.-]*\.(?:py|toml|env))\n")


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    kind: str
    marker: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"

    @property
    def name(self) -> str:
        """The file it is to be written to; empty for none."""
        found = _NAME.match(self.text)
        return found[1] if found else ""

    @property
    def commands(self) -> list[str]:
        """Its command lines, without prompts, comments and output."""
        lines = self.text.splitlines()
        if self.kind == "console":
            lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
        lines = [re.split(r"\s{2,}(?:#|rem )", line)[0].strip() for line in lines]
        return [line for line in lines if line and not line.startswith("#")]

    @property
    def steps(self) -> list[tuple[str, str]]:
        """Its commands, each with the output that is shown."""
        parts = re.split(r"(?m)^\$ (.+)\n", self.text)
        return list(zip(parts[1::2], parts[2::2], strict=True))

    @property
    def treatment(self) -> str:
        """What the tests do with it; empty if nothing does."""
        if self.page.is_relative_to(REFERENCE):
            return "compared"
        word = self.marker.split(" ")[0]
        match self.kind:
            case "python" | "pycon" if not word:
                return "program" if self.name else "example"
            case "toml" | "dotenv" if not word and self.name:
                return "settings"
            case "console":
                return {"": "shown", "run": "run"}.get(word, "")
            case "sh" | "bat":
                return {"": "shown", "start": "start"}.get(word, "")
            case "text" if word == "recorded":
                return "recorded"
        return ""


def blocks(page: Path) -> list[Block]:
    """Return the fenced blocks of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page, text.count("\n", 0, found.start("kind")) + 1, found["kind"], found["marker"] or "", found["text"]
        )
        for found in _BLOCK.finditer(text)
    ]


ALL = [block for page in PAGES for block in blocks(page)]


def treated(*how: str) -> list[Block]:
    """Return the blocks that get one of these treatments."""
    return [block for block in ALL if block.treatment in how]


def prints(wanted: str, printed: str) -> bool:
    """Say whether ``printed`` is what is shown: ``...`` on a line of its own is any lines, inside one any text."""
    pattern = "".join(
        r"(?:.*\n)*?" if line.strip() == "..." else re.escape(line.rstrip()).replace(r"\.\.\.", ".*") + "\n"
        for line in wanted.splitlines()
    )
    return bool(re.fullmatch(pattern, "".join(line.rstrip() + "\n" for line in printed.splitlines())))


@dataclass
class Reader:
    """Somebody with an empty folder, the documents and a broker: types what a page says."""

    folder: Path
    bootstrap: str
    roles: dict[str, Role] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Give them `python` and `kafka-orders`, and the programs of all pages."""
        tools = self.folder.with_name(self.folder.name + "-bin")
        for folder in (self.folder, tools):
            folder.mkdir()
        for name, command in (("python", ""), ("kafka-orders", " -m kafka_orders")):
            (tools / name).write_text(f'#!/bin/sh\nexec "{sys.executable}"{command} "$@"\n')
            (tools / name).chmod(0o755)
        for block in treated("program"):
            (self.folder / block.name).write_text(block.text)
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KAFKA_ORDERS_")}
        self.env = {
            **clean,
            "PATH": f"{tools}{os.pathsep}{clean.get('PATH', '')}",
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "KAFKA_ORDERS_BOOTSTRAP_SERVERS": self.bootstrap,
            "KAFKA_ORDERS_HOME": str(self.folder / "home"),
            "KAFKA_ORDERS_RETRY_DELAY_MS": "300",
            "KAFKA_ORDERS_SESSION_TIMEOUT_MS": "6000",
        }

    def follow(self, page: Path) -> None:
        """Do all that a page says, in its order."""
        for block in blocks(page):
            match block.treatment:
                case "settings":
                    (self.folder / block.name).write_text(block.text)
                case "start":
                    for command in block.commands:
                        self.start(command)
                    self.ready()
                case "run":
                    for command, wanted in block.steps:
                        self.see(block, command, wanted)

    def see(self, block: Block, command: str, wanted: str) -> None:
        """Run a command and compare what it prints."""
        code = int((re.findall(r"exit=(\d+)", block.marker) or ["0"])[0])

        def as_shown() -> bool:
            nonlocal ended
            ended = self.run(command)
            return ended.returncode == code and prints(wanted, ended.stdout + (ended.stderr if code else ""))

        ended = None
        if "until" in block.marker:
            eventually(as_shown, 40, f"{block}: {command}\n{ended}")
        else:
            assert as_shown(), f"{block}: {command}\n{ended.returncode}\n{ended.stdout}\n{ended.stderr}"

    def run(self, command: str) -> subprocess.CompletedProcess[str]:
        """Type a command and wait for its end."""
        return subprocess.run(
            ["sh", "-c", command], cwd=self.folder, env=self.env, capture_output=True, text=True, timeout=60,
            check=False,
        )  # fmt: skip

    def start(self, command: str) -> None:
        """Type a command in a terminal of its own and wait until it is ready."""
        log = self.folder / f"{len(self.roles)}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                ["sh", "-c", f"exec {command}"], cwd=self.folder, env=self.env, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        self.roles[command] = Role(process, log)

    def ready(self) -> None:
        """Wait until every role has its partitions."""
        for role in self.roles.values():
            eventually(lambda role=role: re.search("restored|watching", role.text()), 30, role.text())

    def stop(self) -> set[int]:
        """Ctrl-C in every terminal; return the exit codes."""
        return {role.stop() for role in self.roles.values()}

    def close(self) -> None:
        """End whatever still runs."""
        for role in self.roles.values():
            if role.process.poll() is None:
                role.kill()
