"""The API does what its description says, whatever it is sent: schemathesis, against a real server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.deadletters import die
from tests.support.pipeline import Pipeline
from tests.support.serving import serve

pytestmark = pytest.mark.broker

TOKEN = "a-token-of-many-letters"
#: Letters that are there, so that more than refusals is seen.
_REAL = """
[parameters]
"path.topic" = "{topic}"
"path.partition" = [0, 1, 2, 3]
"path.offset" = [0, 1, 2]
"""


@pytest.mark.slow
def test_schemathesis_finds_nothing(line: Pipeline, tmp_path: Path) -> None:
    """No 5xx, no answer that is not described, no request that is not valid and taken all the same."""
    die(line, 20)
    tokens = tmp_path / "tokens"
    tokens.write_text(TOKEN)
    served = serve(line, "--token-file", str(tokens), token=TOKEN)
    checks = (
        "not_a_server_error", "status_code_conformance", "content_type_conformance",
        "response_schema_conformance", "response_headers_conformance",
    )  # fmt: skip
    (tmp_path / "schemathesis.toml").write_text(_REAL.format(topic=line.settings().dlq_topic))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("schemathesis")), "run", f"{served.url}/openapi.json",
         "-H", f"Authorization: Bearer {TOKEN}", "--checks", ",".join(checks), "--exclude-path", "/api/v1/events",
         "--phases", "examples,coverage,fuzzing", "--max-examples", "15", "--seed", "7", "--workers", "2",
         "--no-color"],
        cwd=tmp_path, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    found = done.stdout.partition("= FAILURES =")
    assert done.returncode == 0, (found[2] or found[0])[:12_000] + done.stderr[-2000:]
    assert served.ask("GET", "/health/ready").status_code == 200
