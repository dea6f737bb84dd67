"""``python -m tests.fuzz TARGET --seconds N --seed S``: atheris against a decoder (``all``: one after the other).

Each runs in a process of its own, with a limit of memory. What it finds lies in ``.build/fuzz/TARGET``; slow
inputs are read again without instruments before they are believed. Prints a line of figures for each; ends with 1
where something was found.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
import traceback
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from tests.fuzz.page import page

#: The longest that one record may take, in seconds; and the most bytes it may have here.
SLOW_SECONDS, LONGEST = 0.1, 1 << 16
#: Address space of a process, in bytes; what it may grow by after the first third of its time, in MiB.
MEMORY, GROWTH = 2 << 30, 64
FOUND = Path(".build/fuzz")
_MOST_KEPT = 20
#: What libFuzzer ends with where an input took ten seconds.
_HUNG = 70


class Watch:
    """Reads each input, and keeps count of what goes wrong."""

    def __init__(self, target: Any, typed: Any, folder: Path, seconds: float) -> None:
        target.warm()
        self._target, self._typed, self._folder = target, typed, folder
        self._began, self._seconds = time.monotonic(), seconds
        self._crashes: dict[str, int] = {}
        self._runs = self._slow = self._third = 0

    def __call__(self, payload: bytes) -> None:
        self._runs += 1
        began = _processor()
        try:
            with self._typed():
                self._target.read(payload)
        except Exception as error:
            self._crashed(error, payload)
        if _processor() - began > SLOW_SECONDS and self._slow < _MOST_KEPT:
            self._slow += 1
            (self._folder / f"slow-{self._slow}").write_bytes(payload)
        spent = time.monotonic() - self._began
        if not self._third and spent > self._seconds / 3:
            self._third = _mebibytes()
        if spent > self._seconds:
            self._end()

    def _crashed(self, error: Exception, payload: bytes) -> None:
        ours = [one for one in traceback.extract_tb(error.__traceback__) if "kafka_orders" in one.filename]
        place = f"{Path(ours[-1].filename).stem}-{ours[-1].lineno}" if ours else "elsewhere"
        where = f"{type(error).__name__}-{place}"
        if where not in self._crashes:
            (self._folder / f"crash-{where}").write_bytes(payload)
        self._crashes[where] = self._crashes.get(where, 0) + 1

    def _end(self) -> None:
        crashes = sum(self._crashes.values())
        told = {"runs": self._runs, "crashes": crashes, "third": self._third, "end": _mebibytes()}
        (self._folder / "figures.json").write_text(json.dumps(told))
        os._exit(0)  # libFuzzer's own end would not come back here


def _processor() -> float:
    """Return seconds of the processor so far, those of the processes that were started included."""
    return sum(os.times()[:4])


def _mebibytes() -> int:
    return int(psutil.Process().memory_info().rss >> 20)


def inside(name: str, seconds: float, seed: int) -> None:
    """Fuzz one target in this process, until its time is over."""
    import resource  # neither is on Windows

    import atheris

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    with atheris.instrument_imports(include=["kafka_orders.formats", "kafka_orders.domain"]):
        from tests.fuzz.targets import EVERY, typed
    folder, corpus = FOUND / name, FOUND / name / "corpus"
    corpus.mkdir()
    for at, payload in enumerate(EVERY[name].seeds):
        (corpus / str(at)).write_bytes(payload)
    told = (f"-seed={seed}", f"-max_len={LONGEST}", "-len_control=20", "-rss_limit_mb=0", "-timeout=10")
    atheris.Setup(
        [sys.argv[0], str(corpus), *told, f"-artifact_prefix={folder}/native-", "-verbosity=0"],
        Watch(EVERY[name], typed, folder, seconds),
    )
    atheris.Fuzz()


def fuzz(name: str, seconds: float, seed: int) -> bool:
    """Fuzz one target in a process of its own and print its figures; say whether nothing was found."""
    folder = FOUND / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    arguments = [name, "--seconds", f"{seconds:g}", "--seed", str(seed), "--inside"]
    with (folder / "log").open("w") as log:
        done = subprocess.run(
            [sys.executable, "-m", "tests.fuzz", *arguments], stdout=log, stderr=log, check=False
        )
    if done.returncode or not (folder / "figures.json").exists():
        hung = "an input hung; " if done.returncode == _HUNG else ""
        print(f"{name:18} DIED with {done.returncode}; {hung}see {folder}/", flush=True)
        return False
    told = json.loads((folder / "figures.json").read_text())
    times = sorted(((_seconds(name, file), file) for file in folder.glob("slow-*")), reverse=True)
    slow = [f"{file} takes {took:.3f} s" for took, file in times if took > SLOW_SECONDS]
    crashes = sorted(str(one) for one in folder.glob("crash-*"))
    print(
        f"{name:18} {told['runs']:>10,} runs {told['runs'] / seconds:>7,.0f}/s {told['crashes']:>6} crashes in"
        f" {len(crashes)} places {len(slow):>3} slow   RSS {told['third']} -> {told['end']} MiB", flush=True,
    )  # fmt: skip
    told |= {"slow": len(slow), "seconds": seconds, "seed": seed}
    (folder / "figures.json").write_text(json.dumps(told))
    grown = [f"grew by {told['end'] - told['third']} MiB"] if told["end"] - told["third"] >= GROWTH else []
    for one in (*crashes, *slow, *grown):
        print(f"    {one}", flush=True)
    return not (crashes or slow or grown)


def _seconds(name: str, file: Path) -> float:
    """Return what an input really takes, without instruments."""
    from tests.fuzz.targets import EVERY

    EVERY[name].warm()
    began = _processor()
    with suppress(Exception):  # which one it is, was looked at before
        EVERY[name].read(file.read_bytes())
    return _processor() - began


def main() -> None:
    """Fuzz what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--page", type=Path, help="write the figures of the last run of each into this file")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if find_spec("atheris") is None:
        print("atheris is not here (it runs on Linux only): nothing was fuzzed")
        return
    if told.inside:
        inside(told.target, told.seconds, told.seed)
    from tests.fuzz.targets import EVERY, TARGETS

    names = list(TARGETS) if told.target == "all" else [told.target]
    if not EVERY.keys() >= set(names):
        parser.error(f"no target {told.target}; there are all, {', '.join(EVERY)}")
    found = [name for name in names if not fuzz(name, told.seconds, told.seed)]
    if told.page:
        told.page.write_text(page(FOUND, TARGETS), encoding="utf-8")
    sys.exit(1 if found else 0)


if __name__ == "__main__":
    main()
