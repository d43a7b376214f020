"""Test names and patterns of backends, missing libraries, and registered libraries."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends import (
    BackendError,
    DeviceError,
    MissingLibraryError,
    catalogue,
    generate,
    names,
    open_backend,
)
from backends.catalogue import entries, select
from backends.losses import LOG_LOSS, SQUARED_ERROR, Loss
from backends.names import Library, Name
from tests.support import contract
from tests.support.command import HIDDEN, HIDE, declare, descentbench

TECHNIQUES = [(lib.name, t) for lib in names.BUILT_IN for t in lib.techniques]

NUMPY = [str(Name(*technique)) for technique in TECHNIQUES if technique[0] == "numpy"]

TINY = """
import numpy as np

from backends.names import Library

LIBRARY = Library("tiny", "tiny", {"": "Tiny", "twin": "Tiny"}, install="pip install tiny")


class Tiny:
    def __init__(self, problem, learning_rate, device):
        self.x = problem.x.reshape(problem.rows, -1).astype(np.float64)
        self.y = problem.y
        self.rate = 2 * learning_rate / problem.rows

    def run(self, w, steps):
        w = np.array(w, dtype=np.float64)
        for _ in range(steps):
            w -= self.rate * self.gradient(w)
        return w

    def gradient(self, w):
        return (self.x @ w - self.y) @ self.x

    def loss(self, w):
        return float(np.mean((self.x @ w - self.y) ** 2))

"""


Register = Callable[[str, str], Library]


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder whose `sitecustomize` hides Numba, PyTorch, JAX and Dask."""
    (tmp_path / "sitecustomize.py").write_text(HIDE.format(hidden=HIDDEN))
    return tmp_path


@pytest.fixture
def register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Register]:
    """Return a function that registers a library from source code, for one test."""
    monkeypatch.syspath_prepend(tmp_path)
    registered_names = []

    def registered(name: str, source: str) -> Library:
        (tmp_path / f"{name}.py").write_text(source)
        techniques = {"": "Tiny", "twin": "Tiny"}
        library = Library(name, name, techniques, install=f"pip install {name}")
        names.register(library)
        registered_names.append(name)
        return library

    yield registered
    for name in registered_names:
        names.unregister(name)
        sys.modules.pop(name, None)


# names


@given(
    st.sampled_from(TECHNIQUES),
    st.just("cpu") | st.from_regex(r"[a-z]+(:[0-9]+)?", fullmatch=True),
)
def test_a_name_is_read_as_it_was_written(technique: tuple[str, str], device: str) -> None:
    name = Name(*technique, device)
    assert Name.parse(str(name)) == name
    assert str(Name.parse(f"{Name(*technique)}@{device}")) == str(name)
    assert ("@" in str(name)) is (device != "cpu")


@given(st.text())
def test_any_other_text_is_one_error(text: str) -> None:
    try:
        name = Name.parse(text)
    except BackendError:
        return
    assert (name.library, name.technique) in TECHNIQUES


@pytest.mark.parametrize(
    ("text", "near"),
    [
        ("torhc", "torch"),
        ("nunpy", "numpy"),
        ("numpy:blokced", "numpy:blocked"),
        ("jax:lop@cuda:0", "jax:loop"),
        ("numba:paralel", "numba:parallel"),
        ("torch:analytical", "torch:analytic"),
    ],
)
def test_an_unknown_name_suggests_the_nearest(text: str, near: str) -> None:
    with pytest.raises(BackendError, match=f"did you mean '{near}'"):
        open_backend(text)


def test_a_name_near_to_none_lists_them_all() -> None:
    with pytest.raises(BackendError) as error:
        Name.parse("§§§")
    for library, technique in TECHNIQUES:
        assert str(Name(library, technique)) in str(error.value)


def test_a_device_that_is_not_there_lists_those_that_are() -> None:
    with pytest.raises(DeviceError, match=r"numpy:blocked has no device 'cuda:99'.*: cpu$"):
        open_backend("numpy:blocked@cuda:99")


# patterns


@pytest.mark.parametrize(
    ("patterns", "expected"),
    [
        (["numpy"], ["numpy"]),
        (["numpy*"], NUMPY),
        (["numpy:*"], NUMPY[1:]),
        (["numpy:blocked", "numpy*", "numpy"], list(dict.fromkeys(["numpy:blocked", *NUMPY]))),
        (["nu[m]py", "n?mpy:b*"], ["numpy", "numpy:blocked"]),
        (["numpy*@cpu"], NUMPY),
        (["numpy*@c*"], NUMPY),
        ([], []),
    ],
)
def test_patterns_select_in_their_order_and_once(
    patterns: list[str], expected: list[str]
) -> None:
    assert [str(name) for name in select(patterns)] == expected


@pytest.mark.parametrize("pattern", ["xyz*", "numpy:x*", "numpy*@cuda:*", "?"])
def test_a_pattern_that_matches_nothing_is_an_error(pattern: str) -> None:
    with pytest.raises(BackendError, match="no backend that can run here matches"):
        select([pattern])


def test_a_pattern_imports_only_what_it_can_match() -> None:
    code = (
        "import sys; from backends.catalogue import select; "
        "select(['nump*']); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert not set(HIDDEN) & set(done.stdout.split())


# libraries


def test_techniques_in_another_shape_are_refused() -> None:
    for wrong in (("twin",), {"twin": "Tiny"}):
        with pytest.raises(TypeError, match=r"techniques of tiny must map '' and other"):
            Library("tiny", "tiny", wrong)


def test_a_class_may_be_in_another_module(register: Register) -> None:
    register("tiny_kernels", TINY)
    register("tiny", "").techniques["twin"] = "tiny_kernels:Tiny"
    assert open_backend("tiny:twin").place(generate(10), 0.001).run([0.0], 0) == [0.0]


def test_a_library_that_is_missing_says_how_to_install_it() -> None:
    absent = Library("absent", "backends.absent", install="pip install 'absent>=3'")
    with pytest.raises(MissingLibraryError, match=r"not installed: pip install 'absent>=3'$"):
        catalogue.load(absent)


@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("import a_module_that_is_not_there", "No module named 'a_module_that_is_not_there'"),
        ("raise ImportError('one\\ntwo')", "one"),
        ("raise ImportError", "ImportError"),
        ("raise OSError('libcudart.so: cannot open')", "libcudart.so: cannot open"),
        ("raise RuntimeError('jaxlib is too old')", "jaxlib is too old"),
    ],
)
def test_a_library_that_is_broken_is_one_line(
    register: Register, statement: str, reason: str
) -> None:
    register("broken", statement)
    with pytest.raises(MissingLibraryError) as error:
        open_backend("broken")
    assert str(error.value) == (
        f"broken is installed but does not import ({reason}); "
        "install it anew: pip install broken"
    )
    plain, twin = entries(["broken"])
    assert plain.reason == twin.reason == str(error.value)
    assert not plain.available


# devices


def test_a_name_without_a_device_stands_for_each_that_was_asked_for(
    register: Register,
) -> None:
    register(
        "tiny",
        TINY + 'def devices(_):\n    return {"cpu": "", "axl:0": "", "axl:1": "no power"}\n',
    )

    def names(patterns: list[str], *devices: str) -> list[str]:
        return [str(name) for name in select(patterns, devices)]

    assert names(["tiny"]) == ["tiny"]
    assert names(["tiny", "tiny:twin@cpu"], "axl:0") == ["tiny@axl:0"]
    assert names(["tiny:twin"], "axl:0", "cpu") == ["tiny:twin@axl:0", "tiny:twin"]
    assert names(["tiny*"], "axl:0") == ["tiny@axl:0", "tiny:twin@axl:0"]
    with pytest.raises(BackendError, match="no backend runs on axl:1 here"):
        select(["tiny*"], ["axl:1"])
    with pytest.raises(BackendError, match="tiny@axl:1 cannot run here: no power"):
        select(["tiny"], ["axl:1"])


# backends from elsewhere


def test_a_file_and_a_line_make_a_backend(register: Register) -> None:
    register("tiny", TINY)
    assert [(str(e.name), e.available) for e in entries(["tiny"])] == [
        ("tiny", True),
        ("tiny:twin", True),
    ]
    assert "tiny:twin" in map(str, select(["*:twin"]))
    for dtype in ("float32", "float64"):
        contract.check_iterates("tiny", dtype, 7)
        contract.check_gradient_and_loss("tiny", dtype, 1)
    contract.check_rows("tiny", 9)
    contract.check_runs_add_up("tiny:twin", 7)
    contract.check_arrays_are_not_shared("tiny")
    contract.check_awkward_input("tiny", 3)


def test_the_contract_finds_a_wrong_backend(register: Register) -> None:
    register("tiny", TINY.replace("2 * learning_rate", "learning_rate"))
    with pytest.raises(AssertionError):
        contract.check_iterates("tiny", "float64", 7)


def test_unregistered_it_is_unknown(register: Register) -> None:
    register("tiny", TINY)
    assert open_backend("tiny").place(generate(10), 0.001).run([0.0], 0) == [0.0]
    names.unregister("tiny")
    with pytest.raises(BackendError, match="unknown backend 'tiny'"):
        open_backend("tiny")


def test_an_installed_package_is_listed_beside_what_is_missing(bare: Path) -> None:
    declare(bare, "tiny", TINY)
    done = descentbench(bare, "backends", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    listed = {row["backend"]: row["reason"] for row in json.loads(done.stdout)}
    installed = [name for name, reason in listed.items() if reason is None]
    assert installed == [*NUMPY, "tiny", "tiny:twin"]
    for library in names.BUILT_IN:
        if library.imports in HIDDEN:
            reason = f"{library.name} is not installed: {library.install}"
            assert {listed[str(Name(library.name, t))] for t in library.techniques} == {reason}


def test_a_missing_library_is_one_line_and_exit_code_2(bare: Path) -> None:
    done = descentbench(bare, "fit", "--backend", "torch")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "descentbench: torch is not installed: pip install torch\n"


def test_run_measures_what_is_there_and_what_was_installed(bare: Path) -> None:
    declare(bare, "tiny", TINY)
    size = ("--rows", 100, "--passes", 1, "--seconds", 0.01, "--more", 0)
    backends = (
        "--backend",
        "t*",
        "--backend",
        "numpy",
    )  # t* is tiny, or torch if installed
    done = descentbench(bare, "run", *backends, *size, "--store", bare / "store", "--json")
    assert done.returncode == 0, done.stderr
    results = {row["backend"]: row["verified"] for row in json.loads(done.stdout)["results"]}
    assert results == {"numpy": True, "tiny": True, "tiny:twin": True}


def test_a_package_whose_backends_do_not_load_is_one_line(bare: Path) -> None:
    declare(bare, "tiny", "import cupy_is_not_there")
    done = descentbench(bare, "backends")
    assert (done.returncode, done.stdout) == (2, "")
    (line,) = done.stderr.splitlines()
    assert "tiny:LIBRARY" in line
    assert "No module named 'cupy_is_not_there'" in line


def test_a_backend_that_does_not_work_for_a_loss_says_why() -> None:
    own = Loss("own", LOG_LOSS.value)
    library = Library(
        "made_up",
        "tests.made_up",
        {"": "A", "b": "B", "c": "C", "gram": "D"},
        by_slope=("",),
        by_value=("b",),
    )
    names.register(library)
    try:
        assert catalogue.reason_against(Name("made_up"), LOG_LOSS) == ""
        assert catalogue.reason_against(Name("made_up", "b"), own) == ""
        why = catalogue.reason_against(Name("made_up"), own)
        assert why.startswith("needs a slope, which own does not define; these differentiate")
        assert {"torch", "jax:loop", "made_up:b"} < {*why.partition("value: ")[2].split(", ")}
        assert "squared_error only" in catalogue.reason_against(Name("made_up", "c"), LOG_LOSS)
        assert catalogue.reason_against(Name("made_up", "c"), SQUARED_ERROR) == ""
    finally:
        names.unregister("made_up")
    with pytest.raises(BackendError, match=r"numpy:gram: XᵀX and Xᵀy .* not for log_loss"):
        catalogue.select(["numpy:gram"], loss=LOG_LOSS)
    with pytest.raises(BackendError, match="not for log_loss"):
        open_backend("numpy:gram").place(generate(10, loss=LOG_LOSS), 0.1)
    assert "replace the rows" in catalogue.unavailable(["numpy:gram"], LOG_LOSS)["numpy:gram"]
