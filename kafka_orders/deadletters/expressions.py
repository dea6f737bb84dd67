"""`--set field=expression` over a decoded order, by simpleeval: no attributes, no powers, a few functions.

A dotted path is a field of a record inside the order, and nothing else: no attribute of any object is looked at.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from decimal import Decimal
from typing import Any, NamedTuple

from simpleeval import DEFAULT_OPERATORS, NameNotDefined, SimpleEval

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.order import field_of, placed
from kafka_orders.formats.base import exact

#: A power of two numbers can take all memory there is; nobody repairs an order with one, or with bits.
_REFUSED = (ast.Pow, ast.LShift, ast.RShift, ast.BitXor, ast.BitAnd, ast.BitOr, ast.Invert)


def _mixed(does: Callable[..., Any]) -> Callable[..., Any]:
    """Beside a decimal number, a float is the number that it is written as: 1.1 is not 1.10000000000000009."""

    def both(*values: Any) -> Any:
        is_exact = any(isinstance(one, Decimal) for one in values)
        return does(*(exact(one) if is_exact and isinstance(one, float) else one for one in values))

    return both


_OPERATORS = {kind: _mixed(does) for kind, does in DEFAULT_OPERATORS.items() if kind not in _REFUSED}


def _rest(left: Any, right: Any) -> Any:
    """Of numbers only: with a text, % formats it, and '%200000000d' is as long as that."""
    if not all(isinstance(one, int | float | Decimal) for one in (left, right)):
        raise TypeError("% is for numbers")
    return left % right


def _whole(number: Any) -> int:
    return int(exact(number) if isinstance(number, Decimal) else number)  # of 1E999999999 it would take all memory


def _rounded(number: float, digits: int | None = None) -> float:
    """To 20 digits at most: rounding to 30,000,000 takes a minute."""
    return _whole(round(number, 0)) if digits is None else round(number, max(-20, min(20, digits)))


_OPERATORS[ast.Mod] = _mixed(_rest)
_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "abs": abs, "round": _rounded, "min": min, "max": max, "int": _whole, "float": float, "str": str, "len": len,
    "upper": lambda text: str(text).upper(),
    "lower": lambda text: str(text).lower(),
    "strip": lambda text: str(text).strip(),
    "replace": lambda text, old, new: str(text).replace(str(old), str(new)),
}  # fmt: skip
#: Longest expression, and longest text that one may make of an order's field.
_LONGEST = 1_000
_MOST_TEXT = 100_000


class Assignment(NamedTuple):
    """A field and the expression of its new value."""

    field: str
    expression: str


def parse(text: str, fields: Collection[str]) -> Assignment:
    """Return the assignment of ``field=expression``.

    Raises:
        SettingsError: it is none, or an order has no such field.
    """
    field, equals, expression = (part.strip() for part in text.partition("="))
    if not equals or not field or not expression:
        raise SettingsError(f"--set {text!r} is not field=expression, as in --set 'price=abs(price)'")
    if field not in fields:
        raise SettingsError(f"--set {text!r}: an order has no field {field}, it has {', '.join(fields)}")
    if len(expression) > _LONGEST:
        raise SettingsError(f"--set {field}=...: longer than {_LONGEST} characters")
    return Assignment(field, expression)


def applied(assignments: Sequence[Assignment], order: Mapping[str, Any]) -> dict[str, Any]:
    """Return the order with its new values; each expression sees the order as it was.

    What is no expression (`Green Tea`), or one word that no field has (`Tea`), stands for itself as text.

    Raises:
        ValueError: an expression cannot be evaluated for this order; the message says which.
    """
    after: Mapping[str, Any] = order
    for one in assignments:
        after = placed(after, one.field, _value(one, order))
    return dict(after)


def _value(one: Assignment, order: Mapping[str, Any]) -> Any:
    evaluator = SimpleEval(operators=_OPERATORS, functions=_FUNCTIONS, names=dict(order), allowed_attrs={})
    evaluator.nodes[ast.Attribute] = lambda node: _field(order, ast.unparse(node))
    try:
        tree = ast.parse(one.expression, mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return one.expression
    if isinstance(tree.body, ast.Name) and tree.body.id not in order:
        return one.expression
    try:
        value = _as_before(evaluator.eval(one.expression), order, one.field)
    except NameNotDefined as error:
        raise ValueError(f"{one.field}={one.expression}: an order has no field {error.name}") from None
    except Exception as error:  # whatever an expression makes of a stranger's order
        raise ValueError(f"{one.field}={one.expression}: {error}") from None
    if isinstance(value, str) and len(value) > _MOST_TEXT:
        raise ValueError(f"{one.field}={one.expression}: the text is too long")
    return value


def _field(order: Mapping[str, Any], path: str) -> Any:
    try:
        return field_of(order, path)
    except KeyError:
        raise NameNotDefined(path, path) from None


def _as_before(value: Any, order: Mapping[str, Any], field: str) -> Any:
    """Return a whole or a decimal number where one stood before: `quantity * 1.5` may be whole, too."""
    try:
        before = field_of(order, field)
    except KeyError:
        return value
    if isinstance(before, Decimal) and isinstance(value, int | float | str):
        return exact(value)
    is_whole = isinstance(value, float) and value.is_integer()
    return int(value) if is_whole and type(before) is int else value
