"""Fingerprints: equal for one bug, different for two, whatever record, line or machine."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kafka_orders.domain.fingerprint import describe, fingerprint, location, mask


def raised(source: str, file: str, *, error: str = "ValueError('no stock of 17')") -> BaseException:
    """Return the error that a handler in ``file`` raises."""
    space: dict = {}
    exec(compile(source.format(error=error), file, "exec"), space)
    try:
        space["handler"]()
    except Exception as caught:
        return caught
    raise AssertionError


PLAIN = "def handler():\n    raise {error}\n"
LATER = "# a comment\n\n\n" + PLAIN
NESTED = "def deep():\n    raise {error}\ndef handler():\n    deep()\n"


def test_lines_and_folders_do_not_tell_failures_apart() -> None:
    """An edit above it, or another machine, leaves a bug the same."""
    here = describe(raised(PLAIN, "/home/ann/shop.py"), "process")
    assert describe(raised(LATER, "/srv/app/shop.py"), "process").fingerprint == here.fingerprint
    assert describe(raised(PLAIN, "/srv/app/other.py"), "process").fingerprint != here.fingerprint


def test_the_place_is_where_it_was_raised() -> None:
    """The deepest function, not the handler that called it; nowhere for an error never raised."""
    assert location(raised(PLAIN, "/x/shop.py")) == "shop.py:handler"
    assert location(raised(NESTED, "/x/shop.py")) == "shop.py:deep"
    assert location(ValueError()) == ""


@pytest.mark.parametrize("error", ["KeyError('no stock of 17')", "ValueError('no shop of 17')"])
def test_another_class_or_message_is_another_failure(error) -> None:
    """At the same place."""
    one, two = raised(PLAIN, "/x/shop.py"), raised(PLAIN, "/x/shop.py", error=error)
    assert describe(one, "process").fingerprint != describe(two, "process").fingerprint


@given(st.integers(min_value=0), st.integers(min_value=0), st.uuids(), st.uuids())
def test_numbers_and_ids_do_not_tell_failures_apart(one, two, this, that) -> None:
    """Any count, any UUID."""
    assert fingerprint("k", "w", f"{one} of {this}: no") == fingerprint("k", "w", f"{two} of {that}: no")


@given(st.text(), st.text())
def test_quoted_texts_do_not_tell_failures_apart(one, two) -> None:
    """What a message quotes is the record's, not the bug's."""
    one, two = (re.sub("[\"']", "", text) for text in (one, two))
    assert mask(f"no '{one}' here") == mask(f"no '{two}' here") == "no # here"
    assert mask(f'no "{one}" here') == "no # here"


@given(st.text(), st.text(), st.text())
def test_a_fingerprint_is_always_16_hex_digits(kind, where, message) -> None:
    """Whatever it is made of."""
    assert re.fullmatch("[0-9a-f]{16}", fingerprint(kind, where, message))


def test_the_parts_of_a_fingerprint_do_not_run_together() -> None:
    """Class, place and message are told apart, and half a surrogate pair is no obstacle."""
    assert fingerprint("ab", "c", "d") != fingerprint("a", "bc", "d")
    assert fingerprint("a", "bc", "d") != fingerprint("a", "b", "cd")
    assert len(fingerprint("a", "b", "\ud800")) == 16


def test_given_words_replace_the_errors_own() -> None:
    """Class and place stay the error's; an empty text is told by the class."""
    error = raised(PLAIN, "/x/shop.py")
    told = describe(error, "validate", "edited")
    assert (told.message, told.fqcn, told.stage) == ("edited", "builtins.ValueError", "validate")
    assert told.fingerprint == fingerprint("builtins.ValueError", "shop.py:handler", "edited")
    assert describe(error, "process", "").message == "builtins.ValueError"
    assert describe(error, "process", with_stack=False).stack == ""
    assert "no stock of 17" in describe(error, "process").stack
