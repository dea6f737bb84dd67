"""A schema registry, by confluent-kafka's client: schemas by id, registration, and what its answers mean.

What it is sure of (an id that it does not know) is a record's own fault. Everything else that keeps it from
answering (down, overloaded, a wrong password, an answer that is none) is an outage: records wait for its end.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
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
#: Who asks waits anyway, and says so: its client need not try for half a minute.
_ONCE_MORE = {"max.retries": 1, "retries.wait.ms": 100, "retries.max.wait.ms": 200}
#: HTTP codes by which it says that a schema is not taken: incompatible, or no schema.
_NOT_TAKEN = (409, 422)
#: How a registry's own codes of what is not there begin: at a wrong address, too, everything is HTTP 404.
_NOT_FOUND = "404"

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
        told: dict[str, Any] = {"timeout": ANSWER_SECONDS, **_ONCE_MORE, **(properties or {})}
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
        name = f"schema id {schema_id}"

        def found() -> Registered:
            subjects = self._client.get_subjects_by_schema_id(schema_id)
            return self._told(self._client.get_schema(schema_id), subjects, name)

        return self._ask(found, name)

    def by_guid(self, guid: str, subjects: frozenset[str]) -> Registered:
        """Return a schema by its global id, which is the one that records' headers tell.

        Raises:
            NotFoundError: there is none of this id in any of ``subjects``.
            OutageError: the registry does not answer.
        """
        name = f"schema {guid}"

        def found() -> Registered:
            schema = self._client.get_schema_by_guid(guid)
            return self._told(schema, [one for one in subjects if self._holds(one, schema)], name)

        try:
            return self._ask(found, name)
        except OutageError:
            # Older registries have no such path: where they answer otherwise, this one id is what is wrong.
            self._ask(self._client.get_subjects, "subjects")
            raise NotFoundError(f"{name}: the schema registry knows no global ids") from None

    def id_of(self, subject: str, kind: Kind, text: str) -> int:
        """Return the id of a schema under a subject, having registered it where that is missing.

        Raises:
            RefusedError: the registry does not take it.
            OutageError: the registry does not answer.
        """
        schema = self._schema(kind, text)
        try:
            return self._ask(lambda: int(self._client.lookup_schema(subject, schema).schema_id), subject)
        except NotFoundError:
            return self._ask(lambda: int(self._client.register_schema(subject, schema)), subject)

    def versions(self, subject: str) -> list[tuple[int, Registered]]:
        """Return number and schema of each version of a subject; none where it does not exist.

        Raises:
            OutageError: the registry does not answer.
        """

        def found() -> list[tuple[int, Registered]]:
            held = [self._client.get_version(subject, number) for number in self._client.get_versions(subject)]
            return [(one.version, self._told(one.schema, [subject], subject)) for one in held]

        try:
            return self._ask(found, subject)
        except NotFoundError:
            return []

    def takes(self, subject: str, kind: Kind, text: str) -> bool:
        """Say whether the registry would take a schema as a subject's next version, by the subject's own rule.

        Raises:
            OutageError: the registry does not answer.
        """
        schema = self._schema(kind, text)
        try:
            return self._ask(lambda: bool(self._client.test_compatibility(subject, schema)), subject)
        except NotFoundError:  # it has no version yet
            return True

    def _holds(self, subject: str, schema: Schema) -> bool:
        try:
            return self._ask(lambda: bool(self._client.lookup_schema(subject, schema)), subject)
        except NotFoundError:
            return False

    def _told(self, schema: Schema, subjects: Iterable[str], name: str) -> Registered:
        kind = _KINDS.get(schema.schema_type or "AVRO")
        if kind is None:
            raise NotFoundError(f"{name} is of type {schema.schema_type}, which is not read here")
        imports = {str(one.name): self._referenced(one) for one in schema.references or ()}
        return Registered(kind, _text(schema), frozenset(subjects), imports)

    def _referenced(self, reference: Any) -> str:
        return _text(self._client.get_version(reference.subject, reference.version).schema)

    @staticmethod
    def _schema(kind: Kind, text: str) -> Schema:
        from confluent_kafka.schema_registry import Schema  # noqa: PLC0415  an extra

        return Schema(text, TYPES[kind])

    def _ask(self, question: Callable[[], T], about: str) -> T:
        from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415  an extra

        try:
            return question()
        except (NotFoundError, OutageError):
            raise
        except SchemaRegistryError as error:
            if error.http_status_code == 404 and str(error.error_code).startswith(_NOT_FOUND):
                raise NotFoundError(f"{about} is not in the schema registry") from error
            if error.http_status_code in _NOT_TAKEN:
                said = f"the schema registry does not take it for {about}: {error.error_message}"
                raise RefusedError(said) from None
            why = f"HTTP {error.http_status_code}: {error.error_message}"
        except Exception as error:  # no connection, a timeout, an answer that is none: of many classes
            why = f"{type(error).__name__}: {error}"
        raise OutageError(f"the schema registry at {self.url} does not answer ({why:.300}); no order was touched")


def _text(schema: Any) -> str:
    if not isinstance(schema.schema_str, str):
        raise TypeError("a schema without text")
    return schema.schema_str
