"""Secrets in settings: refused where they would go readable, masked where settings are shown."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from kafka_orders.domain.errors import RefusedError
from kafka_orders.domain.settings import DECLARED, PROPERTIES, Settings, env_name, is_secret


def refuse_readable_secret(settings: Settings) -> None:
    """Refuse a login that sends its password or token as it is over a connection that anyone may listen to.

    Raises:
        RefusedError: it is not allowed by ``plain_without_tls``.
    """
    told = {name: value.upper() for name, value in settings.kafka.items()}
    mechanisms = {told.get("sasl.mechanism"), told.get("sasl.mechanisms")} & {"PLAIN", "OAUTHBEARER"}
    readable = told.get("security.protocol") == "SASL_PLAINTEXT" and settings.plain_without_tls == "refuse"
    if mechanisms and readable:
        raise RefusedError(
            f"SASL {mechanisms.pop()} without TLS sends its secret readable over the network; nothing was sent."
            " Set security.protocol=SASL_SSL or a SCRAM mechanism in KAFKA_ORDERS_KAFKA, or allow it with"
            f" {env_name('plain_without_tls')}=allow"
        )


def refuse_readable_registry(settings: Settings) -> None:
    """Refuse a registry's login in its address, or over a connection that anyone may listen to.

    Raises:
        RefusedError: it is not allowed by ``plain_without_tls``.
    """
    addresses = [urlsplit(one.strip()) for one in settings.registry_url.split(",")]
    if any(one.password or one.username for one in addresses):
        raise RefusedError(
            "registry_url holds a login, which is shown wherever the address is; nothing was sent. Put it into"
            f" {env_name('registry')} as basic.auth.user.info=name:password"
        )
    near = ("localhost", "127.0.0.1", "::1")
    is_far = any(one.scheme == "http" and one.hostname not in near for one in addresses)
    if logs_in(settings) and is_far and settings.plain_without_tls == "refuse":
        raise RefusedError(
            "the schema registry's login would go readable over the network; nothing was sent. Use https, or allow"
            f" it with {env_name('plain_without_tls')}=allow"
        )


def logs_in(settings: Settings) -> bool:
    """Say whether the schema registry is told a login."""
    return any(name.startswith(("basic.auth.", "bearer.auth.")) for name in settings.registry)


def redacted(settings: Settings) -> dict[str, Any]:
    """Return all settings for people to read, secrets masked."""
    shown: dict[str, Any] = {name: getattr(settings, name) for name in DECLARED}
    for name, value in shown.items():
        if name in PROPERTIES:
            shown[name] = {key: "********" if is_secret(key) else told for key, told in value.items()}
        elif isinstance(value, tuple):
            shown[name] = list(value)
    return shown
