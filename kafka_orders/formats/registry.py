"""A schema registry, by confluent-kafka's client: schemas by id, registration, and what its answers mean.

What it is sure of (an id that it does not know) is a record's own fault. Everything else that keeps it from
answering (down, overloaded, a wrong password, an answer that is none) is an outage: records wait for its end.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from uuid import UUID

from kafka_orders.domain.errors import NotFoundError, OutageError, RefusedError, SettingsError
from kafka_orders.formats import answers
from kafka_orders.formats.base import Format, Kind, parts_of
from kafka_orders.formats.references import imported, written

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
#: A registry's own codes of what is not there: at a wrong address everything is HTTP 404, too, with code 404.
_NOT_FOUND = re.compile(r"404\d\d")
#: HTTP codes of a path that is not known.
_NO_PATH = (400, 404, 405, 501)

T = TypeVar("T")


class Registered(NamedTuple):
    """A schema of the registry, the subjects it is registered under, and texts of what it imports, by name.

    Each import stands after what it imports itself.
    """

    kind: Kind
    text: str
    subjects: frozenset[str]
    imports: Mapping[str, str]


class AwayError(OutageError):
    """The schema registry does not answer, or not what was asked; ``code`` is HTTP's, 0 where there is none."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class SchemaRegistry:
    """Asks a registry with Confluent's API; answers about ids, which never change, are kept."""

    def __init__(self, url: str, properties: Mapping[str, str] | None = None) -> None:
        """Describe the registry; nothing is asked yet.

        Args:
            url: its address; several, by commas, are tried in turn.
            properties: more of the client's properties, as in ``basic.auth.user.info``.

        Raises:
            SettingsError: its URL or a property cannot be used, or the client's packages are not there.
        """
        for one in url.split(","):
            if not one.strip().startswith(("http://", "https://")):
                shown = one.rpartition("@")[2]  # before it a password may stand
                raise SettingsError(f"the registry's URL has to begin with http:// or https://: {shown!r}")
        try:
            from confluent_kafka.schema_registry import SchemaRegistryClient  # noqa: PLC0415  an extra
        except ImportError as error:
            raise SettingsError(
                f"a schema registry needs {error.name}: pip install 'kafka-orders[registry]'"
            ) from error
        for library in ("httpx", "httpx2"):  # it uses either; a line for each request is not for our readers
            logging.getLogger(library).setLevel(logging.WARNING)
        self.url = url
        told: dict[str, Any] = {"timeout": ANSWER_SECONDS, **_ONCE_MORE, **(properties or {})}
        try:
            told |= {name: float(told[name]) for name in _NUMBERS if name in told}
            self._client: Any = SchemaRegistryClient({"url": url, **told})
            answers.bound(self._client, told["timeout"])
        except Exception as error:  # whatever it raises; a password may stand in the text
            raise SettingsError(f"the registry's properties cannot be used ({type(error).__name__})") from None

    def by_id(self, schema_id: int, trusted: frozenset[str] | None = None) -> Registered:
        """Return a schema; what it imports only where it is of a subject that is trusted (None: of any).

        Raises:
            NotFoundError: there is none of this id, it is of no kind that is read here, or an import is missing.
            OutageError: the registry does not answer.
        """
        name = f"schema id {schema_id}"

        def found() -> Registered:
            subjects = answers.names_of(self._client.get_subjects_by_schema_id(schema_id))
            return self._told(self._client.get_schema(schema_id), subjects, name, trusted)

        return self._ask(found, name)

    def by_guid(self, guid: str, subjects: frozenset[str]) -> Registered:
        """Return a schema by its global id, which is the one that records' headers tell.

        Raises:
            NotFoundError: there is none of this id, or an import of it is missing.
            OutageError: the registry does not answer.
        """
        name = f"schema {guid}"

        def found(schema: Schema) -> Registered:
            return self._told(
                schema, frozenset(one for one in subjects if self._holds(one, schema)), name, subjects
            )

        try:
            schema = self._ask(lambda: self._client.get_schema_by_guid(guid), name)
        except AwayError as away:
            if away.code not in _NO_PATH:
                raise
            # Older registries have no such path: where they answer otherwise, this one id is what is wrong.
            self._ask(lambda: answers.names_of(self._client.get_subjects()), "subjects")
            raise NotFoundError(f"{name}: the schema registry knows no global ids") from None
        return self._ask(lambda: found(schema), name)

    def id_of(self, subject: str, own: Format) -> int:
        """Return the id of a schema under a subject, having registered it where that is missing.

        What it imports is registered before it, each under its own name.

        Raises:
            RefusedError: the registry does not take it, or an import.
            OutageError: the registry does not answer.
        """
        return self._put(subject, self._schema(own, put=True))[0]

    def guid_of(self, subject: str, own: Format) -> UUID:
        """Return the global id of a schema, which records' headers tell; else as :meth:`id_of`.

        Raises:
            SettingsError: the registry gives no global ids.
        """
        _, told = self._put(subject, self._schema(own, put=True))
        try:
            return UUID(told)
        except (TypeError, ValueError, AttributeError):  # None, or what is no such id
            none = f"the schema registry at {self.url} gives schemas no global ids (Confluent's does from 8.0 on)"
            raise SettingsError(f"schema_id_in = 'header': {none}; nothing was sent") from None

    def _put(self, subject: str, schema: Schema) -> tuple[int, Any]:
        try:
            return self._ask(lambda: self._looked_up(subject, schema), subject, may_refuse=True)
        except NotFoundError:
            registered = partial(self._client.register_schema_full_response, subject, schema)
            return self._ask(lambda: answers.ids_of(registered()), subject, may_refuse=True)

    def numbers(self, subject: str) -> list[int]:
        """Return the numbers of a subject's versions; none where it does not exist.

        Raises:
            OutageError: the registry does not answer.
        """
        try:
            return self._ask(lambda: answers.numbers_of(self._client.get_versions(subject)), subject)
        except NotFoundError:
            return []

    def holds(self, subject: str, own: Format) -> bool:
        """Say whether a schema is one of a subject's versions.

        Raises:
            OutageError: the registry does not answer.
        """
        try:
            return self._holds(subject, self._schema(own), may_refuse=True)
        except (RefusedError, NotFoundError):  # it, or an import, is no schema there at all, or not there yet
            return False

    def versions(self, subject: str) -> list[tuple[int, Registered]]:
        """Return number and schema of each version of a subject; none where it does not exist.

        Raises:
            OutageError: the registry does not answer.
        """

        numbers = self.numbers(subject)

        def found() -> list[tuple[int, Registered]]:
            held = {number: self._client.get_version(subject, number).schema for number in numbers}
            own = frozenset((subject,))
            return [(number, self._told(schema, own, subject)) for number, schema in held.items()]

        return self._ask(found, subject)

    def takes(self, subject: str, own: Format) -> bool | None:
        """Say whether the registry would take a schema as a subject's next version, by the subject's own rule.

        None: it cannot say so before it is registered, since imports are not there yet, or not looked at.

        Raises:
            OutageError: the registry does not answer.
        """
        imports = len(parts_of(own)) > 1
        try:
            asked = partial(self._client.test_compatibility, subject, self._schema(own))
        except (NotFoundError, RefusedError):
            return None
        try:
            return self._ask(lambda: answers.yes_or_no(asked()), subject, may_refuse=True)
        except NotFoundError:  # it has no version yet
            return True
        except RefusedError:  # it is no schema there; Apicurio says so of all that imports, and then takes it
            return None if imports else False

    def _holds(self, subject: str, schema: Schema, *, may_refuse: bool = False) -> bool:
        try:
            self._ask(lambda: self._looked_up(subject, schema), subject, may_refuse=may_refuse)
        except NotFoundError:
            return False
        return True

    def _looked_up(self, subject: str, schema: Schema) -> tuple[int, Any]:
        return answers.ids_of(self._client.lookup_schema(subject, schema))

    def _told(
        self, schema: Schema, subjects: frozenset[str], name: str, trusted: frozenset[str] | None = None
    ) -> Registered:
        text, told = answers.text_of(schema), answers.type_of(schema)
        kind = _KINDS.get(told)
        if kind is None:
            raise NotFoundError(f"{name} is of type {told:.40}, which is not read here")
        is_trusted = trusted is None or subjects & trusted
        imports = imported(schema, name, self._version) if is_trusted else {}
        return Registered(kind, text, subjects, imports)

    def _version(self, reference: Any, about: str) -> Any:
        return self._ask(lambda: self._client.get_version(reference.subject, reference.version).schema, about)

    def _schema(self, own: Format, *, put: bool = False) -> Schema:
        """Return a schema as the registry takes it; what it imports has to be there, or is ``put`` there.

        Raises:
            NotFoundError: an import is not there.
        """
        from confluent_kafka.schema_registry import Schema, SchemaReference  # noqa: PLC0415  an extra

        def make(text: str, references: Sequence[tuple[str, int]]) -> Schema:
            return Schema(
                text, TYPES[own.kind], [SchemaReference(name, name, number) for name, number in references]
            )

        def number(name: str, schema: Schema) -> int:
            if put:
                self._put(name, schema)
            found = partial(self._client.lookup_schema, name, schema)
            return self._ask(lambda: answers.number_of(found().version), name, may_refuse=True)

        made: Schema = written(own, make, number)
        return made

    def _ask(self, question: Callable[[], T], about: str, *, may_refuse: bool = False) -> T:
        from confluent_kafka.schema_registry.error import SchemaRegistryError  # noqa: PLC0415  an extra

        code = 0
        try:
            return question()
        except (NotFoundError, OutageError):
            raise
        except SchemaRegistryError as error:
            code = error.http_status_code
            if code == 404 and _NOT_FOUND.fullmatch(str(error.error_code)):
                raise NotFoundError(f"{about} is not in the schema registry") from error
            if may_refuse and code in _NOT_TAKEN:
                said = f"the schema registry does not take it for {about}: {error.error_message}"
                raise RefusedError(said) from None
            why = f"answers with HTTP {code}{answers.said(code, error.error_message)}"
        except Exception as error:  # no connection, a timeout, an answer that is none: of many classes
            why = f"does not answer ({type(error).__name__}: {str(error)[:300]})"
            self._client.clear_caches()  # it keeps such answers, too: the outage would never end
        raise AwayError(f"the schema registry at {self.url} {why}; no order was touched", code)
