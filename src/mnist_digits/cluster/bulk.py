"""Many pictures, read side by side on Ray Data: folders, globs, Parquet and tar files.

    out/
        _job.json             what is read; Parquet readers pass over names with _
        part-000017.parquet   a row a picture: file, text, sure, digits, error

The source is cut into parts. Each is read by one of Ray's processes, which holds no more of it than
the rows of its answer, and writes the file of the part whole or not at all. So what is there can be
used, a reading that was stopped goes on with the parts that are missing, and a part that is read
twice, because a machine died, is counted once.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import logging
import lzma
import os
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np

from ..errors import ClusterError, PictureError
from ..files import write_whole
from ..reading.documents import SUFFIXES, is_picture_name
from ..reading.picture import Source
from .connection import begin, check_installed, connected, last_line

if TYPE_CHECKING:
    import pyarrow as pa

    from ..reading.reader import Reader

# Pictures of a part: some seconds of work, and some megabytes of answers.
FILES, ROWS = 200, 4_000


@dataclass(frozen=True)
class Shard:
    """Some pictures of a source: files, or so many rows or members.

    Attributes:
        kind: files, parquet or tar.
        first: the number of the first row; of a tar file, the byte where the first member begins.
        column: of Parquet: the one with the images.
    """

    number: int
    kind: str
    paths: list[str]
    first: int = 0
    count: int = 0
    column: str = ""

    @property
    def name(self) -> str:
        return f"part-{self.number:06}.parquet"


def read_source(
    source: str,
    directory: Path,
    column: str | None = None,
    model: Path | None = None,
    address: str | None = None,
    tell: Callable[[str], None] = print,
) -> dict[str, int]:
    """Read all pictures of a source into Parquet files in a folder.

    Both must be reached from every machine of a cluster by the same path.

    Args:
        source: a folder, a glob, a Parquet file or a folder of them, or a tar file.
        column: of Parquet, the one with the images: bytes of a file, or {bytes, path}; found by
            its type where there is just one.

    Returns:
        How many pictures were read, and of these how many with an error.

    Raises:
        ClusterError: there are no pictures, the folder is another job's, Ray is not there, or a
            part cannot be read or written.
        CheckpointError: the model cannot be used.
    """
    check_installed("pyarrow")
    model = model.absolute() if model else None  # the processes of Ray are in other folders
    identity = {"path": str(model or ""), "sha256": _checksum(model)}
    parts = find_parts(source, column, directory)
    job = {"read": source, "parts": [asdict(part) for part in parts], "model": identity}
    begin(directory, job, resume=True)
    missing = [part for part in parts if not (directory / part.name).is_file()]
    if len(missing) < len(parts):
        tell(f"{len(parts) - len(missing)} of {len(parts)} parts are there already")
    if missing:
        with connected(address):
            _read_parts(missing, directory, model, tell)
    return _counts(directory, parts)


def _checksum(model: Path | None) -> str:
    """Of the model's file, once it is seen to be one: a path may come to hold another model."""
    from ..reading.reader import MODEL, SHIPPED, Reader

    Reader.load(model, threads=1)
    path = model or SHIPPED
    return hashlib.sha256((path / MODEL if path.is_dir() else path).read_bytes()).hexdigest()


def _read_parts(
    parts: list[Shard], directory: Path, model: Path | None, tell: Callable[[str], None]
) -> None:
    import ray

    # Progress is told here, a line a part; Ray's own would be drawn over it.
    ray.data.DataContext.get_current().enable_progress_bars = False
    ray.data.DataContext.get_current().print_on_execution_start = False
    items = [work_on(part, directory, model) for part in parts]
    rows = ray.data.from_items(items, override_num_blocks=len(items)).map_batches(
        read_batch, batch_size=1, num_cpus=1
    )
    for logger in ("ray.data", "ray.data._internal.execution.streaming_executor"):
        logging.getLogger(logger).setLevel(logging.CRITICAL)
    pictures = 0
    try:
        for done, row in enumerate(rows.iter_rows(), start=1):
            if row["error"]:
                raise _stopped(row["error"])
            pictures += row["pictures"]
            tell(f"{done} of {len(parts)} parts, {pictures:,} pictures")
    except ray.exceptions.RayError as error:
        raise _stopped(last_line(error)) from error


def _stopped(reason: str) -> ClusterError:
    return ClusterError(
        f"a part could not be read or written ({reason}): mend that, and give the same command "
        f"again; the parts that are there are kept"
    )


def work_on(part: Shard, directory: Path, model: Path | None) -> dict[str, str]:
    """What `read_batch` is told, as JSON: Ray's tables bear no file names that are not text."""
    values = {"part": asdict(part), "directory": str(directory.absolute()), "model": model}
    return {"work": json.dumps(values, default=str)}


def read_batch(batch: dict[str, Any]) -> dict[str, list[Any]]:
    """In one of Ray's processes: read the part of a batch of one; gives its number of pictures.

    Or the error, whatever it is, as Ray would replace it by its own.
    """
    work = json.loads(str(batch["work"][0]))
    part, directory = Shard(**work["part"]), Path(work["directory"])
    try:
        count = read_part(_reader(work["model"]), part, directory)
    except Exception as error:
        return {"pictures": [0], "error": [last_line(error)]}
    return {"pictures": [count], "error": [""]}


@cache
def _reader(model: str | None) -> Reader:
    """One for each of Ray's processes, with one thread."""
    import cv2

    from ..reading.reader import Reader

    cv2.setNumThreads(1)
    return Reader.load(model, threads=1)


def read_part(reader: Reader, part: Shard, directory: Path) -> int:
    """Read the pictures of a part, and write its file; gives how many there are."""
    import pyarrow as pa
    from pyarrow import parquet

    rows = [_row(reader, name, content) for name, content in pictures_of(part)]
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=schema()), buffer)
    write_whole(directory / part.name, buffer.getvalue())
    return len(rows)


def schema() -> pa.Schema:
    """Of the files that are written: the JSON of a picture; `error` is null where it was read."""
    import pyarrow as pa

    digit = pa.struct({"digit": pa.int8(), "confidence": pa.float32(), "box": pa.list_(pa.int32())})
    fields = {"file": pa.string(), "text": pa.string(), "sure": pa.bool_()}
    return pa.schema({**fields, "digits": pa.list_(digit), "error": pa.string()})


def _row(reader: Reader, name: str, content: Source) -> dict[str, Any]:
    # Parquet has text only: bytes of a name that are none are shown as \xff.
    name = os.fsencode(name).decode(errors="backslashreplace")
    try:
        return {"file": name, **reader.read(content).to_dict(), "error": None}
    except PictureError as error:
        message = " ".join(str(error).split())
        return {"file": name, "text": None, "sure": None, "digits": None, "error": message}


def pictures_of(part: Shard) -> Iterator[tuple[str, Source]]:
    """The pictures of a part, one after the other: a name, and a path or bytes."""
    if part.kind == "files":
        for path in part.paths:
            yield path, Path(path)
    elif part.kind == "tar":
        yield from _members(part)
    else:
        yield from _rows(part)


def _members(part: Shard) -> Iterator[tuple[str, Source]]:
    with open(part.paths[0], "rb") as file:
        file.seek(part.first)
        with tarfile.open(fileobj=file) as archive:
            for member in islice(filter(_is_picture, archive), part.count):
                content = archive.extractfile(member)
                yield f"{part.paths[0]}/{member.name}", content.read() if content else b""


def _is_picture(member: tarfile.TarInfo) -> bool:
    return member.isfile() and is_picture_name(Path(member.name))


def _rows(part: Shard) -> Iterator[tuple[str, Source]]:
    from pyarrow import parquet

    with parquet.ParquetFile(part.paths[0]) as file:
        count = file.num_row_groups
        ends = np.cumsum([file.metadata.row_group(group).num_rows for group in range(count)])
        skipped = int(np.searchsorted(ends, part.first, side="right"))
        start = int(ends[skipped - 1]) if skipped else 0
        batches = file.iter_batches(1000, range(skipped, count), [part.column])
        for batch in batches:
            low, high = part.first - start, part.first + part.count - start
            if high <= 0:
                return
            wanted = batch.column(0)[max(0, low) : high]
            for row, value in enumerate(wanted.to_pylist(), max(start, part.first)):
                content = value.get("bytes") if isinstance(value, dict) else value
                yield f"{part.paths[0]}#{row}", content or b""
            start += len(batch)


def find_parts(
    source: str, column: str | None = None, directory: Path | None = None
) -> list[Shard]:
    """Cut a source into parts.

    Args:
        directory: the output's: what is there is no source, though it may lie in one.

    Raises:
        ClusterError: there is no such source, or no picture in it.
    """
    path = Path(source)
    if path.is_dir():
        found = sorted(str(file.absolute()) for file in path.rglob("*") if file.is_file())
    elif path.is_file():
        found = [str(path.absolute())]
    else:
        found = sorted(str(Path(name).absolute()) for name in glob.glob(source, recursive=True))
    if not found:
        raise ClusterError(f"there is nothing at {source}: name a folder, a glob or a file")
    if directory:
        own = os.path.join(os.path.abspath(directory), "")
        found = [name for name in found if not os.path.abspath(name).startswith(own)]
    pictures = [name for name in found if is_picture_name(Path(name))]
    parts = [
        ("files", pictures[start : start + FILES], 0, 0, "")
        for start in range(0, len(pictures), FILES)
    ]
    for name in found:
        if name.endswith(".parquet"):
            parts += _parquet_parts(name, column)
        elif ".tar" in Path(name).suffixes or name.endswith(".tgz"):
            parts += _tar_parts(name)
    if not parts:
        raise ClusterError(f"there are no pictures in {source}: {', '.join(sorted(SUFFIXES))}")
    return [Shard(number, *values) for number, values in enumerate(parts)]


def _parquet_parts(name: str, column: str | None) -> list[tuple[str, list[str], int, int, str]]:
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(name) as file:
            fields = {field.name: field.type for field in file.schema_arrow}
            count = file.metadata.num_rows
    except (OSError, pa.ArrowException) as error:
        raise ClusterError(f"{name} is not a Parquet file that can be read: {error}") from error
    images = [key for key, kind in fields.items() if _holds_images(kind)]
    chosen = column or (images[0] if len(images) == 1 else "")
    if chosen not in images:
        raise ClusterError(
            f"{name} has the columns {', '.join(fields)}: name the one with the images, as bytes, "
            f"with --column"
        )
    return [
        ("parquet", [name], first, min(ROWS, count - first), chosen)
        for first in range(0, count, ROWS)
    ]


def _holds_images(kind: pa.DataType) -> bool:
    import pyarrow as pa

    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        return index >= 0 and _holds_images(kind.field(index).type)
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _tar_parts(name: str) -> list[tuple[str, list[str], int, int, str]]:
    try:
        with tarfile.open(name) as archive:
            offsets = [member.offset for member in archive if _is_picture(member)]
            _check_end(archive)
    except (OSError, tarfile.TarError, EOFError, lzma.LZMAError, zlib.error) as error:
        raise ClusterError(f"{name} is not a tar file that can be read: {error}") from error
    if not name.endswith(".tar"):  # compressed: it can only be read from its start
        return [("tar", [name], 0, len(offsets), "")] if offsets else []
    return [
        ("tar", [name], offsets[first], min(ROWS, len(offsets) - first), "")
        for first in range(0, len(offsets), ROWS)
    ]


def _check_end(archive: tarfile.TarFile) -> None:
    """After the last member there are zeros only: a damaged header looks like the end, too."""
    rest = cast(IO[bytes], archive.fileobj)
    rest.seek(archive.offset)
    while block := rest.read(2**20):
        if any(block):
            raise tarfile.ReadError(f"it is damaged after byte {archive.offset:,}")


def _counts(directory: Path, parts: list[Shard]) -> dict[str, int]:
    import pyarrow as pa
    from pyarrow import parquet

    pictures = errors = 0
    for part in parts:
        file = directory / part.name
        try:
            column = parquet.read_table(file, columns=["error"]).column(0)
        except (OSError, pa.ArrowException) as error:
            raise ClusterError(
                f"cannot read {file} ({last_line(error)}): remove it, and give the same command "
                f"again"
            ) from error
        pictures += len(column)
        errors += len(column) - column.null_count
    return {"pictures": pictures, "errors": errors}
