"""What is told of the passes in lines of text."""

import io
import itertools

import pytest

from dem.em import loop
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


def clock():
    """Return a clock that moves a second each time it is read."""
    return itertools.count().__next__


def test_lines():
    stream = io.StringIO()
    drive(Lines(stream, clock()))
    lines = stream.getvalue().splitlines()
    assert [line.split("  ")[0] for line in lines] == ["first scan", "pass 1", "pass 2", "pass 3"]
    assert "(1 k rows/s, 8 MB/s)" in lines[0]
    assert "-3.000000 nats a row" in lines[1]
    assert "-2.500000 nats a row  (+5.0e-01)" in lines[2]
    assert lines[3].endswith("converged")


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
