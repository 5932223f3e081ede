#!/usr/bin/env bash
# Installs a wheel into an empty environment, and runs the command and a small fit from it, outside of the source tree.
# Usage: try_wheel.sh PYTHON WHEEL
set -euo pipefail

python=$(realpath --no-symlinks "$1")
wheel=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset PYTHONPATH

"$python" -m venv environment
environment/bin/pip install -qq --disable-pip-version-check "$wheel"
environment/bin/dem --version
environment/bin/python - <<'END'
import numpy as np
import zarr

import dem

x = np.random.default_rng(0).normal(size=(1000, 2))
x[:500] += 9
zarr.create_array("x.zarr", data=x, chunks=(100, 2))
means = dem.GaussianMixture(2).fit(x).means_
assert sorted(np.round(means[:, 0])) == [0, 9], means
END
environment/bin/dem fit gmm x.zarr -k 2 -o mixture.zarr
environment/bin/dem demo --size 1MB --memory 1GB --scratch scratch >/dev/null
echo "$(basename "$wheel") installs, and fits"
