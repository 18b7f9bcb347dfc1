"""The two engines of the elastic-net path by name; the package is imported only when asked."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from methods.glm_saga import package
from methods.glm_saga.fast import elastic_net_path
from methods.glm_saga.path import ElasticNetPath

Engine = Literal["fast", "package"]
ENGINES: dict[Engine, Callable[..., ElasticNetPath]] = {
    "fast": elastic_net_path,
    "package": package.elastic_net_path,
}
