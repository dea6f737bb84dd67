"""Names of OpenTelemetry's semantic conventions for messaging, as spans carry them: here alone."""

from __future__ import annotations

SYSTEM = "messaging.system"
OPERATION_NAME = "messaging.operation.name"
OPERATION_TYPE = "messaging.operation.type"
DESTINATION = "messaging.destination.name"
PARTITION = "messaging.destination.partition.id"
OFFSET = "messaging.kafka.offset"
GROUP = "messaging.consumer.group.name"
ERROR_TYPE = "error.type"

KAFKA = "kafka"
SEND = "send"
PROCESS = "process"

#: Ours: 0 at the first try, n in retry number n.
ATTEMPT = "kafka_orders.attempt"
