"""The benchmark's arithmetic, its page and its judge; no broker."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import figures, page, record, session
from benchmarks.__main__ import names_of
from benchmarks.contenders import ALL, BY_NAME, FORMATS, OURS, RAW
from benchmarks.figures import Figure
from benchmarks.javabuild import LOCK
from benchmarks.job import Job, Meter, failing_below
from benchmarks.runner import Bed, WrongOutcomeError
from benchmarks.topics import Expected
from kafka_orders.local.jars import locked

ROOT = Path(__file__).resolve().parents[2]


def measure(seconds: float, orders: int = 100, **more: float) -> dict[str, float]:
    return {"orders": orders, "seconds": seconds, "process_cpu": 0.2, "thread_cpu": 0.1, "memory_mb": 50, **more}


ROUNDS = [
    {RAW: measure(1.0), OURS: measure(2.0), "java": measure(1.0)},
    {RAW: measure(2.0), OURS: measure(3.0), "java": measure(6.0)},
    {RAW: measure(1.0), OURS: measure(4.0)},
]
FOUND = {
    "throughput": {
        "date": "2026-01-02", "machine": {"cpu": "a CPU", "cores": 2, "memory_gb": 4, "system": "an OS"},
        "versions": {"b": "2", "a": "1"}, "orders": 1000, "few": 10, "partitions": 6, "rounds": ROUNDS,
        "errors": {"quix": "quix: no"},
    },
    "latency": {
        "date": "2026-01-02", "machine": {"cpu": "a CPU", "cores": 2, "memory_gb": 4, "system": "an OS"},
        "versions": {"a": "1"}, "seconds": 30, "idle_percent": 0.5, "idle_seconds": 10.0,
        "rates": [{"rate": 1000, "p50": 30, "p95": 60, "p99": 90, "max": 120, "orders": 30_000}],
    },
}  # fmt: skip


def test_each_round_begins_elsewhere_and_every_second_goes_backwards() -> None:
    """Everybody is in every round once."""
    names = ["a", "b", "c", "d", "e", "f"]
    orders = [figures.rotated(names, number, 3) for number in range(3)]
    assert orders == [
        ["a", "b", "c", "d", "e", "f"],
        ["b", "a", "f", "e", "d", "c"],
        ["e", "f", "a", "b", "c", "d"],
    ]
    assert [figures.rotated(["a", "b"], number, 5)[0] for number in range(5)] == ["a", "b", "a", "a", "b"]
    assert figures.rotated([], 3, 5) == []


def test_a_figure_is_median_and_range() -> None:
    """Of an odd and an even number of values; of none there is none."""
    assert Figure.of([3.0, 1.0, 2.0]) == Figure(2.0, 1.0, 3.0)
    assert Figure.of([4.0, 1.0, 2.0, 3.0]) == Figure(2.5, 1.0, 4.0)
    assert Figure.of([]) is None


def test_ratios_are_taken_within_a_round() -> None:
    """The median of quotients, not the quotient of medians; a round in which one is missing does not count."""
    assert figures.ratio(ROUNDS, OURS, RAW, figures.rate) == Figure(0.5, 0.25, pytest.approx(2 / 3))
    assert figures.ratio(ROUNDS, OURS, "java", figures.rate) == Figure(1.25, 0.5, 2.0)
    assert figures.ratio(ROUNDS, OURS, "nobody", figures.rate) is None
    assert figures.rate(measure(0.5)) == 200.0
    assert (figures.process_cpu(measure(1.0)), figures.thread_cpu(measure(1.0))) == (2000.0, 1000.0)


def test_the_page_keeps_what_is_written_by_hand() -> None:
    """Rendering again changes only what stands between the marks, and that not at all for the same figures."""
    first = page.render(FOUND, "")
    mine = first.replace("# Benchmarks\n", "# My title\n\nMy words.\n") + "\n## What was tried\n\nMuch.\n"
    again = page.render(FOUND, mine)
    assert again == mine
    other = page.render({"latency": FOUND["latency"]}, mine)
    assert "My words." in other
    assert other.endswith("\n## What was tried\n\nMuch.\n")
    assert "## Throughput" not in other


def test_the_page_says_what_was_measured() -> None:
    """Table, where a peer wins, errors, latency, machine."""
    text = page.render(FOUND, "")
    assert "| **kafka-orders** | exactly once | **33** (25 to 50) | **0.500** (0.250 to 0.667) | - |" in text
    assert "| **1.25**x (0.50 to 2.00) |" in text
    assert "More orders per second than kafka-orders: none of them." in text
    assert "- quix: quix: no" in text
    assert "| 1,000 | 30 | 60 | 90 | 120 | 30,000 |" in text
    assert "Measured on 2026-01-02 on a CPU, 2 cores, 4 GB, an OS. Versions: a 1, b 2." in text


def test_the_page_says_what_formats_cost() -> None:
    """Those that were measured, framed ones with a word about the registry."""
    rounds = [{OURS: measure(1.0), "ours-json": measure(2.0)}]
    found = FOUND["throughput"] | {"rounds": rounds, "errors": {}}
    text = page.render({"formats": found}, "")
    assert "| kafka-orders, JSON Schema | **50** (50 to 50) | **0.50** (0.50 to 0.50) |" in text
    assert "ramed" not in text
    rounds[0]["ours-avro-framed"] = measure(1.25)
    text = page.render({"formats": found}, "")
    assert "| kafka-orders, Avro, framed | **80** (80 to 80) | **0.80** (0.80 to 0.80) |" in text
    assert "Framed orders, by a real schema registry" in text


def test_orders_of_each_format_and_frame_have_a_topic_of_their_own() -> None:
    """None reads what was written for another one."""
    assert len({one.source for one in FORMATS} | {BY_NAME[OURS].source}) == len(FORMATS) + 1


def test_the_page_says_where_a_peer_wins() -> None:
    """By the same medians, with how much."""
    rounds = [{RAW: measure(1.0), OURS: measure(2.0), "java": measure(1.0, process_cpu=0.4)}]
    text = page.render({"throughput": FOUND["throughput"] | {"rounds": rounds}}, "")
    assert (
        "More orders per second than kafka-orders: Java, hand-written transactional loop (2.00 times ours)."
        in text
    )
    assert "Less CPU per order than kafka-orders: none of them." in text


def test_docs_show_what_was_measured() -> None:
    """docs/benchmarks.md is what its JSON gives, and neither holds a path or a host of the machine."""
    shown = record.PAGE.read_text(encoding="utf-8")
    assert page.render(record.load(), shown) == shown
    for file in (record.PAGE, record.CHART, record.JSON):
        text = file.read_text(encoding="utf-8").replace("http://www.w3.org/", "")
        assert not re.search(r"https?://|/tmp/|/home/|/root|/work", text), file


def test_the_chart_in_docs_shows_the_medians() -> None:
    """Each contender of the JSON but the yardsticks, with its median."""
    drawn = record.CHART.read_text(encoding="utf-8")
    rounds = record.load()["throughput"]["rounds"]
    for one in [*ALL, *FORMATS]:
        found = figures.figure(rounds, one.name, figures.rate)
        if found and not one.is_reference and not one.name.startswith("ours-"):
            assert f">{found.median:,.0f}<" in drawn, one.name
    assert "raw" not in drawn
    assert "<script" not in drawn


def test_the_chart_is_drawn_the_same_each_time() -> None:
    """And docs/benchmarks.svg is that; in a process of its own, since pygal changes how modules are found."""
    draw = "from benchmarks import chart, record; print(chart.render(record.load()['throughput']), end='')"
    done = subprocess.run([sys.executable, "-c", draw], cwd=record.ROOT, capture_output=True, check=True)
    assert done.stdout.decode() == record.CHART.read_text(encoding="utf-8")


def test_saving_a_part_keeps_the_others(tmp_path: Path) -> None:
    """Throughput and latency are measured apart."""
    file = tmp_path / "some.json"
    record.save("throughput", {"a": 1 / 3}, file)
    record.save("latency", {"b": [1, 2.0]}, file)
    assert record.load(file) == {"throughput": {"a": 0.333333333}, "latency": {"b": [1, 2.0]}}


def test_every_contender_can_be_found() -> None:
    """Its file is there, its name is its own, and the raw loop and ours always take part."""
    assert len(BY_NAME) == len([*ALL, *FORMATS])
    for one in [*ALL, *FORMATS]:
        assert (ROOT / f"benchmarks/peers/{one.module}.py").is_file(), one.name
    assert names_of("quix", quick=True) == [RAW, OURS, "quix"]
    assert "quix" not in names_of("", quick=True)
    assert {jar.artifact for jar in locked(LOCK)} == {"kafka-streams", "ecj"}


def test_peers_are_imported_in_their_own_process_only() -> None:
    """`make test` has none of their libraries; this very module has imported the whole frame."""
    imports = r"^(?:from|import) (aiokafka|faststream|kafka|quixstreams|pygal)\b"
    for file in sorted((ROOT / "benchmarks").glob("*.py")):
        assert not re.search(imports, file.read_text(encoding="utf-8"), re.M), file.name


def test_a_meter_counts_from_the_first_begin() -> None:
    """Not from later ones; without any there is nothing to end."""
    meter = Meter()
    with pytest.raises(RuntimeError):
        meter.end({}, 0)
    meter.begin()
    began = meter.began
    meter.begin()
    assert meter.began == began
    meter.end({"a": (2, 3.0), "b": (1, 0.5)}, 4)
    told = {name: meter.outcome[name] for name in ("counted", "total", "products", "failures")}
    assert told == {"counted": 3, "total": 3.5, "products": 2, "failures": 4}
    assert 0 <= meter.outcome["seconds"] < 10


PRICES = Expected([1.0, 5.0, 10.0, 400.0], 2)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({}, ""),
        ({"counted": 2}, "orders counted: 2, expected 3"),
        ({"total": 414.0}, "sum of prices: 414, expected 415"),
        ({"failures": 0}, "failures told: 0, expected 1"),
        ({"products": 1}, "products: 1, expected 2"),
    ],
)
def test_an_outcome_that_differs_is_an_error(change: dict[str, Any], complaint: str) -> None:
    """Count, sum, failures and products are those of the topic."""
    bed = Bed("nowhere:1", 6, "test", {})
    outcome = {"counted": 3, "total": 415.0 * (1 + 1e-12), "failures": 1, "products": 2, **change}
    job = Job("nowhere:1", "orders", 6, 4, failing_below(0.5), "run", "")
    assert PRICES.of(0.5) == (3, 415.0, 1)
    judged = BY_NAME["ours-no-commit"]  # its state alone is compared: nothing of it is in Kafka
    contender = type(judged)(**{name: getattr(judged, name) for name in judged.__slots__} | {"percent": 0.5})
    if complaint:
        with pytest.raises(WrongOutcomeError, match=re.escape(complaint)):
            bed.check(contender, job, PRICES, outcome)
    else:
        bed.check(contender, job, PRICES, outcome)


def test_a_version_that_differs_is_told_with_who_uses_it() -> None:
    """Quix Streams has an older client."""
    known: dict[str, str] = {"fastavro": "1"}
    session._note(known, BY_NAME["quix"], {"fastavro": "1", "confluent-kafka": "2"})
    session._note(known, BY_NAME["aiokafka"], {"confluent-kafka": "3"})
    assert known == {"fastavro": "1", "confluent-kafka": "2", "confluent-kafka (with aiokafka)": "3"}


def test_a_job_crosses_the_process_boundary() -> None:
    """As JSON; what belongs to one run begins with its name."""
    job = Job("host:1", "orders", 6, 10, 5.99, "run-1", "home")
    assert Job(**json.loads(job.dump())) == job
    assert (job.group, job.failures, job.state) == ("run-1-main", "run-1-retry", "run-1-averages")
