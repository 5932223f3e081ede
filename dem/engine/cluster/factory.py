"""Make the deployment that a cluster file describes."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
from typing import Any, get_type_hints

from distributed.deploy import Cluster

from dem.engine.cluster.cluster_file import Adapt, ClusterFile
from dem.engine.cluster.deployments import Deployment, Managed, MPIRanks, Ranks, one_line, sigint_handled_by

EXTRAS = {
    "dask_jobqueue": "slurm",
    "asyncssh": "ssh",
    "dask_mpi": "mpi",
    "mpi4py": "mpi",
    "dask_gateway": "gateway",
    "dask_kubernetes": "kubernetes",
}
"""The extra of dem that installs a module."""

ALSO_NEEDED = {"SSHCluster": "asyncssh"}
"""Modules that a class imports late: dem checks them first, for a clear message."""


def deployment(file: ClusterFile, name: str) -> Deployment:
    """Return the deployment that a cluster file describes.

    Parameters
    ----------
    file : ClusterFile
    name : str
        Name of the file in messages.

    Raises
    ------
    ImportError
        The module is not installed; the message names the extra that installs it.
    ValueError
        There is no such class, or it is neither a cluster nor a runner.
    """
    with sigint_handled_by(None):  # dask_jobqueue replaces the handler of Ctrl-C when it is imported
        factory = _find(file, name)

    def make(**more: Any) -> Any:
        try:
            return factory(*file.args, **file.kwargs, **more)
        except ModuleNotFoundError as error:
            raise ImportError(f"{name}: {file.class_} needs {_how_to_get(error.name)}.") from error
        except Exception as error:
            raise RuntimeError(f"{name}: {file.class_} could not be started: {one_line(error)}") from error

    if _is_cluster(factory):
        return Managed(make, file.workers)
    kind: Any = Ranks if _is_runner(factory) else MPIRanks if _is_mpi(factory) else None
    if kind is None:
        raise ValueError(
            f"{name}: 'class' must be a Dask cluster or a runner, but {file.module}.{file.class_} is neither."
        )
    if isinstance(file.workers, Adapt):
        raise ValueError(
            f"{name}: 'workers' must be a number or left out: {file.class_} starts no workers, its launcher does."
        )
    found: Deployment = kind(make, file.workers)
    return found


def _find(file: ClusterFile, name: str) -> Any:
    """Import a file's class."""
    also = ALSO_NEEDED.get(file.class_)
    try:
        module = importlib.import_module(file.module)
        if also is not None and not is_installed(also):
            raise ModuleNotFoundError(name=also)
    except ModuleNotFoundError as error:
        raise ImportError(f"{name}: {file.module}.{file.class_} needs {_how_to_get(error.name)}.") from None
    except Exception as error:  # importing a module may raise any error
        raise ImportError(f"{name}: the module {file.module} cannot be imported: {one_line(error)}") from error
    try:
        return getattr(module, file.class_)
    except AttributeError:
        raise ValueError(f"{name}: the module {file.module} has no class {file.class_}.") from None


def is_installed(module: str) -> bool:
    """Whether a module can be imported, without importing it."""
    return importlib.util.find_spec(module) is not None


def _how_to_get(module: str | None) -> str:
    extra = EXTRAS.get((module or "").split(".")[0])
    how = f": pip install 'distributed-em[{extra}]'" if extra else ""
    return f"the module {module}, which is not installed{how}"


def _is_cluster(factory: Any) -> bool:
    """Whether this is a cluster class, or a function whose annotation returns a cluster (as SSHCluster)."""
    made = factory
    if inspect.isfunction(factory):
        try:
            made = get_type_hints(factory).get("return")
        except NameError:
            return False
    if not isinstance(made, type):
        return False
    return issubclass(made, Cluster) or all(callable(getattr(made, verb, None)) for verb in ("scale", "adapt", "close"))


def _is_mpi(factory: Any) -> bool:
    """Whether this is the function of dask-mpi, which has no class."""
    return inspect.isfunction(factory) and (factory.__module__, factory.__name__) == (
        "dask_mpi.initialize",
        "initialize",
    )


def _is_runner(factory: Any) -> bool:
    """Whether this is a runner of dask-jobqueue, or a class with the same methods."""
    return isinstance(factory, type) and all(
        hasattr(factory, verb) for verb in ("get_role", "start_worker", "__enter__")
    )
