"""From the text of a .proto file to descriptors, by Google's own compiler (protoc, in PyPI's grpcio-tools)."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64decode
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError as BrokenMessage

from kafka_orders.domain.errors import SettingsError
from kafka_orders.formats.base import WELL_KNOWN, Part, refuse_large_schema

#: A schema may come from a registry, so from a stranger: the compiler gets no more time than this, in seconds.
_SECONDS = 10.0
_NAME, _LONGEST_NAME = "schema.proto", 200
#: More of Google's files, which are in a package of their own.
_MORE = "google/type"


def files_of(text: str, imports: Mapping[str, str] | None = None, folder: Path | None = None) -> FileDescriptorSet:
    """Return the files of a .proto text, its own last, with all that it imports.

    Args:
        text: the file's text, or its descriptor in base64, as Confluent's Python client registers it.
        imports: the same of the files that it imports, by the names it imports them by.
        folder: where else imports are looked for; Google's own are always found, ``google/type`` if installed.

    Raises:
        SettingsError: there is no protoc here, or it refuses the text; its words are in the message.
    """
    if find_spec("grpc_tools") is None:
        raise SettingsError("a .proto schema needs protoc: pip install 'kafka-orders[protobuf]'")
    with TemporaryDirectory() as made:
        root, known, out = (Path(made, one) for one in ("files", "known", "descriptors"))
        root.mkdir()  # its own: an import may be called as the others are
        known.write_bytes(_laid_out(root, {**(imports or {}), _NAME: text}).SerializeToString())
        paths = [f"-I{root}", *([f"-I{folder}"] if folder else []), *(f"-I{_MORE}={one}" for one in _more())]
        ways = [f"--descriptor_set_in={known}", "--include_imports", f"--descriptor_set_out={out}"]
        _compile([*paths, *ways, _NAME], root)
        return FileDescriptorSet.FromString(out.read_bytes())


def _laid_out(root: Path, held: Mapping[str, str]) -> FileDescriptorSet:
    """Write texts into a folder; return those compiled already, by the names that others import."""
    known = FileDescriptorSet()
    for name, text in held.items():
        if file := _coded(text):
            file.name = name
            known.file.append(file)
        else:
            _write(root, name, text)
    return known


def _more() -> list[str]:
    """Return folders of the .proto files that googleapis-common-protos brings, where it is installed."""
    found = find_spec("google.type") if find_spec("google") else None
    return list(found.submodule_search_locations or ()) if found else []


def written_parts(text: str, files: FileDescriptorSet, folder: Path | None) -> tuple[Part, ...]:
    """Return a schema's text after those of the files that it imports, as they lie in a folder; see ``parts_of``.

    Raises:
        SettingsError: one cannot be read, or together they are too large.
    """

    def part(file: FileDescriptorProto, text: str) -> Part:
        return Part(file.name, text, tuple(name for name in file.dependency if not name.startswith(WELL_KNOWN)))

    imports = [
        part(one, _lying(one.name, folder)) for one in files.file[:-1] if not one.name.startswith(WELL_KNOWN)
    ]
    refuse_large_schema("".join([text, *(one.text for one in imports)]))
    return *imports, part(files.file[-1], text)


def _lying(name: str, folder: Path | None) -> str:
    places = [*([folder / name] if folder else []), *(Path(one, Path(name).name) for one in _more())]
    try:
        return next((one for one in places if one.is_file()), places[0]).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise SettingsError(f"the schema's import {name!r} cannot be read: {error}") from error


def file_of(text: str, imports: Mapping[str, str] | None = None) -> FileDescriptorProto:
    """Return the descriptor of a .proto text alone; see :func:`files_of`."""
    return files_of(text, imports).file[-1]


def registered_file(text: str, imports: Mapping[str, str]) -> FileDescriptorProto:
    """Return the file of a text as registries have it, alone.

    Raises:
        SettingsError: it cannot be compiled.
    """
    refuse_large_schema(text)
    return _coded(text) or file_of(text, imports)


def _coded(text: str) -> FileDescriptorProto | None:
    """Return the file that a text is in base64, as Confluent's Python client registers it; None: it is not."""
    try:
        return FileDescriptorProto.FromString(b64decode(text, validate=True))
    except (ValueError, BrokenMessage):
        return None


def _write(root: Path, name: str, held: str) -> None:
    try:
        file = root / name
        if len(name) > _LONGEST_NAME or not file.resolve().is_relative_to(root.resolve()):
            raise SettingsError(f"the schema imports {name!r:.80}, which is no name below its own folder")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(held, encoding="utf-8")
    except (FileExistsError, NotADirectoryError, IsADirectoryError, ValueError) as error:
        why = getattr(error, "strerror", "") or error  # without where it lay
        raise SettingsError(f"the schema cannot be laid out as the file {name!r:.80}: {why}") from error


def _compile(arguments: list[str], root: Path) -> None:
    # A process of its own: the compiler writes its complaints to the process's own stderr.
    try:
        done = subprocess.run(
            [sys.executable, "-m", "grpc_tools.protoc", *arguments],
            cwd=root, capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise SettingsError(f"the Protobuf schema was not compiled within {_SECONDS:g} s") from None
    if done.returncode != 0:
        # Beside complaints its logging talks there, about itself; and where the text lay is nobody's business.
        said = [line.replace(f"{root}/", "") for line in done.stderr.splitlines() if ".proto:" in line]
        complaints = [line for line in said if "parser.cc" not in line] or [done.stderr.strip()]
        raise SettingsError(f"the Protobuf schema cannot be used: {'; '.join(complaints)[:500]}")
