import asyncio
import errno
import os
import pickle
import subprocess
import sys
from contextvars import ContextVar
from threading import Event

import pytest
from zarr.core.sync import sync

from dem.source import retry
from dem.source.retry import ATTEMPTS, Attempts, StoreReadError, is_transient, read_with_retries


class ClientError(Exception):
    """Like botocore's errors: the answer of the server is a dictionary."""

    __module__ = "botocore.exceptions"

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.response = {"ResponseMetadata": {"HTTPStatusCode": status}}


class ResponseError(Exception):
    """Like aiohttp's errors: the status is an attribute."""

    __module__ = "aiohttp.client_exceptions"

    def __init__(self, status):
        super().__init__(f"status {status}")
        self.status = status


class LostServerError(Exception):
    """Like errors of aiohttp and obstore without a status."""

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
def test_temporary_errors(error):
    assert is_transient(error)


@pytest.mark.parametrize("error", LASTING, ids=repr)
def test_permanent_errors(error, monkeypatch):
    monkeypatch.setattr(retry.time, "sleep", lambda seconds: pytest.fail("waited"))
    assert not is_transient(error)
    calls = []

    def read():
        calls.append(1)
        raise error

    with pytest.raises(type(error)) as raised:
        read_with_retries("c/0/0", read)
    assert raised.value is error
    assert len(calls) == 1


@pytest.mark.parametrize("failures", range(ATTEMPTS))
def test_temporary_failures_are_retried(failures, monkeypatch):
    pauses = []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)
    answers = iter([*[OSError("busy")] * failures, b"rows"])

    def read():
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    assert read_with_retries("c/0/0", read) == b"rows"
    assert len(pauses) == failures


def test_attempts_are_bounded_and_the_pauses_grow(monkeypatch):
    pauses, calls = [], []
    monkeypatch.setattr(retry.time, "sleep", pauses.append)

    def read():
        calls.append(1)
        raise TimeoutError("no answer")

    with pytest.raises(StoreReadError, match=r"Cannot read c/0/0 after 6 attempts: TimeoutError: no answer"):
        read_with_retries("c/0/0", read)
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


def test_the_error_can_be_pickled():
    error = pickle.loads(pickle.dumps(StoreReadError("c/0/0", 6, "OSError: busy")))
    assert (error.key, error.attempts, str(error)) == (
        "c/0/0",
        6,
        "Cannot read c/0/0 after 6 attempts: OSError: busy",
    )


def test_unfinished_reads_are_cancelled_in_their_own_context():
    """The clients of object stores set and reset variables of their context, so they need this."""
    variable = ContextVar("variable")
    begun, ended = Event(), []

    async def read():
        token = variable.set(1)
        begun.set()
        try:
            await asyncio.sleep(60)
        finally:
            variable.reset(token)  # ValueError in another context
            ended.append("read")

    async def begin():
        return asyncio.create_task(read())

    task = sync(begin())
    assert begun.wait(10)
    retry.end_unfinished_reads()
    assert ended == ["read"]
    assert task.cancelled()
    retry.end_unfinished_reads()  # the loop still works

    async def answer():
        return 42

    assert sync(answer()) == 42


UNREACHABLE = """
import s3fs
from dem.source import open_source, retry

s3fs.S3FileSystem.retries, retry.FIRST_PAUSE = 2, 1e-3
try:
    open_source("s3://bucket/x.zarr")
except OSError as error:
    print(error)
"""


@pytest.mark.slow
def test_an_unreachable_endpoint_gives_one_sentence():
    pytest.importorskip("s3fs")
    keys = {"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s", "AWS_DEFAULT_REGION": "us-east-1"}
    where = {"AWS_ENDPOINT_URL": "http://127.0.0.1:9", "AWS_MAX_ATTEMPTS": "1"}
    told = subprocess.run(
        [sys.executable, "-c", UNREACHABLE],
        capture_output=True,
        text=True,
        env={**os.environ, **keys, **where},
        check=True,
    )
    assert told.stdout.startswith("Cannot reach s3://bucket/x.zarr: EndpointConnectionError: Could not connect")
    assert told.stderr == ""
