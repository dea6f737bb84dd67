"""Kafka's own jars: fetched once from Maven Central, verified by SHA-256 at every start."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import tomllib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from filelock import FileLock

from kafka_orders.domain.errors import LocalKafkaError
from kafka_orders.local.checks import extra
from kafka_orders.local.progress import Bar

_AT_ONCE = 8
#: Longest silence of the server, not length of a download.
_REQUEST_SECONDS = 10

#: Failures of our own disk. A lost connection is an OSError too, without such a number.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES}

#: Fetches one jar into a repository folder and returns its path.
Fetch = Callable[["Jar", Path], Path]


@dataclass(frozen=True, slots=True)
class Jar:
    """A locked jar; ``size`` in bytes."""

    group: str
    artifact: str
    version: str
    size: int
    sha256: str

    def path(self, cache: Path) -> Path:
        """Return where it lies in a cache laid out as a Maven repository."""
        folder = cache.joinpath(*self.group.split("."), self.artifact, self.version)
        return folder / f"{self.artifact}-{self.version}.jar"

    def is_sound(self, cache: Path) -> bool:
        """Say whether the cached file is there and is, byte for byte, the locked one."""
        path = self.path(cache)
        if not path.is_file() or path.stat().st_size != self.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == self.sha256


def locked(lock: Path | None = None) -> list[Jar]:
    """Return the jars of a lock file, by default of our own ``kafka.lock.toml``."""
    file = lock or resources.files("kafka_orders.local").joinpath("kafka.lock.toml")
    return [Jar(**fields) for fields in tomllib.loads(file.read_text(encoding="utf-8"))["jar"]]


def cache_folder(home: Path) -> Path:
    """Return the folder of downloads: KAFKA_ORDERS_CACHE, or ``jars`` in the home folder."""
    return Path(os.environ.get("KAFKA_ORDERS_CACHE") or home / "jars")


def ensure(
    cache: Path, *, progress: bool, jars: list[Jar] | None = None, fetch: Fetch | None = None
) -> list[Path]:
    """Return the paths of all jars, having fetched what is missing or not sound.

    Raises:
        LocalKafkaError: the download failed, or a jar is not the locked one twice.
    """
    jars = locked() if jars is None else jars
    try:
        cache.mkdir(parents=True, exist_ok=True)
        with FileLock(cache / "download.lock"):  # two first starts share one download
            missing = [jar for jar in jars if not jar.is_sound(cache)]
            if missing:
                _fetch_all(missing, cache, fetch or fetch_with_jgo, progress=progress)
    except OSError as error:
        raise LocalKafkaError(
            f"the download folder {cache} cannot be used: {error}. Nothing was started. Free some space, or set"
            " KAFKA_ORDERS_HOME to a folder that can be written."
        ) from error
    return [jar.path(cache) for jar in jars]


def _fetch_all(missing: list[Jar], cache: Path, fetch: Fetch, *, progress: bool) -> None:
    total = sum(jar.size for jar in missing)
    incoming = cache / "incoming"  # a jar has its own name only once it is whole and verified
    shutil.rmtree(incoming, ignore_errors=True)  # what a killed download left; the lock says nobody uses it
    incoming.mkdir()
    with Bar("downloading Kafka", total, shown=progress) as bar, ThreadPoolExecutor(_AT_ONCE) as pool:
        running = {pool.submit(_fetch_one, jar, cache, incoming, fetch): jar for jar in missing}
        try:
            for done in as_completed(running):
                done.result()
                bar.done(running[done].size)
        except BaseException:  # Ctrl-C too: without a connection, all the others would be waited for
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    shutil.rmtree(incoming, ignore_errors=True)


def _fetch_one(jar: Jar, cache: Path, incoming: Path, fetch: Fetch) -> None:
    jar.path(cache).unlink(missing_ok=True)  # not sound, or it would not be fetched
    why = ""
    for _ in range(2):  # a broken download is not there any more the second time
        jar.path(incoming).unlink(missing_ok=True)
        try:
            fetch(jar, incoming)
        except LocalKafkaError:
            raise
        except Exception as error:  # the fetcher's own, of many kinds: all mean that it is not here
            if isinstance(error, OSError) and error.errno in _NO_ROOM:
                raise
            why = f"{type(error).__name__}: {error}"
            continue
        if jar.is_sound(incoming):
            jar.path(cache).parent.mkdir(parents=True, exist_ok=True)
            jar.path(incoming).replace(jar.path(cache))
            return
        why = "its SHA-256 is not the locked one"
    raise LocalKafkaError(
        f"{jar.artifact}-{jar.version}.jar could not be downloaded ({why}). Nothing was started. Check the"
        " connection to Maven Central (HTTPS_PROXY names a proxy) and try again: what is there is kept."
    )


def fetch_with_jgo(jar: Jar, cache: Path) -> Path:
    """Fetch one jar as an artifact, without resolving POMs; jgo itself verifies no lock.

    Raises:
        LocalKafkaError: jgo is not installed.
    """
    context = extra("jgo.maven").MavenContext(repo_cache=cache, timeout=_REQUEST_SECONDS)
    found: Path = context.project(jar.group, jar.artifact).at_version(jar.version).artifact().resolve()
    return found
