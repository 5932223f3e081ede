"""What is told of the passes."""

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from dem.cli import progress
from dem.core import human
from dem.estimators import summary
from estimators.test_progress_lines import clock, drive


def test_lines_tell_of_parts_now_and_then():
    stream = io.StringIO()
    shown = progress.Lines(stream, clock())
    shown.begin("start", None, None)
    for i in range(25):
        shown.detail(f"short run 1 of 10, iteration {i}")
    assert stream.getvalue().splitlines() == [
        "start: short run 1 of 10, iteration 9",
        "start: short run 1 of 10, iteration 19",
    ]


def test_the_bar_tells_of_parts():
    stream = io.StringIO()
    shown = progress.Live(Console(file=stream, force_terminal=True, width=100, color_system=None), clock())
    shown.detail("nothing is shown yet")
    shown.begin("start", None, None)
    shown.detail("long run 2 of 4, iteration 7")
    shown.bar.refresh()
    shown.close()
    assert "long run 2 of 4, iteration 7" in stream.getvalue()


def test_json_lines():
    stream = io.StringIO()
    drive(progress.JSONLines(stream, clock()))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [e["name"] for e in events] == ["first scan", "pass 1", "pass 2", "pass 3"]
    assert events[0] == {"event": "step", "name": "first scan", "rows": 1000, "nbytes": 8000000, "seconds": 1}
    assert events[2]["change"] == 0.5
    assert events[3]["stop_reason"] == "converged"


def test_live_leaves_a_line_for_each_pass_and_no_bar():
    stream = io.StringIO()
    shown = progress.Live(Console(file=stream, force_terminal=True, width=100, color_system=None), clock())
    drive(shown)
    assert shown.task is None
    text = stream.getvalue()
    assert "pass 3                -2.500000 nats a row  (+0.0e+00)" in text
    assert "50%" in text
    assert "left" in text


def test_live_can_be_closed_in_the_middle_and_twice():
    shown = progress.Live(Console(file=io.StringIO(), force_terminal=True))
    shown.close()
    shown.begin("pass 1", None, None)
    shown.advance(0, 0)
    shown.advance(1, 3)
    shown.close()
    shown.close()
    shown.advance(2, 3)
    assert not shown.bar.live.is_started


def test_notes(caplog):
    caplog.set_level("INFO", "dem")
    stream = io.StringIO()
    progress.Lines(stream).note("runs on [4] workers")
    progress.JSONLines(stream).note("runs on [4] workers")
    progress.Quiet().note("said to nobody")
    line, record = stream.getvalue().splitlines()
    assert line == "runs on [4] workers"
    assert json.loads(record) == {"event": "note", "text": "runs on [4] workers"}
    assert caplog.messages == ["runs on [4] workers"] * 2 + ["said to nobody"]


def test_a_live_note_stands_above_the_bar():
    stream = io.StringIO()
    shown = progress.Live(Console(file=stream, force_terminal=True, width=100, color_system=None), clock())
    shown.begin("pass 1", 1000, None)
    shown.note("resumes from [x]")
    assert shown.task is not None
    shown.close()
    assert "resumes from [x]\n" in stream.getvalue()


def test_choice():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    assert isinstance(progress.choose_progress(quiet=True), progress.Quiet)
    assert isinstance(progress.choose_progress(as_json=True, stream=Terminal()), progress.JSONLines)
    assert isinstance(progress.choose_progress(stream=Terminal()), progress.Live)
    assert type(progress.choose_progress(stream=io.StringIO())) is progress.Lines
    drive(progress.choose_progress(quiet=True))


@pytest.mark.parametrize(
    ("reason", "reg_covar", "said"),
    [
        ("converged", 1e-6, "converged"),
        ("fell", 1e-6, "stopped: the log-likelihood fell by less than tol, which reg_covar can cause"),
        ("fell", 0, "stopped: the log-likelihood fell by less than tol"),
        ("fell", None, "stopped: the log-likelihood fell by less than tol"),
    ],
)
def test_why_a_fit_stopped(reason, reg_covar, said):
    model = SimpleNamespace(stop_reason_=reason, **({} if reg_covar is None else {"reg_covar": reg_covar}))
    assert summary.why_stopped(model) == said


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (human.count(0), "0"),
        (human.count(12.34), "12.3"),
        (human.count(999_999), "1 M"),
        (human.count(62_500_000), "62.5 M"),
        (human.size(999), "999 B"),
        (human.size(4 * 10**9), "4 GB"),
        (human.size(5e18), "5e+03 PB"),
        (human.seconds(0.004), "4 ms"),
        (human.seconds(3.14159), "3.14 s"),
        (human.seconds(59.94), "59.9 s"),
        (human.seconds(59.97), "1 min 00 s"),
        (human.seconds(125), "2 min 05 s"),
        (human.seconds(3720), "1 h 02 min"),
        (human.plural(1, "pass"), "1 pass"),
        (human.plural(3, "pass"), "3 passes"),
        (human.plural(2000, "row"), "2,000 rows"),
        (human.passes(1), "the first scan"),
        (human.passes(2), "the first scan and 1 pass"),
        (human.passes(6), "the first scan and 5 passes"),
    ],
)
def test_numbers_as_people_read_them(text, expected):
    assert text == expected
