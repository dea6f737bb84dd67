"""Programs beside Python that some tests need: skipped without them on a laptop, failed where CI=true."""

from __future__ import annotations

import os
import shutil

import pytest

BROWSERS = ("chromium", "google-chrome", "google-chrome-stable", "chromium-browser")


def program(*names: str) -> str:
    """Return the path of the first of these programs that is there."""
    given = os.environ.get("KAFKA_ORDERS_TEST_BROWSER") if names == BROWSERS else None
    found = given or next(filter(None, map(shutil.which, names)), None)
    if found is None:
        said = f"none of {', '.join(names)} is installed; tools/programs.py installs it where CI=true"
        if os.environ.get("CI") == "true":
            pytest.fail(said)
        pytest.skip(said)
    return found
