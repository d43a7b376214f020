"""Test ``descentbench predict``, from a file of rows to a model and to predictions."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from bench.cli import main
from bench.fit.model import Model, write_model

RNG = np.random.default_rng(8)
X = RNG.random((300, 2)) * [3, 1e-3] + [1, 0]
P = X @ [2.0, 1000.0] - 4


def command(*arguments: object) -> Result:
    return CliRunner().invoke(main, list(map(str, arguments)))


def good(*arguments: object) -> Result:
    result = command(*arguments)
    assert result.exit_code == 0, result.output
    return result


def one_line(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    (line,) = result.stderr.splitlines()
    assert "Traceback" not in line
    return line


def table(path: Path, names: str, *columns: np.ndarray) -> Path:
    np.savetxt(path, np.column_stack(columns), delimiter=",", header=names, comments="")
    return path


def column(text: str) -> tuple[str, list[float]]:
    heading, *rows = csv.reader(io.StringIO(text))
    (name,) = heading
    return name, [float(row[0]) for row in rows]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a model (a = 2, b = 1000, intercept −4) and new rows in `new.csv`."""
    model = Model(("a", "b"), (2.0, 1000.0), -4.0, "squared_error", source={"target": "y"})
    write_model(tmp_path / "model.json", model)
    table(tmp_path / "new.csv", "a,b", *X.T)
    return tmp_path


def predicted(folder: Path, *more: object) -> list[float]:
    return column(good("predict", folder / "model.json", *more).stdout)[1]


@pytest.mark.parametrize("standardize", [False, True])
def test_from_a_fit_to_predictions(tmp_path: Path, standardize: bool) -> None:
    data = table(tmp_path / "houses.csv", "b,y,a", X[:, 1], P, X[:, 0])
    asked = ["--standardize"] if standardize else ["--w0", "2,1000,-4"]
    steps = ["--lr", "auto", "--steps", 2000 if standardize else 0]
    fit = ["fit", "--data", data, "--x", "a,b", "--y", "y", "--intercept", *asked, *steps]
    good(*fit, "--output", tmp_path / "model.json")
    document = json.loads((tmp_path / "model.json").read_text())
    assert document["weights"] == pytest.approx({"a": 2, "b": 1000}, rel=1e-4)
    assert document["intercept"] == pytest.approx(-4, rel=1e-4)
    assert document["source"]["path"] == str(data)
    assert (document["scaling"] is None) == (not standardize)
    assert document["fit"]["backend"] == "numpy"
    name, values = column(good("predict", tmp_path / "model.json", "--data", data).stdout)
    assert name == "prediction"
    assert values == pytest.approx(P, abs=1e-4)


def test_columns_are_found_by_name(folder: Path) -> None:
    new = ("--data", folder / "new.csv")
    assert predicted(folder, *new) == pytest.approx(P)
    reordered = table(folder / "other.csv", "b,z,a,y", X[:, 1], P, X[:, 0], P)
    result = good("predict", folder / "model.json", "--data", reordered)
    assert column(result.stdout)[1] == pytest.approx(P)
    assert result.stderr.splitlines() == [f"descentbench: {reordered}: not used: 'z'"]
    renamed = table(folder / "renamed.csv", "u,v", X[:, 1], X[:, 0])
    assert predicted(folder, "--data", renamed, "--x", "v,u") == pytest.approx(P)


def test_missing_columns_are_named(folder: Path) -> None:
    other = table(folder / "c.csv", "a,c", *X.T)
    line = one_line(command("predict", folder / "model.json", "--data", other))
    assert "'b'" in line
    both = table(folder / "d.csv", "c,d", *X.T)
    line = one_line(command("predict", folder / "model.json", "--data", both))
    assert "'a', 'b'" in line
    assert "--x" in line
    line = one_line(command("predict", folder / "model.json", "--data", both, "--x", "c"))
    assert "names 1" in line


@pytest.mark.parametrize("suffix", ["npy", "parquet", "feather", "npz"])
def test_other_formats(folder: Path, suffix: str) -> None:
    path = folder / f"new.{suffix}"
    more: list[object] = []
    if suffix == "npy":
        np.save(path, X)
        more = ["--x", "0,1"]
    elif suffix == "npz":
        np.savez(path, b=X[:, 1], a=X[:, 0])
    else:
        pa = pytest.importorskip("pyarrow")
        rows = pa.table({"b": X[:, 1], "a": X[:, 0], "name": ["x"] * len(X)})
        writer = pytest.importorskip(
            "pyarrow.parquet" if suffix == "parquet" else "pyarrow.feather"
        )
        (writer.write_table if suffix == "parquet" else writer.write_feather)(rows, path)
    assert predicted(folder, "--data", path, *more) == pytest.approx(P)


def test_a_single_column(folder: Path) -> None:
    write_model(folder / "one.json", Model(("a",), (2.0,), 1.0, "huber"))
    np.save(folder / "one.npy", X[:, 0])
    (folder / "one.csv").write_text("a\n" + "\n".join(map(str, X[:, 0])) + "\n")
    for more in (["one.csv"], ["one.npy", "--x", "0"]):
        told = good("predict", folder / "one.json", "--data", folder / more[0], *more[1:])
        assert column(told.stdout)[1] == pytest.approx(2 * X[:, 0] + 1)


@pytest.mark.parametrize(
    ("loss", "name", "expected"),
    [
        ("log_loss", "probability_of_1", 1 / (1 + np.exp(-P))),
        ("poisson", "rate", np.exp(P)),
        ("huber", "prediction", P),
    ],
)
def test_predictions_are_in_terms_of_the_loss(
    folder: Path, loss: str, name: str, expected: np.ndarray
) -> None:
    write_model(folder / "model.json", Model(("a", "b"), (2.0, 1000.0), -4.0, loss))
    told = good("predict", folder / "model.json", "--data", folder / "new.csv")
    found, values = column(told.stdout)
    assert found == name
    assert values == pytest.approx(expected)


def test_a_prediction_beyond_float64_is_named(folder: Path) -> None:
    write_model(folder / "model.json", Model(("a", "b"), (1e3, 0.0), None, "poisson"))
    line = one_line(
        command(
            "predict",
            folder / "model.json",
            "--data",
            folder / "new.csv",
            "-o",
            folder / "out.csv",
        )
    )
    assert "the rate in row 1 is beyond float64" in line
    assert not (folder / "out.csv").exists()
    assert len(list(folder.iterdir())) == 2


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_many_blocks_go_to_a_file_in_order(tmp_path: Path, suffix: str) -> None:
    x = np.arange(1_500_000.0)
    np.save(tmp_path / "x.npy", np.column_stack([x, x]))
    write_model(tmp_path / "model.json", Model(("0", "1"), (2.0, 1.0), 1.0, "huber"))
    out = tmp_path / f"out.{suffix}"
    if suffix == "parquet":
        parquet = pytest.importorskip("pyarrow.parquet")
    good("predict", tmp_path / "model.json", "--data", tmp_path / "x.npy", "-o", out)
    if suffix == "csv":
        values = np.loadtxt(out, skiprows=1)
    else:
        values = parquet.read_table(out)["prediction"].to_numpy()
    assert (values == 3 * x + 1).all()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["model.json", out.name, "x.npy"]


def test_the_target_goes_beside_the_prediction(folder: Path) -> None:
    data = table(folder / "all.csv", 'a,b,"y, m²"', *X.T, P)
    told = good("predict", folder / "model.json", "--data", data, "--y", "y, m²")
    heading, *rows = csv.reader(io.StringIO(told.stdout))
    assert heading == ["prediction", "y, m²"]
    assert np.array(rows, float) == pytest.approx(np.column_stack([P, P]))


def test_options_for_reading_a_file(folder: Path) -> None:
    text = "a;b\n" + "".join(f"{a};{b}\n".replace(".", ",") for a, b in X)
    (folder / "excel.csv").write_text(text.replace("\n", "\n;1\n", 1))
    more = ("--data", folder / "excel.csv", "--na", "drop", "--decimal", ",")
    assert predicted(folder, *more) == pytest.approx(P)


BAD: list[tuple[str, list[Any], str]] = [
    ("missing.json", ["--data", "new.csv"], "cannot read missing.json"),
    ("new.csv", ["--data", "new.csv"], "new.csv is not a model"),
    ("model.json", [], "add --data"),
    ("model.json", ["--data", "none.csv"], "none.csv"),
    ("model.json", ["--data", "new.csv", "-o", "out.xlsx"], ".csv or .parquet"),
    ("model.json", ["--data", "new.csv", "-o", "no/such/out.csv"], "cannot write no/such"),
    ("model.json", ["--data", "new.csv", "-o", "new.csv"], "it is an input"),
    ("model.json", ["--data", "nan.csv"], "row 2"),
]


@pytest.mark.parametrize(("model", "arguments", "words"), BAD, ids=lambda v: str(v)[:40])
def test_bad_input_is_one_line(
    folder: Path, monkeypatch: pytest.MonkeyPatch, model: str, arguments: list[str], words: str
) -> None:
    monkeypatch.chdir(folder)
    Path("nan.csv").write_text("a,b\n1,2\n1,nan\n")
    before = Path("new.csv").read_text()
    assert words in one_line(command("predict", model, *arguments))
    assert Path("new.csv").read_text() == before
