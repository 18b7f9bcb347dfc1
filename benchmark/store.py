"""One cache shared by all runs: results found by what decided them, written whole or not at all.

A *stage* (dense training, features, a fit, ...) is computed at most once for given
*ingredients*: everything that decides its outcome, including the keys of its parents and a hash
of the source of the modules it declares. Ingredients hash to a key; the result is a folder.

    CACHE/<stage>/<key>/            the finished result
    CACHE/<stage>/<key>.partial/    a computation under way: checkpoints survive a kill here
    CACHE/<stage>/<key>.lock        one process at a time computes a key
    CACHE/log.jsonl                 one line each time a result is computed or found
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock


def canonical(value: Any) -> str:
    """JSON that is equal for equal values: sorted keys, no spaces, tuples as lists, paths as text.

    >>> canonical({"b": (1, 2), "a": 0.1})
    '{"a":0.1,"b":[1,2]}'
    """
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=_plain)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json")
    raise TypeError(f"{type(value).__name__} cannot be an ingredient of a cache key: {value!r}")


def key_of(ingredients: Mapping[str, Any]) -> str:
    """The key (20 hexadecimal digits) of the ingredients of a result.

    >>> key_of({"seed": 1}) == key_of({"seed": 1}), key_of({"seed": 1}) == key_of({"seed": 2})
    (True, False)
    """
    return hashlib.sha256(canonical(ingredients).encode()).hexdigest()[:20]


@cache
def code_hash(modules: tuple[str, ...]) -> str:
    """A hash of the Python source of modules or packages (of a package, all its files).

    >>> len(code_hash(("benchmark.contracts",)))
    16
    """
    digest = hashlib.sha256()
    for name in sorted(modules):
        for file in _sources(name):
            digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def _sources(module: str) -> list[Path]:
    spec = importlib.util.find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"no source found for the module {module!r}")
    origin = Path(spec.origin)
    if origin.name == "__init__.py":
        return sorted(origin.parent.rglob("*.py"))
    return [origin]


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file whole or not at all: to a neighbour first, then rename. Text is UTF-8."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class Result:
    """A finished stage: where it lies, its key, how long it took, and whether it was found."""

    folder: Path
    key: str
    seconds: float
    cached: bool


@dataclass
class Store:
    """The cache folder. ``get`` is the only door.

    >>> import tempfile
    >>> store = Store(Path(tempfile.mkdtemp()))
    >>> def compute(folder): (folder / "answer").write_text("42") and None
    >>> store.get("demo", {"question": 6}, compute).cached
    False
    >>> store.get("demo", {"question": 6}, compute).cached
    True
    >>> [entry["event"] for entry in store.log()]
    ['computed', 'found']
    """

    root: Path
    _inner: list[float] = field(default_factory=list, repr=False)  # seconds of stages in stages

    def get(
        self, stage: str, ingredients: Mapping[str, Any], compute: Callable[[Path], float | None]
    ) -> Result:
        """The folder of a stage's result, computed by ``compute(folder)`` if it is not there.

        ``compute`` is given a folder that survives being killed, so that it may leave
        checkpoints in it and continue from them next time. If it raises, the folder stays too.
        It may return the seconds that earlier, killed attempts had spent on the result. The
        seconds of stages that it asks for meanwhile are theirs, not its own.
        """
        key = key_of(ingredients)
        place = self.root / stage / key
        place.parent.mkdir(parents=True, exist_ok=True)
        if not place.is_dir():
            # The lock is the operating system's: it goes with the process that held it.
            with FileLock(f"{place}.lock"):
                if not place.is_dir():
                    return self._compute(stage, key, place, ingredients, compute)
        return self._found(stage, key, place)

    def has(self, stage: str, ingredients: Mapping[str, Any]) -> bool:
        """Whether a stage's result is there already."""
        return (self.root / stage / key_of(ingredients)).is_dir()

    def _compute(
        self,
        stage: str,
        key: str,
        place: Path,
        ingredients: Mapping[str, Any],
        compute: Callable[[Path], float | None],
    ) -> Result:
        partial = place.with_name(f"{key}.partial")
        partial.mkdir(exist_ok=True)
        self._inner.append(0.0)
        started = time.perf_counter()
        try:
            earlier = compute(partial) or 0.0
        finally:
            wall = time.perf_counter() - started
            inner = self._inner.pop()
            if self._inner:
                self._inner[-1] += wall
        spent = earlier + wall - inner
        about = {"stage": stage, "key": key, "seconds": spent, "ingredients": ingredients}
        write_atomically(partial / "stage.json", json.dumps(about, default=_plain, indent=1))
        os.replace(partial, place)
        self._note("computed", stage, key, spent)
        return Result(place, key, spent, cached=False)

    def _found(self, stage: str, key: str, place: Path) -> Result:
        seconds = float(json.loads((place / "stage.json").read_text())["seconds"])
        self._note("found", stage, key, seconds)
        return Result(place, key, seconds, cached=True)

    def _note(self, event: str, stage: str, key: str, seconds: float) -> None:
        entry = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "event": event,
            "stage": stage,
            "key": key,
            "seconds": round(seconds, 3),
            "process": os.getpid(),
        }
        # One short line in append mode is written at once, whoever else appends.
        with open(self.root / "log.jsonl", "a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")

    def log(self) -> list[dict[str, Any]]:
        """Everything that was ever computed or found here, in order."""
        file = self.root / "log.jsonl"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def derive_seed(*axes: object) -> int:
    """A seed (63 bits) from named axes, so that adding a method never changes another's numbers.

    >>> derive_seed("toybirds", "qpm", 16) == derive_seed("toybirds", "qpm", 16)
    True
    >>> derive_seed("toybirds", "qpm", 16) == derive_seed("toybirds", "sldd", 16)
    False
    """
    text = canonical([str(axis) for axis in axes])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def versions(packages: Iterable[str]) -> dict[str, str]:
    """Installed versions of distributions; what is not installed is left out.

    >>> sorted(versions(["numpy", "no-such-package"]))
    ['numpy']
    """
    from importlib.metadata import PackageNotFoundError, version

    found = {}
    for name in packages:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
