"""Building the contenders in Java without a JDK: locked jars, the Eclipse compiler, the JRE of a wheel."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from kafka_orders.local import jars
from kafka_orders.local.java import java, write_arguments
from kafka_orders.sources import home_folder

SOURCES = Path(__file__).with_name("java")
LOCK = SOURCES / "java.lock.toml"
#: Of the broker's jars: what Kafka's own POMs name for the clients and Kafka Streams.
_CLIENT = {
    "kafka-clients", "lz4-java", "snappy-java", "zstd-jni", "slf4j-api",
    "jackson-annotations", "jackson-core", "jackson-databind", "jspecify",
}  # fmt: skip
#: Of the language. `--release` is not used: it needs a file that only a JDK has.
_LEVEL = "21"


def build(folder: Path, *, progress: bool) -> Path:
    """Compile into ``folder``, which then holds the classes and ``java.args`` with their class path.

    Raises:
        LocalKafkaError: a jar could not be downloaded.
        RuntimeError: the compiler's words.
    """
    cache = jars.cache_folder(home_folder())
    own = jars.locked(LOCK)
    wanted = [jar for jar in jars.locked() if jar.artifact in _CLIENT] + own
    paths = jars.ensure(cache, progress=progress, jars=wanted)
    compiler = next(path for path in paths if path.name.startswith("ecj-"))
    libraries = [path for path in paths if path != compiler]
    compile_java(SOURCES, folder, compiler, libraries)
    return folder


def compile_java(sources: Path, folder: Path, compiler: Path, libraries: list[Path]) -> None:
    """Compile the ``sources`` folder into ``folder``, likewise.

    Raises:
        RuntimeError: the compiler's words.
    """
    folder.mkdir(parents=True, exist_ok=True)
    command = [
        str(java()), "-jar", str(compiler), "-source", _LEVEL, "-target", _LEVEL, "-nowarn", "-encoding", "UTF-8",
        "-cp", os.pathsep.join(map(str, libraries)), "-d", str(folder), *map(str, sorted(sources.glob("*.java"))),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"the sources in {sources.name} do not compile: {done.stdout}{done.stderr}")
    write_arguments(folder, [folder, *libraries])
