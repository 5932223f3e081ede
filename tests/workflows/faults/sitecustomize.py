"""Found by Python at its start where a test puts this folder on PYTHONPATH: makes one fit fail in its middle.

The variable DEM_TEST_FAULT says how: WHAT:PASS:FOLDER. After the checkpoint of this pass has been written, once
in all (FOLDER/done tells), the process raises an error (fail), is killed (kill), or waits for a signal (wait).
FOLDER/passes gets a line for every pass of every process, and its number.
"""

import importlib.abc
import importlib.util
import os
import signal
import sys
import time


class Finder(importlib.abc.MetaPathFinder):
    """Changes `dem.storage.checkpoint` when, and if, it is imported."""

    def find_spec(self, name, path=None, target=None):
        if name != "dem.storage.checkpoint":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        execute = spec.loader.exec_module
        spec.loader.exec_module = lambda module: (execute(module), change(module.CheckpointJournal))
        return spec


def change(journal):
    what, at, folder = os.environ["DEM_TEST_FAULT"].split(":", 2)
    keep = journal.keep_state

    def keep_state(self, state, n_passes):
        keep(self, state, n_passes)
        with open(f"{folder}/passes", "a") as file:
            file.write(f"{n_passes} {os.getpid()}\n")
        if n_passes == int(at) and not os.path.exists(f"{folder}/done"):
            open(f"{folder}/done", "x").close()
            if what == "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            if what == "wait":
                time.sleep(300)
            raise OSError("the test's fault")

    journal.keep_state = keep_state


if "DEM_TEST_FAULT" in os.environ:
    sys.meta_path.insert(0, Finder())
