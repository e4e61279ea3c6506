"""The learnt peers that `evaluate.peers` asks for, one after the other, each with all cores."""

from __future__ import annotations

import os
import time as clock

import numpy as np

from timerec.config import Config
from timerec.evaluation.baselines import History
from timerec.evaluation.peers import needed
from timerec.evaluation.peers.als import ALS
from timerec.evaluation.peers.lightgbm import LambdaRank
from timerec.evaluation.peers.sasrec import SASRec, check_python
from timerec.evaluation.protocol import Requests
from timerec.evaluation.results import Task
from timerec.pipeline.baselines import Judged, judge_one
from timerec.training.sources import StateFiles

PACKAGES = {"als": "implicit", "lightgbm": "lightgbm"}


def check_peers(config: Config) -> None:
    """Whether what the peers need is there.

    Raises:
        DataError: a package is missing.
    """
    for name in config.evaluate.peers:
        if name == "sasrec":
            check_python(config.evaluate.rectools)
        else:
            needed(PACKAGES[name])


def judge_peers(
    files: StateFiles, config: Config, log: History, val: Requests, task: Task, val_cut: int, test_cut: int
) -> list[Judged]:
    """Tune the peers on validation, fit them up to the test, and answer the test requests.

    Args:
        val_cut, test_cut: unix seconds before which parameters are fitted, while choosing and in what is judged.
    """
    out = []
    for name in config.evaluate.peers:
        if name == "als":
            out.append(judge_one(ALS(config.evaluate.seed), log, val, task, val_cut, test_cut))
        if name == "sasrec":
            sasrec = SASRec(config.evaluate.rectools, config.evaluate.seed)
            out.append(judge_one(sasrec, log, val, task, val_cut, test_cut))
        if name == "lightgbm":
            out.append(_judge_lightgbm(files, config, val, task, val_cut, test_cut))
    return out


def _judge_lightgbm(files: StateFiles, config: Config, val: Requests, task: Task, val_cut: int, test_cut: int) -> Judged:
    ranker = LambdaRank(files.open(), config.train, os.cpu_count() or 1)
    params = ranker.tune(val, val_cut, test_cut, task.k)
    began = clock.perf_counter()
    start = np.searchsorted(task.pairs.request, np.arange(len(task.requests) + 1))
    ranked, scores = ranker.answer(task.requests, task.k, start, task.pairs.item)
    seconds = {**ranker.seconds, "answers": clock.perf_counter() - began}
    return Judged(ranker.name, ranker.title, params, ranked, scores, seconds)
