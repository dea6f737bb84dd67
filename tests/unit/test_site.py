"""What is served to whom: addresses, and files of tokens."""

from __future__ import annotations

from pathlib import Path

import pytest

from kafka_orders.cli.serve import read_tokens
from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import Settings
from kafka_orders.web.server import Site

TOKEN = "a-token-of-many-letters"


@pytest.mark.parametrize("host", ["fd00::1", "FD00::1"])
def test_a_server_on_another_address_answers_to_it(host: str) -> None:
    """As a Host header has it: in brackets."""
    site = Site(Settings(), None, host)  # type: ignore[arg-type]
    assert site.doorman().refuses("http", "GET", "/", {"host": "[fd00::1]:8090"}) is None
    assert site.doorman().refuses("http", "GET", "/", {"host": "[fd00::2]:8090"})


def test_hosts_that_need_a_token() -> None:
    for host in ("0.0.0.0", "::", "", "192.0.2.1", "orders.example"):
        with pytest.raises(SettingsError, match="--token-file"):
            Site(Settings(), None, host).check()  # type: ignore[arg-type]
        Site(Settings(), None, host, tokens={"alice": TOKEN}).check()  # type: ignore[arg-type]
    for host in ("127.0.0.1", "::1", "localhost"):
        Site(Settings(), None, host).check()  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "said"),
    [(b"", "16 or more"), (b"short", "16 or more"), (b"alice:short", "16 or more"),
     (b"\xff\xfe\x00", "16 or more"),
     (b"alice:a-token;of-many-letters", "16 or more"), (f"alice:{TOKEN}\nbob:short".encode(), "16 or more"),
     (f"alice:{TOKEN}\nalice:{TOKEN}2".encode(), "of its own"), (f":{TOKEN}".encode(), "of its own"),
     (f"{TOKEN}\n{TOKEN}2".encode(), "of its own")],
)  # fmt: skip
def test_a_token_file_that_would_let_anyone_in_or_someone_out(tmp_path: Path, text: bytes, said: str) -> None:
    file = tmp_path / "tokens"
    file.write_bytes(text)
    with pytest.raises(SettingsError, match=said) as refusal:
        read_tokens(file)
    assert TOKEN not in str(refusal.value)


def test_token_files(tmp_path: Path) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"alice:{TOKEN}\n\n  bob:{TOKEN}2\n{TOKEN}3\n")
    assert read_tokens(file) == {"alice": TOKEN, "bob": f"{TOKEN}2", "operator": f"{TOKEN}3"}
