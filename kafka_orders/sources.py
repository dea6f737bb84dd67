"""Reading settings: flags > environment > `.env` > `kafka-orders.toml` > defaults.

In the environment and `.env` a variable's name with ``_FILE`` behind it names a file that holds the value.
"""

from __future__ import annotations

import json
import os
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs
from dotenv import dotenv_values

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.settings import (
    DECLARED,
    PROPERTIES,
    FileContent,
    Layer,
    Settings,
    build,
    env_name,
    refuse_shared_topics,
)

TOML_NAME = "kafka-orders.toml"
DOTENV_NAME = ".env"
_FILE = "_file"


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
            Layer("environment", _environment(os.environ if environ is None else environ, DECLARED)),
            Layer(DOTENV_NAME, _dotenv(where / DOTENV_NAME)),
            Layer(
                TOML_NAME, _read(where / TOML_NAME, lambda path: tomllib.loads(path.read_text(encoding="utf-8")))
            ),
            Layer("program", defaults or {}),
        ]
    )
    refuse_shared_topics(settings, sources)
    return replace(settings, home=str(home_folder(settings.home))), sources


def as_environment(settings: Settings) -> dict[str, str]:
    """Return environment variables that give a child process the same settings; those naming files are empty."""
    told = {env_name(name + _FILE): "" for name in DECLARED if env_name(name + _FILE) in os.environ}
    for name in DECLARED:
        value = getattr(settings, name)
        if isinstance(value, tuple):
            value = ",".join(value)
        elif isinstance(value, Mapping):
            value = json.dumps(dict(value)) if value else ""  # a password may hold any character
        if value not in (None, ""):
            told[env_name(name)] = str(value)
    return told


def home_folder(configured: str = "") -> Path:
    """Return the folder for data, locks and downloads, absolute; it need not exist."""
    return Path(configured or platformdirs.user_data_dir("kafka-orders", appauthor=False)).expanduser().absolute()


def _environment(environ: Mapping[str, str], names: Iterable[str]) -> dict[str, Any]:
    # Only names we know: other programs and our tests keep theirs beside them.
    both = [spelt for name in names for spelt in (name, name + _FILE)]
    return _contents({name: environ[key] for name in both if environ.get(key := env_name(name))}, "environment")


def _contents(values: dict[str, Any], source: str) -> dict[str, Any]:
    """Put what a file holds in the place of its name; client properties stand there one a line, or as JSON."""
    for key in [one for one in values if one.removesuffix(_FILE) in DECLARED and one not in DECLARED]:
        name, path = key.removesuffix(_FILE), Path(values.pop(key)).expanduser()
        if name in values:
            raise SettingsError(f"{source}: {env_name(name)} and {env_name(key)} are both set; keep one")
        try:
            held = path.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", "it is not UTF-8 text")  # nothing of its content
            raise SettingsError(f"{source}: {env_name(key)}: {path} cannot be read ({why})") from None
        if held:  # empty is not set, as in the environment itself
            lines = name in PROPERTIES and not held.startswith("{")
            values[name] = held.splitlines() if lines else FileContent(held)
    return values


def _read(path: Path, parse: Callable[[Path], Mapping[str, Any]]) -> Mapping[str, Any]:
    if not path.is_file():
        return {}
    try:
        return parse(path)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read ({error})") from error


def _dotenv(path: Path) -> dict[str, Any]:
    prefix = env_name("")
    ours = {
        key.removeprefix(prefix).lower(): value
        for key, value in _read(path, dotenv_values).items()
        if value and key.startswith(prefix) and not key.startswith(prefix + "TEST_")
    }
    return _contents(ours, DOTENV_NAME)


def from_environment(name: str) -> Any:
    """Return one setting from the environment or its default; reads no settings file, so it may run at import.

    Raises:
        SettingsError: the variable holds an impossible value.
    """
    return getattr(build([Layer("environment", _environment(os.environ, [name]))])[0], name)
