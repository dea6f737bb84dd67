"""Dead letters to files and back, byte for byte, on a real broker."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message, Producer

from tests.support.deadletters import die, refuse, work
from tests.support.pipeline import Pipeline
from tests.support.witness import read_all

pytestmark = pytest.mark.broker

HOSTILE: list[dict[str, Any]] = [
    {"key": None, "value": b"\x00\xff\xfe", "headers": [("a", b"1"), ("a", None), ("\u00e9", b"\xff")]},
    {"key": b"\xff\x00", "value": b"", "headers": []},
    {"key": b"=1+1", "value": b"not avro", "headers": [("error", b'=HYPERLINK("http://x")'), ("error2", b"+")]},
]


def content(message: Message) -> tuple[Any, ...]:
    held = [one for one in message.headers() or [] if one[0] != "x-imported-from"]
    return message.key(), message.value(), held, message.timestamp()[1]


@pytest.fixture
def dead(line: Pipeline) -> Pipeline:
    die(line, 40)
    client = Producer({"bootstrap.servers": line.bootstrap})
    for one in HOSTILE:
        client.produce(line.settings().topic, one["value"], one["key"], headers=one["headers"])
    client.flush()
    work(line, refuse, "main")
    return line


def test_what_is_exported_comes_back_byte_for_byte(dead: Pipeline, tmp_path: Path) -> None:
    """Keys, values, headers and times, into another topic; a second import writes nothing."""
    file, topic = str(tmp_path / "letters.jsonl"), dead.settings().dlq_topic
    done = dead.run("dlq", "export", file)
    assert (done.returncode, done.stderr) == (0, "43 dead letters written\n")
    line = Pipeline(dead.bootstrap, tmp_path)
    assert line.run("topics", "create").returncode == 0
    other = line.settings().dlq_topic
    assert dead.run("dlq", "import", file, "--topic", other).returncode == 0
    before, after = ([content(one) for one in read_all(dead.bootstrap, where)] for where in (topic, other))
    assert sorted(map(repr, before)) == sorted(map(repr, after))
    assert dead.run("dlq", "import", file, "--topic", other).stderr.endswith("43 were there already\n")
    assert len(read_all(dead.bootstrap, other)) == 43
    assert dead.run("dlq", "import", file, "--topic", other, "--again").returncode == 0
    assert len(read_all(dead.bootstrap, other)) == 86
    line.close()


def test_half_an_import_is_completed_by_the_next(dead: Pipeline, tmp_path: Path) -> None:
    """A line that is broken ends it; what was before it is not written again. Nothing comes twice into its own."""
    file = tmp_path / "letters.jsonl"
    dead.run("dlq", "export", str(file))
    assert dead.run("dlq", "import", str(file)).stderr.startswith("0 dead letters written")
    line = Pipeline(dead.bootstrap, tmp_path)
    assert line.run("topics", "create").returncode == 0
    lines = file.read_text().splitlines()
    file.write_text("\n".join([*lines[:10], '{"id": 1', *lines[10:]]))
    done = line.run("dlq", "import", str(file))
    assert (done.returncode, "line 11" in done.stderr) == (1, True)
    file.write_text("\n".join(lines))
    assert "33 dead letters written" in line.run("dlq", "import", str(file)).stderr
    assert len(read_all(line.bootstrap, line.settings().dlq_topic)) == 43
    line.close()


def test_a_table_runs_nothing_in_a_spreadsheet(dead: Pipeline, tmp_path: Path) -> None:
    """CSV on stdout; cells that would be formulas are quoted."""
    done = dead.run("dlq", "export", "-", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert len(rows) == 43
    assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "-", "@"))]
    assert "'=1+1" in {row["key"] for row in rows}
    assert json.loads(next(row["order"] for row in rows if row["order"]))["product"].startswith("Item")


def test_files_that_cannot_be_used_are_said(dead: Pipeline, tmp_path: Path) -> None:
    """Nothing is overwritten, and never half a file is left."""
    file = tmp_path / "there"
    file.write_text("mine")
    for words, said in (
        (("export", str(file)), "--force"),
        (("export", str(tmp_path / "no" / "folder")), "cannot be written"),
        (("import", str(tmp_path / "missing")), "cannot be read"),
        (("import", str(file)), "line 1 is no exported dead letter"),
        (("export", str(tmp_path / "x"), "--id", f"{dead.settings().dlq_topic}/0/999"), "there is no dead letter"),
    ):
        done = dead.run("dlq", *words)
        assert (done.returncode, said in done.stderr) == (1, True), done
    assert file.read_text() == "mine"
    assert [one.name for one in tmp_path.iterdir() if "part" in one.name] == []
    assert dead.run("dlq", "export", str(file), "--force", "--limit", "2").returncode == 0
    assert len(file.read_text().splitlines()) == 2
