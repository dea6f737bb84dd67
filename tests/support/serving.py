"""`kafka-orders serve` as a process, and somebody who asks it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import httpx

from tests.support.pipeline import Pipeline, Role


@dataclass
class Served:
    """A running server."""

    role: Role
    url: str
    token: str = ""

    def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Ask; a JSON body is given as ``json``."""
        headers = {"authorization": f"Bearer {self.token}"} if self.token else {}
        return httpx.request(
            method, self.url + path, headers=headers | more.pop("headers", {}), timeout=60, **more
        )

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON of a path that is there."""
        found = self.ask("GET", path, params=query)
        assert found.status_code == 200, found.text
        return found.json()

    def post(self, path: str, body: Any, status: int, **more: Any) -> Any:
        """Return the JSON that a request ends with."""
        found = self.ask("POST", path, json=body, **more)
        assert found.status_code == status, found.text
        if status >= 400:
            assert found.headers["content-type"] == "application/problem+json"
        return found.json()

    def job(self, name: str) -> Any:
        """Return how far a job has come."""
        return self.get(f"/api/v1/dlq/replays/{name}")


def serve(line: Pipeline, *flags: str, token: str = "", **extra: str) -> Served:
    """Start a server and return it once it serves."""
    role = line.start("-m", "kafka_orders", "serve", "--port", "0", *flags, **extra)
    said = role.says("shows the pipeline", within=60)
    found = re.search(r"(http://[^\s/]+)/ shows", said)
    assert found is not None
    return Served(role, found[1], token)
