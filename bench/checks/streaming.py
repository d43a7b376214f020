"""Compare the time of a step over a file with the time to read the file."""

from __future__ import annotations

import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np

from backends import open_backend
from backends.rows.datafile import open_source
from backends.rows.source import Source
from backends.rows.streamed import Streamed
from bench.checks.timed_ratio import Finding, alternate
from bench.measure.verify import LEARNING_RATE

BACKEND = "numba:parallel"
"""The backend whose steps are timed."""

FEATURES = 1, 2, 4, 32
"""Numbers of features of the files. For each number, `BACKEND` uses a different kernel."""

READ_BYTES = 64 << 20
"""Block size in bytes with which `read_npy` reads a file: 64 MiB."""

SPEED = 0.8
"""Smallest allowed ratio: time to read the file ÷ time of a step over the file. With 0.8, a
step takes at most 1.25 times as long as the read."""


def write_npy(folder: Path, source: Source) -> Path:
    """Write features and target as the columns of one npy array; return the file's path."""
    path = folder / "rows.npy"
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(source.dtype)),
        "fortran_order": False,
        "shape": (source.rows, source.features + 1),
    }
    with path.open("wb") as file:  # a memory map's pages would be cached differently
        np.lib.format.write_array_header_1_0(file, header)
        for block in source.blocks():
            held = min(len(block.y), source.rows - block.start)
            rows = np.column_stack([block.x.reshape(len(block.y), -1), block.y])[:held]
            file.write(rows.tobytes())
    return path


def write_parquet(folder: Path, source: Source) -> Path:
    """Write features and target as Parquet columns; return the file's path.

    The columns are not compressed, because compression does not make random numbers smaller.
    """
    pa, parquet = _pyarrow()
    path = folder / "rows.parquet"
    names = [*(f"x{j}" for j in range(source.features)), "y"]
    schema = pa.schema([(name, pa.from_numpy_dtype(source.dtype)) for name in names])
    plain = {"compression": "none", "use_dictionary": False}
    with parquet.ParquetWriter(path, schema, **plain) as writer:
        for block in source.blocks():
            held = min(len(block.y), source.rows - block.start)
            x = block.x.reshape(len(block.y), -1)
            columns = [*x[:held].T, block.y[:held]]
            writer.write_table(pa.table(list(map(np.ascontiguousarray, columns)), schema))
    return path


def _pyarrow() -> tuple[Any, Any]:
    return import_module("pyarrow"), import_module("pyarrow.parquet")


def read_npy(path: Path) -> None:
    """Copy an npy file once, block by block, into one buffer."""
    rows = np.load(path, mmap_mode="r")
    length = READ_BYTES // rows[:1].nbytes
    into = np.empty((length, rows.shape[1]), rows.dtype)
    for start in range(0, len(rows), length):
        part = rows[start : start + length]
        np.copyto(into[: len(part)], part)


def read_parquet(path: Path) -> None:
    """Decode all batches of a Parquet file once, with pyarrow's own threads."""
    _, parquet = _pyarrow()
    with parquet.ParquetFile(path) as file:
        for _ in file.iter_batches():
            pass


FORMATS: dict[str, tuple[Callable[[Path, Source], Path], Callable[[Path], None]]] = {
    "npy": (write_npy, read_npy),
    "parquet": (write_parquet, read_parquet),
}
"""The keys are file formats. A value is a pair of functions: the first function writes a file,
and the second function reads the file once."""


def streaming(kind: str, source: Source, folder: Path) -> Finding:
    """Time a step over a file and a read of the same file alternately, and compare the times.

    The file was just written, so it is in the system's file cache.
    """
    write, read = FORMATS[kind]
    path = write(folder, source)
    with path.open("rb") as file:  # so that the system does not write while steps are timed
        os.fsync(file.fileno())
    descent = Streamed(open_backend(BACKEND), open_source(path), LEARNING_RATE)
    start = np.ones(source.features)
    what = f"{kind}, {source.rows:g} × {source.features}: a step against a read"
    found = alternate(
        what, lambda: descent.run(start, 1), lambda: read(path), SPEED, least=True
    )
    path.unlink()
    return found
