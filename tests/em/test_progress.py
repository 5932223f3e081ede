"""What is told where nobody has asked for progress."""

import logging

import pytest

from dem.em.progress import WARNING, Silent


def test_notes_are_logged_and_warnings_are_python_warnings(caplog):
    caplog.set_level(logging.INFO, "dem")
    Silent().note("runs on this machine")
    with pytest.warns(UserWarning, match="^results may differ$") as caught:
        Silent().note(f"{WARNING}results may differ")
    assert caught[0].filename == __file__
    assert [(record.levelname, record.message) for record in caplog.records] == [("INFO", "runs on this machine")]
