"""A real Prometheus scrapes a pipeline that runs: the roles at their ports, the server at its own."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

from kafka_orders.local.checks import free_ports, is_free
from kafka_orders.views.metrics import PREFIX, ROLE_METRICS
from kafka_orders.web.exposition import REPORT_METRICS
from tests.support.pipeline import Pipeline
from tests.support.programs import program
from tests.support.waiting import eventually

pytestmark = pytest.mark.broker

_CONFIG = """
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: kafka-orders
    static_configs:
      - targets: [%s]
"""


@pytest.fixture
def asked(line: Pipeline, tmp_path: Path) -> Iterator[tuple[list[int], str]]:
    """Ports of main, retry, producer and server, and Prometheus's address."""
    path = program("prometheus")
    *targets, own = free_ports(5)
    config = tmp_path / "prometheus.yml"
    config.write_text(_CONFIG % ", ".join(f'"127.0.0.1:{port}"' for port in targets))
    process = subprocess.Popen(
        [path, f"--config.file={config}", f"--storage.tsdb.path={tmp_path / 'data'}",
         f"--web.listen-address=127.0.0.1:{own}"],
        stdout=subprocess.DEVNULL, stderr=(tmp_path / "prometheus.log").open("wb"),
    )  # fmt: skip
    try:
        yield targets, f"http://127.0.0.1:{own}"
    finally:
        process.kill()
        process.wait(10)


def query(address: str, expression: str) -> dict[str, float]:
    """Return what Prometheus says, by labels."""
    told = urllib.parse.urlencode({"query": expression})
    try:
        with urllib.request.urlopen(f"{address}/api/v1/query?{told}", timeout=10) as answer:
            found = json.load(answer)["data"]["result"]
    except OSError:
        return {}
    return {json.dumps(one["metric"], sort_keys=True): float(one["value"][1]) for one in found}


def total(address: str, expression: str) -> float:
    return sum(query(address, f"sum({expression})").values())


def test_it_scrapes_a_running_pipeline(line: Pipeline, asked: tuple[list[int], str]) -> None:
    (main, retry, producer, server), address = asked
    fast = {"RETRY_DELAY_MS": "100", "FAIL": "Item3"}
    line.start("-m", "kafka_orders", "consume", "--metrics-port", str(main), **fast)
    line.start("-m", "kafka_orders", "retry", "--metrics-port", str(retry), **fast)
    line.start("-m", "kafka_orders", "produce", "--rate", "50", "--metrics-port", str(producer))
    serve = line.start("-m", "kafka_orders", "serve", "--port", str(server), **fast)
    serve.says("shows the pipeline")
    eventually(lambda: total(address, "up") == 4, 60, "four targets are up")
    eventually(lambda: total(address, 'kafka_orders_messages_processed_total{outcome="success"}') > 50, 60)
    eventually(lambda: total(address, "kafka_orders_dlq_messages_total") > 5, 60)
    eventually(lambda: total(address, "kafka_orders_dlq_open_messages") > 5, 60)
    for metric in (
        "messages_produced_total", "messages_consumed_total", "retries_total", "rebalances_total",
        'transactions_total{outcome="committed"}', "transaction_duration_seconds_count", "build_info",
        "processing_duration_seconds_count", "end_to_end_latency_seconds_count", "retry_wait_seconds_count",
        "running_average_price", "dlq_error_groups", "dlq_oldest_message_age_seconds",
    ):  # fmt: skip
        assert total(address, PREFIX + metric) > 0, metric
    assert query(address, "kafka_orders_consumer_lag_messages")
    assert total(address, "count by (product) (kafka_orders_running_average_price)") == 4
    # Counters and the topics tell the same, once nothing moves.
    line.roles[2].stop()
    eventually(lambda: total(address, "kafka_orders_retry_pending") == 0, 60)
    counted = json.loads(line.run("averages", "-o", "json").stdout)[-1]["count"]
    eventually(
        lambda: total(address, 'kafka_orders_messages_processed_total{outcome="success"}') == counted, 30,
        f"as many as the topics tell: {counted}",
    )  # fmt: skip
    names = {name for each in served(main, retry, server) for name in re.findall(r"^# TYPE (\S+)", each, re.M)}
    suffix = {"counter": "_total", "gauge": "", "histogram": ""}
    known = {PREFIX + name + suffix[kind] for name, kind, _, _ in (*ROLE_METRICS, *REPORT_METRICS)}
    assert {name for name in names if not name.endswith("_created")} == known


def served(*ports: int) -> list[str]:
    return [
        urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=10).read().decode() for port in ports
    ]


def test_promtool_has_nothing_to_say_against_the_names(line: Pipeline, asked: tuple[list[int], str]) -> None:
    (main, _, _, server), _ = asked
    line.start("-m", "kafka_orders", "consume", "--metrics-port", str(main)).says("restored")
    line.start("-m", "kafka_orders", "serve", "--port", str(server)).says("shows the pipeline")
    for text in served(main, server):
        done = subprocess.run(
            [program("promtool"), "check", "metrics"], input=text, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr + done.stdout


def test_a_taken_port_is_said_and_nothing_is_touched(line: Pipeline) -> None:
    (port,) = free_ports(1)
    line.start("-m", "kafka_orders", "consume", "--metrics-port", str(port)).says("restored")
    done = line.run("retry", "--metrics-port", str(port))
    assert done.returncode == 2
    assert "metrics_port" in done.stderr


def test_several_workers_have_a_port_each(line: Pipeline) -> None:
    first = next(port for port in iter(lambda: free_ports(1)[0], None) if is_free(port + 1))
    role = line.start("-m", "kafka_orders", "consume", "--processes", "2", "--metrics-port", str(first))
    role.says("consume-2 |", within=60)
    eventually(lambda: reachable(first) and reachable(first + 1), 30)


def reachable(port: int) -> bool:
    try:
        return "kafka_orders_build_info" in served(port)[0]
    except OSError:
        return False
