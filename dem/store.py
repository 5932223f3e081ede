"""A fitted model on disk: a Zarr group that is replaced whole or not at all (see `dem.generations`).

::

    model.zarr/zarr.json              format, dem's version, generation, checksum   (written last)
    model.zarr/generation-1f0c.../    model, attributes; one array for each parameter
"""

from __future__ import annotations

from dem.generations import Generations
from dem.saved import Saved

__all__ = ["MODELS", "Saved", "check_free", "is_model", "load", "save"]

MODELS = Generations("dem_model", "model")

save, load, is_model, check_free = MODELS.save, MODELS.load, MODELS.exists, MODELS.check_free
