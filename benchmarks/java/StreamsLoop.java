import java.nio.ByteBuffer;
import java.util.HashMap;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.Produced;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.Stores;

/** Kafka Streams with exactly_once_v2 and one thread: its low-level Processor API, or its DSL (mode "dsl"). */
public final class StreamsLoop {
    private static final int WARM_UP = 300_000;
    private static final String STORE = "tallies";

    private final Meter meter = new Meter();
    private final AtomicLong counted = new AtomicLong();
    private final AtomicLong failures = new AtomicLong();
    private final Arguments job;

    private StreamsLoop(Arguments job) {
        this.job = job;
    }

    public static void main(String[] given) throws InterruptedException {
        Arguments job = Arguments.of(given);
        new StreamsLoop(job.warmUp(WARM_UP)).run();
        System.out.println(new StreamsLoop(job).run());
        System.out.flush();
        Runtime.getRuntime().halt(0); // what its threads would still tidy up is not measured
    }

    private String run() throws InterruptedException {
        boolean isDsl = job.mode().equals("dsl");
        try (var streams = new KafkaStreams(isDsl ? dsl() : processors(), settings())) {
            streams.setUncaughtExceptionHandler(error -> {
                error.printStackTrace();
                Runtime.getRuntime().halt(1);
                return null;
            });
            streams.start();
            while (counted.get() + failures.get() < job.count()) {
                Thread.sleep(1);
            }
            double before = commits(streams);
            while (commits(streams) <= before) { // the thread commits what it has processed, then counts it
                Thread.sleep(1);
            }
            return meter.end(products(streams), failures.get());
        }
    }

    /** State by partition, without a repartition topic: the fastest way to this job. */
    private Topology processors() {
        return new Topology()
                .addSource("orders", new ByteArrayDeserializer(), new ByteArrayDeserializer(), job.topic())
                .addProcessor("count", Counting::new, "orders")
                .addStateStore(
                        Stores.keyValueStoreBuilder(Stores.inMemoryKeyValueStore(STORE), Serdes.String(), TALLIES)
                                .withCachingEnabled(), // the changelog gets each product once per commit
                        "count")
                .addSink("failed", job.failures(), new ByteArraySerializer(), new ByteArraySerializer(), "count");
    }

    private final class Counting implements Processor<byte[], byte[], byte[], byte[]> {
        private ProcessorContext<byte[], byte[]> context;
        private KeyValueStore<String, Tally> store;

        @Override
        public void init(ProcessorContext<byte[], byte[]> context) {
            this.context = context;
            store = context.getStateStore(STORE);
        }

        @Override
        public void process(Record<byte[], byte[]> record) {
            meter.begin();
            Order order = Order.decode(record.value());
            if (order.price() < job.failingBelow()) {
                context.forward(record);
                failures.lazySet(failures.get() + 1);
            } else {
                Tally tally = store.get(order.product());
                tally = tally == null ? new Tally() : tally;
                tally.add(order.price());
                store.put(order.product(), tally);
                counted.lazySet(counted.get() + 1);
            }
            if (counted.get() + failures.get() == job.count()) {
                context.commit(); // at once, and not at the end of its interval
            }
        }
    }

    private Topology dsl() {
        var builder = new StreamsBuilder();
        var orders = builder.stream(job.topic(), Consumed.with(Serdes.ByteArray(), Serdes.ByteArray()))
                .peek((key, value) -> meter.begin());
        orders.filter((key, value) -> fails(value))
                .peek((key, value) -> failures.lazySet(failures.get() + 1))
                .to(job.failures(), Produced.with(Serdes.ByteArray(), Serdes.ByteArray()));
        orders.filterNot((key, value) -> fails(value))
                .groupBy((key, value) -> Order.decode(value).product(),
                        Grouped.with(Serdes.String(), Serdes.ByteArray()))
                .aggregate(Tally::new, this::counted, Materialized.<String, Tally>as(
                        Stores.inMemoryKeyValueStore(STORE)).withKeySerde(Serdes.String()).withValueSerde(TALLIES));
        return builder.build();
    }

    private boolean fails(byte[] value) {
        return Order.decode(value).price() < job.failingBelow();
    }

    private Tally counted(String product, byte[] value, Tally tally) {
        tally.add(Order.decode(value).price());
        counted.lazySet(counted.get() + 1);
        return tally;
    }

    private Map<String, Tally> products(KafkaStreams streams) {
        Map<String, Tally> products = new HashMap<>();
        var stores = streams.store(StoreQueryParameters.fromNameAndType(
                STORE, QueryableStoreTypes.<String, Tally>keyValueStore()));
        try (var all = stores.all()) { // of every partition
            all.forEachRemaining(one -> products.computeIfAbsent(one.key, key -> new Tally()).add(one.value));
        }
        return products;
    }

    private static double commits(KafkaStreams streams) {
        return streams.metrics().values().stream()
                .filter(one -> one.metricName().name().equals("commit-total"))
                .filter(one -> one.metricName().group().equals("stream-thread-metrics"))
                .mapToDouble(one -> ((Number) one.metricValue()).doubleValue()).sum();
    }

    private static final Serde<Tally> TALLIES = Serdes.serdeFrom(
            (topic, tally) -> tally == null
                    ? null
                    : ByteBuffer.allocate(16).putLong(tally.count).putDouble(tally.sum).array(),
            (topic, bytes) -> {
                if (bytes == null) {
                    return null;
                }
                Tally tally = new Tally();
                ByteBuffer buffer = ByteBuffer.wrap(bytes);
                tally.count = buffer.getLong();
                tally.sum = buffer.getDouble();
                return tally;
            });

    private Properties settings() {
        Properties settings = new Properties();
        settings.put("application.id", job.run() + "-main");
        settings.put("bootstrap.servers", job.bootstrap());
        settings.put("processing.guarantee", "exactly_once_v2");
        settings.put("num.stream.threads", "1");
        settings.put("commit.interval.ms", "100"); // its default with exactly-once
        settings.put("state.dir", job.home() + "/streams");
        settings.put("replication.factor", "1"); // one broker
        settings.put("buffered.records.per.partition", "10000");
        settings.put("consumer.auto.offset.reset", "earliest");
        settings.put("consumer.max.poll.records", "10000");
        settings.put("consumer.fetch.max.wait.ms", "100");
        settings.put("consumer.check.crcs", "false"); // librdkafka's default, too
        settings.put("producer.linger.ms", "50"); // a commit flushes
        settings.put("producer.batch.size", "65536");
        settings.put("producer.retry.backoff.ms", "5"); // as in TransactionalLoop
        return settings;
    }
}
