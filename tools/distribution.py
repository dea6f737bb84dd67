"""Make wheel, sdist and SBOM in dist/ (or the folder that is given): the same bytes every time.

The same commit, Python and pinned tools give the same files, whatever the folder, umask, user and file times.
``SOURCE_DATE_EPOCH`` is the time that stands in them; ``make wheel`` takes it from the last commit.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    """Build, and say what was made."""
    out = Path(sys.argv[1] if len(sys.argv) > 1 else ROOT / "dist").resolve()
    out.mkdir(parents=True, exist_ok=True)
    for old in out.glob("kafka_orders-*"):
        old.unlink()
    epoch = int(os.environ["SOURCE_DATE_EPOCH"])
    os.umask(0o022)
    sdist = _make_sdist(out, epoch)
    wheel = _make_wheel(out, sdist)
    sbom = out / f"{sdist.name.removesuffix('.tar.gz')}.cdx.json"
    sbom.write_text(json.dumps(_sbom(wheel), indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for file in (wheel, sdist, sbom):
        print(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}")


def _build(what: str, source: Path, out: Path) -> None:
    subprocess.run([sys.executable, "-m", "build", what, "--no-isolation", "--outdir", out, source], check=True)


def _make_sdist(out: Path, epoch: int) -> Path:
    left = ROOT / "kafka_orders.egg-info"  # setuptools would add to an sdist what is listed in an old one
    shutil.rmtree(left, ignore_errors=True)
    _build("--sdist", ROOT, out)
    shutil.rmtree(left)
    [sdist] = out.glob("kafka_orders-*.tar.gz")
    _make_reproducible(sdist, epoch)
    return sdist


def _make_wheel(out: Path, sdist: Path) -> Path:
    """From the sdist: what that forgets, the wheel lacks; and file modes in a wheel are those of its source."""
    with tempfile.TemporaryDirectory() as folder, tarfile.open(sdist) as file:
        file.extractall(folder, filter="data")
        _build("--wheel", Path(folder, sdist.name.removesuffix(".tar.gz")), out)
    [wheel] = out.glob("kafka_orders-*.whl")
    return wheel


def _make_reproducible(sdist: Path, epoch: int) -> None:
    """Write the archive again without times, owners and modes of this machine; setuptools keeps them."""
    packed = io.BytesIO()
    with tarfile.open(sdist) as before, tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as after:
        for member in sorted(before.getmembers(), key=lambda one: one.name):
            clean = tarfile.TarInfo(member.name)
            clean.type, clean.size, clean.mtime = member.type, member.size, epoch
            clean.mode = 0o755 if member.isdir() else 0o644
            after.addfile(clean, before.extractfile(member))
    sdist.write_bytes(gzip.compress(packed.getvalue(), mtime=epoch))


def _sbom(wheel: Path) -> dict[str, Any]:
    """What the wheel is run with when requirements.txt is installed, and Kafka's jars.

    The tests validate the whole; validating the part without the jars would double the time of a build.
    """
    command = [sys.executable, "-m", "cyclonedx_py", "requirements", "requirements.txt"]
    options = ["--pyproject", "pyproject.toml", "--mc-type", "library", "--output-reproducible", "--sv", "1.6"]
    options += ["--no-validate"]
    done = subprocess.run([*command, *options], cwd=ROOT, capture_output=True, text=True, check=True)
    found: dict[str, Any] = json.loads(done.stdout)
    for component in found["components"]:
        del component["description"]  # the requirement's line: its hashes are told once
    lock = tomllib.loads((ROOT / "kafka_orders/local/kafka.lock.toml").read_text(encoding="utf-8"))
    found["components"] += [_jar(**jar) for jar in lock["jar"]]
    root = found["metadata"]["component"]
    root["version"] = wheel.name.split("-")[1]
    root["hashes"] = [{"alg": "SHA-256", "content": hashlib.sha256(wheel.read_bytes()).hexdigest()}]
    needed = sorted(component["bom-ref"] for component in found["components"])
    found["dependencies"] = [{"ref": root["bom-ref"], "dependsOn": needed}]
    return found


def _jar(group: str, artifact: str, version: str, sha256: str, **_other: object) -> dict[str, Any]:
    purl = f"pkg:maven/{group}/{artifact}@{version}"
    hashes = [{"alg": "SHA-256", "content": sha256}]
    named = {"group": group, "name": artifact, "version": version, "purl": purl}
    return {"type": "library", "bom-ref": purl, **named, "hashes": hashes}


if __name__ == "__main__":
    main()
