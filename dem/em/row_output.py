"""Row outputs: what a model gives for every row (labels, scores, latents, ...).

Each model has one table of them, by name. The names that users write ("label", "top-index:3") are looked up only by
`find_output`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

REAL = np.dtype(np.float64)
NATS = "nats"
"""The units of log-likelihoods and entropies."""


@dataclass(frozen=True)
class RowOutput:
    """One value, or one row of values, for every row of the data.

    Attributes
    ----------
    name : str
    meaning : str
        A short description, for lists of outputs.
    dtype : dtype
    columns : int or None
        Results have shape (n, columns); None for (n,).
    axis : {"component", "latent", "component_latent", "rank", "column"}
        What the columns of the results stand for; "column" if they are those of the data.
    units : str or None
        The units of the results; None if unknown.
    n_labels : int or None
        The results are labels 0 to n_labels - 1; None if they are not labels.
    """

    name: str
    meaning: str
    dtype: np.dtype[Any] = REAL
    columns: int | None = None
    axis: str = "column"
    units: str | None = None
    n_labels: int | None = None

    @property
    def word(self) -> str:
        """The name that users write for it."""
        return self.name

    @property
    def row_bytes(self) -> int:
        """Bytes of the results of one row."""
        return self.dtype.itemsize * (1 if self.columns is None else self.columns)

    def shape(self, n: int) -> tuple[int, ...]:
        """Return the shape of the results of n rows."""
        return (n,) if self.columns is None else (n, self.columns)

    def with_choice(self, choice: str) -> RowOutput:
        """Return the variant that the user chose: `choice` is the text after the colon in "top-index:3".

        Raises
        ------
        ValueError
            If there are no variants, or not this one.
        """
        raise ValueError(f"'{self.name}:{choice}': {self.name!r} has no variants, so write it without {':' + choice!r}")


@dataclass(frozen=True)
class TopOutput(RowOutput):
    """An output for the most probable components; the user chooses their number, `columns`.

    Attributes
    ----------
    most : int
        The number of components of the model.
    """

    most: int = 1

    @property
    def word(self) -> str:
        """The name and the number of components: "top-index:3"."""
        return f"{self.name}:{self.columns}"

    def with_choice(self, choice: str) -> TopOutput:
        """Return the output for this number of components, "1" to `most`."""
        if not choice.isdecimal() or not 1 <= int(choice) <= self.most:
            raise ValueError(
                f"'{self.name}:{choice}': choose 1 to {self.most} of the {self.most} components, as in {self.word!r}"
            )
        return replace(self, columns=int(choice))


@dataclass(frozen=True)
class FilledOutput(RowOutput):
    """An output with the shape of the rows; the user may choose its floating dtype."""

    def with_choice(self, choice: str) -> FilledOutput:
        """Return the output in the dtype "float16", "float32" or "float64"."""
        if choice not in ("float16", "float32", "float64"):
            raise ValueError(f"'{self.name}:{choice}': choose float16, float32 or float64, as in '{self.name}:float32'")
        return replace(self, dtype=np.dtype(choice))


OTHER_WORDS = {"labels": "label"}
"""Words that users may write for the names of outputs."""

RowOutputs = Mapping[str, RowOutput]
"""The row outputs of a model, by name."""


def output_table(*outputs: RowOutput) -> dict[str, RowOutput]:
    """Return the outputs by name, in this order."""
    return {output.name: output for output in outputs}


def filled(d: int, dtype: np.dtype[Any], source: str = "their means given the row's observed values") -> FilledOutput:
    """Return the output of the rows (n, d), their missing values filled in from `source`."""
    return FilledOutput("filled", f"the rows, missing values replaced by {source}", dtype, d)


def deviation(d: int, dtype: np.dtype[Any]) -> FilledOutput:
    """Return the output of the standard deviations (n, d) of the values that `filled` fills in."""
    meaning = "the standard deviation of each value that is filled in; 0 where the value is observed"
    return FilledOutput("deviation", meaning, dtype, d)


def find_output(outputs: RowOutputs, word: str) -> RowOutput:
    """Return the output for a name that a user wrote: "label", "top-index:3", "filled:float32".

    Raises
    ------
    ValueError
        If there is no such output; the names are listed.
    """
    if not isinstance(word, str):
        raise ValueError(f"the name of an output must be a text such as {next(iter(outputs))!r}, got {word!r}")
    name, colon, choice = OTHER_WORDS.get(word, word).partition(":")
    if name not in outputs:
        raise ValueError(f"there is no output {word!r}: choose one of {', '.join(outputs)}")
    return outputs[name].with_choice(choice) if colon else outputs[name]
