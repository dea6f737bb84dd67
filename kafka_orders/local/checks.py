"""Before a start: is there room on the machine, and are the ports free?"""

from __future__ import annotations

import contextlib
import importlib
import os
import shutil
import socket
from pathlib import Path
from typing import Any

import psutil

from kafka_orders.domain.errors import LocalKafkaError

#: Free disk below which no broker is started, in MB.
_DISK_MB = 500
#: What a JVM needs beside its heap, in MB. Seen at -Xmx512m: 200 to 250 MB in all after the start, 635 MB for
#: one that had run for an hour; what it grows into has to be there then.
_BESIDE_HEAP_MB = 200


def extra(module: str) -> Any:
    """Return a module of the extra that the embedded Kafka needs.

    Raises:
        LocalKafkaError: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise LocalKafkaError("the embedded Kafka needs: pip install 'kafka-orders[local]'") from error


def check_room(folder: Path, brokers: int, heap_mb: int) -> None:
    """Refuse to start where disk or memory will not do.

    Raises:
        LocalKafkaError: with the figures.
    """
    folder.mkdir(parents=True, exist_ok=True)
    disk = shutil.disk_usage(folder).free // 2**20
    if disk < _DISK_MB:
        raise LocalKafkaError(
            f"only {disk} MB are free on the disk of {folder}, Kafka needs {_DISK_MB}."
            " Nothing was started. Free some space, or set KAFKA_ORDERS_HOME to another disk."
        )
    memory, needed = psutil.virtual_memory().available // 2**20, brokers * (heap_mb + _BESIDE_HEAP_MB)
    if memory < needed:
        raise LocalKafkaError(
            f"only {memory} MB of memory are free, {brokers} broker(s) with {heap_mb} MB heap need about {needed}."
            " Nothing was started. Close something, or give --heap-mb 256."
        )


def free_ports(count: int) -> list[int]:
    """Return ports that the operating system has free now, all different."""
    with contextlib.ExitStack() as held:
        ports = []
        for _ in range(count):
            one = held.enter_context(socket.socket())
            one.bind(("127.0.0.1", 0))
            ports.append(int(one.getsockname()[1]))
        return ports


def is_free(port: int) -> bool:
    """Say whether a listener could take the port on the loopback address."""
    with socket.socket() as one:
        if os.name != "nt":  # there it would let us take a port that another program listens on
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def check_port(port: int) -> None:
    """Refuse a port that is taken.

    Raises:
        LocalKafkaError: saying by whom, where the system tells.
    """
    if is_free(port):
        return
    raise LocalKafkaError(
        f"port {port} is taken{_taken_by(port)}. Nothing was started. Stop that program, or choose another port:"
        " `kafka-orders broker start --port 0` takes a free one and prints it."
    )


def _taken_by(port: int) -> str:
    with contextlib.suppress(psutil.Error):
        for one in psutil.net_connections("tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr and one.laddr.port == port and one.pid:
                return f" by {psutil.Process(one.pid).name()} (pid {one.pid})"
    return ""
