"""Test ``--loss`` in every command, with built-in losses and a user's file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from backends import catalogue
from backends.losses import LOG_LOSS, LOSSES, Loss, find
from backends.names import Name
from backends.rows.made import Generated
from bench.cli import main
from bench.fit.checkpoint import Checkpoint
from bench.measure.iterate import iterated
from tests.support.backends import NUMPY_LOOPS
from tests.support.documents import ROOT, python_blocks

PSEUDO_HUBER = """
def value(xp, p, y):
    return xp.exp(0.5 * xp.log(1.0 + (p - y) * (p - y))) - 1.0

class pseudo_huber:
    value = staticmethod(value)
    slope = staticmethod(lambda xp, p, y: (p - y) / (value(xp, p, y) + 1.0))
    curvature = 1.0
"""

BACKENDS = [
    str(entry.name)
    for entry in catalogue.entries()
    if entry.available and entry.name.device == "cpu" and not entry.name.distributed
]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [*map(str, arguments)])


def document(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--json")
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def one_line(result: Result, exit_code: int = 2) -> str:
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


def needs(backend: str, loss: Loss) -> None:
    """Skip the test if the backend does not work for the loss."""
    if reason := catalogue.reason_against(Name.parse(backend), loss):
        pytest.skip(f"{backend}: {reason}")


@pytest.fixture
def own(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(PSEUDO_HUBER)
    return path


@pytest.mark.parametrize("loss", LOSSES.values(), ids=LOSSES)
def test_fit_descends_with_a_loss(loss: Loss) -> None:
    """Compare w and the loss with independent formulas."""
    needs("numpy", loss)
    found = document("fit", "--loss", loss.name, "--steps", 50, "--dtype", "float64")
    rows = Generated(100, 1, "float64", loss=loss)
    expected = iterated(rows).iterate(50, 0.001, [0.0])
    np.testing.assert_allclose(found["w"], expected, 1e-12)
    p, y = rows.load().x * found["w"][0], rows.load().y
    assert found["loss"] == pytest.approx(float(loss.value(np, p, y).mean()), rel=1e-12)
    assert found["loss_name"] == loss.name
    shown = run("fit", "--loss", loss.name).stdout
    assert (f", {loss.name}, learning rate" in shown) == (loss.name != "squared_error")


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_documented_file_gives_the_same_w_with_every_backend(
    backend: str, own: Path
) -> None:
    """Check that the six-line loss of docs/losses.md gives the same w with every backend."""
    example = python_blocks(ROOT / "docs" / "losses.md")[0]
    assert len([line for line in example.splitlines() if line]) == 6
    own.write_text(example)
    loss = find(f"{own}:pseudo_huber")
    needs(backend, loss)
    asked = ("--loss", f"{own}:pseudo_huber", "--steps", 20, "--lr", "auto", "--rows", 500)
    found = document("fit", "--backend", backend, *asked, "--features", 3)
    rows = Generated(500, 3, loss=loss)
    expected = iterated(rows).iterate(20, found["learning_rate"], np.zeros(3))
    np.testing.assert_allclose(found["w"], expected, 1e-5)
    assert found["loss_name"] == loss.name


def test_a_value_alone_needs_a_backend_that_differentiates(own: Path) -> None:
    loss = f"{own}:value"
    assert "needs a slope" in one_line(run("fit", "--loss", loss)) or (
        catalogue.reason_against(Name("numpy"), LOG_LOSS)
    )
    listed = CliRunner().invoke(main, ["backends", "--loss", loss, "--json"])
    entries = {e["backend"]: e for e in json.loads(listed.stdout)}
    assert not entries["numpy"]["available"]
    assert "XᵀX" in entries["numpy:gram"]["reason"]


def test_the_automatic_rate_is_that_of_the_curvature() -> None:
    needs("numpy", LOG_LOSS)
    rates = {
        loss: document("fit", "--loss", loss, "--lr", "auto", "--steps", 1)["learning_rate"]
        for loss in ("squared_error", "huber")
    }
    assert rates["huber"] == pytest.approx(2 * rates["squared_error"])  # curvature 1, not 2
    line = one_line(run("fit", "--loss", "poisson", "--lr", "auto"))
    assert "poisson states no largest curvature" in line
    assert "--learning-rate 0.001" in line


@pytest.mark.parametrize(
    ("loss", "rate", "says"), [("poisson", 1, "poisson"), ("log_loss", 100, "--lr auto")]
)
def test_a_rate_that_is_too_large_is_told(loss: str, rate: float, says: str) -> None:
    needs("numpy", LOSSES[loss])
    line = one_line(run("fit", "--loss", loss, "--lr", rate), exit_code=1)
    assert "diverged by epoch 1" in line
    assert says in line


def test_a_rate_that_is_automatic_already_is_no_advice(tmp_path: Path) -> None:
    """Fixed bug: an error with --lr auto advised the user to try --lr auto."""
    own = tmp_path / "mine.py"
    own.write_text(
        "class steeper:\n"
        "    curvature = 1.0\n"
        "    def value(xp, p, y):\n"
        "        return 0.5 * (p - y) ** 2 + xp.maximum(xp.abs(p - y) - 7, 0.0) ** 4\n"
        "    def slope(xp, p, y):\n"
        "        far = xp.maximum(xp.abs(p - y) - 7, 0.0)\n"
        "        return (p - y) + 4 * far**3 * xp.where(p > y, 1.0, -1.0)\n"
    )
    asked = ("fit", "--loss", f"{own}:steeper", "--backend", "numpy", "--w0", 300)
    automatic = one_line(run(*asked, "--lr", "auto"), exit_code=1)
    assert "too large for steeper" in automatic
    assert "auto" not in automatic
    given = one_line(run(*asked, "--lr", 1), exit_code=1)
    assert "(--lr auto takes 1/L)" in given


@pytest.mark.parametrize("backend", BACKENDS)
def test_poisson_that_overflows_is_told(backend: str) -> None:
    needs(backend, LOSSES["poisson"])
    asked = ("fit", "--loss", "poisson", "--w0", "100", "--steps", 3, "--backend", backend)
    assert "the loss is inf" in one_line(run(*asked), exit_code=1)


def test_separable_data_are_told(tmp_path: Path) -> None:
    needs("numpy", LOG_LOSS)
    path, x = tmp_path / "rows.csv", np.arange(-5, 5) + 0.5
    for flipped, told in ((0, True), (1, False)):
        y = x > 0
        y[0] ^= bool(flipped)
        np.savetxt(path, np.c_[x, y], delimiter=",", header="x,y", comments="")
        result = run("fit", "--data", path, "--loss", "log_loss", "--lr", "auto")
        assert result.exit_code == 0
        assert ("the data are separable" in result.stderr) == told


def test_a_target_outside_the_domain_is_named_by_file_and_row(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("x,y\n1,0\n2,1\n3,2\n")
    needs("numpy", LOG_LOSS)
    for command in (("fit",), ("run", "--store", tmp_path), ("pick", "--store", tmp_path)):
        line = one_line(run(*command, "--data", path, "--loss", "log_loss"))
        assert f"{path}: y is 2 in row 3; log_loss needs targets of 0 or 1" in line


@pytest.mark.parametrize("command", ["fit", "run", "backends", "pick"])
@pytest.mark.parametrize(
    ("loss", "says"),
    [("hinge", "there is no loss 'hinge'"), ("nowhere.py:f", "nowhere.py: cannot be read")],
)
def test_no_such_loss_is_one_line(command: str, loss: str, says: str) -> None:
    rows = () if command == "backends" else ("--rows", 10)
    assert says in one_line(run(command, "--loss", loss, *rows))


def test_a_checkpoint_of_another_loss_is_refused(tmp_path: Path) -> None:
    needs("numpy", LOG_LOSS)
    path = tmp_path / "w.json"
    assert run("fit", "--loss", "log_loss", "--checkpoint", path, "--steps", 5).exit_code == 0
    assert Checkpoint.load(path).loss == "log_loss"
    assert "its loss is 'log_loss'" in one_line(run("fit", "--resume", path, "--loss", "huber"))
    old = json.loads(path.read_text())
    del old["loss"]  # as in files of older versions
    path.write_text(json.dumps(old))
    assert Checkpoint.load(path).loss == "squared_error"


def test_run_measures_a_loss(tmp_path: Path) -> None:
    needs("numpy", LOG_LOSS)
    asked = ("--rows", 1000, "--passes", 1, "--more", 0, "--seconds", 0.05)
    found = document("run", "--loss", "log_loss", "-b", "numpy*", *asked, "--store", tmp_path)
    assert {r["backend"] for r in found["results"]} == set(NUMPY_LOOPS)
    for result in found["results"]:
        assert result["verified"]
        assert result["loss"] == "log_loss"
        assert result["relative_error"] < 1e-5
    (record,) = tmp_path.glob("run-*.json")
    assert "numpy/1000x1/float32/log_loss" in json.loads(record.read_text())["request"]["rows"]
    assert (
        "numpy:gram: XᵀX"
        in run(
            *("run", "--loss", "log_loss", "-b", "numpy*", *asked, "--store", tmp_path)
        ).stderr
    )


def test_run_measures_a_users_file_and_its_hash_is_in_the_case(
    own: Path, tmp_path: Path
) -> None:
    needs("numpy", find(f"{own}:pseudo_huber"))
    asked = ("--rows", 1000, "--passes", 1, "--more", 0, "--seconds", 0.05, "-b", "numpy")
    names = []
    for text in (PSEUDO_HUBER, f"{PSEUDO_HUBER}\n# edited\n"):
        own.write_text(text)
        found = document("run", "--loss", f"{own}:pseudo_huber", *asked, "--store", tmp_path)
        (result,) = found["results"]
        assert result["verified"], result
        names.append(result["loss"])
    assert names[0] != names[1]
    records = [
        json.loads(p.read_text())["request"]["rows"] for p in tmp_path.glob("run-*.json")
    ]
    assert sorted(records) == sorted([f"numpy/1000x1/float32/{name}"] for name in names)
