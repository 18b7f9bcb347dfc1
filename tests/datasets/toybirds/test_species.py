"""The invented species: twins differ in one thing, all others in three at least."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datasets.toybirds.species import GROUPS, PLUMAGE, TWINS, attribute_names, make_species


def differences(a, b) -> list[str]:
    return [name for name in GROUPS if a.looks[name] != b.looks[name]]


@settings(max_examples=25, deadline=None)
@given(classes=st.integers(2, 90), seed=st.integers(0, 2**31 - 1))
def test_twins_differ_in_one_thing_others_in_three(classes, seed):
    species, pairs = make_species(classes, seed)
    assert len(species) == classes
    assert len(pairs) == max(1, classes // 4)
    twins = set(pairs)
    assert len({i for pair in pairs for i in pair}) == 2 * len(pairs)
    for i, j in itertools.combinations(range(classes), 2):
        different = differences(species[i], species[j])
        if (i, j) in twins:
            assert different == [species[i].telling] == [species[j].telling]
        else:
            assert sum(GROUPS[name].clear for name in different) >= 3


@settings(max_examples=25, deadline=None)
@given(classes=st.integers(2, 300), seed=st.integers(0, 2**31 - 1))
def test_names_are_unique_and_fit_for_files(classes, seed):
    species, _ = make_species(classes, seed)
    names = [bird.name for bird in species]
    assert len(set(names)) == classes
    assert all(name.replace("_", "").isalnum() and name.isascii() for name in names)
    assert [n.rpartition("_")[2] for n in names] == sorted(n.rpartition("_")[2] for n in names)


def test_twins_are_named_by_what_tells_them_apart():
    species, pairs = make_species(40, 0)
    for i, j in pairs:
        for bird in (species[i], species[j]):
            assert bird.name.startswith(GROUPS[bird.telling].words[bird.looks[bird.telling]])


def test_ten_kinds_of_twins_among_forty():
    species, pairs = make_species(40, 0)
    assert len({species[i].telling for i, _ in pairs}) == 10


def test_the_seed_decides():
    assert make_species(40, 1) == make_species(40, 1)
    assert make_species(40, 1) != make_species(40, 2)


def test_colours_are_shared():
    species, _ = make_species(40, 0)
    large = [(b.looks["has_back_color"], b.looks["has_wing_color"]) for b in species]
    assert len(set(large)) <= 8  # families, and twins that differ in a wing


def test_vocabulary():
    names = attribute_names()
    assert len(set(names)) == len(names)
    assert all(name.startswith("has_") and name.count("::") == 1 for name in names)
    assert all(len(g.common) in (0, len(g.values)) for g in GROUPS.values())
    assert set(GROUPS["has_wing_color"].values) == set(PLUMAGE)


@pytest.mark.parametrize(("group", "choices"), TWINS)
def test_twins_take_values_that_exist(group, choices):
    assert GROUPS[group].clear
    assert all(value in GROUPS[group].values for pair in choices for value in pair)
    assert all(one != other for one, other in choices)
