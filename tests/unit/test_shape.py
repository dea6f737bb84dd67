"""The shape of the project: sizes, the example app, what an import may do."""

import ast
import io
import os
import subprocess
import sys
import tokenize
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
MODULES = sorted((ROOT / "kafka_orders").rglob("*.py"))
APP = ["avro_utils.py", "producer/producer.py", "consumer/main_consumer.py", "retry/retry_consumer.py",
       "dlq/dlq_consumer.py"]  # fmt: skip


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return (node.end_lineno or 0) - body[0].lineno + 1 if body else 0


def code_lines(text: str) -> int:
    """Lines with code: no docstrings, comments and blanks."""
    docs = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if ast.get_docstring(node) is not None and first is not None:
                docs.update(range(first.lineno, (first.end_lineno or 0) + 1))
    skip = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    lines = set()
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type not in skip:
            lines.update(range(token.start[0], token.end[0] + 1))
    return len(lines - docs)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_modules_and_functions_stay_small(path: Path) -> None:
    """300 lines a module, 40 a function."""
    text = path.read_text()
    assert text.count("\n") <= 300
    long = [node.name for node in ast.walk(ast.parse(text))
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and body_lines(node) > 40]  # fmt: skip
    assert long == []


def test_the_package_pays_its_rent() -> None:
    """Under 15,900 lines of code (DESIGN.md, "Where this differs from the first design")."""
    assert 1000 < sum(code_lines(path.read_text()) for path in MODULES) < 15_900


@pytest.mark.parametrize("name", APP)
def test_the_example_app_is_read_in_a_minute(name: str) -> None:
    """Each module under 60 lines."""
    assert len((ROOT / name).read_text().splitlines()) < 60


def test_the_contract_stands_twice_the_same() -> None:
    """avro/order.avsc and the packaged copy, byte for byte."""
    assert (ROOT / "avro/order.avsc").read_bytes() == (ROOT / "kafka_orders/schemas/order.avsc").read_bytes()


def test_importing_the_app_does_nothing(tmp_path: Path) -> None:
    """No client, no file from the working directory, even where .env and TOML there are broken."""
    (tmp_path / ".env").write_bytes(b"\xff\xfe\x00")
    (tmp_path / "kafka-orders.toml").write_text("= broken")
    program = """
import sys
opened = []
def heard(name, args):
    if name == "open" and not isinstance(args[0], int):
        opened.append(str(args[0]))
sys.addaudithook(heard)
import confluent_kafka
made = []
class Watched:
    def __init__(self, *a, **k): made.append(self)
import confluent_kafka.admin, confluent_kafka.cimpl
for where in confluent_kafka, confluent_kafka.cimpl:
    where.Consumer = where.Producer = Watched
confluent_kafka.admin.AdminClient = Watched
import avro_utils, producer.producer, consumer.main_consumer, retry.retry_consumer, dlq.dlq_consumer
assert made == [], made
import pathlib
here = [name for name in opened if name.startswith(sys.argv[1]) or not pathlib.Path(name).is_absolute()]
assert here == [], here
assert retry.retry_consumer.MAX_RETRIES == 3
assert retry.retry_consumer.get_retry_count([("retryCount", b"2")]) == 2
"""
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env.pop("KAFKA_ORDERS_MAX_RETRIES", None)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=tmp_path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


COUNTED = '''"""Doc
of two lines."""

# a comment
def f(
    a,
):
    """Doc."""
    b = 1  # why

    return """x
y"""
'''


def test_lines_are_counted_as_promised() -> None:
    """Docstrings, comments and blanks are free; every line of a statement counts."""
    function = ast.parse(COUNTED).body[1]
    assert isinstance(function, ast.FunctionDef)
    assert (code_lines(COUNTED), body_lines(function)) == (6, 4)
