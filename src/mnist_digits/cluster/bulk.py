"""Read many pictures in parallel: folders, globs, Parquet and tar files.

    out/
        _job.json             what is read; Parquet readers skip names that begin with _
        part-000017.parquet   a row for each picture: file, text, sure, digits, error

The source is cut into parts. A process of this machine, or with an address one of a Ray cluster,
reads a part picture by picture, keeps only the answers, and writes the part's file whole or not at
all. So finished files can be used at once, a reading that was stopped goes on with the missing
parts, and a part that is read twice because a machine died is counted once.
"""

from __future__ import annotations

import glob
import hashlib
import io
import os
import sys
import tarfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from itertools import islice
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeVar, cast

from ..errors import ClusterError, PictureError
from ..files import write_whole
from ..processes import last_line
from ..reading.documents import Source, read_bounded
from ..reading.folders import SUFFIXES, files_in, is_picture_name
from .connection import begin, check_installed, perform

check_installed("pyarrow")
import pyarrow as pa  # noqa: E402
from pyarrow import parquet  # noqa: E402

if TYPE_CHECKING:
    from ..reading.reader import Reader

T = TypeVar("T")
# The columns of the written files: those of `predict --json`, and `error`, null if there is none.
DIGIT = pa.struct({"digit": pa.int8(), "confidence": pa.float32(), "box": pa.list_(pa.int32())})
FIELDS = {"file": pa.string(), "text": pa.string(), "sure": pa.bool_()}
SCHEMA = pa.schema({**FIELDS, "digits": pa.list_(DIGIT), "error": pa.string()})
# Pictures in a part: some seconds of work, and some megabytes of answers.
FILES, ROWS = 200, 4_000
# Bytes of the headers of a member of a tar file. A name has 4 kB at most, a sparse file's map more.
HEADER = 2**20
# Bytes of a Parquet column to have in memory at once, unless one picture is larger.
BATCH = 2**25


@dataclass(frozen=True)
class Part:
    """Some pictures of a source, as `_job.json` has them.

    Attributes:
        kind: files, parquet or tar.
        paths: the picture files, or the one Parquet or tar file.
        count: how many rows or members to read; 0 for files.
        first: Parquet: the index of the first row; tar: the byte at which the first member begins.
        column: Parquet: the column with the images.
    """

    kind: str
    paths: list[str]
    count: int = 0
    first: int = 0
    column: str = ""
    number: int = 0

    @property
    def name(self) -> str:
        return f"part-{self.number:06}.parquet"


def read_source(
    source: str,
    directory: Path,
    column: str | None = None,
    model: Path | None = None,
    address: str | None = None,
    shard: tuple[int, int] = (1, 1),
    report: Callable[[str], None] = print,
) -> dict[str, int]:
    """Read all pictures of a source into Parquet files in a folder.

    On a cluster every machine must reach source and folder by the same path.

    Args:
        source: a folder, a glob, a Parquet file or a folder of them, or a tar file.
        directory: the folder to write to; a reading that was stopped there goes on.
        column: Parquet: the one with the images, if several have files' bytes or {bytes, path}.
        model: an exported run; without one, the model that the package ships.
        address: of a Ray cluster, or `auto`; without one, processes of this machine.
        shard: (3, 32) reads the third of 32 shares of the parts, as `share` has them.

    Returns:
        `pictures`, the number of all of the share, and `errors`, the number that could not be read.

    Raises:
        ClusterError: there are no pictures, the folder belongs to another job, Ray is needed and
            missing or does not answer, or a part cannot be read or written.
        CheckpointError: the model cannot be used.
    """
    model = model.absolute() if model else None  # Ray's processes run in other folders
    identity = {"path": str(model or ""), "sha256": _checksum(model)}
    parts = find_parts(source, column, directory)
    # Of all shares: they may have the same folder.
    described = [asdict(part) for part in parts]
    begin(directory, {"read": source, "parts": described, "model": identity}, resume=True)
    parts = share(parts, *shard)
    missing = [part for part in parts if not (directory / part.name).is_file()]
    if len(missing) < len(parts):
        report(f"{len(parts) - len(missing)} of {len(parts)} parts are there already")
    pictures = 0
    read = partial(read_part, directory=directory.absolute(), model=model)
    with closing(perform(read, missing, address)) as outcomes:
        for done, (_, outcome) in enumerate(outcomes, start=1):
            if isinstance(outcome, str):
                raise ClusterError(
                    f"a part could not be read or written ({outcome}): mend that, and give the "
                    f"same command again; the parts that are there are kept"
                )
            pictures += outcome
            report(f"{done} of {len(missing)} parts, {pictures:,} pictures")
    return _counts(directory, parts)


def share(parts: Sequence[T], number: int, of: int) -> list[T]:
    """The share of that number, from 1, of so many: every `of`-th part, so that all are alike."""
    return list(parts[number - 1 :: of])


def _checksum(model: Path | None) -> str:
    """The SHA-256 of the model's file, which is loaded first to check it.

    The path alone does not identify a model: another may be saved there later.
    """
    from ..reading.reader import MODEL, SHIPPED, Reader

    Reader.load(model, threads=1)
    path = model or SHIPPED
    return hashlib.sha256((path / MODEL if path.is_dir() else path).read_bytes()).hexdigest()


def read_part(part: Part, directory: Path, model: Path | None = None) -> int:
    """Read the pictures of a part and write its file; returns the number of pictures."""
    rows = [_row(_reader(model), name, content) for name, content in pictures_of(part)]
    buffer = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), buffer)
    write_whole(directory / part.name, buffer.getvalue())
    return len(rows)


@cache
def _reader(model: Path | None) -> Reader:
    """The process's own reader, on one thread."""
    import cv2

    from ..reading.reader import Reader

    cv2.setNumThreads(1)
    return Reader.load(model, threads=1)


def _row(reader: Reader, name: str, content: Source) -> dict[str, Any]:
    """A picture's row; columns that it lacks become null."""
    # Parquet holds valid text only: other bytes of a file name are written like \xff.
    name = os.fsencode(name).decode(errors="backslashreplace")
    try:
        return {"file": name, **reader.read(content).to_dict()}
    except PictureError as error:
        return {"file": name, "error": " ".join(str(error).split())}


def pictures_of(part: Part) -> Iterator[tuple[str, Source]]:
    """The pictures of a part, one after the other: (name, path or bytes)."""
    if part.kind == "parquet":
        yield from _rows(part)
    elif part.kind == "files":
        for path in part.paths:
            yield path, Path(path)
    else:
        with open(part.paths[0], "rb") as file:
            file.seek(part.first)
            with _Archive.open(fileobj=file) as archive:
                for member in islice(filter(_is_picture, archive), part.count):
                    yield f"{part.paths[0]}/{member.name}", archive.content(member)


class _Archive(tarfile.TarFile):
    """A tar file that keeps no members, and whose headers take no more than HEADER bytes.

    Compressed, a header of a kilobyte could take all memory.
    """

    def __init__(self, name: str | None, mode: Literal["r"], file: BinaryIO, **options: Any):
        self.file, self.left = file, HEADER
        own = {"seek": file.seek, "tell": file.tell, "close": file.close}
        bounded = SimpleNamespace(read=self._read, **own)
        super().__init__(name, mode, cast(BinaryIO, bounded), **options)

    def _read(self, size: int) -> bytes:
        if size > self.left:
            raise tarfile.ReadError(f"it has a header of more than {HEADER:,} bytes")
        self.left -= size
        return self.file.read(size)

    def next(self) -> tarfile.TarInfo | None:
        self.members: list[tarfile.TarInfo] = []
        self.left = HEADER
        return super().next()

    def content(self, member: tarfile.TarInfo) -> bytes:
        """The content of a file in it, or the beginning of one that is too large."""
        self.left = sys.maxsize
        file = self.extractfile(member)
        return read_bounded(cast(BinaryIO, file)) if file else b""


def _is_picture(member: tarfile.TarInfo) -> bool:
    return member.isfile() and is_picture_name(Path(member.name))


def _rows(part: Part) -> Iterator[tuple[str, Source]]:
    """The part's rows of the column, read from the row group on in which they begin."""
    (name,) = part.paths
    row, end = 0, part.first + part.count
    with parquet.ParquetFile(name, buffer_size=2**20) as file:
        struct = pa.types.is_struct(file.schema_arrow.field(part.column).type)
        leaf = f"{part.column}.bytes" if struct else part.column
        for index in range(file.num_row_groups):
            count = file.metadata.row_group(index).num_rows
            if not count or row + count <= part.first:
                row += count
                continue
            for batch in file.iter_batches(_rows_at_once(name, index, leaf), [index], [leaf]):
                skipped = max(0, part.first - row)
                for at, value in enumerate(batch.column(0)[skipped : end - row], row + skipped):
                    content = value.as_py()
                    content = content.get("bytes") if struct and content else content
                    yield f"{name}#{at}", content or b""
                row += len(batch)
                if row >= end:
                    return


def _rows_at_once(name: str, index: int, leaf: str) -> int:
    """How many rows of a row group take BATCH bytes; with 64 it is as fast as with more.

    A row takes their average, or what is stored once for all rows that repeat it.
    """
    with parquet.ParquetFile(name, read_dictionary=[leaf], buffer_size=2**20) as file:
        group = file.metadata.row_group(index)
        columns = [group.column(number) for number in range(group.num_columns)]
        size = sum(c.total_uncompressed_size for c in columns if c.path_in_schema == leaf)
        shared = next(file.iter_batches(1, [index], [leaf])).get_total_buffer_size()
    return int(max(1, min(64, BATCH // max(1, size // group.num_rows, shared))))


def find_parts(source: str, column: str | None = None, directory: Path | None = None) -> list[Part]:
    """Cut a source into parts, without the files below `directory`, which is written to.

    Raises:
        ClusterError: there is no such source, or no picture in it.
    """
    files = _files(source, directory)
    pictures = [name for name in files if is_picture_name(Path(name))]
    parts = [Part("files", pictures[i : i + FILES]) for i in range(0, len(pictures), FILES)]
    for name in files:
        if name.endswith(".parquet"):
            parts += _parquet_parts(name, column)
        elif ".tar" in Path(name).suffixes or name.endswith(".tgz"):
            parts += _tar_parts(name)
    if not parts:
        raise ClusterError(f"there are no pictures in {source}: {', '.join(sorted(SUFFIXES))}")
    return [replace(part, number=number) for number, part in enumerate(parts)]


def _files(source: str, directory: Path | None) -> list[str]:
    """All files of a source, in order, by their absolute paths."""
    if os.path.isdir(source):  # which "" is not
        found = [str(file.absolute()) for file in files_in(Path(source)) if file.is_file()]
    else:
        names = [source] if os.path.isfile(source) else glob.glob(source, recursive=True)
        found = [str(Path(name).absolute()) for name in names if not os.path.isdir(name)]
    if not found:
        raise ClusterError(f"there is nothing at {source}: name a folder, a glob or a file")
    if directory:
        own = os.path.join(os.path.abspath(directory), "")
        found = [name for name in found if not os.path.abspath(name).startswith(own)]
    if not found:
        raise ClusterError(f"{source} lies in {directory}, which is written to: choose another")
    return sorted(found)


def _parquet_parts(name: str, column: str | None) -> list[Part]:
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
        Part("parquet", [name], min(ROWS, count - row), row, chosen)
        for row in range(0, count, ROWS)
    ]


def _holds_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        index = kind.get_field_index("bytes")
        kind = kind.field(index).type if index >= 0 else kind
    return pa.types.is_binary(kind) or pa.types.is_large_binary(kind)


def _tar_parts(name: str) -> list[Part]:
    try:
        with open(name, "rb") as file, _Archive.open(fileobj=file) as archive:
            offsets = [member.offset for member in archive if _is_picture(member)]
            compressed = archive.file is not file
            # A damaged header is taken for the end: the members after it would be left out.
            archive.file.seek(archive.offset)
            while block := archive.file.read(2**20):
                if any(block):
                    raise tarfile.ReadError(f"it is damaged after byte {archive.offset:,}")
    # tarfile and what unpacks raise nearly anything on damaged files.
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0].rstrip(":")
        raise ClusterError(f"{name} is not a tar file that can be read: {reason}") from error
    if compressed:  # it can only be read from its start
        return [Part("tar", [name], len(offsets))] if offsets else []
    return [
        Part("tar", [name], min(ROWS, len(offsets) - i), offsets[i])
        for i in range(0, len(offsets), ROWS)
    ]


def _counts(directory: Path, parts: list[Part]) -> dict[str, int]:
    from pyarrow import dataset  # 50 MB, which no process that reads needs

    files = [str(directory / part.name) for part in parts]
    try:
        rows = dataset.dataset(files, SCHEMA)
        errors = rows.count_rows(filter=dataset.field("error").is_valid())
        return {"pictures": rows.count_rows(), "errors": errors}
    except (OSError, pa.ArrowException) as error:
        again = "remove that file, and give the same command again"
        raise ClusterError(f"cannot read the answers ({last_line(error)}): {again}") from error
