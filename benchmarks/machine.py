"""What the benchmark ran on, without anything that names the machine."""

from __future__ import annotations

import os
import platform
import tomllib
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

import confluent_kafka
import psutil

from benchmarks.javabuild import LOCK
from kafka_orders._version import __version__
from kafka_orders.local.jars import locked


def describe() -> dict[str, Any]:
    """Return processor, cores, memory in GB and operating system."""
    return {
        "cpu": _cpu(),
        "cores": os.cpu_count() or 0,
        "memory_gb": round(psutil.virtual_memory().total / 2**30),
        "system": f"{platform.system()} {platform.release().split('-')[0]} {platform.machine()}",
    }


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict[str, str]:
    """Return the versions of what every run uses; contenders tell their own beside it."""
    lock = resources.files("kafka_orders.local").joinpath("kafka.lock.toml").read_text(encoding="utf-8")
    streams = next(jar.version for jar in locked(LOCK) if jar.artifact == "kafka-streams")
    return {
        "kafka-orders": __version__,
        "Python": platform.python_version(),
        "librdkafka": confluent_kafka.libversion()[0],
        "Apache Kafka (embedded broker)": tomllib.loads(lock)["kafka"],
        "kafka-clients and kafka-streams (Java)": streams,
    }


def today() -> str:
    """Return the date, UTC."""
    return datetime.now(UTC).date().isoformat()
