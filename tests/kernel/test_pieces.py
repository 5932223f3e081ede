"""The rows of a block in pieces."""

import numpy as np
import pytest

from dem.kernel.pieces import LEAST_PIECE, PIECE_BYTES, FeaturePieces, RowPieces

DOUBLE = np.dtype(np.float64)


def put_together(pieces, x, weight):
    found = [(p.x[: p.n].copy(), None if p.weight is None else p.weight.copy()) for p in pieces(x, weight)]
    rows, weights = zip(*found, strict=True)
    return np.concatenate(rows), weights


def test_ready_rows_are_one_piece_and_not_copied(rng):
    x = rng.normal(size=(5000, 40))
    (piece,) = RowPieces(DOUBLE)(x, None)
    assert piece.x.base is x or piece.x is x
    assert (piece.n, piece.weight) == (5000, None)


@pytest.mark.parametrize("d", [1, 7, 300])
def test_other_rows_are_converted_in_whole_tiles(d, rng):
    n = 3 * PIECE_BYTES // (8 * d) + 5
    x, weight = rng.normal(size=(n, d)).astype(np.float32), rng.integers(0, 3, n)
    sizes = [piece.n for piece in RowPieces(DOUBLE)(x, weight)]
    assert sum(sizes) == n
    assert all(size % LEAST_PIECE == 0 for size in sizes[:-1])
    rows, weights = put_together(RowPieces(DOUBLE), x, weight)
    np.testing.assert_array_equal(rows, x)
    np.testing.assert_array_equal(np.concatenate(weights), weight)
    assert rows.dtype == DOUBLE


def test_features_are_written_of_rows_of_positive_weight(rng):
    x, weight = rng.normal(size=(20_000, 2)), (rng.random(20_000) < 0.5).astype(float)
    x[weight == 0] = np.nan
    seen = []

    def write(rows, out):
        assert np.isfinite(rows).all()
        seen.append(len(rows))
        out[0], out[1] = rows[:, 0], rows.sum(axis=1)

    found = [p.x[:, : p.n].copy() for p in FeaturePieces(write, 2, DOUBLE)(x, weight)]
    kept = x[weight > 0]
    np.testing.assert_array_equal(np.concatenate(found, axis=1), [kept[:, 0], kept.sum(axis=1)])
    assert len(seen) > 1


def test_pieces_without_a_row_of_positive_weight_are_left_out():
    assert list(FeaturePieces(lambda rows, out: None, 2, DOUBLE)(np.zeros((10, 2)), np.zeros(10))) == []
