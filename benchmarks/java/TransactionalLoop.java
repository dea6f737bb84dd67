import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The same guarantee by hand in Java: failures, running state and offsets in one transaction.
 *
 * <p>What a real one needs beside it (reading the state at a start, errors, rebalances) is left out: none of it is
 * in the measured path.
 */
public final class TransactionalLoop {
    private static final int BATCH = 20_000;
    private static final int POLL = 2_500;
    private static final long BATCH_NANOS = 50_000_000L;
    private static final int WARM_UP = 300_000;

    private final Map<TopicPartition, Map<String, Tally>> state = new HashMap<>();
    private final Meter meter = new Meter();
    private final Arguments job;
    private long seen;
    private long failures;

    private TransactionalLoop(Arguments job) {
        this.job = job;
    }

    public static void main(String[] given) {
        Arguments job = Arguments.of(given);
        // The JVM compiles what is hot while it runs: a service that is up for hours has that behind it.
        new TransactionalLoop(job.warmUp(WARM_UP)).run();
        System.out.println(new TransactionalLoop(job).run());
    }

    private String run() {
        try (var consumer = new KafkaConsumer<byte[], byte[]>(consumerSettings());
                var producer = new KafkaProducer<byte[], byte[]>(producerSettings())) {
            producer.initTransactions();
            consumer.subscribe(List.of(job.topic()));
            while (seen < job.count()) {
                List<ConsumerRecords<byte[], byte[]>> batch = gather(consumer);
                if (!batch.isEmpty()) {
                    transact(consumer, producer, batch);
                }
            }
            Map<String, Tally> products = new HashMap<>();
            state.values().forEach(held -> held.forEach(
                    (product, tally) -> products.computeIfAbsent(product, one -> new Tally()).add(tally)));
            return meter.end(products, failures);
        }
    }

    /** Polls until a batch is full or 50 ms old. */
    private List<ConsumerRecords<byte[], byte[]>> gather(KafkaConsumer<byte[], byte[]> consumer) {
        List<ConsumerRecords<byte[], byte[]>> batch = new ArrayList<>();
        int size = 0;
        long deadline = Long.MAX_VALUE;
        while (size + POLL <= BATCH && System.nanoTime() < deadline) {
            long wait = size == 0 ? 100 : Math.max(0, (deadline - System.nanoTime()) / 1_000_000);
            ConsumerRecords<byte[], byte[]> records = consumer.poll(Duration.ofMillis(wait));
            if (records.isEmpty()) {
                break;
            }
            meter.begin();
            if (size == 0) {
                deadline = System.nanoTime() + BATCH_NANOS;
            }
            size += records.count();
            batch.add(records);
            if (seen + size >= job.count()) {
                break;
            }
        }
        return batch;
    }

    private void transact(
            KafkaConsumer<byte[], byte[]> consumer,
            KafkaProducer<byte[], byte[]> producer,
            List<ConsumerRecords<byte[], byte[]>> batch) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        producer.beginTransaction();
        for (ConsumerRecords<byte[], byte[]> records : batch) {
            for (TopicPartition partition : records.partitions()) {
                List<ConsumerRecord<byte[], byte[]>> part = records.records(partition);
                handle(producer, state.computeIfAbsent(partition, one -> new HashMap<>()), part);
                offsets.put(partition, new OffsetAndMetadata(part.get(part.size() - 1).offset() + 1));
            }
        }
        offsets.forEach((partition, next) -> writeState(producer, partition, next.offset()));
        producer.sendOffsetsToTransaction(offsets, consumer.groupMetadata());
        producer.commitTransaction();
    }

    private void handle(
            KafkaProducer<byte[], byte[]> producer,
            Map<String, Tally> tallies,
            List<ConsumerRecord<byte[], byte[]>> part) {
        for (ConsumerRecord<byte[], byte[]> one : part) {
            Order order = Order.decode(one.value());
            if (order.price() < job.failingBelow()) {
                producer.send(new ProducerRecord<>(job.failures(), one.key(), one.value()));
                failures++;
            } else {
                tallies.computeIfAbsent(order.product(), product -> new Tally()).add(order.price());
            }
        }
        seen += part.size();
    }

    /** As many state records as ours: one for each product of a partition, and the partition's progress. */
    private void writeState(KafkaProducer<byte[], byte[]> producer, TopicPartition partition, long next) {
        state.get(partition).forEach((product, tally) -> send(producer, partition, "/" + product, tally.json(next)));
        send(producer, partition, "", ("{\"v\":1,\"next_offset\":" + next + "}").getBytes(StandardCharsets.UTF_8));
    }

    private void send(KafkaProducer<byte[], byte[]> producer, TopicPartition partition, String end, byte[] value) {
        byte[] key = (partition.topic() + "/" + partition.partition() + end).getBytes(StandardCharsets.UTF_8);
        producer.send(new ProducerRecord<>(job.state(), partition.partition(), key, value));
    }

    private Properties consumerSettings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", job.bootstrap());
        settings.put("group.id", job.run() + "-main");
        settings.put("enable.auto.commit", "false");
        settings.put("auto.offset.reset", "earliest");
        settings.put("isolation.level", "read_committed");
        settings.put("max.poll.records", POLL);
        settings.put("fetch.max.wait.ms", "100");
        settings.put("check.crcs", "false"); // librdkafka's default, too
        settings.put("key.deserializer", ByteArrayDeserializer.class.getName());
        settings.put("value.deserializer", ByteArrayDeserializer.class.getName());
        return settings;
    }

    private Properties producerSettings() {
        Properties settings = new Properties();
        settings.put("bootstrap.servers", job.bootstrap());
        settings.put("transactional.id", job.run() + "-tx");
        settings.put("linger.ms", "50"); // commitTransaction() flushes; until then, fewer and larger requests
        settings.put("batch.size", "65536");
        // A transaction's first request meets the markers of the last, still being written, and waits this long;
        // by default 100, which makes the loop less than half as fast.
        if (!job.mode().equals("default-backoff")) {
            settings.put("retry.backoff.ms", "5");
        }
        settings.put("key.serializer", ByteArraySerializer.class.getName());
        settings.put("value.serializer", ByteArraySerializer.class.getName());
        return settings;
    }
}
