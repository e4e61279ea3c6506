"""Finding the tables of a data set on disk and reading them piece by piece."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from timerec.schema import Columns, DataError

BATCH = 1_000_000  # rows read at a time
FAULT = "__broken_line"  # text of a CSV line with the wrong number of fields
_CSV_BLOCK = 32 << 20
_FORMATS = (".parquet", ".csv")
# names that people use for our columns and that resemble them too little for a spelling check
_ALIASES = {
    Columns.USER: {"user", "uid", "userid", "customer_id", "customer", "visitorid", "household_id", "session_id"},
    Columns.ITEM: {"item", "iid", "itemid", "product_id", "product", "movie_id", "article_id", "sku"},
    Columns.TIME: {"time", "ts", "date", "datetime", "created_at", "event_time", "unix"},
}


@dataclass(frozen=True)
class TableFile:
    """One file of a table: its Arrow schema (CSV: every column is text) and size."""

    path: Path
    schema: pa.Schema
    rows: int  # estimated from the size for CSV
    row_groups: int  # 0 for CSV

    @property
    def is_csv(self) -> bool:
        return self.path.suffix == ".csv"


@dataclass(frozen=True)
class Table:
    """A table of the data set, stored as one file or as a folder of files."""

    name: str
    label: str  # how messages call it
    files: tuple[TableFile, ...]

    @property
    def columns(self) -> list[str]:
        """Names found in any of the files, in order of appearance."""
        return list(dict.fromkeys(name for file in self.files for name in file.schema.names))

    @property
    def rows(self) -> int:
        return sum(file.rows for file in self.files)

    def types(self, column: str) -> set[pa.DataType]:
        """Arrow types of a column over the Parquet files; CSV carries no types."""
        return {f.schema.field(column).type for f in self.files if not f.is_csv and column in f.schema.names}


@dataclass(frozen=True)
class Piece:
    """A part of a file that one task reads: some row groups of a Parquet file, or a CSV file."""

    path: str
    groups: tuple[int, ...]  # empty for CSV
    columns: tuple[str, ...]


def find_table(data_dir: Path, name: str, required: tuple[str, ...], optional: bool = False) -> Table | None:
    """Locate `<name>.parquet`, `<name>.csv` or the folder `<name>` and check its columns.

    Returns:
        The table, or None where it is optional and absent.

    Raises:
        DataError: nothing or more than one candidate found, an unreadable or empty file, a required column missing.
    """
    found = [path for path in (data_dir / name, *(data_dir / f"{name}{end}" for end in _FORMATS)) if path.exists()]
    if not found:
        if optional:
            return None
        if not data_dir.is_dir():
            raise DataError(f"{data_dir}: no such folder; give the folder that holds {name}.parquet")
        raise DataError(f"{data_dir}: holds no {name}.parquet, {name}.csv or folder {name}; put the table there")
    if len(found) > 1:
        raise DataError(f"{data_dir}: holds both {found[0].name} and {found[1].name}; keep one of them")
    return table_at(found[0], name, required)


def table_at(path: Path, name: str, required: tuple[str, ...]) -> Table:
    """The table in the file or folder `path`, with its columns checked.

    Raises:
        DataError: an unreadable or empty file, a required column missing.
    """
    files = tuple(file for file in map(_inspect, _files(path)) if file.rows > 0)
    if not files:
        raise DataError(f"{path.name} is empty: write one row an event with the columns {', '.join(required)}")
    for file in files:
        _check_columns(_label(path, file.path), file.schema.names, required)
    return Table(name, path.name, files)


def pieces(table: Table, columns: tuple[str, ...]) -> list[Piece]:
    """Cut a table into parts of about `BATCH` rows along its files and row groups."""
    parts: list[Piece] = []
    for file in table.files:
        wanted = tuple(name for name in columns if name in file.schema.names)
        if file.is_csv:
            parts.append(Piece(str(file.path), (), wanted))
            continue
        size = max(1, BATCH * file.row_groups // max(1, file.rows))
        parts += [
            Piece(str(file.path), tuple(range(first, min(first + size, file.row_groups))), wanted)
            for first in range(0, file.row_groups, size)
        ]
    return parts


def read_piece(piece: Piece, batch: int = BATCH) -> Iterator[pa.Table]:
    """Read a piece in tables of about `batch` rows; broken CSV lines arrive as rows with only `FAULT` set.

    Raises:
        DataError: the file cannot be decoded.
    """
    path = Path(piece.path)
    try:
        if path.suffix == ".csv":
            yield from _read_csv(path, piece.columns, batch)
        else:
            with pq.ParquetFile(path) as file:
                for rows in file.iter_batches(batch, row_groups=list(piece.groups), columns=list(piece.columns)):
                    yield pa.table(rows)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        raise _unreadable(path, error) from error


def read_table(table: Table, columns: tuple[str, ...]) -> pa.Table:
    """A whole table of catalogue size in memory; columns absent from a file are null there."""
    parts = [rows for piece in pieces(table, columns) for rows in read_piece(piece)]
    return pa.concat_tables(parts, promote_options="permissive")


def sample_column(table: Table, column: str, rows: int = 10_000) -> list[pa.Array]:
    """The first values of the column in up to 20 files, evenly spaced; one array a file that has the column."""
    files = [file for file in table.files if column in file.schema.names]
    chosen = files[:: max(1, len(files) // 20)]
    arrays = []
    for file in chosen:
        groups = () if file.is_csv else (file.row_groups // 2,)
        first = next(read_piece(Piece(str(file.path), groups, (column,)), rows), None)
        if first is not None:
            arrays.append(first[column].slice(0, rows).combine_chunks())
    return arrays


def _files(path: Path) -> list[Path]:
    if path.is_file():
        return [path]
    files = sorted(p for p in path.rglob("*") if p.suffix in _FORMATS and p.is_file() and not _hidden(p, path))
    if not files:
        raise DataError(f"{path}: the folder holds no .parquet or .csv file; put the shards of the table there")
    return files


def _hidden(path: Path, root: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.relative_to(root).parts)


def _label(root: Path, path: Path) -> str:
    return root.name if root == path else f"{root.name}/{path.relative_to(root)}"


def _inspect(path: Path) -> TableFile:
    if path.suffix == ".csv":
        return _inspect_csv(path)
    if path.stat().st_size == 0:
        raise DataError(f"{path.name} is empty (0 bytes): write the table again")
    try:
        meta = pq.read_metadata(path)
        return TableFile(path, meta.schema.to_arrow_schema(), meta.num_rows, meta.num_row_groups)
    except (pa.ArrowException, OSError) as error:
        raise _unreadable(path, error) from error


def _inspect_csv(path: Path) -> TableFile:
    size = path.stat().st_size
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            header, first = file.readline(), file.readline()
    except UnicodeDecodeError as error:
        raise _unreadable(path, error) from error
    if not header.strip():
        raise DataError(f"{path.name} is empty: write a header line and one row an event")
    names = pa_csv.read_csv(pa.py_buffer(header.encode())).schema.names
    rows = max(1, size // 40) if first.strip() else 0
    return TableFile(path, pa.schema([(name, pa.string()) for name in names]), rows, 0)


def _read_csv(path: Path, columns: tuple[str, ...], batch: int) -> Iterator[pa.Table]:
    broken: list[str] = []

    def keep(row: pa_csv.InvalidRow) -> str:
        broken.append(row.text)
        return "skip"

    reader = pa_csv.open_csv(
        path,
        read_options=pa_csv.ReadOptions(block_size=min(_CSV_BLOCK, max(1 << 16, batch * 64))),
        parse_options=pa_csv.ParseOptions(invalid_row_handler=keep, newlines_in_values=True),
        convert_options=pa_csv.ConvertOptions(
            include_columns=list(columns),
            column_types={name: pa.string() for name in columns},
            strings_can_be_null=True,
            null_values=["", "null", "NULL"],
        ),
    )
    with reader:
        for rows in reader:
            yield pa.table(rows)
    if broken:
        nulls = {name: pa.nulls(len(broken), pa.string()) for name in columns}
        yield pa.table({**nulls, FAULT: pa.array(broken, pa.string())})


def _check_columns(label: str, names: list[str], required: tuple[str, ...]) -> None:
    for column in required:
        if column in names:
            continue
        close = _close_name(column, [name for name in names if name not in required])
        cure = f"rename its column '{close}'" if close else f"it has {', '.join(map(repr, names)) or 'none'}; add it"
        raise DataError(f"{label} has no column '{column}': {cure}" + (f" to '{column}'" if close else ""))


def _close_name(column: str, names: list[str]) -> str | None:
    plain = {name.lower().replace(" ", "_").replace("-", "_"): name for name in names}
    for alias in (column, *sorted(_ALIASES.get(column, ()))):
        if alias in plain:
            return plain[alias]
    match = difflib.get_close_matches(column, list(plain), n=1, cutoff=0.7)
    return plain[match[0]] if match else None


def _unreadable(path: Path, error: Exception) -> Exception:
    if isinstance(error, OSError) and error.errno is not None and not isinstance(error, pa.ArrowException):
        return DataError(f"{path}: cannot be read ({error.strerror}); check the file and its permissions")
    kind = "CSV in UTF-8 with one header line" if path.suffix == ".csv" else "Parquet"
    reason = str(error).splitlines()[0][:160]
    return DataError(f"{path}: cannot be read as {kind} ({reason}); write the file again")
