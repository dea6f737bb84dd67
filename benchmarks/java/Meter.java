import com.sun.management.OperatingSystemMXBean;
import java.lang.management.ManagementFactory;
import java.util.Collection;
import java.util.Locale;
import java.util.Map;

/** The clocks, by the same rules as benchmarks/job.py: from the first delivered record to the last commit. */
final class Meter {
    private final OperatingSystemMXBean system =
            (OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    private long wall;
    private long process;
    private long thread;
    private long threadId;

    /** Called on the thread whose CPU time counts as the application's. */
    void begin() {
        if (threadId == 0) {
            threadId = Thread.currentThread().threadId();
            thread = threadTime();
            process = system.getProcessCpuTime();
            wall = System.nanoTime();
        }
    }

    boolean hasBegun() {
        return threadId != 0;
    }

    String end(Map<String, Tally> products, long failures) {
        double seconds = (System.nanoTime() - wall) / 1e9;
        double processCpu = (system.getProcessCpuTime() - process) / 1e9;
        double threadCpu = (threadTime() - thread) / 1e9;
        Runtime runtime = Runtime.getRuntime();
        return String.format(
                Locale.ROOT,
                "{\"seconds\":%.6f,\"process_cpu\":%.6f,\"thread_cpu\":%.6f,\"counted\":%d,\"total\":%s,"
                        + "\"products\":%d,\"failures\":%d,\"memory_mb\":%d,\"versions\":{\"java\":\"%s\"}}",
                seconds, processCpu, threadCpu,
                products.values().stream().mapToLong(one -> one.count).sum(), sum(products.values()),
                products.size(), failures, resident(runtime),
                Runtime.version().feature() + "." + Runtime.version().interim() + "." + Runtime.version().update());
    }

    private static double sum(Collection<Tally> tallies) {
        return tallies.stream().mapToDouble(one -> one.sum).sum();
    }

    /** Peak resident memory in MB where Linux tells it, else the heap in use. */
    private static long resident(Runtime runtime) {
        try (var lines = java.nio.file.Files.lines(java.nio.file.Path.of("/proc/self/status"))) {
            return lines.filter(line -> line.startsWith("VmHWM")).findFirst()
                    .map(line -> Long.parseLong(line.replaceAll("\\D", "")) / 1024).orElse(0L);
        } catch (java.io.IOException | java.io.UncheckedIOException error) {
            return (runtime.totalMemory() - runtime.freeMemory()) >> 20;
        }
    }

    private long threadTime() {
        return ManagementFactory.getThreadMXBean().getThreadCpuTime(threadId);
    }
}
