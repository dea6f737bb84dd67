"""The public names as Markdown, from their source: signatures as they stand there, docstrings under them."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Callable
from importlib import import_module

import kafka_orders
import kafka_orders.testing


def api() -> str:
    """Return the page of the Python API."""
    text = "# Python API\n\nWhat is not here is not public: it may change with any version.\n"
    for module in (kafka_orders, kafka_orders.testing):
        text += f"\n## {module.__name__}\n\n{markdown(module.__doc__ or '')}\n"
        for name in sorted(module.__all__):
            found = getattr(module, name)
            text += f"\n### {name}\n\n" + _told(found, name)
    return text


def _told(found: type | Callable[..., object], name: str) -> str:
    tree = ast.parse(inspect.getsource(import_module(found.__module__)))
    node = next(one for one in tree.body if getattr(one, "name", "") == name)
    if isinstance(node, ast.FunctionDef):
        return _function(node, node.name)
    if not isinstance(node, ast.ClassDef):
        raise TypeError(f"{name} is neither a function nor a class")
    text = markdown(ast.get_docstring(node) or "") + "\n"
    if found is kafka_orders.Settings:
        return text + "\nIts fields are the [settings](settings.md), by their TOML names.\n"
    fields = [_code(one) for one in node.body if isinstance(one, ast.AnnAssign)]
    text += "\n```python\n" + "\n".join(fields) + "\n```\n" if fields else ""
    for one in node.body:
        if isinstance(one, ast.FunctionDef) and (one.name == "__init__" or not one.name.startswith("_")):
            is_property = any(_code(mark) == "property" for mark in one.decorator_list)
            title = node.name if one.name == "__init__" else f"{node.name}.{one.name}"
            text += "\n" + _function(one, title, is_property=is_property)
    return text


def _function(node: ast.FunctionDef, title: str, *, is_property: bool = False) -> str:
    told = markdown(ast.get_docstring(node) or "")
    returns = f" -> {_code(node.returns)}" if node.returns and node.name != "__init__" else ""
    if is_property:
        return f"```python\n{title}{returns.replace(' ->', ':')}\n```\n\n{told}\n"
    taken = node.args
    given = [None] * (len(taken.args) - len(taken.defaults)) + [*map(_code, taken.defaults)]
    parts = [_argument(one, value) for one, value in zip(taken.args, given, strict=True) if one.arg != "self"]
    parts += ["*"] if taken.kwonlyargs else []
    named = zip(taken.kwonlyargs, taken.kw_defaults, strict=True)
    parts += [_argument(one, value and _code(value)) for one, value in named]
    line = f"{title}({', '.join(parts)}){returns}"
    if len(line) > 100:
        line = f"{title}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"
    return f"```python\n{line}\n```\n\n{told}\n"


def _argument(argument: ast.arg, value: str | None) -> str:
    kind = f": {_code(argument.annotation)}" if argument.annotation else ""
    return argument.arg + kind + (f" = {value}" if value else "")


def _code(node: ast.AST) -> str:
    return ast.unparse(node).replace("'", '"')  # as the formatter would have it


def markdown(docstring: str) -> str:
    """Return a docstring as Markdown: its roles are code, its sections lists, its examples fenced."""
    text = (
        re.sub(r":\w+:`~?[\w.]*?(\w+)`", r"`\1`", inspect.cleandoc(docstring))
        .replace("``", "`")
        .replace("\b\n", "")
    )
    text = re.sub(r"(?m)(^(?:>>>|\.\.\. ).*(?:\n(?!\n).*)*)", r"```python\n\1\n```", text)
    text = re.sub(r"(?m)^(Args|Raises|Examples):$", r"\n\1:\n", text)
    text = re.sub(r"(?m)^  (kafka-orders .*)$", r"- `\1`", text)
    return re.sub(r"(?m)^ {8}", "  ", re.sub(r"(?m)^ {4}(\w+): ", r"- `\1`: ", text))
