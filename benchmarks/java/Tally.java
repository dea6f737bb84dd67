/** Count and sum of a product in one partition. */
final class Tally {
    long count;
    double sum;

    void add(double price) {
        count++;
        sum += price;
    }

    void add(Tally other) {
        count += other.count;
        sum += other.sum;
    }

    byte[] json(long nextOffset) {
        return ("{\"v\":1,\"count\":" + count + ",\"sum\":" + sum + ",\"next_offset\":" + nextOffset + "}").getBytes();
    }
}
