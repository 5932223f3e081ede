from dem.em.start_records import SAME_OPTIMUM, StartRecord, doubt, with_optima


def records(*objectives, rows=100):
    return [StartRecord(i, objective, 20, rows) for i, objective in enumerate(objectives, start=1)]


def test_starts_near_each_other_are_of_the_same_optimum():
    found = with_optima(records(-2.0, -1.0, None, -1.0 - SAME_OPTIMUM / 2, -1.0 - 1.2 * SAME_OPTIMUM))
    assert [record.optimum for record in found] == [2, 1, None, 1, 1]
    assert with_optima([]) == ()
    assert with_optima(records(None)) == tuple(records(None))


def test_starts_on_fewer_rows_are_not_compared():
    found = with_optima([*records(-1.0, rows=50), *records(-3.0, -2.0)])
    assert [record.optimum for record in found] == [None, 2, 1]
    assert doubt(found) is None


def test_an_optimum_that_came_once_is_told():
    assert doubt(with_optima(records(-1.0, -1.0, -2.0))) is None
    assert doubt(with_optima(records(-1.0))) is None
    assert doubt(with_optima(records(-1.0, -2.0, -2.0))).startswith("only one of 3 starts came to the best optimum:")
    moved = [*records(-1.0, -2.0), StartRecord(1, -0.5, 60, 100, moves=2)]
    assert doubt(with_optima(moved)).startswith(
        "none of 2 starts came to the best optimum, which joining and splitting"
    )
