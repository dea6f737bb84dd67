# The four roles; docker-compose.yml says which one a container runs.
FROM python:3.13.12-slim-bookworm

ENV PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1

WORKDIR /app
COPY requirements.txt ./
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes -r requirements.txt \
    && useradd --uid 10001 --user-group --no-create-home --shell /usr/sbin/nologin orders \
    && install -d -o orders -g orders /var/lib/kafka-orders

COPY avro ./avro
COPY avro_utils.py ./
COPY consumer ./consumer
COPY dlq ./dlq
COPY kafka_orders ./kafka_orders
COPY producer ./producer
COPY retry ./retry

ENV KAFKA_ORDERS_HOME=/var/lib/kafka-orders
USER 10001
ENTRYPOINT ["python"]
CMD ["-m", "kafka_orders", "--help"]
