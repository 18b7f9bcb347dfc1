"""What species there are: attributes, their values, and how the species differ.

The vocabulary follows CUB-200-2011 (``has_bill_shape::cone``). Three quarters of the difficulty
are decided here: large areas take their colours from a few common ones, so that many species
share them, and a quarter of all species come with a twin that differs in one attribute alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

PLUMAGE = {
    "black": (44, 44, 50),
    "white": (240, 238, 230),
    "grey": (142, 148, 156),
    "brown": (124, 84, 54),
    "buff": (218, 182, 130),
    "red": (200, 46, 42),
    "yellow": (242, 204, 52),
    "green": (96, 142, 66),
    "blue": (58, 112, 192),
}
HORN = {
    "black": (40, 40, 44),
    "grey": (128, 132, 140),
    "yellow": (244, 206, 70),
    "orange": (236, 128, 34),
    "red": (206, 52, 40),
}
IRIS = {
    "black": (30, 26, 26),
    "red": (200, 40, 30),
    "yellow": (250, 214, 60),
    "white": (244, 244, 240),
}


@dataclass(frozen=True)
class Group:
    """One thing in which species differ: where it is seen, and its values with a word for each.

    ``common`` weighs the values; ``clear`` says that a difference shows at 64 pixels.
    """

    region: str
    words: Mapping[str, str]
    common: Sequence[float] = ()
    clear: bool = True

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(self.words)


def _coloured(part: str, colours: Mapping[str, tuple[int, int, int]] = PLUMAGE) -> dict[str, str]:
    return {colour: f"{colour.capitalize()}_{part}" for colour in colours}


# Weights follow PLUMAGE: black, white, grey, brown, buff, red, yellow, green, blue.
_UPPER = (2, 0, 4, 5, 1, 1, 1, 4, 3)
_UNDER = (1, 4, 3, 1, 4, 1, 3, 1, 0)
_BRIGHT = (2, 1, 1, 1, 1, 2, 2, 1, 2)

GROUPS: dict[str, Group] = {
    "has_bill_shape": Group("bill", {
        "cone": "Cone_billed", "dagger": "Dagger_billed", "hooked": "Hook_billed",
        "curved": "Curve_billed",
    }),
    "has_bill_color": Group("bill", _coloured("billed", HORN)),
    "has_head_pattern": Group("head", {
        "plain": "Plain_headed", "crested": "Crested", "masked": "Masked", "eyebrow": "Browed",
    }),
    "has_crown_color": Group("crown", _coloured("crowned"), _BRIGHT),
    "has_eye_color": Group("eye", _coloured("eyed", IRIS), clear=False),
    "has_throat_color": Group("throat", _coloured("throated"), _BRIGHT),
    "has_breast_color": Group("breast", _coloured("breasted"), _UNDER),
    "has_breast_pattern": Group("breast", {
        "solid": "Plain_breasted", "spotted": "Spotted", "striped": "Striped", "banded": "Banded",
    }, (3, 1, 1, 1)),
    "has_belly_color": Group("belly", _coloured("bellied"), _UNDER),
    "has_back_color": Group("back", _coloured("backed"), _UPPER),
    "has_wing_color": Group("wing", _coloured("winged"), _UPPER),
    "has_wing_pattern": Group("wing", {
        "solid": "Plain_winged", "barred": "Bar_winged", "spotted": "Spot_winged",
        "patched": "Patch_winged",
    }, (3, 1, 1, 1)),
    "has_tail_shape": Group("tail", {
        "forked": "Fork_tailed", "fan_shaped": "Fan_tailed", "pointed": "Long_tailed",
        "squared": "Square_tailed",
    }),
    "has_upper_tail_color": Group("tail", _coloured("tailed"), _UPPER),
    "has_leg_color": Group("leg", _coloured("legged", HORN), clear=False),
}  # fmt: skip

# What twins differ in, taken in turn: two values that are told apart at 64 pixels.
TWINS: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
    ("has_crown_color", (("red", "blue"), ("black", "yellow"), ("white", "red"))),
    ("has_wing_pattern", (("solid", "barred"), ("solid", "patched"), ("spotted", "patched"))),
    ("has_breast_color", (("red", "white"), ("yellow", "grey"), ("buff", "black"))),
    ("has_bill_color", (("orange", "black"), ("yellow", "black"), ("red", "grey"))),
    ("has_head_pattern", (("plain", "crested"), ("plain", "masked"), ("masked", "crested"))),
    ("has_upper_tail_color", (("red", "black"), ("blue", "buff"), ("yellow", "brown"))),
    ("has_breast_pattern", (("solid", "striped"), ("solid", "banded"), ("solid", "spotted"))),
    ("has_belly_color", (("yellow", "black"), ("red", "white"), ("buff", "blue"))),
    ("has_tail_shape", (("forked", "pointed"), ("fan_shaped", "pointed"), ("squared", "forked"))),
    ("has_throat_color", (("black", "white"), ("red", "yellow"), ("blue", "white"))),
    ("has_bill_shape", (("cone", "curved"), ("hooked", "dagger"), ("cone", "dagger"))),
    ("has_wing_color", (("brown", "blue"), ("black", "green"), ("grey", "red"))),
)  # fmt: skip

NOUNS = (
    "Bunting", "Chat", "Finch", "Flycatcher", "Grosbeak", "Jay", "Lark", "Oriole", "Pipit",
    "Robin", "Siskin", "Sparrow", "Starling", "Tanager", "Thrush", "Tit", "Vireo", "Wagtail",
    "Warbler", "Wren",
)  # fmt: skip

# What the species of a family share: the large areas. Of some small ones it has two variants.
FAMILY = (
    "has_breast_color",
    "has_belly_color",
    "has_back_color",
    "has_wing_color",
    "has_upper_tail_color",
)
VARIANTS = ("has_bill_color", "has_crown_color", "has_throat_color")
FAMILY_SIZE = 10
MIN_CLEAR_DIFFERENCES = 3

T = TypeVar("T")

Looks = dict[str, str]
Family = Mapping[str, Sequence[str]]


@dataclass(frozen=True)
class Species:
    """A species: its name, the value of each group, and what must never be hidden.

    ``telling`` is the group in which it differs from its twin, or empty.
    """

    name: str
    looks: Looks
    telling: str = ""

    @property
    def shown(self) -> str:
        """The region that is visible in every image, or empty."""
        return GROUPS[self.telling].region if self.telling else ""


def attribute_names() -> tuple[str, ...]:
    """All attributes in CUB's writing, in the order of the attribute ids.

    >>> attribute_names()[:2], len(attribute_names())
    (('has_bill_shape::cone', 'has_bill_shape::dagger'), 97)
    """
    return tuple(f"{group}::{value}" for group, known in GROUPS.items() for value in known.values)


def make_species(
    classes: int, seed: int
) -> tuple[tuple[Species, ...], tuple[tuple[int, int], ...]]:
    """Invent species; the same for the same arguments.

    Args:
        classes: how many, at least 2.
        seed: decides all chance.

    Returns:
        The species, ordered by the last word of their name, and the twins as pairs of positions:
        ``max(1, classes // 4)`` of them. Twins differ in one group alone; all others in at least
        three groups that show at 64 pixels.

    >>> species, pairs = make_species(40, seed=0)
    >>> len(species), len(pairs), len({bird.name for bird in species})
    (40, 10, 40)
    """
    rng = np.random.default_rng([seed, classes])
    made: list[tuple[str, Looks, str]] = []  # noun, looks, telling group
    nouns = _turns(rng, NOUNS)
    families = _families(rng, max(1, round(classes / FAMILY_SIZE)))
    family = _turns(rng, families)
    for number in range(max(1, classes // 4)):
        group, choices = TWINS[number % len(TWINS)]
        values = choices[(number // len(TWINS)) % len(choices)]
        twins = _new_looks(rng, next(family), [looks for _, looks, _ in made], group, values)
        noun = next(nouns)
        made += [(noun, looks, group) for looks in twins]
    while len(made) < classes:
        (looks,) = _new_looks(rng, next(family), [looks for _, looks, _ in made], "", ("",))
        made.append((next(nouns), looks, ""))
    named = _named(rng, made)
    order = sorted(range(classes), key=lambda i: (named[i].name.rpartition("_")[2], named[i].name))
    position = {old: new for new, old in enumerate(order)}
    pairs = [sorted((position[2 * i], position[2 * i + 1])) for i in range(max(1, classes // 4))]
    return tuple(named[i] for i in order), tuple((a, b) for a, b in sorted(pairs))


def _turns(rng: np.random.Generator, things: Sequence[T]) -> Iterator[T]:
    while True:
        yield from (things[i] for i in rng.permutation(len(things)))


def _new_looks(
    rng: np.random.Generator,
    family: Family,
    known: Sequence[Looks],
    group: str,
    values: Sequence[str],
) -> list[Looks]:
    """Looks with each of the values in a group, clearly unlike all that are known."""
    while True:
        looks = {
            name: str(rng.choice(family[name])) if name in family else _draw(rng, known_group)
            for name, known_group in GROUPS.items()
        }
        made = [looks | {group: value} if group else looks for value in values]
        if all(_clear_differences(a, b) >= MIN_CLEAR_DIFFERENCES for a in made for b in known):
            return made


def _families(rng: np.random.Generator, count: int) -> list[Family]:
    """The values that each family's species choose from; backs differ as long as colours last."""
    back = "has_back_color"
    colours: list[str] = []
    found: list[Family] = []
    for _ in range(count):
        colours = colours or list(_shuffled(rng, back))
        one = {name: [_draw(rng, GROUPS[name])] for name in FAMILY}
        two = {name: [_draw(rng, GROUPS[name]) for _ in range(2)] for name in VARIANTS}
        found.append(one | two | {back: [colours.pop(0)]})
    return found


def _shuffled(rng: np.random.Generator, name: str) -> Iterator[str]:
    """The values of a group that occur, common ones early."""
    group = GROUPS[name]
    weights = np.array(group.common, dtype=float)
    some = int((weights > 0).sum())
    order = rng.choice(len(weights), some, replace=False, p=weights / weights.sum())
    yield from (group.values[i] for i in order)


def _draw(rng: np.random.Generator, group: Group) -> str:
    weights = np.array(group.common or [1.0] * len(group.values), dtype=float)
    return str(rng.choice(np.array(group.values), p=weights / weights.sum()))


def _clear_differences(a: Looks, b: Looks) -> int:
    return sum(a[name] != b[name] for name, group in GROUPS.items() if group.clear)


def _named(rng: np.random.Generator, made: Sequence[tuple[str, Looks, str]]) -> list[Species]:
    """Names that say what is seen: for twins their difference, for others whatever is unique."""
    taken: set[str] = set()
    species = []
    for noun, looks, telling in made:
        for words in _descriptions(rng, looks, telling):
            name = f"{words}_{noun}"
            if name not in taken:
                break
        taken.add(name)
        species.append(Species(name, looks, telling))
    return species


def _descriptions(rng: np.random.Generator, looks: Looks, telling: str) -> Iterator[str]:
    clear = [name for name, group in GROUPS.items() if group.clear]
    first = [telling] if telling else [clear[i] for i in rng.permutation(len(clear))]
    one = [GROUPS[name].words[looks[name]] for name in first]
    yield from one
    others = [clear[i] for i in rng.permutation(len(clear)) if clear[i] != telling]
    for name in others:
        yield f"{one[0]}_{GROUPS[name].words[looks[name]]}"
    for number in range(2, 1000):
        yield f"{one[0]}_{number}"
