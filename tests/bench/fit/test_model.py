"""Test models: a saved model is read again, and a damaged file is an error in one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.fit.model import FORMAT, Model, ModelError, read_model, versions, write_model
from bench.fit.scaling import Scaling

MODEL = Model(
    ("area", "rooms, all"),
    (1.5, -2e-7),
    3.25,
    "squared_error",
    Scaling((10.0, 0.0), (2.0, 1.0), intercept=True, target=7.0, standardized=True),
    {"path": "houses.csv", "rows": 7},
    {"backend": "numpy", "steps": 100},
    versions("numba"),
)


@given(
    weights=st.dictionaries(st.text(min_size=1), st.floats(-1e300, 1e300), min_size=1),
    intercept=st.none() | st.floats(-1e300, 1e300),
    scaled=st.booleans(),
)
def test_what_was_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory,
    weights: dict[str, float],
    intercept: float | None,
    scaled: bool,
) -> None:
    path = tmp_path_factory.mktemp("model") / "model.json"
    values = tuple(weights.values())
    scaling = Scaling(values, (2.0,) * len(values), intercept=True) if scaled else None
    model = Model(tuple(weights), values, intercept, "huber", scaling)
    write_model(path, model)
    assert read_model(path) == model


def test_the_file_is_for_people_and_other_programs(tmp_path: Path) -> None:
    write_model(tmp_path / "model.json", MODEL)
    document = json.loads((tmp_path / "model.json").read_text())
    assert document["format"] == FORMAT
    assert document["weights"] == {"area": 1.5, "rooms, all": -2e-7}
    assert document["intercept"] == 3.25
    assert document["scaling"] == {
        "mean": [10, 0], "scale": [2, 1], "intercept": True, "target": 7,
        "standardized": True,
    }  # fmt: skip
    assert {"python", "descentbench", "numpy"} <= set(document["versions"])


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": None}, "no field 'format'"),
        ({"format": "descentbench checkpoint 1"}, "'descentbench checkpoint 1'"),
        ({"columns": []}, "columns"),
        ({"columns": ["a", "a"]}, "columns"),
        ({"columns": [1]}, "columns"),
        ({"columns": 7}, "columns"),
        ({"weights": {"area": 1}}, "weights"),
        ({"weights": {"area": 1, "rooms, all": None}}, "weights"),
        ({"weights": {"area": 1, "rooms, all": True}}, "weights"),
        ({"weights": {"area": 1, "rooms, all": 10**400}}, "damaged"),
        ({"weights": {"area": 1, "rooms, all": float("nan")}}, "nan"),
        ({"intercept": "3"}, "intercept"),
        ({"loss": 3}, "loss"),
        ({"scaling": [1]}, "scaling"),
        ({"scaling": {"mean": [1]}}, "scale"),
        (
            {"scaling": {"mean": [1, 2], "scale": [0, 1], "target": 0, "intercept": True}},
            "scal",
        ),
        ({"fit": []}, "fit"),
    ],
    ids=str,
)
def test_a_damaged_model_is_refused_in_a_line(
    tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    path = tmp_path / "model.json"
    path.write_text(json.dumps(json.loads(MODEL.text()) | change))
    with pytest.raises(ModelError) as refused:
        read_model(path)
    assert str(path) in str(refused.value)
    assert words in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


@pytest.mark.parametrize("left_out", ["columns", "weights", "intercept", "loss"])
def test_a_field_that_is_needed(tmp_path: Path, left_out: str) -> None:
    path, document = tmp_path / "model.json", json.loads(MODEL.text())
    del document[left_out]
    path.write_text(json.dumps(document))
    with pytest.raises(ModelError, match=left_out):
        read_model(path)


@pytest.mark.parametrize("text", ["", "{", "a,b\n1,2\n", "[1]", "\x00", "[" * 10_000, "null"])
def test_another_file_is_refused_in_a_line(tmp_path: Path, text: str) -> None:
    (tmp_path / "other").write_text(text)
    with pytest.raises(ModelError, match="is not a model") as refused:
        read_model(tmp_path / "other")
    assert len(str(refused.value).splitlines()) == 1


def test_bytes_and_missing_files_and_folders(tmp_path: Path) -> None:
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00PAR1")
    for name in ("bytes", "missing", "."):
        with pytest.raises(ModelError):
            read_model(tmp_path / name)


def test_predictions_are_in_terms_of_the_targets() -> None:
    special = pytest.importorskip("scipy.special")
    x = np.array([[0.0, 0], [1, -2], [2000, 1], [-2000, 1]])
    p = x @ [1.5, -2] + 0.5
    for loss, name, expected in (
        ("squared_error", "prediction", p),
        ("huber", "prediction", p),
        ("mine-1a2b3c4d", "prediction", p),
        ("log_loss", "probability_of_1", special.expit(p)),
        ("poisson", "rate", np.exp(np.minimum(p, 800), where=p < 700, out=np.full(4, np.inf))),
    ):
        model = Model(("a", "b"), (1.5, -2.0), 0.5, loss)
        assert model.response.name == name
        assert model.linear(x) == pytest.approx(p)
        assert model.predict(x) == pytest.approx(expected, rel=1e-14)
    assert Model(("a",), (2.0,), None, "huber").predict([1, 2]).tolist() == [2, 4]
