"""`schema compare` as its users run it: on a Kafka of its own, into files, with schemas of their own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import CACHE
from tests.support.pipeline import Pipeline
from tests.unit.test_own_schemas import SALES

pytestmark = pytest.mark.broker

SALE = {"ref": "1", "shop": {"city": "Bern"}, "total": {"amount": 49.99}}
CODECS = ("none", "lz4", "zstd")


def compared(line: Pipeline, *words: str) -> dict[str, Any]:
    done = line.run("schema", "compare", "--rounds", "1", "-o", "json", *words, within=150, CACHE=str(CACHE))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_the_formats_are_compared_on_a_brokers_disk(line: Pipeline, tmp_path: Path) -> None:
    """Whole batches in segments; page and picture of the same run; its broker and its data are gone."""
    pytest.importorskip("matplotlib")
    chart, page = tmp_path / "formats.svg", tmp_path / "formats.md"
    before = set(Path(line.settings().home).glob("compare-*"))
    found = compared(line, "--orders", "4000", "--batch", "500", "--chart", str(chart), "--page", str(page))
    assert set(Path(line.settings().home).glob("compare-*")) == before
    rows = {row["way"]: row for row in found["sizes"]}
    assert list(rows) == ["avro", "json", "protobuf", "avro, framed", "json, framed", "protobuf, framed"]
    for row in rows.values():
        assert row["stored none"] > row["stored lz4"] > row["stored zstd"]
        # A record has its key of 16 bytes, its value, its headers, and some bytes that say how long they are; of
        # the 61 of a batch's head each has its share.
        bare = row["value"] + row["head"] + 16
        assert bare + 61 / 500 < row["stored none"] < bare + 12
    larger, smaller = rows["json, framed"], rows["avro, framed"]
    assert larger["value"] > 2 * smaller["value"]
    by_hand = larger["stored none"] - smaller["stored none"] - (larger["value"] - smaller["value"])
    assert by_hand == pytest.approx(2, abs=0.2), (
        "the lengths of value and record, beyond 63, take a byte more each"
    )
    assert f"{rows['avro']['stored zstd']:.1f}" in page.read_text(encoding="utf-8")
    assert f"![bytes and time per order of each format]({chart.name})" in page.read_text(encoding="utf-8")
    assert chart.read_text(encoding="utf-8").startswith("<?xml")
    both = line.run("schema", "compare", "--page", str(chart), "--chart", str(chart), "--force")
    assert (both.returncode, "named twice" in both.stderr) == (2, True)
    again = line.run("schema", "compare", "--page", str(page))
    assert (again.returncode, "--force replaces it" in again.stderr) == (2, True)


def test_own_schemas_are_compared_with_a_sample(line: Pipeline, tmp_path: Path) -> None:
    """As a table; decimal prices; changes are those of the order contract, so they are left out."""
    files = [tmp_path / "sale.avsc", tmp_path / "sale.schema.json", tmp_path / "sale.proto"]
    for file, text in zip(files, SALES.values(), strict=True):
        file.write_text(text)
    named = ",".join([*map(str, files[:2]), f"{files[2]}#Sale"])
    fields = ("--schema", named, "--value-field", "total.amount", "--group-by", "shop.city", "--id-field", "ref")
    without = line.run("schema", "compare", "--no-stored", *fields)
    assert (without.returncode, "--sample" in without.stderr) == (2, True)
    sample = tmp_path / "sales.jsonl"
    rows = [json.dumps({**SALE, "ref": f"{number}\u2028"}, ensure_ascii=False) for number in range(20)]
    sample.write_text("\n".join(rows), encoding="utf-8-sig")
    done = line.run("schema", "compare", "--no-stored", "--rounds", "1", "--sample", str(sample), *fields)
    assert done.returncode == 0, done.stderr
    for said in ("protobuf, framed", "no shop.city", "counted wrong"):
        assert said in done.stdout
    for not_said in ("on disk", "a change of the schema"):
        assert not_said not in done.stdout
    sample.write_text(json.dumps(SALE) + "\n" + json.dumps({"ref": "2"}))
    wrong = line.run("schema", "compare", "--no-stored", "--sample", str(sample), *fields)
    assert (wrong.returncode, "order 2 of the sample" in wrong.stderr) == (2, True)


def test_rows_for_programs(line: Pipeline) -> None:
    """One object a line, each with its table."""
    done = line.run("schema", "compare", "--no-stored", "--rounds", "1", "--orders", "100", "-o", "jsonl", "-q")
    tables = [json.loads(row)["table"] for row in done.stdout.splitlines()]
    assert set(tables) == {"sizes", "wrong", "damage", "changes", "examples"}
    assert done.stderr == ""
