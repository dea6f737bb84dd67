"""A broker with TLS, logins and permissions: what clients with a wrong setting are told can only be seen there.

The product's embedded Kafka listens on the loopback address in plaintext. This one is started by the same
code, with more listeners and an authorizer. Who comes without a name may do all; a user of :data:`USERS` may do
nothing that was not granted.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
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

#: SCRAM users and their passwords: one for each role of the pipeline, and one for whoever needs one more.
USERS = {"worker": "right"} | {
    role: f"pass-of-{role}" for role in ("setup", "producer", "main", "retry", "viewer", "reader")
}
#: Listener -> protocol, in the order of the addresses in :class:`Secure`.
_LISTENERS = {
    "PLAINTEXT": "PLAINTEXT",
    "SSL": "SSL",
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
    "SASL_SSL": "SASL_SSL",
    "MUTUAL": "SSL",
    "EXPIRED": "SSL",
    "OPEN": "SASL_PLAINTEXT",
}
_LOGIN = "org.apache.kafka.common.security"
_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class Secure:
    """Addresses of one broker, and the certificate that its clients have to trust.

    ``scram`` is SCRAM without TLS, ``scram_tls`` with; ``mutual`` wants a client's certificate; that of the broker
    has expired at ``expired``; ``open_password`` takes SASL PLAIN (user `worker`, too) without TLS.
    """

    plaintext: str
    tls: str
    scram: str
    scram_tls: str
    mutual: str
    expired: str
    open_password: str
    authority: Path
    issuer: trustme.CA
    log: Path

    def refused(self, why: str) -> int:
        """Return how many connections the broker's log says were refused because of ``why``."""
        lines = self.log.read_text(errors="replace").splitlines()
        return sum("Failed authentication" in line and why in line for line in lines)

    def login(self, user: str, password: str = "") -> dict[str, str]:
        """Return the client properties of a user, SCRAM over TLS; the password is the right one unless given."""
        return {
            "security.protocol": "SASL_SSL",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password or USERS[user],
            "ssl.ca.location": str(self.authority),
        }

    def certificate(
        self, folder: Path, name: str, issuer: trustme.CA | None = None, days: int = 1
    ) -> dict[str, str]:
        """Return the client properties of a new certificate of ``name``; ``days`` below zero: expired."""
        until = datetime.now(UTC) + timedelta(days=days)
        made = (issuer or self.issuer).issue_cert(
            f"{name}.client", common_name=name, not_before=_LONG_AGO, not_after=until
        )
        made.private_key_pem.write_to_path(folder / f"{name}.key")
        made.cert_chain_pems[0].write_to_path(folder / f"{name}.pem")
        return {
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.authority),
            "ssl.certificate.location": str(folder / f"{name}.pem"),
            "ssl.key.location": str(folder / f"{name}.key"),
        }


@contextmanager
def secure_broker(folder: Path, cache: Path) -> Iterator[Secure]:
    """Run a broker with all listeners and the users of :data:`USERS`."""
    plain, controller, *others = free_ports(len(_LISTENERS) + 1)
    node = Node(1, plain, controller, folder / "secure")
    node.folder.mkdir(parents=True)
    issuer = trustme.CA()
    issuer.cert_pem.write_to_path(folder / "authority.pem")
    (node.folder / "server.pem").write_bytes(_keystore(issuer))
    (node.folder / "expired.pem").write_bytes(_keystore(issuer, not_before=_LONG_AGO, not_after=_LONG_AGO))
    issuer.cert_pem.write_to_path(node.folder / "trusted.pem")
    ports = [plain, *others]
    settings = properties.properties(node, [node]) | _listeners(ports, controller) | _security()
    lines = [f"{name}={value}" for name, value in settings.items()]
    node.properties_file.write_text("\n".join(lines) + "\n")
    arguments = java.write_arguments(node.folder, jars.ensure(cache, progress=False))
    _format(node, arguments)
    process = java.launch(node, arguments, 256)
    try:
        eventually(lambda: _answers(node, process), 60.0, "the secure broker's answer")
        yield Secure(*(f"127.0.0.1:{port}" for port in ports), folder / "authority.pem", issuer, node.log_file)
    finally:
        process.kill()
        process.wait(10)


def other_authority(file: Path) -> Path:
    """Write the certificate of an authority that signed nothing."""
    trustme.CA().cert_pem.write_to_path(file)
    return file


def _keystore(issuer: trustme.CA, **validity: datetime) -> bytes:
    issued = issuer.issue_cert("127.0.0.1", **validity)
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    # Java reads only PKCS#8.
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return encoded + b"".join(blob.bytes() for blob in issued.cert_chain_pems) + issuer.cert_pem.bytes()


def _listeners(ports: list[int], controller: int) -> dict[str, str]:
    ours = ",".join(f"{name}://127.0.0.1:{port}" for name, port in zip(_LISTENERS, ports, strict=True))
    kinds = ",".join(f"{name}:{kind}" for name, kind in _LISTENERS.items())
    return {
        "listeners": f"{ours},CONTROLLER://127.0.0.1:{controller}",
        "advertised.listeners": ours,
        "listener.security.protocol.map": f"{kinds},CONTROLLER:PLAINTEXT",
    }


def _security() -> dict[str, str]:
    scram = f"{_LOGIN}.scram.ScramLoginModule required;"
    plain = f"{_LOGIN}.plain.PlainLoginModule required user_worker=right;"
    return {
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": "server.pem",
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": "trusted.pem",
        "listener.name.expired.ssl.keystore.type": "PEM",
        "listener.name.expired.ssl.keystore.location": "expired.pem",
        "listener.name.mutual.ssl.client.auth": "required",
        "ssl.principal.mapping.rules": r"RULE:^CN=([^,]+).*$/$1/,DEFAULT".replace("\\", "\\\\"),
        "sasl.enabled.mechanisms": "SCRAM-SHA-512",
        "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": scram,
        "listener.name.open.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.open.plain.sasl.jaas.config": plain,
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "super.users": "User:ANONYMOUS",
    }


def _format(node: Node, arguments: Path) -> None:
    command = [
        str(java.java()), "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", f"@{arguments}",
        "kafka.tools.StorageTool", "format", "-t", new_cluster_id(), "-c", node.properties_file.name,
    ]  # fmt: skip
    for user, password in USERS.items():
        command += ["--add-scram", f"SCRAM-SHA-512=[name={user},password={password}]"]
    done = subprocess.run(command, cwd=node.folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def _answers(node: Node, process: psutil.Process) -> bool:
    assert process.is_running(), node.log_file.read_text() if node.log_file.is_file() else "the broker ended"
    return broker_count(properties.bootstrap_servers(node), 0.5) == 1
