import errno
import pickle

import pytest

from dem.source import retry
from dem.source.retry import ATTEMPTS, Attempts, StoreReadError, is_transient, persist


class ClientError(Exception):
    """As botocore's: the server's answer in a dictionary."""

    __module__ = "botocore.exceptions"

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class ResponseError(Exception):
    """As aiohttp's: the status is an attribute."""

    __module__ = "aiohttp.client_exceptions"

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


class LostServerError(Exception):
    """As aiohttp's and obstore's that come without a status."""

    __module__ = "obstore.exceptions"


def caused(error, cause):
    error.__cause__ = cause
    return error


PASSING = [
    OSError("connection reset"),
    ConnectionResetError(errno.ECONNRESET, "reset by peer"),
    TimeoutError("no answer"),
    OSError(errno.EIO, "I/O error"),
    ClientError(503),
    ClientError(429),
    ResponseError(500),
    LostServerError("error sending request"),
    caused(OSError(errno.EBUSY, "Slow down"), ClientError(503)),
]
LASTING = [
    FileNotFoundError("c/0/0"),
    PermissionError("c/0/0"),
    IsADirectoryError("c/0/0"),
    NotADirectoryError("c/0/0"),
    ClientError(403),
    ResponseError(400),
    caused(OSError(errno.EIO, "bad request"), ClientError(400)),
    ValueError("not a number"),
    RuntimeError("a codec's"),
    StoreReadError("c/0/0", 6, "OSError: done"),
]


@pytest.mark.parametrize("error", PASSING, ids=repr)
def test_what_may_pass(error):
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_what_will_not(error, monkeypatch):
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: pytest.fail("waited"))
    assert not is_transient(error)
    calls = []

    def read():
        calls.append(1)
        raise error

    with pytest.raises(type(error)) as raised:
        persist("c/0/0", read)
    assert raised.value is error
    assert len(calls) == 1


@pytest.mark.parametrize("failures", range(ATTEMPTS))
def test_passing_failures_are_outlived(failures, monkeypatch):
    pauses = []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    answers = iter([*[OSError("busy")] * failures, b"rows"])

    def read():
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert persist("c/0/0", read) == b"rows"
    assert len(pauses) == failures


def test_attempts_are_bounded_and_the_pauses_grow(monkeypatch):
    pauses, calls = [], []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)

    def read():
        calls.append(1)
        raise TimeoutError("no answer")

    with pytest.raises(StoreReadError, match=r"Cannot read c/0/0 after 6 attempts: TimeoutError: no answer"):
        persist("c/0/0", read)
    assert len(calls) == ATTEMPTS == len(pauses) + 1
    for i, pause in enumerate(pauses):
        assert 0.5 <= pause / (retry.FIRST_PAUSE * 2**i) <= 1.5
    assert sum(pauses) < 10


def test_pauses_are_the_same_for_a_key_and_differ_between_keys():
    def pauses(key):
        attempts = Attempts(key)
        return [attempts.pause(OSError("busy")) for _ in range(ATTEMPTS - 1)]

    assert pauses("c/0/0") == pauses("c/0/0")
    assert len({tuple(pauses(f"c/{i}/0")) for i in range(20)}) == 20


def test_the_error_travels():
    error = pickle.loads(pickle.dumps(StoreReadError("c/0/0", 6, "OSError: busy")))
    assert (error.key, error.attempts, str(error)) == (
        "c/0/0",
        6,
        "Cannot read c/0/0 after 6 attempts: OSError: busy",
    )
