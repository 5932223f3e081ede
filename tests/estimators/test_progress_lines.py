"""What is told of the passes in lines of text."""

import io
import itertools

import pytest

from dem.core import human
from dem.em import loop
from dem.em.forecast import PassesLeft
from dem.em.progress import WARNING
from dem.estimators.progress_lines import Lines, Printed


def drive(shown):
    """Tell of a scan and three passes."""
    shown.begin("first scan", 1000, 8_000_000)
    for done in range(3):
        shown.advance(done, 2)
    shown.end(None)
    history = ()
    for n, objective, reason in [(1, -3.0, None), (2, -2.5, None), (3, -2.5, "converged")]:
        shown.begin(f"pass {n}", 1000, 8_000_000)
        shown.advance(1, 2)
        history = (*history, loop.Pass(objective, objective))
        shown.end(loop.State(None, history, n, reason))
    shown.close()


def clock(seconds=1):
    """Return a clock that moves some seconds each time it is read."""
    return itertools.count(step=seconds).__next__


def foretold(shown):
    """Tell of two passes; after the first, a fit of 10 to 40 more is foretold."""
    history = (loop.Pass(-2.0, -2.0),)
    shown.begin("pass 4", None, None)
    shown.expect(PassesLeft(10, 40))
    shown.end(loop.State(None, history, 4))
    shown.begin("pass 5", None, None)
    shown.end(loop.State(None, history, 5))


def test_lines():
    stream = io.StringIO()
    drive(Lines(stream, clock()))
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["first scan", "pass 1", "pass 2", "pass 3"]
    assert "(500 rows/s, 4 MB/s)" in lines[0]
    assert "-3.000000 nats a row" in lines[1]
    assert "-2.500000 nats a row  (+5.0e-01)" in lines[2]
    assert lines[3].endswith("converged")


@pytest.mark.parametrize(("seconds", "told"), [(0.01, 0), (0.5, 4), (5, 9), (1000, 9)])
def test_a_long_pass_has_a_line_now_and_then(seconds, told):
    """A pass of a hundred partitions, each of so many seconds, has ten lines at most."""
    stream, now = io.StringIO(), [0.0]
    shown = Lines(stream, lambda: now[0])
    shown.begin("first scan", 100_000, None)
    for done in range(1, 101):
        now[0] += seconds
        shown.advance(done, 100)
    lines = stream.getvalue().splitlines()
    assert len(lines) == told
    if told:
        left = {0.5: "40.0 s", 5: "7 min 30 s", 1000: "25 h 00 min"}[seconds]
        share = {0.5: "20%", 5: "10%", 1000: "10%"}[seconds]
        assert lines[0] == f"first scan: {share}, about {left} left, {human.count(1000 / seconds)} rows/s"
    shown.begin("pass 1", 100_000, None)  # each pass begins anew
    now[0] += 20
    shown.advance(10, 100)
    assert stream.getvalue().endswith("pass 1: 10%, about 3 min 00 s left, 500 rows/s\n")


def test_lines_about_the_starts_name_the_start_and_become_fewer():
    stream, now = io.StringIO(), [0.0]
    shown = Lines(stream, lambda: now[0])
    shown.begin("start on 30,000 rows", None, None)
    for second in range(3600):
        now[0] = float(second)
        shown.detail(f"start {1 + second // 360} of 10")
        shown.advance(second // 360, 10)
    lines = stream.getvalue().splitlines()
    assert lines[0] == "start on 30,000 rows: start 1 of 10"
    assert all(line.startswith("start on 30,000 rows: start ") and line.endswith(" of 10") for line in lines)
    assert 30 < len(lines) < 60


def test_an_end_that_is_near_is_not_foretold():
    near, far = io.StringIO(), io.StringIO()
    foretold(Lines(near, clock(0.2)))
    foretold(Lines(far, clock(0.5)))
    assert "left" not in near.getvalue()
    assert far.getvalue().count("fit: about 5 to 20 seconds left") == 1


def test_a_slow_pass_does_not_count_in_the_estimates_of_later_ones():
    """The first pass after a resume includes the start of the workers."""
    stream, now = io.StringIO(), iter([0.0, 900.0, 900.0, 920.0])
    shown = Lines(stream, now.__next__)
    for n in (7, 8):
        shown.begin(f"pass {n}", None, None)
        shown.expect(PassesLeft(1, 3))
        shown.end(loop.State(None, (loop.Pass(-2.0, -2.0),), n))
    first, second = stream.getvalue().splitlines()
    assert first.endswith("fit: about 15 to 45 minutes left")
    assert second.endswith("fit: about 20 to 60 seconds left")


def test_unknown_sizes_are_left_out():
    stream = io.StringIO()
    shown = Lines(stream, clock())
    shown.begin("labels", None, None)
    shown.end(None)
    assert stream.getvalue().split() == ["labels", "1.00", "s"]


@pytest.mark.parametrize(("interval", "told"), [(1, [1, 2, 3]), (2, [2, 3]), (5, [3])])
def test_printed_are_scan_and_start_every_so_many_passes_and_the_last(interval, told, capsys):
    drive(Printed(interval, clock()))
    names = [line.split("  ")[0] for line in capsys.readouterr().out.splitlines()]
    assert names == ["first scan", *(f"pass {i}" for i in told)]


def test_printed_notes(capsys):
    shown = Printed()
    shown.note("continuing after 3 passes")
    with pytest.warns(UserWarning, match="^results may differ$"):
        shown.note(f"{WARNING}results may differ")
    assert capsys.readouterr().out == "continuing after 3 passes\n"
