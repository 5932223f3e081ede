#!/usr/bin/env bash
# Installs a wheel into an empty environment, and runs the command and a small fit from it, outside of the source tree and
# with no compiler in PATH.
# Usage: try_wheel.sh PYTHON WHEEL
set -euo pipefail

python=$(realpath --no-symlinks "$1")
wheel=$(realpath "$2")
name=$(basename "$wheel")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
unset PYTHONPATH DEM_KERNEL

if [[ $name != *-py3-none-* || $name == *-py3-none-any.whl ]]; then
    echo "$name has no native kernel: its name should end in py3-none-PLATFORM.whl. Is there a C++ compiler?" >&2
    exit 1
fi
"$python" -m venv environment
bin=$folder/environment/bin
without_compiler() { PATH=$bin "$bin/$1" "${@:2}"; }

without_compiler pip install -qq --disable-pip-version-check "$wheel"
without_compiler dem --version
without_compiler python - <<'END'
import numpy as np
import zarr

import dem
from dem.kernel.choice import chosen_kernel
from dem.kernel.library import reason

assert chosen_kernel().name == "native", reason()
x = np.random.default_rng(0).normal(size=(1000, 2))
x[:500] += 9
zarr.create_array("x.zarr", data=x, chunks=(100, 2))
means = dem.GaussianMixture(2).fit(x).means_
assert sorted(np.round(means[:, 0])) == [0, 9], means
END
without_compiler dem fit gmm x.zarr -k 2 -o mixture.zarr
without_compiler dem demo --size 1MB --memory 1GB --scratch scratch >/dev/null
echo "$name installs, has its native kernel, and fits"
