"""SSH, from cluster_configs/ssh.yaml, by an sshd on loopback."""

import pytest

from real.fits import DEM, assert_same_fit, changed, run, words

pytestmark = pytest.mark.cluster


@pytest.fixture
def file(sshd_, tmp_path):
    login = {
        "port": sshd_.port, "username": sshd_.user,
        "client_keys": [str(sshd_.client_key)], "known_hosts": str(sshd_.known_hosts),
    }  # fmt: skip
    return changed(
        "ssh.yaml",
        tmp_path,
        {
            "kwargs": {
                "hosts": ["127.0.0.1"] * 3,
                "connect_options": login,
                "worker_options": {"n_workers": 1, "interface": "lo"},
                "scheduler_options": {"interface": "lo"},
            }
        },
    )


def test_fit(file, sshd_, data, alone, tmp_path):
    said = run(words(data, tmp_path / "model.zarr", "--cluster", file))
    assert_same_fit(tmp_path / "model.zarr", alone, said)
    assert sshd_.log.read_text().count("Accepted publickey") >= 3  # a scheduler and two workers


def test_check(file):
    assert "2 workers" in run([DEM, "cluster", "check", file])
