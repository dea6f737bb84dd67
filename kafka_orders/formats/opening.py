"""The codec of a pipeline, from its settings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.secrets import refuse_readable_registry
from kafka_orders.domain.settings import Settings
from kafka_orders.formats.base import KINDS, Encode, Format, Kind
from kafka_orders.formats.choice import contract_format, open_format
from kafka_orders.formats.codec import Codec
from kafka_orders.formats.framing import Naming
from kafka_orders.formats.registry import SchemaRegistry


def codec_of(settings: Settings, own: Format | None = None, encode: Encode | None = None) -> Codec:
    """Return how a pipeline's values are read and written; no registry is asked yet.

    Args:
        settings: name schemas, format and registry.
        own: the format of a program that brings its schema, where the settings name none.
        encode: what writes in place of the format.

    Raises:
        SettingsError: a schema cannot be used, or two are of one format.
    """
    chosen, formats = _chosen(settings, own)
    registry = registry_of(settings)
    frames = (registry, naming_of(settings)) if registry else None
    says_always = settings.content_type == "always"
    in_header = settings.schema_id_in == "header"
    return Codec(chosen, formats or None, frames, says_always=says_always, in_header=in_header, encode=encode)


def own_format(settings: Settings) -> Format:
    """Return the format of records that tell nothing, without a registry's client.

    Raises:
        SettingsError: a schema cannot be used, or two are of one format.
    """
    return _chosen(settings, None)[0]


def all_formats(settings: Settings) -> Mapping[Kind, Format]:
    """Return the formats of all schemas that the settings name; where they name none, those of the order contract.

    Raises:
        SettingsError: a schema cannot be used, two are of one format, or packages are missing.
    """
    if settings.schema:
        return _named(settings.schema.split(","), "")
    return {kind: contract_format(kind) for kind in KINDS}


def _chosen(settings: Settings, own: Format | None) -> tuple[Format, Mapping[Kind, Format]]:
    """Return the format of records that tell nothing, and those that are named; none: the order contract's."""
    formats: Mapping[Kind, Format] = {own.kind: own} if own else {}
    if settings.schema:
        formats = _named(settings.schema.split(","), settings.format)
    kind: Kind = cast("Kind", settings.format) if settings.format else next(iter(formats), "avro")
    if formats and kind not in formats:
        raise SettingsError(f"format = {kind!r}, and no schema for it: there is one for {', '.join(formats)}")
    return formats[kind] if formats else contract_format(kind), formats


def registry_of(settings: Settings) -> SchemaRegistry | None:
    """Return the schema registry that the settings name; None where they name none.

    Raises:
        SettingsError: its properties cannot be used.
        RefusedError: the login would go readable over the network.
    """
    refuse_readable_registry(settings)
    return SchemaRegistry(settings.registry_url, settings.registry) if settings.registry_url else None


def naming_of(settings: Settings) -> Naming:
    """Return how subjects of the orders topic are named."""
    return Naming(settings.topic, settings.subject_strategy, frozenset(settings.subjects))


def order_codec() -> Codec:
    """Return the codec of the order contract: raw Avro, and by content type its other formats."""
    return Codec(contract_format("avro"))


def _named(files: Sequence[str], kind: str) -> Mapping[Kind, Format]:
    found: dict[Kind, Format] = {}
    for file in files:
        made = open_format(file.strip(), kind if len(files) == 1 else "")
        if found.setdefault(made.kind, made) is not made:
            raise SettingsError(f"schema = {file!r} is a second one for {made.kind}; name one for each format")
    return found
