"""What is told of the passes."""

import io
import json
from types import SimpleNamespace

import pytest
from rich.console import Console

from dem.cli import progress
from dem.cli.commands.session import Session
from dem.cli.commands.tables import facts
from dem.core import human
from dem.estimators import summary
from estimators.test_progress_lines import clock, drive, foretold


def test_lines_tell_of_parts_now_and_then():
    stream = io.StringIO()
    shown = progress.Lines(stream, clock())
    shown.begin("start", None, None)
    for i in range(25):
        shown.detail(f"start 1 of 10, iteration {i}")
    assert stream.getvalue().splitlines() == [
        "start: start 1 of 10, iteration 9",
        "start: start 1 of 10, iteration 19",
    ]


def test_the_bar_tells_of_parts():
    stream = io.StringIO()
    shown = progress.Live(Console(file=stream, force_terminal=True, width=100, color_system=None), clock())
    shown.detail("nothing is shown yet")
    shown.begin("start", None, None)
    shown.detail("best start 2 of 4, iteration 7")
    shown.bar.refresh()
    shown.close()
    assert "best start 2 of 4, iteration 7" in stream.getvalue()


def test_brackets_in_names_are_no_markup(capsys):
    stream = io.StringIO()
    shown = progress.Live(Console(file=stream, force_terminal=True, width=100, color_system=None), clock())
    shown.begin("[/]", None, None)
    shown.detail("t [degC]")
    shown.bar.refresh()
    shown.close()
    assert "t [degC]" in stream.getvalue()
    Session().result({}, facts({"t [degC]": "[/b] high"}), "[bold]")
    assert capsys.readouterr().out.split() == ["t", "[degC]", "[/b]", "high", "[bold]"]


def test_json_lines():
    stream = io.StringIO()
    drive(progress.JSONLines(stream, clock()))
    events = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert [e["name"] for e in events] == ["first scan", "pass 1", "pass 2", "pass 3"]
    assert events[0] == {"event": "step", "name": "first scan", "rows": 1000, "nbytes": 8000000, "seconds": 2}
    assert events[2]["change"] == 0.5
    assert events[3]["stop_reason"] == "converged"


def test_the_bar_tells_of_the_time_left_in_any_pass():
    stream, now = io.StringIO(), iter([0.0, 30.0, 40.0])
    shown = progress.Live(Console(file=stream, force_terminal=True, width=120, color_system=None), now.__next__)
    shown.begin("first scan", 1_000_000, 64_000_000)
    shown.advance(1, 4)
    shown.bar.refresh()
    assert "25%  about 1 min 30 s left  8.33 k rows/s, 533 kB/s" in stream.getvalue()
    shown.end(None)
    assert not shown.bar.live.is_started


def test_at_the_end_of_a_pass_there_is_no_time_left():
    stream = io.StringIO()
    shown = progress.Live(Console(file=stream, force_terminal=True, width=120, color_system=None), clock(10))
    shown.begin("first scan", 1000, None)
    for done in (1, 2):
        shown.advance(done, 2)
        shown.bar.refresh()
    shown.close()
    assert "50%  about 10.0 s left  50 rows/s" in stream.getvalue()
    assert "100%  50 rows/s" in stream.getvalue()


@pytest.mark.parametrize(("width", "told"), [(80, "8.33 k rows/s, 533 kB/s"), (60, "8.33 k rows/s, 5…")])
def test_a_narrow_terminal_shows_the_whole_time_left(width, told):
    stream, now = io.StringIO(), iter([0.0, 30.0])
    shown = progress.Live(Console(file=stream, force_terminal=True, width=width, color_system=None), now.__next__)
    shown.begin("first scan", 1_000_000, 64_000_000)
    shown.advance(1, 4)
    shown.bar.refresh()
    last = stream.getvalue().split("\r")[-1]
    shown.close()
    assert last.endswith(f"25%  about 1 min 30 s left  {told}")


def test_the_bar_of_the_starts_keeps_its_text_when_it_moves():
    stream = io.StringIO()
    shown = progress.Live(Console(file=stream, force_terminal=True, width=100, color_system=None), clock())
    shown.begin("start", None, None)
    shown.detail("start 3 of 10, iteration 7")
    shown.advance(5, 10)
    shown.bar.refresh()
    task = shown.bar.tasks[0]
    assert (task.completed, task.total, task.fields["facts"]) == (5, 10, "start 3 of 10, iteration 7")
    shown.close()


def test_the_time_left_of_the_fit_is_told():
    live, lines, records = io.StringIO(), io.StringIO(), io.StringIO()
    foretold(progress.Live(Console(file=live, force_terminal=True, width=150, color_system=None), clock(60)))
    foretold(progress.Lines(lines, clock(60)))
    foretold(progress.JSONLines(records, clock(60)))
    for stream in (live, lines):
        assert stream.getvalue().count("fit: about 10 to 40 minutes left\n") == 1
    first, second = map(json.loads, records.getvalue().splitlines())
    assert first["seconds_left"] == [600, 2400]
    assert "seconds_left" not in second


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
        (human.time_range(1, 10), "1 to 10 seconds"),
        (human.time_range(0, 0.2), "1 second"),
        (human.time_range(40, 290), "40 seconds to 5 minutes"),
        (human.time_range(630, 2350), "10 to 40 minutes"),
        (human.time_range(3600, 7200), "60 minutes to 2 hours"),
        (human.time_range(7200, 7200), "2 hours"),
        (human.time_range(8000, 1e6), "2 hours to 12 days"),
        (human.time_range(70.1, 70.7), "70 seconds"),
        (human.time_range(90, 110), "90 to 110 seconds"),
        (human.time_range(119, 120), "2 minutes"),
        (human.time_range(7300, 8900), "2 to 3 hours"),
        (human.time_left(5, 20), "about 5 to 20 seconds left"),
        (human.time_left(5, 9.9), ""),
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
