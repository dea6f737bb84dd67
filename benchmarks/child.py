"""The process of one contender: `python -m benchmarks.child NAME`, the job on stdin, the outcome on stdout."""

from __future__ import annotations

import json
import sys
from importlib import import_module, metadata
from typing import Any

from benchmarks.contenders import BY_NAME
from benchmarks.job import Job, Meter


def work(name: str, job: Job) -> dict[str, Any]:
    """Let a contender do the job in this process; return its outcome and what it ran on."""
    contender, meter = BY_NAME[name], Meter()
    module = import_module(f"benchmarks.peers.{contender.module}")
    module.run(job, meter, **contender.options)
    versions = {package: metadata.version(package) for package in module.PACKAGES}
    return {"versions": versions | meter.outcome.pop("versions", {}), **meter.outcome}


def main() -> None:
    """Read the job, do it, print one line."""
    outcome = work(sys.argv[1], Job(**json.load(sys.stdin)))
    print(json.dumps(outcome), flush=True)


if __name__ == "__main__":
    main()
