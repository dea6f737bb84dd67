"""Who this process is: a transactional.id that is stable over restarts and unique in the cluster."""

from __future__ import annotations

import hashlib
import re
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from kafka_orders.domain.errors import KafkaOrdersError

#: More workers of one group on one machine than this is surely a mistake.
_MOST_SLOTS = 1024


def instance_name(configured: str, home: Path) -> str:
    """Return the configured instance id, or host name and a short hash of the home folder."""
    digest = hashlib.sha256(str(home).encode()).hexdigest()[:8]
    return configured or f"{socket.gethostname()}-{digest}"


class Identity:
    """A transactional.id, held by a lock file for as long as this process lives.

    Stable, so that a restarted process fences its dead predecessor and aborts what that left open at once;
    with a random one the next owner would wait for transaction.timeout.ms. The lock is the operating
    system's, so a crash frees it.
    """

    def __init__(self, group: str, configured: str, home: Path) -> None:
        """Take the first free slot.

        Raises:
            KafkaOrdersError: the lock folder cannot be written.
        """
        folder = home / "locks"
        instance = instance_name(configured, home)
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock, slot = _first_free(folder, f"{group}-{instance}")
        except OSError as error:
            raise KafkaOrdersError(
                f"the lock folder {folder} cannot be used ({error}); no order was touched."
                " Free some space, or set KAFKA_ORDERS_HOME to a folder that can be written."
            ) from error
        self.transactional_id = f"{group}-{instance}-{slot}"

    def release(self) -> None:
        """Let the slot go."""
        self._lock.release()


def _first_free(folder: Path, name: str) -> tuple[FileLock, int]:
    safe = re.sub(r"[^\w.-]", "_", name)
    for slot in range(_MOST_SLOTS):
        lock = FileLock(folder / f"{safe}-{slot}.lock")
        with suppress(Timeout):
            lock.acquire(timeout=0)
            return lock, slot
    raise KafkaOrdersError(f"{_MOST_SLOTS} workers of {name} run here already")
