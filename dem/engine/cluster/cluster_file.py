"""A cluster file: a cluster class of Dask, its arguments, and the number of workers."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dem.storage.files import read_text

Count = Annotated[int, Field(ge=1)]

STRICT = ConfigDict(extra="forbid", strict=True, frozen=True)


class Adapt(BaseModel):
    """A number of workers that Dask adapts to the work, between two bounds."""

    model_config = STRICT

    minimum: Annotated[int, Field(ge=0)]
    maximum: Count

    @model_validator(mode="after")
    def _ordered(self) -> Adapt:
        if self.maximum < self.minimum:
            raise ValueError("the maximum is below the minimum")
        return self


class ClusterFile(BaseModel):
    """The keys of a cluster file. The message about a wrong value is made from the key's description."""

    model_config = STRICT

    version: Literal[1] = Field(description="must be 1")
    module: str = Field(min_length=1, description="must be the name of a Python module, such as dask.distributed")
    class_: str = Field(alias="class", min_length=1, description="must be the name of a class, such as LocalCluster")
    args: list[Any] = Field(default=[], description="must be a list of arguments")
    kwargs: dict[str, Any] = Field(default={}, description="must be arguments by name, such as {cores: 4}")
    dask: dict[str, Any] = Field(default={}, description="must be Dask settings by name")
    workers: Count | Adapt | None = Field(
        default=None,
        description="must be an integer >= 1, or a range such as {minimum: 1, maximum: 8} with minimum <= maximum",
    )
    wait: float = Field(default=300, gt=0, allow_inf_nan=False, description="must be a number of seconds above 0")


KEYS = {field.alias or name: field.description for name, field in ClusterFile.model_fields.items()}


def read_cluster_file(path: str | Path) -> ClusterFile:
    """Read a cluster file.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    ValueError
        It is not YAML, or a key or value is wrong; the message names the file and the key.
    """
    try:
        text = read_text(path)
    except FileNotFoundError:
        raise FileNotFoundError(f"There is no cluster file at {path}: check the path.") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ValueError(f"The cluster file {path} cannot be read: {error}.") from None
    try:
        found = yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = "" if mark is None else f" in line {mark.line + 1}"
        raise ValueError(f"{path} is not valid YAML{line}: {getattr(error, 'problem', None) or error}.") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is not a cluster file: its keys are {', '.join(KEYS)}.")
    try:
        return ClusterFile.model_validate(found)
    except ValidationError as error:
        raise ValueError(f"{path}: {_sentence(found, error)}.") from None


def _sentence(found: dict[Any, Any], error: ValidationError) -> str:
    """Return a sentence about the first wrong key."""
    key = error.errors()[0]["loc"][0]
    if key not in KEYS:
        return f"unknown key {key!r}: the keys are {', '.join(KEYS)}"
    if key not in found:
        return f"the key {key!r} is missing: it {KEYS[str(key)]}"
    return f"{key!r} {KEYS[str(key)]}, got {found[key]!r}"
