"""Test ``fit --intercept`` and ``--standardize`` together with other options."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result

from backends import generate
from backends.losses import LOSSES
from tests.support.fits import fit, fit_json

RNG = np.random.default_rng(4)
X = RNG.standard_normal((400, 2)) * [1, 100] + [3, 5000]
Y = X @ [2.0, 0.03] - 7 + 0.5 * RNG.standard_normal(400)
BOTH = ("--intercept", "--standardize", "--lr", "auto")


def one_line(result: Result) -> str:
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    *notes, line = result.stderr.splitlines()
    assert all("unlike size" in note for note in notes)
    return line


def table(path: Path, names: str, *columns: np.ndarray) -> Path:
    np.savetxt(path, np.column_stack(columns), "%.17g", ",", header=names, comments="")
    return path


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return table(tmp_path / "rows.csv", "a,b,y", X, Y)


def exact(x: np.ndarray = X, y: np.ndarray = Y) -> np.ndarray:
    return np.linalg.lstsq(np.column_stack([x, np.ones(len(x))]), y)[0]


def test_the_intercept_is_apart_from_w(data: Path) -> None:
    found = fit_json("--data", data, *BOTH)
    assert [*found["w"], found["intercept"]] == pytest.approx(exact(), rel=1e-4)
    assert found["scaling"]["mean"] == pytest.approx(X.mean(axis=0))
    assert found["scaling"]["scale"] == pytest.approx(X.std(axis=0))
    assert found["scaling"]["target"] == pytest.approx(Y.mean())
    assert found["excess"]["relative"] < 1e-9
    last = found["epochs"][-1]
    assert (last["w"], last["intercept"]) == (found["w"], found["intercept"])
    lines = fit("--data", data, *BOTH).stdout.splitlines()
    assert "float32, learning rate" in lines[1]
    assert lines[1].endswith("standardized columns")
    (heading,) = (line for line in lines if line.startswith("epoch"))
    assert heading.split() == ["epoch", "w", "intercept", "loss"]
    assert f"intercept = {found['intercept']:.3f}" in lines[-2]
    assert "the minimum to within 0.0001%" in lines[-2]


def test_without_either_nothing_changes(data: Path) -> None:
    found = fit_json("--data", data, "--lr", 1e-9)
    assert found["intercept"] is None
    assert found["scaling"] is None
    assert {epoch["intercept"] for epoch in found["epochs"]} == {None}


def test_an_intercept_is_the_weight_of_a_column_of_ones(tmp_path: Path) -> None:
    plain = table(tmp_path / "plain.csv", "a,y", X[:, 0], Y)
    ones = table(tmp_path / "ones.csv", "a,one,y", X[:, 0], np.ones(400), Y)
    apart = fit_json("--data", plain, "--intercept", "--lr", 0.01)
    beside = fit_json("--data", ones, "--lr", 0.01)
    assert [*apart["w"], apart["intercept"]] == beside["w"]
    assert apart["loss"] == beside["loss"]


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize(
    "backend", ["numpy", "numpy:blocked", "numba:parallel", "torch", "jax"]
)
def test_every_loss_has_an_intercept(loss: str, backend: str) -> None:
    """Compare the weights and the intercept with SciPy's minimum."""
    optimize = pytest.importorskip("scipy.optimize")
    pytest.importorskip(backend.partition(":")[0])
    problem = generate(300, 2, "float64", loss=LOSSES[loss])
    ones = np.column_stack([problem.x, np.ones(300)])

    def value(w: np.ndarray) -> float:
        return float(np.mean(LOSSES[loss].value(np, ones @ w, problem.y)))

    rate = 0.3 if loss == "poisson" else "auto"
    found = fit_json(
        *("--rows", 300, "--features", 2, "--loss", loss, "--dtype", "float64"),
        *("--intercept", "--standardize", "--lr", rate, "--steps", 1000, "--every", 1000),
        *("--backend", backend),
    )
    best = optimize.minimize(value, np.zeros(3), method="BFGS", options={"gtol": 1e-8})
    assert found["loss"] == pytest.approx(best.fun, rel=1e-6)
    assert found["loss"] == pytest.approx(value(np.array([*found["w"], found["intercept"]])))
    assert found["excess"]["minimum"] == pytest.approx(best.fun, rel=1e-7)


def test_w0_and_predict_are_in_the_units_of_the_data(data: Path) -> None:
    w0 = ",".join(map(repr, exact().tolist()))
    start = fit_json("--data", data, *BOTH, "--w0", w0, "--steps", 0, "--predict", "3,5000")
    assert [*start["w"], start["intercept"]] == pytest.approx(exact(), rel=1e-12)
    (prediction,) = start["predictions"]
    assert prediction["x"] == [3, 5000]
    assert prediction["y"] == pytest.approx(exact() @ [3, 5000, 1], rel=1e-12)
    without = fit_json("--data", data, *BOTH, "--w0", "1,2", "--steps", 0)
    assert [*without["w"], without["intercept"]] == pytest.approx([1, 2, 0], abs=1e-9)
    assert "--w0 must have" in one_line(fit("--data", data, *BOTH, "--w0", "1,2,3,4"))


@pytest.mark.parametrize("options", [BOTH, ("--intercept",), ("--standardize",)])
def test_resumes_to_the_bits_of_one_fit(
    data: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    rate = [] if "--lr" in options else ["--lr", 1e-8 if "--intercept" in options else 0.1]
    how = ["--data", data, *options, *rate, "--every", 5]
    kept = tmp_path / "w.json"
    whole = fit_json(*how, "--steps", 20)
    fit_json(*how, "--steps", 11, "--checkpoint", kept)
    resumed = fit_json(*how, "--steps", 20, "--resume", kept)
    for name in ("w", "intercept", "loss"):
        assert resumed[name] == whole[name]


def test_a_checkpoint_needs_the_same_options_and_columns(data: Path, tmp_path: Path) -> None:
    kept = tmp_path / "w.json"
    fit_json("--data", data, *BOTH, "--checkpoint", kept)
    rate = json.loads(kept.read_text())["learning_rate"]
    line = one_line(fit("--data", data, "--intercept", "--lr", rate, "--resume", kept))
    assert "made with --intercept --standardize, not with --intercept" in line
    table(data, "a,b,y", X + 1, Y)
    line = one_line(fit("--data", data, *BOTH[:2], "--lr", rate, "--resume", kept))
    assert "other means and deviations" in line


def test_columns_of_unlike_size_are_told_once(data: Path) -> None:
    said = fit("--data", data, "--lr", "auto").stderr.splitlines()
    assert len([line for line in said if "unlike size" in line and "'b'" in line]) == 1
    assert fit("--data", data, *BOTH).stderr == ""
    assert (
        fit("--data", table(data, "a,b,y", X[:, 0], X[:, 0] ** 2, Y), "--steps", 0).stderr == ""
    )


def test_constant_columns_are_told_and_do_no_harm(tmp_path: Path) -> None:
    path = table(tmp_path / "rows.csv", "a,c,b,y", X[:, 0], np.full(400, 0.1), X[:, 1], Y)
    result = fit("--data", path, *BOTH, "--json")
    (line,) = result.stderr.splitlines()
    assert "column 'c' has one value only" in line
    found = json.loads(result.stdout)
    assert found["w"][1] == 0
    assert [found["w"][0], found["w"][2], found["intercept"]] == pytest.approx(
        exact(), rel=1e-4
    )


@pytest.mark.parametrize("backend", ["numpy:blocked", "numpy:gram", "numba:parallel"])
def test_rows_larger_than_the_memory_come_to_the_same_w(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backend: str
) -> None:
    pytest.importorskip(backend.partition(":")[0])
    x = RNG.standard_normal((400_000, 3)) * [1, 1e3, 1e-3] + [1e3, 0, 1]
    y = x @ [1, 1e-3, 1e3] + RNG.standard_normal(len(x))
    np.save(tmp_path / "rows.npy", np.column_stack([x, y]))
    how = ("--data", tmp_path / "rows.npy", *BOTH, "--steps", 30, "--backend", backend)
    here = fit_json(*how)
    monkeypatch.setattr("bench.fit.inputs.room_bytes", lambda _: 16_000_000)
    result = fit(*how, "--json")
    assert "every step reads the rows again" in result.stderr or backend == "numpy:gram"
    streamed = json.loads(result.stdout)
    assert streamed["w"] == pytest.approx(here["w"], rel=1e-5)
    best = exact(x, y)
    for found in (streamed, here):
        assert found["w"] == pytest.approx(best[:3], rel=1e-5)
        assert found["intercept"] == pytest.approx(best[3], abs=1e-6 * 2000)  # 1000 + 1000 − …
    assert streamed["excess"]["relative"] < 1e-6


@pytest.mark.parametrize("suffix", ["npy", "csv"])
def test_workers_get_scaled_rows(data: Path, tmp_path: Path, suffix: str) -> None:
    """Check that Dask workers scale the rows of a file and rows that are sent to them."""
    pytest.importorskip("distributed")
    if suffix == "npy":
        np.save(data := tmp_path / "rows.npy", np.column_stack([X, Y]))
    found = fit_json("--data", data, *BOTH, "--backend", "dask:numpy", "--workers", 2)
    assert [*found["w"], found["intercept"]] == pytest.approx(exact(), rel=1e-4)


def test_timestamps_in_float32(tmp_path: Path) -> None:
    """Check that times are centred before float32 rounds them to multiples of 128 s."""
    seconds = 1.7e9 + np.arange(400.0)
    y = 5 + 0.01 * (seconds - 1.7e9) + 0.001 * RNG.standard_normal(400)
    path = table(tmp_path / "rows.csv", "t,y", seconds, y)
    found = fit_json("--data", path, *BOTH)
    slope = np.polyfit(seconds - 1.7e9, y, 1)[0]
    assert found["w"] == pytest.approx([slope], rel=1e-6)
    assert found["loss"] == pytest.approx(1e-6, rel=0.2)


def test_epochs_as_csv_have_a_column_for_the_intercept(data: Path) -> None:
    text = fit("--data", data, *BOTH, "--format", "csv").stdout
    rows = list(csv.DictReader(io.StringIO(text)))
    assert list(rows[0]) == ["epoch", "w1", "w2", "intercept", "loss"]
    assert float(rows[-1]["intercept"]) == pytest.approx(exact()[2], rel=1e-3)
    markdown = fit("--data", data, *BOTH, "--format", "markdown").stdout
    assert markdown.startswith("| epoch | w | intercept | loss |")


@pytest.mark.parametrize("x", ["a", "a,b"])
def test_the_picture_has_the_intercept(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, x: str
) -> None:
    figure = pytest.importorskip("matplotlib.figure")
    drawn: list[Any] = []
    save = figure.Figure.savefig
    monkeypatch.setattr(
        figure.Figure,
        "savefig",
        lambda self, *a, **k: (drawn.append(self), save(self, *a, **k)),
    )
    found = fit_json("--data", data, "--x", x, "--y", "y", *BOTH, "--plot", tmp_path / "f.png")
    (axes,) = drawn[0].axes
    assert "intercept = " in axes.get_title()
    if x == "a":
        (line,) = axes.lines
        across, up = line.get_data()
        assert up == pytest.approx(across * found["w"][0] + found["intercept"])
    else:
        points = axes.collections[0].get_offsets()
        predicted = X @ found["w"] + found["intercept"]
        assert np.asarray(points[:, 0]) == pytest.approx(predicted)


def test_a_model_that_cannot_be_written_is_an_error_before_the_descent(
    data: Path, tmp_path: Path
) -> None:
    line = one_line(fit("--data", data, "-o", tmp_path, "--steps", "1e15"))
    assert f"cannot write {tmp_path}" in line
    before = data.read_text()
    line = one_line(fit("--data", data, "-o", data, "--steps", 0))
    assert "it is an input" in line
    assert data.read_text() == before


def test_separable_data_have_no_excess(tmp_path: Path) -> None:
    x = X[:, 0] + 5 * (X[:, 0] > 3)
    path = table(tmp_path / "rows.csv", "a,y", x, (x > 3).astype(float))
    result = fit("--data", path, *BOTH, "--loss", "log_loss", "--steps", 3000, "--json")
    assert "the data are separable" in result.stderr
    assert json.loads(result.stdout)["excess"] is None
