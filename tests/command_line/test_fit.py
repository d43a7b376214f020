"""Test ``descentbench fit`` with the options of a user."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import Result

from backends import generate
from bench.fit.picture import MOST_POINTS
from tests.support.fits import fit, fit_json

if TYPE_CHECKING:
    from pathlib import Path


def one_line(result: Result, exit_code: int = 2) -> str:
    """Return the one-line error of a command that failed."""
    assert result.exit_code == exit_code, result.output
    assert result.stdout == ""
    assert isinstance(result.exception, SystemExit)
    (line,) = result.stderr.splitlines()
    assert "Traceback" not in line
    return line


@pytest.fixture
def csv(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n1,0,2\n0,1,3\n1,1,5\n2,1,7\n")
    return path


def test_prints_the_tutorials_table_and_prediction() -> None:
    lines = fit("--predict", 7).stdout.splitlines()
    table = lines[lines.index("epoch      w     loss") + 1 :][:6]
    assert [int(line.split()[0]) for line in table] == [1, 21, 41, 61, 81, 100]
    document = fit_json("--predict", 7)
    assert table[1].split()[1:] == [
        f"{document['epochs'][1]['w'][0]:.3f}",
        f"{document['epochs'][1]['loss']:.3f}",
    ]
    assert lines[-1] == f"prediction at x = 7: {document['predictions'][0]['y']:.3f}"


def test_the_json_document() -> None:
    document = fit_json(
        "--rows", "1e3", "--features", 2, "--predict", "1,2", "--predict", "0,0"
    )
    assert set(document) == {
        "backend", "w", "loss", "steps", "learning_rate", "stopped", "epochs", "predictions",
        "loss_name", "intercept", "scaling", "excess",
    }  # fmt: skip
    assert document["backend"] == "numpy"
    assert (document["steps"], document["stopped"]) == (100, "steps")
    problem = generate(1000, 2)
    assert document["w"] == pytest.approx(
        problem.reference.iterate(100, 0.001, [0, 0]), rel=1e-5
    )
    for epoch in (*document["epochs"], document):
        assert epoch["loss"] == pytest.approx(problem.reference.loss(epoch["w"]), rel=1e-4)
    first, second = document["predictions"]
    assert first == {
        "x": [1, 2],
        "y": pytest.approx(document["w"][0] + 2 * document["w"][1]),
    }
    assert second["y"] == 0


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (["--steps", 30], ["--iterations", "3e1"]),
        (["--learning-rate", 0.002], ["--lr", "2e-3"]),
        (["--backend", "numpy:blocked"], ["--backend", "numpy:blocked", "--device", "cpu"]),
        ([], ["--w0", 0, "--seed", 0]),
    ],
)
def test_two_ways_to_say_the_same(one: list[Any], other: list[Any]) -> None:
    assert fit_json(*one) == fit_json(*other) != fit_json("--steps", 29, "--lr", 0.003)


def test_auto_is_one_over_l() -> None:
    document = fit_json("--features", 3, "--lr", "auto")
    assert document["learning_rate"] == 1 / generate(100, 3).reference.lipschitz


def test_a_random_start_follows_the_seed() -> None:
    first, again, other = (
        fit_json("--w0", "random", "--seed", seed, "--steps", 0) for seed in (1, 1, 2)
    )
    assert first == again
    assert first["w"] != other["w"]


def test_stops_early() -> None:
    low = fit_json("--until-loss", 2, "--steps", "1e4")
    assert (low["stopped"], low["loss"] <= 2) == ("loss", True)
    flat = fit_json("--tolerance", 1e-3, "--steps", "1e4", "--w0", -5)
    assert flat["stopped"] == "tolerance"
    assert flat["steps"] < 10_000
    assert flat["w"] == pytest.approx(generate(100).reference.solution, rel=1e-2)
    assert "the loss is low enough" in fit("--until-loss", 2).stdout


@pytest.mark.parametrize("rate", [0.031, 10, 1e300])
def test_divergence_names_the_largest_stable_rate(rate: float) -> None:
    line = one_line(fit("--lr", rate), exit_code=1)
    assert f"{generate(100).reference.largest_stable_rate:.6g}" in line


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--backend", "torhc"], "did you mean 'torch'?"),
        (["--backend", "numpy:blokced"], "did you mean 'numpy:blocked'?"),
        (["--backend", "numpy", "--device", "cuda:99"], "'cuda:99'"),
        (["--backend", "numpy@cpu", "--device", "cpu"], "leave out --device"),
        (["--rows", "1.5"], "'--rows': '1.5' is not a whole number"),
        (["--rows", "0"], "'--rows'"),
        (["--rows", "many"], "'many'"),
        (["--rows", "inf"], "'inf'"),
        (["--rows", "1e30"], "more than any file holds"),
        (["--features", "0"], "'--features'"),
        (["--steps", "-1"], "'--steps'"),
        (["--every", "0"], "'--every'"),
        (["--learning-rate", "0"], "'--learning-rate'"),
        (["--learning-rate", "nan"], "'--learning-rate'"),
        (["--lr", "-0.1"], "'-0.1'"),
        (["--lr", "inf"], "'inf'"),
        (["--until-loss", "nan"], "'--until-loss'"),
        (["--tolerance", "0"], "'--tolerance'"),
        (["--w0", "1,x"], "'1,x'"),
        (["--w0", "nan"], "'nan'"),
        (["--w0", "1,2"], "--w0 must have"),
        (["--features", "2", "--predict", "7"], "--predict must have"),
        (["--dtype", "float16"], "'float16'"),
        (["--threads", "0"], "'--threads'"),
        (["--predict", "1e308"], "choose a smaller x"),
        (["--x", "a"], "add --data"),
        (["--scheduler", "tcp://127.0.0.1:1"], "--scheduler is for dask backends"),
        (["--workers", "2"], "--workers is for dask backends"),
        (["--rows", "1e9", "--memory", "1MB"], "MB more are needed"),
        (["--plot", "fit.xyz"], "suffix must be one of"),
        (["--plot", "fit"], "suffix must be one of"),
        (["--plot", "no/such/folder/fit.png"], "no/such/folder/fit.png"),
        (["--nonsense"], "--nonsense"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line(arguments: list[str], words: str) -> None:
    assert words in one_line(fit(*arguments))


def test_fits_the_columns_of_a_file(csv: Path) -> None:
    document = fit_json("--data", csv, "--x", "a,b", "--y", "y", "--lr", "auto", "--steps", 500)
    assert document["w"] == pytest.approx([2, 3], abs=1e-4)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b,y\n", "no rows"),
        ("a,b,y\n1,2,3\n1,oops,3\n", "row 2"),
        ("a,b,y\n1,2,3\n1,2,nan\n", "row 2"),
        ("a,b,y\n1,2,3\n4,5,6\n1,inf,3\n", "row 3"),
        ("a,c,y\n1,2,3\n", "'b'"),
    ],
    ids=["no rows", "text", "nan", "inf", "missing column"],
)
def test_bad_data_are_one_line(csv: Path, text: str, words: str) -> None:
    csv.write_text(text)
    assert words in one_line(fit("--data", csv, "--x", "a,b", "--y", "y"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "missing.csv"
    assert str(path) in one_line(fit("--data", path, "--x", "a", "--y", "y"))


def test_x_and_y_of_different_length(tmp_path: Path) -> None:
    path = tmp_path / "arrays.npz"
    np.savez(path, x=np.ones(3), y=np.ones(4))
    line = one_line(fit("--data", path, "--x", "x", "--y", "y"))
    assert "3" in line
    assert "4" in line


def test_sizes_do_not_go_with_a_file(csv: Path) -> None:
    assert "leave out" in one_line(fit("--data", csv, "--rows", 10))


@pytest.mark.parametrize("x", ["0", "1e200"])
def test_no_automatic_rate_where_there_is_no_curvature(csv: Path, x: str) -> None:
    csv.write_text(f"a,y\n{x},1\n{x},2\n")
    result = fit("--data", csv, "--x", "a", "--dtype", "float64", "--lr", "auto")
    assert "no automatic learning rate" in one_line(result)


@pytest.mark.parametrize("features", [1, 3])
def test_plots_data_and_fit(tmp_path: Path, features: int) -> None:
    image = pytest.importorskip("matplotlib.image")
    path = tmp_path / "fit.png"
    result = fit("--features", features, "--rows", 10 * MOST_POINTS, "--plot", path)
    assert result.exit_code == 0, result.output
    assert [file.name for file in tmp_path.iterdir()] == ["fit.png"]
    pixels = image.imread(path)[..., :3]
    height, width, _ = pixels.shape
    middle = pixels[height // 8 : -height // 8, width // 8 : -width // 8]
    blue = (middle[..., 2] > middle[..., 0] + 0.2).mean()
    orange = (middle[..., 0] > middle[..., 2] + 0.5).mean()
    assert 0.01 < blue < 0.5
    assert 0.001 < orange < 0.1


def test_a_plot_keeps_what_it_cannot_replace(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "fit.png"
    folder.mkdir()
    assert str(folder) in one_line(fit("--plot", folder))
    assert folder.is_dir()


def program(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bench", "fit", "--threads", "1", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_runs_as_a_program() -> None:
    good = program("--predict", "7")
    assert (good.returncode, good.stderr) == (0, "")
    assert "prediction at x = 7" in good.stdout
    assert "\x1b" not in good.stdout


@pytest.mark.parametrize(("arguments", "code"), [(["--rows", "1.5"], 2), (["--lr", "1"], 1)])
def test_fails_as_a_program(arguments: list[str], code: int) -> None:
    bad = program(*arguments)
    assert (bad.returncode, bad.stdout) == (code, "")
    assert len(bad.stderr.splitlines()) == 1


def test_epochs_come_as_csv_and_markdown() -> None:
    heading, *lines = fit("--features", 2, "--steps", 3, "--format", "csv").stdout.splitlines()
    assert heading == "epoch,w1,w2,loss"
    assert [line.split(",")[0] for line in lines] == ["1", "3"]
    assert all(len(line.split(",")) == 4 for line in lines)
    table = fit("--format", "markdown").stdout
    assert table.startswith("| epoch | w | loss |\n| --: | --: | --: |\n| 1 | 0.141 |")
