"""Dead letters edited on their way back, on a real broker."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from kafka_orders.formats.opening import order_codec
from kafka_orders.views.verify import verify
from tests.support.deadletters import accept, die, replays, standings, statuses, work
from tests.support.pipeline import Pipeline
from tests.support.witness import decode, read_all

pytestmark = pytest.mark.broker


def test_many_are_repaired_by_an_expression(line: Pipeline) -> None:
    """Shown before; sent once; the letters stay as they were, and the counted order is the repaired one."""
    die(line, 30)
    before = sorted(str(one.value()) for one in read_all(line.bootstrap, line.settings().dlq_topic))
    words = ("dlq", "edit", "--product", "Item1", "--set", "price=price + 1000", "-o", "jsonl")
    shown = line.run(*words, "--dry-run")
    assert (shown.returncode, statuses(line)) == (0, {})
    assert "price: " in shown.stderr
    assert "byte " in shown.stderr
    done = line.run(*words, "--reason", "too cheap")
    assert done.returncode == 0, done.stderr
    sent = json.loads(done.stdout)["sent"]
    assert sent > 0
    again = line.run(*words)
    assert (again.returncode, "is replaying" in again.stderr) == (1, True)
    assert statuses(line) == {"replaying": sent}
    assert all(one["edited"] for one in standings(line).values())
    found = [decode(one.value() or b"") for one in read_all(line.bootstrap, line.settings().retry_topic)]
    assert {one["product"] for one in found} == {"Item1"}
    assert all(one["price"] > 1000 for one in found)
    assert max(replays(line).values()) == 1
    work(line, accept, "retry")
    assert statuses(line) == {"resolved": sent}
    assert sorted(str(one.value()) for one in read_all(line.bootstrap, line.settings().dlq_topic)) == before
    assert verify(line.settings(), order_codec().decode, deep=True).findings == []


def test_one_is_edited_in_an_editor(line: Pipeline, tmp_path: Path) -> None:
    """$EDITOR gets JSON; what it leaves unchanged, or broken, is not sent."""
    die(line, 3)
    one = read_all(line.bootstrap, line.settings().dlq_topic)[0]
    name = f"{one.topic()}/{one.partition()}/{one.offset()}"
    script = tmp_path / "editor.py"

    def edited(code: str) -> tuple[int, str]:
        script.write_text(f"import json, sys\nfile = sys.argv[1]\nheld = json.load(open(file))\n{code}\n")
        environ = line.env | {"EDITOR": f"{sys.executable} {script}"}
        import subprocess

        done = subprocess.run(
            [sys.executable, "-m", "kafka_orders", "dlq", "edit", "--id", name],
            env=environ, capture_output=True, text=True, timeout=60, input="n\n", check=False,
        )  # fmt: skip
        return done.returncode, done.stderr

    assert edited("pass") == (0, "nothing was changed\n")
    code, said = edited("open(file, 'w').write('{')")
    assert (code, "not JSON" in said) == (2, True)
    code, said = edited("held['price'] = 'dear'; json.dump(held, open(file, 'w'))")
    assert (code, "does not fit the schema" in said) == (2, True)
    assert statuses(line) == {}
    assert edited("held['price'] = 77.0; json.dump(held, open(file, 'w'))")[0] == 0
    (sent,) = read_all(line.bootstrap, line.settings().retry_topic)
    assert decode(sent.value() or b"")["price"] == 77.0
    assert replays(line) == {name: 1}


def test_wrong_edits_are_said(line: Pipeline) -> None:
    """Before anything is sent."""
    die(line, 2)
    for words, code, said in (
        (("--set", "colour=1"), 2, "no field colour"),
        (("--set", "price"), 2, "field=expression"),
        (("--set", "price=1", "--product", "None"), 1, "nothing to edit"),
        ((), 2, "an editor takes one dead letter"),
        (("--set", "price=price+1"), 2, "Type 'edit 2'"),
        (("--set", "price=-1", "--dry-run"), 0, "0 would change"),
        (
            ("--set", "price=-1", "--yes"),
            1,
            "nothing was changed, and nothing is sent: 2 would not: field price is -1",
        ),
    ):
        done = line.run("dlq", "edit", *words)
        assert (done.returncode, said in done.stderr) == (code, True), (words, done)
    assert statuses(line) == {}
