"""The same parameters and rows give the same bits with vectors of any width, by any compiler."""

from contextlib import contextmanager
from functools import cache

import numpy as np
import pytest

from crosses import cross
from dem.em.row_output import RowOutput
from dem.families import COVARIANCE_TYPES
from dem.families.feature_columns import Column, Op
from dem.families.feature_map import feature_map
from dem.kernel import library
from dem.kernel.build import build, installed_compilers, library_path, missing, widths, zig
from dem.kernel.scan import NativeScan
from dem.models.kmeans.native_kernel import native_rows
from dem.models.mixture.native_kernel import OUTPUT_KINDS, native_densities
from dem.models.mixture.precision import Precision
from dem.models.mixture.rows import mixture_outputs
from kernel.clusters import clusters
from kernel.e_steps import NATIVE, NEEDS_LIBRARY, mixture_e_step
from kernel.features import native_features
from kernel.linear_families import LINEAR, MISSING, e_step, weighted
from kernel.pattern_e_steps import pattern_e_step

pytestmark = NEEDS_LIBRARY
ARITHMETICS = {precision.name.lower(): precision for precision in Precision}
KINDS = {kind: kind for kind in COVARIANCE_TYPES}
SPREADS = {"near": 0.5, "far": 5.0}
SIZES = [
    (d, k) for d in (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 22, 24, 33) for k in (1, 2, 3, 4, 5, 6, 7, 8, 9, 13, 17, 25)
]
"""Columns and components: all remainders by the widths of vectors and the sizes of register blocks."""
FILES = {width.file: name for name, width in library.WIDTHS.items()}
COMPILERS = {compiler.name: compiler for compiler in [*installed_compilers(), *zig()]}


@contextmanager
def vectors(name, folder=None):
    """Use the library of one width only, from `folder`; yields None where it is not built or cannot run here."""
    before = library.FOLDER
    library.FOLDER = folder or before
    library.limit_vectors(name)
    try:
        found = library.library()
        yield found if found is not None and found.vectors == name else None
    finally:
        library.FOLDER = before
        library.limit_vectors(None)


@cache
def widths_here():
    """Return the widths that this machine has libraries for and can run."""
    found = []
    for name in library.WIDTHS:
        with vectors(name) as one:
            found += [name] if one is not None else []
    return found


def bits(kind, precision, spread, sizes, name, folder=None):
    """Return the bytes of the statistics for each size of problem, with vectors of one width."""
    found = {}
    with vectors(name, folder) as one:
        assert one is not None
        for d, k in sizes:
            step = mixture_e_step(
                kind, d, k, precision, np.random.default_rng(d * k), n=211, spread=spread, weighted=k % 2
            )
            stats = step.stats()
            found[d, k] = stats.sums.tobytes(), np.float64(stats.log_likelihood).tobytes()
    return found


def kmeans_bits(precision, sizes, name, folder=None):
    """Return the bytes of the statistics and of results for rows of K-means, with vectors of one width."""
    found, outputs = {}, (RowOutput("label", "", np.dtype("i8")), RowOutput("score", ""))
    with vectors(name, folder) as one:
        assert one is not None
        for d, k in sizes:
            of = clusters(d, k, precision, np.random.default_rng(d * k), n=211, spread=0.5, weighted=k % 2)
            stats = of.stats()
            arrays = [stats.counts, stats.sums, stats.inertia, stats.farthest.key, stats.farthest.square]
            if precision != Precision.SINGLE:
                wanted = (*outputs, RowOutput("distance", "", columns=k))
                arrays += [native_rows(of.centers, of.frame, precision, what, of.x, NATIVE) for what in wanted]
            found[d, k] = [array.tobytes() for array in arrays]
    return found


def bits_of_families(precision, name, folder=None):
    """Return the bytes of the statistics and of the outputs of each linear family, with holes and without."""
    found = {}
    with vectors(name, folder) as one:
        assert one is not None
        for family in LINEAR:
            for missing in {False, family in MISSING}:
                step = e_step(family, precision, missing=missing, n=211)
                densities = native_densities(step.family, step.params, precision, step.frame)
                if densities is None:
                    continue
                stats = weighted(step).stats()
                found[family, missing] = [stats.sums.tobytes(), np.float64(stats.log_likelihood).tobytes()]
                found[family, missing] += outputs_of(densities, step.x)
    return found


def outputs_of(densities, x, k=3):
    """Return the bytes of all outputs for k components."""
    found = []
    for output in mixture_outputs(k, x.shape[1]).values():
        if output.name in OUTPUT_KINDS:
            out = np.empty(output.shape(len(x)), output.dtype)
            densities.output(NATIVE, output)(x, out)
            found.append(out.tobytes())
    return found


def pattern_bits(name, folder=None):
    """Return the bytes of the statistics and of the outputs of Gaussians with missing values."""
    found = {}
    with vectors(name, folder) as one:
        assert one is not None
        for kind in ("full", "tied"):
            for d, k, share in [(1, 2, 0.5), (3, 5, 0.3), (8, 1, 0.1), (9, 17, 0.5), (26, 9, 0.2), (13, 4, 0.8)]:
                step = pattern_e_step(kind, d, k, share, np.random.default_rng(d * k), n=211, weighted=k % 2)
                stats = step.stats()
                densities = native_densities(step.family, step.params, step.precision, None)
                found[kind, d, k] = [stats.sums.tobytes(), np.float64(stats.log_likelihood).tobytes()]
                found[kind, d, k] += outputs_of(densities, step.x, k)
    return found


def scan_bits(name, folder=None):
    """Return the bytes of the sums of the first pass, with vectors of one width."""
    found = {}
    with vectors(name, folder) as one:
        assert one is not None
        for d in (1, 2, 3, 4, 5, 7, 8, 9, 12, 16, 17, 22, 24, 33, 64, 140):
            for dtype in (np.float32, np.float64):
                rng = np.random.default_rng(d)
                x, weight, shift = (
                    rng.normal(size=(331, d)).astype(dtype),
                    rng.exponential(size=331),
                    rng.normal(size=d),
                )
                x[100, 0] = np.nan
                for scatter in (False, True):
                    sums = NativeScan(d, scatter, 70 + d, NATIVE)(x, weight if d % 2 else None, shift)
                    arrays = (np.float64(sums.weight), sums.low, sums.high, sums.first, sums.second, sums.left_out)
                    found[d, dtype, scatter] = [array.tobytes() for array in arrays]
    return found


def huge_angles():
    """Return the bytes of cosines and sines of angles of any size."""
    x = 10.0 ** np.random.default_rng(0).uniform(-300, 300, (200, 1))
    return native_features(feature_map((Column(Op.COS), Column(Op.SIN))), x).tobytes()


def test_every_width_that_is_built_is_compared():
    features = library.cpu_features()
    assert widths_here() == [
        name
        for name, width in library.WIDTHS.items()
        if width.needs <= features and (library.FOLDER / width.file).exists()
    ]


NEEDS_WIDTHS = pytest.mark.skipif(len(widths_here()) < 2, reason="there is only one width of vectors to compare here")


@NEEDS_WIDTHS
@cross("kind, precision, spread", KINDS, ARITHMETICS, SPREADS)
def test_vectors_of_every_width_give_the_same_bits(kind, precision, spread):
    sizes = [*SIZES[::7], (140, 3)]
    first, *others = (bits(kind, precision, spread, sizes, name) for name in widths_here())
    for other in others:
        assert other == first


@NEEDS_WIDTHS
@pytest.mark.parametrize("precision", ARITHMETICS.values(), ids=ARITHMETICS)
def test_vectors_of_every_width_give_the_same_bits_of_kmeans(precision):
    sizes = [*SIZES[::5], (140, 3)]
    first, *others = (kmeans_bits(precision, sizes, name) for name in widths_here())
    for other in others:
        assert other == first


@NEEDS_WIDTHS
@pytest.mark.parametrize("bits_of", [pattern_bits, scan_bits])
def test_vectors_of_every_width_give_the_same_bits_of_patterns_and_scans(bits_of):
    first, *others = (bits_of(name) for name in widths_here())
    for other in others:
        assert other == first


@NEEDS_WIDTHS
@pytest.mark.parametrize("precision", [Precision.SINGLE, Precision.DOUBLE])
def test_every_family_gives_the_same_bits(precision):
    first, *others = (bits_of_families(precision, name) for name in widths_here())
    assert first
    for other in others:
        assert other == first


@NEEDS_WIDTHS
@pytest.mark.parametrize("precision", [Precision.DOUBLE, Precision.CENTRED])
@pytest.mark.parametrize("kind", KINDS)
def test_outputs_give_the_same_bits(kind, precision):
    found = []
    for name in widths_here():
        with vectors(name):
            for d, k in [(1, 2), (3, 5), (9, 17), (26, 9)]:
                step = mixture_e_step(kind, d, k, precision, np.random.default_rng(d * k), n=211)
                densities = native_densities(step.family, step.params, precision, step.frame)
                found.append(outputs_of(densities, step.x, k))
    size = len(found) // len(widths_here())
    assert all(found[i] == found[i % size] for i in range(len(found)))


@NEEDS_WIDTHS
def test_angles_of_any_size_give_the_same_bits():
    found = []
    for name in widths_here():
        with vectors(name):
            found.append(huge_angles())
    assert len(set(found)) == 1


@pytest.fixture(scope="module", params=COMPILERS)
def compiled(request, tmp_path_factory):
    """Return a folder with the libraries of one compiler, for the widths that it can build."""
    folder = tmp_path_factory.mktemp("lib")
    failures = build([COMPILERS[request.param]], folder)
    assert set(missing(folder)) != set(widths()), failures
    return folder


def compiled_widths(folder):
    """Return the widths of the libraries in a folder that this machine can run."""
    paths = [library_path(width, folder) for width in widths()]
    names = [name for name in (FILES[path.name] for path in paths if path.exists()) if name in widths_here()]
    assert names
    return names


@pytest.mark.slow
@pytest.mark.parametrize("precision", ARITHMETICS.values(), ids=ARITHMETICS)
@pytest.mark.parametrize("kind", KINDS)
def test_every_compiler_gives_the_same_bits(kind, precision, compiled):
    names = compiled_widths(compiled)
    for spread in SPREADS.values():
        expected = bits(kind, precision, spread, SIZES, widths_here()[0])
        for name in names:
            assert bits(kind, precision, spread, SIZES, name, compiled) == expected


@pytest.mark.slow
@pytest.mark.parametrize("precision", ARITHMETICS.values(), ids=ARITHMETICS)
def test_every_compiler_gives_the_same_bits_of_kmeans(precision, compiled):
    expected = kmeans_bits(precision, SIZES, widths_here()[0])
    for name in compiled_widths(compiled):
        assert kmeans_bits(precision, SIZES, name, compiled) == expected


@pytest.mark.slow
@pytest.mark.parametrize("precision", [Precision.SINGLE, Precision.DOUBLE])
def test_every_compiler_gives_the_same_bits_of_families(precision, compiled):
    expected = bits_of_families(precision, widths_here()[0])
    for name in compiled_widths(compiled):
        assert bits_of_families(precision, name, compiled) == expected


@pytest.mark.slow
@pytest.mark.parametrize("bits_of", [pattern_bits, scan_bits])
def test_every_compiler_gives_the_same_bits_of_patterns_and_scans(bits_of, compiled):
    expected = bits_of(widths_here()[0])
    for name in compiled_widths(compiled):
        assert bits_of(name, compiled) == expected
