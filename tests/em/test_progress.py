"""What is told where nobody has asked for progress."""

import logging

from dem.em.progress import WARNING, Silent


def test_warnings_are_logged_as_such(caplog):
    caplog.set_level(logging.INFO, "dem")
    Silent().note("runs on this machine")
    Silent().note(f"{WARNING}results may differ")
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("INFO", "runs on this machine"),
        ("WARNING", "warning: results may differ"),
    ]
