"""Test ``descentbench pick``: real measurements of small sizes, and made-up costs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from backends import catalogue, names
from backends.names import Library
from bench.cli import main
from bench.host.files import StoreError
from bench.host.lock import hold
from bench.host.noise import Noise
from bench.measure.plan import Task
from bench.measure.worker import Children
from bench.pick import planner, several_machines
from bench.results.record import Outcome, Record
from tests.support.world import World

SMALL = ("pick", "--backend", "numpy", "--memory", "400MB")
"""Command for a pick that takes a second or two, because `--memory` limits the sizes."""


def call(*arguments: object) -> Result:
    result = CliRunner().invoke(main, [str(a) for a in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def test_an_answer_and_then_another_from_the_store(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Noise, "seen", lambda _: {"others": 0.5})
    monkeypatch.setattr(planner, "PASSES", 1)
    store = "--store", tmp_path
    first = call(*SMALL, "--rows", 20_000, "--iterations", 50, *store)
    assert first.exit_code == 0, first.output
    assert first.stdout.startswith("Use numpy")
    assert max(map(len, first.stdout.splitlines())) <= 80
    assert "noise: other programs took up to 50% of the CPUs in " in first.stdout
    (record,) = map(Record.load, tmp_path.glob("pick-*.json"))
    assert all(task.noise == {"others": 0.5} for task in record.tasks.values())

    monkeypatch.setattr(Children, "run", lambda *_: pytest.fail("was measured again"))
    with hold(tmp_path):  # locked by another run; the pick writes nothing
        second = call(*SMALL, "--rows", 30_000, "--iterations", 60, *store, "--json")
    assert second.exit_code == 0, second.output
    answer = json.loads(second.stdout)
    expected = {"schema", "machine", "request", "pick", "tied", "why", "backends"}
    assert expected | {"crossovers", "verification"} <= answer.keys()
    assert answer["request"]["rows"] == 30_000
    assert "min old" in answer["why"]
    (noise,) = answer["noise"]
    assert noise.startswith("other programs took up to 50% of the CPUs in ")
    for line in answer["backends"]:
        total = line["total_s"]
        assert total["low"] <= total["median"] <= total["high"]
        setup = line["import_s"] + line["place_s"] + line["first_call_s"]
        assert line["setup_s"] == pytest.approx(setup)
        step = line["step_s"]["median"]
        assert total["median"] == pytest.approx(line["setup_s"] + 60 * step)

    World(monkeypatch)  # this pick needs other sizes, which are measured
    monkeypatch.setattr(several_machines, "installed", lambda: False)
    nothing_fits = call(*SMALL, "--rows", 1e13, *store)
    assert nothing_fits.stdout.startswith("No backend holds 1e13 rows")


@pytest.mark.parametrize("measures", ["steps", "exchange", "check"])
def test_nobody_else_measures_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, measures: str
) -> None:
    """Check that no other process can use the store while a pick measures."""
    World(monkeypatch)
    request = *SMALL, "--rows", 1000, "--store", tmp_path
    if measures != "steps":
        assert call(*request).exit_code == 0
    tried = []

    def run(_: object, task: Task, *_seconds: float) -> Outcome:
        tried.append(task)
        with pytest.raises(StoreError, match="is in use by"), hold(tmp_path):
            pass
        return Outcome()

    monkeypatch.setattr(World, "run", run)
    monkeypatch.setattr(Children, "run", run)
    monkeypatch.setattr(several_machines, "wanted", lambda *_, **__: measures == "exchange")
    result = call(*request, *(["--verify"] if measures == "check" else []))
    assert tried
    assert result.exit_code == (0 if measures == "exchange" else 1)
    assert ("Nothing was checked" in result.stdout) is (measures == "check")
    with hold(tmp_path):
        pass


def test_what_cannot_run_here_is_named_with_the_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Check that a backend that cannot run is listed with the reason, also from the store."""
    World(monkeypatch)
    request = "pick", "--backend", "n*[yd]", "--rows", 1000, "--store", tmp_path
    names.register(Library("npad", "a_module_that_is_nowhere"))
    try:
        first = call(*request, "--json")
        monkeypatch.setattr(catalogue, "entries", lambda *_: pytest.fail("looked again"))
        second = call(*request, "--json")
    finally:
        names.unregister("npad")
    for result in (first, second):
        lines = {line["backend"]: line for line in json.loads(result.stdout)["backends"]}
        assert lines.keys() == {"numpy", "numpy:blocked", "npad"}
        assert lines["npad"]["available"] is False
        assert "npad is not installed" in lines["npad"]["reason"]
        assert lines["npad"]["total_s"] is None


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "--rows is missing"),
        (("--rows", "0"), "'0' is not a whole number of at least 1"),
        (("--rows", "9", "--budget", "0"), "'0' is not a finite number above 0"),
        (("--rows", "9", "--memory", "much"), "'much' is not a size such as 64GB"),
        (("--rows", "9", "--backend", "nunpy"), "did you mean 'numpy'?"),
        (("--data", "no.csv"), "no.csv"),
        (("--data", "no.csv", "--rows", "9"), "--data cannot be combined with --rows"),
        (("--rows", "9", "--backend", "numpy:gram", "--loop-only"), "leaves nothing"),
        (("--rows", "9", "--backend", "numpy", "--device", "cuda:9"), "has no device 'cuda:9'"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, arguments: tuple[str, ...], said: str) -> None:
    result = call("pick", *arguments, "--store", tmp_path)
    assert result.exit_code == 2
    assert said in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not list(tmp_path.iterdir())


def test_a_file_gives_the_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    World(monkeypatch)
    data = tmp_path / "houses.csv"
    data.write_text("a,b,y\n" + "".join(f"{i},{i % 7},{2 * i}\n" for i in range(500)))
    result = call(
        *SMALL, "--data", data, "--x", "a,b", "--y", "y", "--store", tmp_path / "s", "--json"
    )
    assert result.exit_code == 0, result.output
    request = json.loads(result.stdout)["request"]
    assert (request["rows"], request["features"]) == (500, 2)


@pytest.mark.parametrize(
    ("text", "size"),
    [("64GB", 64 * 10**9), ("512MiB", 512 << 20), ("1e6", 10**6), ("2 TB", 2 * 10**12)],
)
def test_sizes(text: str, size: int) -> None:
    from bench.commands.options import byte_size

    assert byte_size(text) == size
