"""A schema registry, by confluent-kafka's client: schemas by id, registration, and what its answers mean.

What it is sure of (an id that it does not know) is a record's own fault. Everything else that keeps it from
answering (down, overloaded, a wrong password, an answer that is none) is an outage: records wait for its end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from kafka_orders.domain.errors import NotFoundError, OutageError, RefusedError, SettingsError
from kafka_orders.formats.base import Kind

if TYPE_CHECKING:
    from confluent_kafka.schema_registry import Schema

#: Seconds for one answer; its client would wait for ever.
ANSWER_SECONDS = 5.0
#: What the registry calls the formats.
TYPES: Mapping[Kind, str] = {"avro": "AVRO", "json": "JSON", "protobuf": "PROTOBUF"}
_KINDS = {told: kind for kind, told in TYPES.items()}
_NUMBERS = (
    "timeout",
    "max.retries",
    "retries.wait.ms",
    "retries.max.wait.ms",
    "cache.capacity",
    "cache.latest.ttl.sec",
)
#: HTTP codes by which it says that a schema is not taken: incompatible, or no schema.
_NOT_TAKEN = (409, 422)

T = TypeVar("T")


class Registered(NamedTuple):
    """A schema of the registry, the subjects it is registered under, and texts of what it imports, by name."""

    kind: Kind
    text: str
    subjects: frozenset[str]
    imports: Mapping[str, str]


class SchemaRegistry:
    """Asks a registry with Confluent's API; answers about ids, which never change, are kept."""

    def __init__(self, url: str, properties: Mapping[str, str] | None = None) -> None:
        """Describe the registry; nothing is asked yet.

        Args:
            url: its address; several, by commas, are tried in turn.
            properties: more of the client's properties, as in ``basic.auth.user.info``.

        Raises:
            SettingsError: a property cannot be used, or the client's packages are not there.
        """
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415  an extra
        except ImportError as error:
            raise SettingsError(
                f"a schema registry needs {error.name}: pip install 'kafka-orders[registry]'"
            ) from error
        logging.getLogger("httpx").setLevel(logging.WARNING)  # a line for each request is not for our readers
        self.url = url
        told: dict[str, Any] = {
            "timeout": ANSWER_SECONDS,
            "max.retries": 1,
            "retries.wait.ms": 100,
            **(properties or {}),
        }
        try:
            told |= {name: float(told[name]) for name in _NUMBERS if name in told}
            self._client: Any = SchemaRegistryClient({"url": url, **told})
        except Exception as error:  # whatever it raises; a password may stand in the text
            raise SettingsError(f"the registry's properties cannot be used ({type(error).__name__})") from None

    def by_id(self, schema_id: int) -> Registered:
        """Return a schema.

        Raises:
            NotFoundError: there is none of this id, or it is of no kind that is read here.
            OutageError: the registry does not answer.
        """
        found = self._ask(lambda: self._client.get_schema(schema_id), f"schema id {schema_id}")
        subjects = self._ask(lambda: self._client.get_subjects_by_schema_id(schema_id), f"schema id {schema_id}")
        return self._told(found, subjects, f"schema id {schema_id}")

    def by_guid(self, guid: str, subjects: frozenset[str]) -> Registered:
        """Return a schema by its global id, which is the one that records' headers tell.

        Raises:
            NotFoundError: there is none of this id in any of ``subjects``.
            OutageError: the registry does not answer.
        """
        found = self._ask(lambda: self._client.get_schema_by_guid(guid), f"schema {guid}")
        held = frozenset(one for one in subjects if self._holds(one, found))
        return self._told(found, held, f"schema {guid}")

    def id_of(self, subject: str, kind: Kind, text: str, *, register: bool = True) -> int:
        """Return the id of a schema under a subject, having registered it where that is missing.

        Raises:
            NotFoundError: it is missing, and not to be registered.
            RefusedError: the registry does not take it.
            OutageError: the registry does not answer.
        """
        schema = self._schema(kind, text)
        try:
            return int(self._ask(lambda: self._client.lookup_schema(subject, schema), subject).schema_id)
        except NotFoundError:
            if not register:
                raise
        return int(self._ask(lambda: self._client.register_schema(subject, schema), subject))

    def versions(self, subject: str) -> list[tuple[int, Registered]]:
        """Return number and schema of each version of a subject; none where it does not exist.

        Raises:
            OutageError: the registry does not answer.
        """
        try:
            numbers = self._ask(lambda: self._client.get_versions(subject), subject)
        except NotFoundError:
            return []
        found = [self._ask(partial(self._client.get_version, subject, at), subject) for at in numbers]
        return [(one.version, self._told(one.schema, [subject], subject)) for one in found]

    def takes(self, subject: str, kind: Kind, text: str) -> bool:
        """Say whether the registry would take a schema as a subject's next version, by the subject's own rule.

        Raises:
            OutageError: the registry does not answer.
        """
        schema = self._schema(kind, text)
        try:
            return bool(self._ask(lambda: self._client.test_compatibility(subject, schema), subject))
        except NotFoundError:  # it has no version yet
            return True

    def _holds(self, subject: str, schema: Schema) -> bool:
        try:
            return bool(self._ask(lambda: self._client.lookup_schema(subject, schema), subject))
        except NotFoundError:
            return False

    def _told(self, schema: Schema, subjects: Any, name: str) -> Registered:
        kind = _KINDS.get(schema.schema_type or "AVRO")
        if kind is None or schema.schema_str is None:
            raise NotFoundError(f"{name} is of type {schema.schema_type}, which is not read here")
        imports = {str(one.name): self._referenced(one) for one in schema.references or ()}
        return Registered(kind, schema.schema_str, frozenset(subjects), imports)

    def _referenced(self, reference: Any) -> str:
        found = self._ask(
            lambda: self._client.get_version(reference.subject, reference.version), str(reference.name)
        )
        return str(found.schema.schema_str)

    @staticmethod
    def _schema(kind: Kind, text: str) -> Schema:
        from confluent_kafka.schema_registry import Schema  # noqa: PLC0415  an extra

        return Schema(text, TYPES[kind])

    def _ask(self, question: Callable[[], T], about: str) -> T:
        from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415  an extra

        try:
            return question()
        except SchemaRegistryError as error:
            if error.http_status_code == 404:
                raise NotFoundError(f"{about} is not in the schema registry") from error
            if error.http_status_code in _NOT_TAKEN:
                raise RefusedError(
                    f"the schema registry does not take it for {about}: {error.error_message}"
                ) from None
            why = f"HTTP {error.http_status_code}: {error.error_message}"
        except Exception as error:  # no connection, a timeout, an answer that is no JSON: of many classes
            why = f"{type(error).__name__}: {error}"
        raise OutageError(f"the schema registry at {self.url} does not answer ({why:.300}); no order was touched")
