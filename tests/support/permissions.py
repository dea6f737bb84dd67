"""The list of permissions in docs/howto/security.md: read from the page, granted and taken away."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

PAGE = Path(__file__).resolve().parents[2] / "docs/howto/security.md"
_ROW = re.compile(r"^\| (\w+) \| (\w+) \| `([^`]+)` \| (\w+) \| ([\w, ]+) \|$", re.M)


class Permission(NamedTuple):
    """One operation of one role; ``pattern`` is literal or prefixed."""

    role: str
    resource: str
    name: str
    pattern: str
    operation: str

    @property
    def _described(self) -> tuple[object, ...]:
        kind = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.resource).upper()
        operation = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", self.operation).upper()
        return (
            ResourceType[kind],
            self.name,
            ResourcePatternType[self.pattern.upper()],
            f"User:{self.role}",
            "*",
            AclOperation[operation],
            AclPermissionType.ALLOW,
        )


def listed() -> list[Permission]:
    """Return what the page lists."""
    rows = _ROW.findall(PAGE.read_text(encoding="utf-8"))
    return [Permission(*row, operation) for *row, told in rows for operation in told.split(", ")]


def grant(bootstrap: str, wanted: Iterable[Permission]) -> None:
    """Grant these."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    for done in client.create_acls([AclBinding(*one._described) for one in wanted]).values():
        done.result()


def take_away(bootstrap: str, one: Permission) -> None:
    """Take one away; it has to have been there."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    for done in client.delete_acls([AclBindingFilter(*one._described)]).values():
        assert len(done.result()) == 1
