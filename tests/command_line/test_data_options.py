"""Test that ``fit``, ``pick`` and ``run`` read files alike, and print their assumptions."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench.cli import main

EXCEL = "\ufefflot;Größe, m²;Preis\r\n" + "".join(
    f"{i};{i % 7},5;{2 * i},25\r\n" for i in range(40)
)


@pytest.fixture
def excel(tmp_path: Path) -> Path:
    path = tmp_path / "häuser.csv"
    path.write_bytes((EXCEL + "40;;1,5\r\n").encode())
    return path


def call(*arguments: object, **more: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)), **more)


def fit(*arguments: object, **more: object) -> dict[str, object]:
    result = call("fit", "--json", "--steps", 1, "--dtype", "float64", *arguments, **more)
    assert result.exit_code == 0, result.stderr
    document: dict[str, object] = json.loads(result.stdout)
    return document


NAMES = ("--x", "lot", "--x", '"Größe, m²"', "--y", " Preis ", "--na", "drop")


def test_fit_says_what_was_used_and_what_was_assumed(excel):
    result = call("fit", "--json", "--data", excel, *NAMES)
    data = json.loads(result.stdout)["data"]
    assert data | {"notes": []} == {
        "path": str(excel),
        "files": [str(excel)],
        "x": ["lot", "Größe, m²"],
        "y": "Preis",
        "rows": 40,
        "notes": [],
    }
    lines = result.stderr.splitlines()
    assert lines == [f"descentbench: {excel}: {note}" for note in data["notes"]]
    for words in ("';' was taken for the delimiter", "',' was taken for the decimal point",
                  "1 of 41 rows lack a value and were left out"):  # fmt: skip
        assert words in result.stderr


def test_the_values_are_those_of_the_file(excel):
    i = np.arange(40)
    x, y = np.column_stack([i, i % 7 + 0.5]), 2 * i + 0.25
    w = fit("--data", excel, *NAMES)["w"]
    np.testing.assert_allclose(w, 0.001 * 2 / 40 * x.T @ y, rtol=1e-12)


@pytest.mark.parametrize(
    "command",
    [
        ("run", "-b", "numpy", "--passes", 1, "--more", 0, "--seconds", 0.01),
        ("pick", "-b", "numpy", "--memory", "400MB"),
    ],
    ids=lambda command: command[0],
)
def test_the_other_doors_read_it_likewise(excel, tmp_path, command):
    options = ["--data", excel, *NAMES, "--store", tmp_path / "store", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *map(str, [*command, *options])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "1 of 41 rows lack a value and were left out" in done.stderr
    document = json.loads(done.stdout)
    if command[0] == "run":
        assert {(r["rows"], r["features"]) for r in document["results"]} == {(40, 2)}
        assert all(r["verified"] for r in document["results"])
    else:
        assert (document["request"]["rows"], document["request"]["features"]) == (40, 2)


@pytest.mark.parametrize(
    "names", [["--x", '"b, c",d', "--x", "a"], ["--x", '"b, c"', "--x", "d", "--x", "a"]]
)
def test_names_with_commas_and_repeated_x(tmp_path, names):
    path = tmp_path / "data.csv"
    path.write_text('a,"b, c",d,y\n1,2,3,4\n5,6,7,9\n')
    data = fit("--data", path, *names)["data"]
    assert (data["x"], data["y"]) == (["b, c", "d", "a"], "y")


@pytest.mark.parametrize("suffix", [".csv", ".npy", ".csv.gz", ".parquet"])
def test_standard_input(tmp_path, suffix):
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow") if suffix == ".parquet" else None
    path, rows = tmp_path / f"data{suffix}", np.arange(12.0).reshape(4, 3)
    frame = pandas.DataFrame(rows, columns=list("aby"))
    if suffix == ".npy":
        np.save(path, rows)
    elif suffix == ".parquet":
        frame.to_parquet(path)
    else:
        frame.to_csv(path, index=False)
    read, piped = fit("--data", path), fit("--data", "-", input=path.read_bytes())
    assert piped["w"] == read["w"]
    assert piped["data"]["rows"] == 4
    assert not Path(piped["data"]["path"]).exists() or "standard-input" in piped["data"]["path"]


def test_two_files(tmp_path):
    x, y = np.arange(12.0).reshape(6, 2), np.arange(6.0)
    np.save(tmp_path / "X.npy", x)
    np.save(tmp_path / "y.npy", y)
    document = fit("--data", tmp_path / "X.npy", "--target", tmp_path / "y.npy")
    np.testing.assert_allclose(document["w"], 0.001 * 2 / 6 * x.T @ y, rtol=1e-12)
    files = [str(tmp_path / "X.npy"), str(tmp_path / "y.npy")]
    assert (document["data"]["files"], document["data"]["x"]) == (files, ["0", "1"])


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--delimiter", ";"], "--delimiter is about a data file; add --data FILE"),
        (["--header", "maybe", "--data", "x.csv"], "'maybe' is neither yes nor no"),
        (["--x", '"a', "--data", "x.csv"], "close the quotation marks"),
        (["--delimiter", "ab", "--data", "x.csv"], "must be one character, not 'ab'"),
        (["--decimal", ";", "--data", "x.csv"], "must be '.' or ',', not ';'"),
        (["--thousands", ".", "--data", "x.csv"], "cannot be both decimal point and"),
        (["--encoding", "latin-99", "--data", "DATA"], "there is no encoding 'latin-99'"),
        (
            ["--target", "none.npy", "--na", "drop", "--data", "DATA"],
            "none.npy: there is no such file",
        ),
        (["--header", "no", "--data", "DATA"], "line 1 (row 1), column '0': 'lot' is not"),
    ],
)
@pytest.mark.parametrize("command", ["fit", "run", "pick"])
def test_a_wrong_option_is_refused_in_a_line(command, arguments, words, excel):
    given = [str(excel) if a == "DATA" else a for a in arguments]
    result = call(command, *given)
    assert result.exit_code == 2
    line = result.stderr.splitlines()[-1]
    assert words in line
    assert line.startswith("descentbench: ")
