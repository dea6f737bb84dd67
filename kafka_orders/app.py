"""An app: your handler on the transactional worker.

>>> from kafka_orders import App
>>> def process(order): print(order["product"])
>>> App(process).main()                                             # doctest: +SKIP
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NoReturn, cast, get_args

from kafka_orders.domain.errors import SettingsError
from kafka_orders.domain.order import DEFAULT_ID, Contract
from kafka_orders.domain.settings import Layer, Settings, build, refuse_shared_topics
from kafka_orders.formats.base import Encode, Format
from kafka_orders.formats.choice import kind_of, make_format, open_format
from kafka_orders.formats.codec import AnyCodec, OwnCodec
from kafka_orders.formats.opening import codec_of
from kafka_orders.pipeline.breaker import Probe
from kafka_orders.pipeline.desk import SendToDlq, SendToRetry, send_to_dlq, send_to_retry
from kafka_orders.pipeline.handlers import Handler, accept
from kafka_orders.pipeline.reload import restart_process
from kafka_orders.pipeline.roles import Job, RoleName, run_role
from kafka_orders.pipeline.stop import Stop
from kafka_orders.pipeline.worker import Ended
from kafka_orders.programs import exit_with, run_dlq_viewer, write_line
from kafka_orders.sources import load
from kafka_orders.views import logs
from kafka_orders.views.console import Console
from kafka_orders.views.exposing import exposed

Schema = str | bytes | Path | Mapping[str, Any]


class App:
    """A pipeline around a handler: its main role, and its retry role.

    The handler is a function of one order (a dict), plain or async: it returns, or it raises. What it raises
    decides what becomes of the order; see :class:`~kafka_orders.domain.policy.RetryPolicy`. It runs at least
    once per order: exactly-once covers what is in Kafka, not the handler's own calls to the world outside.
    """

    def __init__(
        self,
        handler: Handler = accept,
        *,
        schema: Schema | None = None,
        value_field: str | None = None,
        group_by: str | None = None,
        id_field: str | None = "",
        name: str | None = None,
        output_topic: str | None = None,
        role: RoleName = "main",
        decode: Callable[[bytes], dict[str, Any]] | None = None,
        encode: Encode | None = None,
        retry_on: tuple[type[BaseException], ...] = (),
        probe: Probe | None = None,
        to_retry: SendToRetry = send_to_retry,
        to_dlq: SendToDlq = send_to_dlq,
        defaults: Mapping[str, Any] | None = None,
    ) -> None:
        """Describe the app; nothing is opened or connected before :meth:`run`.

        Args:
            handler: called with each valid order, and with its :class:`~kafka_orders.Meta` if it takes a
                second argument; default: validation alone. What it returns goes to the output topic, if there
                is one: a dict in the app's format, or bytes.
            schema: the records' schema, Avro, JSON Schema or Protobuf: its text, a dict, or the path of a file;
                default: the order's.
            value_field: field whose average is kept; default: price.
            group_by: field whose every value has an average of its own; default: product.
            id_field: field that must not be empty; default: orderId where the schema has it; None: no field.
            name: name of this pipeline: its topics are ``name``, ``name_retry``, …, its groups begin with it.
            output_topic: where what the handler returns goes, in the order's own transaction; default: nowhere.
            role: ``main`` reads the orders topic, ``retry`` the retry topic.
            decode: bytes to dict, in place of ``schema``.
            encode: dict to bytes for the output topic; default: by ``schema``.
            retry_on: more classes of errors that are temporary, beside the policy's own.
            probe: called without arguments when the handler fails temporarily: it raises while what the handler
                needs is away; then workers pause instead of routing failures (docs/explanation/breaker.md).
            to_retry: called as ``to_retry(msg, error_msg, retry_count)`` for every temporary failure.
            to_dlq: called as ``to_dlq(msg, error_msg)`` for every permanent one.
            defaults: settings of this program by name (``batch_ms=20``), weaker than every other source.
        """
        self._handler, self._role, self._schema = handler, role, schema
        self._decode, self._encode, self._retry_on = decode, encode, retry_on
        self._to_retry, self._to_dlq, self._probe = to_retry, to_dlq, probe
        told = {
            "name": name,
            "output_topic": output_topic,
            "value_field": value_field,
            "group_by": group_by,
            "id_field": id_field,
        }
        self._no_id = id_field is None
        self._defaults = {key: value for key, value in told.items() if value} | dict(defaults or {})

    def run(
        self, settings: Settings | None = None, *, role: RoleName | None = None, stop: Stop | None = None
    ) -> Ended:
        """Work until Ctrl-C, SIGTERM or ``stop.request()``; the batch is finished and committed, the group left.

        On another thread than the main one only ``stop`` ends it.

        Raises:
            KafkaOrdersError: with a message for people and an ``exit_code``.
        """
        found = settings or self.settings()
        logs.set_up(found.log_format)
        job = self.job(found)
        console = Console(write_line, id_field=job.contract.id_field)
        work = role or self._role
        with (stop or Stop()).on_signals() as asked, exposed(found) as metrics:
            story = metrics.story(work, found) if metrics else None
            return run_role(work, found, job, console, asked, story=story)

    def main(self, role: str | None = None, settings: Settings | None = None) -> NoReturn:
        """Run as a program: ``main``, ``retry``, or ``dlq``, which shows the dead letters.

        Exits with the design's codes; starts again when the handler's file changes.
        """

        def work() -> None:
            if role == "dlq":
                found = settings or self.settings()
                run_dlq_viewer(self.job(found).decode, found)
            elif role is not None and role not in get_args(RoleName):
                raise SettingsError(f"there is no role {role!r}; give main, retry or dlq")
            elif self.run(settings, role=cast("RoleName | None", role)) is Ended.SOURCE_CHANGED:
                restart_process()

        exit_with(work)

    def settings(self, *, apart: bool = False) -> Settings:
        """Return the settings in force: environment, `.env`, `kafka-orders.toml`, then this app's own.

        ``apart`` from the machine: this app's own and the defaults alone.

        Raises:
            SettingsError: a source holds an unknown name or an impossible value.
        """
        if not apart:
            return load(defaults=self._defaults)
        settings, sources = build([Layer("program", self._defaults)])
        refuse_shared_topics(settings, sources)
        return settings

    def job(self, settings: Settings) -> Job:
        """Return what a worker does with each order.

        Raises:
            SettingsError: the schema cannot be used, or has not the fields that are needed.
        """
        codec: AnyCodec
        if self._decode is None:
            codec = codec_of(settings, self._format(settings), self._encode)
            contract = Contract.of(codec.fields, settings.id_field, settings.value_field, settings.group_by)
        else:
            codec = OwnCodec(self._decode, self._encode)
            contract = Contract(settings.id_field or DEFAULT_ID, settings.value_field, settings.group_by)
        if self._no_id and not settings.id_field:
            contract = replace(contract, id_field=None)
        hooks = self._to_retry, self._to_dlq, self._retry_on, self._probe
        return Job(codec, self._handler, contract, *hooks)

    def _format(self, settings: Settings) -> Format | None:
        """Return the format of the program's own schema; None where there is none, or the settings name one."""
        schema = self._schema
        if settings.schema or schema is None:
            return None
        if isinstance(schema, Path) or (isinstance(schema, str) and "\n" not in schema and not _is_json(schema)):
            return open_format(str(schema), settings.format)
        text = schema.decode() if isinstance(schema, bytes) else schema
        if isinstance(text, str) and not _is_json(text):
            return make_format("protobuf", text)
        return make_format(kind_of("", text if isinstance(text, str) else json.dumps(text)), schema)


def _is_json(text: str) -> bool:
    return text.lstrip().startswith(("{", "["))
