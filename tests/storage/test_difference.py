"""What a message about a checkpoint of other settings names."""

from dem.storage.checkpoint import difference


def test_of_the_settings_of_candidates_only_those_that_differ_are_named():
    there = {"model": None, "candidates": {"k=2": {"tol": 0.1, "max_iter": 9}, "k=3": {"tol": 0.1, "max_iter": 9}}}
    here = {"model": None, "candidates": {"k=2": {"tol": 0.2, "max_iter": 9}, "k=4": {"tol": 0.1, "max_iter": 9}}}
    assert difference(there, here) == (
        "candidates: k=2: tol=0.1, candidates: k=3, no candidates: k=4 in the checkpoint, "
        "candidates: k=2: tol=0.2, no candidates: k=3, candidates: k=4 in this fit"
    )
