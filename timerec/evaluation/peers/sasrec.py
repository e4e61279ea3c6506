"""SASRec: a transformer over a user's latest items, trained to tell the next one.

Kang and McAuley, "Self-Attentive Sequential Recommendation" (ICDM 2018), as RecTools has it, with a softmax over the whole
catalogue, a sampled one where that is large. RecTools 0.19 wants older releases of NumPy and pandas than timerec, so it runs in
an environment of its own, whose Python the setting `evaluate.rectools` names (`make rectools` makes one).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from timerec.evaluation.baselines.base import History
from timerec.evaluation.peers import rectools_process
from timerec.evaluation.peers.factors import Factors
from timerec.evaluation.protocol import Requests
from timerec.schema import DataError

LENGTH = 100  # latest items of a user that are read
BATCH = 128  # sequences a step
# glibc gives large buffers back and faults them in anew at each step, a third of the time; no other system reads these
KEPT = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**33)}
UNKNOWN = -1e6  # score of an item without an event before the cut: below all others


def check_python(python: str) -> None:
    """Whether this Python has RecTools.

    Raises:
        DataError: it has not, or there is none.
    """
    cure = "run `make rectools`, and set evaluate.rectools to the python in the environment that it makes"
    if not python:
        raise DataError(
            f"setting evaluate.peers: sasrec needs evaluate.rectools, the Python of an environment that has it: {cure}"
        )
    try:
        done = subprocess.run([python, "-c", "import rectools.models.nn.transformers.sasrec"], capture_output=True, check=False)
    except OSError as error:
        raise DataError(f"setting evaluate.rectools: {python} cannot be run ({error.strerror}): {cure}") from None
    if done.returncode:
        raise DataError(f"setting evaluate.rectools: {python} has no rectools[torch]: {cure}")


class SASRec(Factors):
    """Weights are fitted before the cut; the user's vector follows the log.

    RecTools learns from the latest items of each sequence alone, so a long history is cut into several sequences. Events of one
    second are in a random order: in that of their ids they would tell which id is likely to come next.
    """

    name = "sasrec"
    title = "SASRec (RecTools)"

    def __init__(self, python: str, seed: int = 17) -> None:
        # on MovieLens 100K validation is best near 450 steps, and lower at 600
        self.grid: list[dict[str, float]] = [
            {"factors": 64.0, "blocks": 2.0, "steps": 400.0, "dropout": 0.2},
            {"factors": 64.0, "blocks": 2.0, "steps": 1200.0, "dropout": 0.3},
        ]
        # not resolved: the python of an environment is a link
        self._python, self._seed = os.path.abspath(python) if os.sep in python else python, seed

    def fit(self, log: History, cut: int, **params: float) -> None:
        """`factors` of user and item; transformer `blocks`; `steps` of BATCH sequences; `dropout`."""
        self.follow(log, cut)
        self._folder = tempfile.TemporaryDirectory(prefix="timerec-sasrec-")
        self._answered: Requests | None = None
        sequence, item = sequences(log, cut, self._seed)
        np.savez(self._path(rectools_process.EVENTS), sequence=sequence, item=item)
        batches = -(-len(np.unique(sequence)) // BATCH)
        shape = {"length": LENGTH, "items": log.n_items, "batch": BATCH, "epochs": -(-int(params["steps"]) // batches)}
        settings = {**params, **shape, "seed": self._seed}
        self._path(rectools_process.SETTINGS).write_text(json.dumps(settings))
        self._run("fit")

    def factors(self, requests: Requests) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """As of each request; zeros of who has no history. The last column holds UNKNOWN where an item is not known."""
        if self._answered is not requests:
            rng = np.random.default_rng(self._seed)
            histories = []
            for user, time in zip(requests.user, requests.time, strict=True):
                items, when = self.log.before(user, time)
                histories.append(items[np.lexsort((rng.random(len(items)), when))][-LENGTH:])
            size = np.array([len(x) for x in histories], np.int64)
            item = np.concatenate([np.zeros(0, np.int32), *histories])
            np.savez(self._path(rectools_process.HISTORIES), request=np.repeat(np.arange(len(requests)), size), item=item)
            self._run("answer")
            self._answered = requests
        found = np.load(self._path(rectools_process.FACTORS))
        users = np.zeros((len(requests), found["items"].shape[1]), np.float32)
        users[found["requests"]] = found["users"]
        known = np.isfinite(found["items"]).all(1)
        items = np.where(known[:, None], found["items"], np.float32(0))
        return np.column_stack([users, np.ones(len(users), np.float32)]), np.column_stack(
            [items, np.where(known, np.float32(0), np.float32(UNKNOWN))]
        )

    def _path(self, name: str) -> Path:
        return Path(self._folder.name) / name

    def _run(self, step: str) -> None:
        command = [self._python, rectools_process.__file__, step, self._folder.name]
        environment = {**os.environ, **KEPT}
        environment.pop("OMP_NUM_THREADS", None)  # one, for Ray's workers; without it torch takes the cores that it may have
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=self._folder.name, env=environment)
        if done.returncode:
            said = (done.stderr.strip().splitlines() or ["without a word"])[-1]
            if done.returncode < 0:
                said = f"it was ended by {signal.Signals(-done.returncode).name}, perhaps for want of memory"
            raise DataError(f"setting evaluate.peers: sasrec ended with code {done.returncode} in '{step}': {said}")


def sequences(log: History, cut: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Events before the cut as sequences of at most LENGTH + 1: number of the sequence and item, both [N], the oldest first.

    A user's latest sequence is full where the history is long enough.
    """
    used = log.time < cut
    user, item, time = log.user[used], log.item[used], log.time[used]
    order = np.lexsort((np.random.default_rng(seed).random(len(user)), time, user))
    user, item = user[order], item[order]
    last = np.searchsorted(user, user, side="right")  # behind each user's events
    back = (last - 1 - np.arange(len(user))) // (LENGTH + 1)
    opens = np.ones(len(user), bool)
    opens[1:] = (user[1:] != user[:-1]) | (back[1:] != back[:-1])
    return np.cumsum(opens) - 1, item
