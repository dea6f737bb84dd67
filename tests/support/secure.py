"""A broker with TLS and passwords: what clients with a wrong setting are told can only be seen there.

The product's embedded Kafka listens on the loopback address in plaintext. This one is started by the same
code, with more listeners.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import trustme
from cryptography.hazmat.primitives import serialization

from kafka_orders.local import jars, java, properties
from kafka_orders.local.checks import free_ports
from kafka_orders.local.properties import Node
from kafka_orders.local.record import new_cluster_id
from kafka_orders.log.probe import broker_count
from tests.support.waiting import eventually

_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required;"


@dataclass(frozen=True)
class Secure:
    """Addresses of one broker, and the certificate that its clients have to trust."""

    plaintext: str
    tls: str
    scram: str
    authority: Path


@contextmanager
def secure_broker(folder: Path, cache: Path) -> Iterator[Secure]:
    """Run a broker that speaks plaintext, TLS, and SCRAM (user `worker`, password `right`)."""
    plain, tls, scram, controller = free_ports(4)
    node = Node(1, plain, controller, folder / "secure")
    node.folder.mkdir(parents=True)
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "authority.pem")
    (node.folder / "server.pem").write_bytes(_keystore(authority))
    settings = properties.properties(node, [node]) | _listeners(plain, tls, scram, controller)
    lines = [f"{name}={value}" for name, value in settings.items()]
    node.properties_file.write_text("\n".join(lines) + "\n")
    arguments = java.write_arguments(node.folder, jars.ensure(cache, progress=False))
    _format(node, arguments)
    process = java.launch(node, arguments, 256)
    try:
        eventually(lambda: _answers(node, process), 60.0, "the secure broker's answer")
        yield Secure(f"127.0.0.1:{plain}", f"127.0.0.1:{tls}", f"127.0.0.1:{scram}", folder / "authority.pem")
    finally:
        process.kill()
        process.wait(10)


def other_authority(file: Path) -> Path:
    """Write the certificate of an authority that signed nothing."""
    trustme.CA().cert_pem.write_to_path(file)
    return file


def _keystore(authority: trustme.CA) -> bytes:
    issued = authority.issue_cert("127.0.0.1")
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    # Java reads only PKCS#8.
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded + b"".join(blob.bytes() for blob in issued.cert_chain_pems) + authority.cert_pem.bytes()


def _listeners(plain: int, tls: int, scram: int, controller: int) -> dict[str, str]:
    ours = f"PLAINTEXT://127.0.0.1:{plain},SSL://127.0.0.1:{tls},SASL_PLAINTEXT://127.0.0.1:{scram}"
    return {
        "listeners": f"{ours},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": ours,
        "listener.security.protocol.map": (
            "PLAINTEXT:PLAINTEXT,SSL:SSL,SASL_PLAINTEXT:SASL_PLAINTEXT,CONTROLLER:PLAINTEXT"
        ),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": "server.pem",
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": _SCRAM,
    }


def _format(node: Node, arguments: Path) -> None:
    command = [
        str(java.java()), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"@{arguments}",
        "kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c", node.properties_file.name,
        "--add-scram", "SCRAM-SHA-512=[name=worker,password=right]",
    ]  # fmt: skip
    done = subprocess.run(command, cwd=node.folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _answers(node: Node, process: psutil.Process) -> bool:
    assert process.is_running(), node.log_file.read_text() if node.log_file.is_file() else "the broker ended"
    return broker_count(properties.bootstrap_servers(node), 0.5) == 1
