"""What the pipeline means, apart from Kafka: pure values and decisions, no I/O, no clock."""
