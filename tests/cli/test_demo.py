"""The demo, in small."""

import numpy as np
import pytest
import zarr
from click.testing import CliRunner

import dem
from dem.cli.commands import demo
from dem.cli.main import main


def test_old_faithful_is_whole():
    array = zarr.open_array(demo.OLD_FAITHFUL, mode="r")
    assert array.shape == (272, 2)
    np.testing.assert_allclose(array[...].mean(axis=0), [3.48778, 70.897], rtol=1e-5)
    assert "Azzalini" in array.attrs["source"]


@pytest.mark.slow
def test_the_demo_writes_once_and_uses_it_again(tmp_path):
    words = ["demo", "--size", "320kB", "--memory", "2GB", "--workers", "1", "--scratch", str(tmp_path / "s")]
    first = CliRunner().invoke(main, words)
    assert first.exit_code == 0, first.output
    rows = 320_000 // 64
    path = tmp_path / "s" / f"mixture-{rows}x16-seed0.zarr"
    assert zarr.open_array(path).shape == (rows, 16)
    assert zarr.open_array(path).dtype == np.float32
    assert zarr.open_array(tmp_path / "s" / "labels.zarr").shape == (rows,)
    assert dem.load(tmp_path / "s" / "model.zarr").means_.shape == (16, 16)
    assert (tmp_path / "s" / "old_faithful.png").stat().st_size > 10_000
    for words_shown in (
        "of all processes together; the limit was 2 GB",
        "fitted",
        "true",
        "standard deviations",
    ):
        assert words_shown in first.stdout
    written = path.stat().st_mtime_ns
    second = CliRunner().invoke(main, words)
    assert second.exit_code == 0
    assert "from an earlier run" in second.stdout.replace("\n", " ")
    assert path.stat().st_mtime_ns == written


def test_data_of_another_mixture_are_written_anew(tmp_path):
    path = tmp_path / "x.zarr"
    assert demo.write_store_once(demo.true_mixture(0), 200, path)
    assert not demo.write_store_once(demo.true_mixture(0), 200, path)
    assert demo.write_store_once(demo.true_mixture(1), 200, path)
    assert demo.write_store_once(demo.true_mixture(1), 300, path)
    assert zarr.open_array(path).shape == (300, 16)


def test_the_store_must_be_of_some_size(tmp_path):
    result = CliRunner().invoke(main, ["demo", "--size", "1kB", "--scratch", str(tmp_path)])
    assert result.exit_code == 1
    assert "dem: A store of 1 kB is too small for the demo: give it at least 320 kB." in result.stderr


def test_a_full_disk_is_told_before_writing(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1000}))
    with pytest.raises(OSError, match="has only 1 kB left"):
        demo.write_store_once(demo.true_mixture(), 10_000, tmp_path / "x.zarr")


def test_distance_does_not_mind_the_order_of_components():
    known = demo.true_mixture()
    order = np.random.default_rng(0).permutation(demo.COMPONENTS)
    other = dem.GaussianMixture.from_parameters(known.weights_[order], known.means_[order], known.covariances_[order])
    assert demo.worst_errors(other, known) == (0.0, 0.0)
    moved = dem.GaussianMixture.from_parameters(known.weights_, known.means_ + 0.01, known.covariances_)
    means, weights = demo.worst_errors(moved, known)
    assert 0.01 < means < 1
    assert weights == 0


def test_the_truth_is_the_same_each_time():
    np.testing.assert_array_equal(demo.true_mixture().means_, demo.true_mixture().means_)
    assert demo.true_mixture().weights_.sum() == pytest.approx(1)
