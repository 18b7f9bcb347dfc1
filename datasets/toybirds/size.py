"""What can be asked of toybirds: how many species and images, how large, which draw."""

from __future__ import annotations

from pydantic import Field, ValidationError

from benchmark.contracts import Parameters, UserError


class Size(Parameters):
    """The arguments of ``toybirds:classes=…,images=…,pixels=…,seed=…``.

    >>> Size().name, Size(pixels=224, classes=200).name
    ('toybirds', 'toybirds:classes=200,pixels=224')
    """

    classes: int = Field(40, ge=2, le=1000, description="species")
    images: int = Field(60, ge=2, le=1000, description="images of each, half of them for training")
    pixels: int = Field(96, ge=48, le=512, description="side of the square images")
    seed: int = Field(0, ge=0, le=2**31 - 1, description="another draw of species and images")

    @property
    def training(self) -> int:
        """Training images of each species: half, rounded up."""
        return (self.images + 1) // 2

    @property
    def name(self) -> str:
        """As written on the command line; what has its default is left out."""
        given = [
            f"{name}={value}"
            for name, value in self
            if value != type(self).model_fields[name].default
        ]
        return "toybirds" + (":" + ",".join(given) if given else "")


def parse(arguments: dict[str, str]) -> Size:
    """A checked :class:`Size` of the words on the command line.

    Raises:
        UserError: an unknown argument, no whole number, or one out of range.

    >>> parse({"classes": "8"}).classes
    8
    """
    known = Size.model_fields
    for name in arguments:
        if name not in known:
            raise UserError(f"toybirds knows {', '.join(known)}, not {name!r}")
    try:
        return Size(**arguments)
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        low, high = (
            getattr(limit, limit.__class__.__name__.lower()) for limit in known[name].metadata
        )
        raise UserError(
            f"toybirds: {name} ({known[name].description}) must be a whole number from {low} to "
            f"{high}, not {arguments[name]!r}"
        ) from error
