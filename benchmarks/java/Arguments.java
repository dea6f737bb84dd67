/** One run: fields of benchmarks/job.py, in the order in which benchmarks/peers/java.py gives them. */
record Arguments(
        String bootstrap, String topic, int count, double failingBelow, String run, String home, String mode) {

    static Arguments of(String[] given) {
        return new Arguments(
                given[0], given[1], Integer.parseInt(given[2]), Double.parseDouble(given[3]), given[4], given[5],
                given[6]);
    }

    String failures() {
        return run + "-retry";
    }

    String state() {
        return run + "-averages";
    }

    /** The same with fewer orders, in a group and on topics of its own. */
    Arguments warmUp(int most) {
        return new Arguments(
                bootstrap, topic, Math.min(count, most), failingBelow, run + "-warm", home + "/warm", mode);
    }
}
