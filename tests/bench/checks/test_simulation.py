"""Test the planner with fifty games of ``nox -s simulation``."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.checks.simulation import Game, good, play, summary

GAMES = 50


@pytest.fixture(scope="module")
def games() -> list[Game]:
    return [play(seed) for seed in range(GAMES)]


def test_the_budget_is_kept_in_every_game(games: list[Game]) -> None:
    assert [g.seed for g in games if g.over_s > 0] == []


def test_the_pick_costs_hardly_more_than_the_best(games: list[Game]) -> None:
    found = summary(games)
    assert found["median"] <= 1.01
    assert found["95 %"] <= 1.08
    assert found["worst"] <= 1.25


def test_every_backend_that_could_win_is_measured(games: list[Game]) -> None:
    assert [(g.seed, g.unmeasured) for g in games if g.unmeasured] == []


def test_intervals_hold_what_they_claim(games: list[Game]) -> None:
    """Check the coverage; its upper limit is high, because fifty games are few."""
    assert 0.85 <= summary(games)["coverage"] <= 0.98


def test_figures_beyond_a_limit_do_not_pass(games: list[Game]) -> None:
    fine = {"median": 1.0, "95 %": 1.05, "worst": 1.2, "coverage": 0.9, "over budget": 0.0}
    fine |= {"spread ten times beyond": 0.4, "spread hundred times beyond": 0.6}
    fine |= {"winners unmeasured": 0.0}
    assert good(fine)
    wrong = {"median": 1.02, "worst": 1.3, "coverage": 0.8, "winners unmeasured": 1.0}
    wrong |= {"spread ten times beyond": 0.6, "spread hundred times beyond": 0.8}
    for name, value in wrong.items():
        assert not good(fine | {name: value})
    late = replace(games[0], over_s=1.0)
    assert summary([late, *games[1:]])["over budget"] == 1
    assert not good(fine | {"over budget": 1.0})
