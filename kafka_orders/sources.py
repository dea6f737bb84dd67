"""Reading settings: flags > environment > `.env` > `kafka-orders.toml` > defaults."""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs
from dotenv import dotenv_values

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import DECLARED, ENV_PREFIX, Layer, Settings, build, refuse_shared_topics

TOML_NAME = "kafka-orders.toml"
DOTENV_NAME = ".env"


def load(
    flags: Mapping[str, Any] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> Settings:
    """Return the settings of this process; ``folder`` (default: the working directory) holds the files.

    Raises:
        SettingsError: a source cannot be read, or holds an unknown name or an impossible value.
    """
    return load_with_sources(flags, defaults=defaults, environ=environ, folder=folder)[0]


def load_with_sources(
    flags: Mapping[str, Any] | None = None,
    *,
    defaults: Mapping[str, Any] | None = None,
    environ: Mapping[str, str] | None = None,
    folder: Path | None = None,
) -> tuple[Settings, dict[str, str]]:
    """Return the settings and where each that is set comes from."""
    where = folder or Path.cwd()
    settings, sources = build(
        [
            Layer("command line", {key: value for key, value in (flags or {}).items() if value is not None}),
            Layer("environment", _environment(os.environ if environ is None else environ)),
            Layer(DOTENV_NAME, _dotenv(where / DOTENV_NAME)),
            Layer(TOML_NAME, _toml(where / TOML_NAME)),
            Layer("program", defaults or {}),
        ]
    )
    refuse_shared_topics(settings, sources)
    return replace(settings, home=str(home_folder(settings.home))), sources


def as_environment(settings: Settings) -> dict[str, str]:
    """Return environment variables that give a child process the same settings."""
    told: dict[str, str] = {}
    for name in DECLARED:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            value = ",".join(value)
        elif isinstance(value, Mapping):
            value = json.dumps(dict(value)) if value else ""  # a password may hold any character
        if value not in (None, ""):
            told[ENV_PREFIX + name.upper()] = str(value)
    return told


def home_folder(configured: str = "") -> Path:
    """Return the folder for data, locks and downloads, absolute; it need not exist."""
    return Path(configured or platformdirs.user_data_dir("kafka-orders", appauthor=False)).expanduser().absolute()


def _environment(environ: Mapping[str, str]) -> dict[str, str]:
    # Only names we know: other programs and our tests keep theirs beside them.
    return {name: environ[key] for name in DECLARED if environ.get(key := ENV_PREFIX + name.upper())}


def _dotenv(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    try:
        held = dotenv_values(path)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from error
    return {
        key.removeprefix(ENV_PREFIX).lower(): value
        for key, value in held.items()
        if value and key.startswith(ENV_PREFIX) and not key.startswith(ENV_PREFIX + "TEST_")
    }


def _toml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from error


def from_environment(name: str) -> Any:
    """Return one setting from the environment or its default; reads no file, so it may run at import.

    Raises:
        SettingsError: the variable holds an impossible value.
    """
    return getattr(build([Layer("environment", _environment(os.environ))])[0], name)
