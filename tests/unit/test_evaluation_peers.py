"""The learnt peers on small logs; without their packages the sentence says what to install."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.unit.core_cases import SPAN, START, build_log, random_events, sources_of, state_of
from tests.unit.evaluation_cases import N_ITEMS, N_USERS, TEST, random_log, requests_of
from timerec.candidates import batch
from timerec.config import TrainConfig
from timerec.evaluation.baselines import History
from timerec.evaluation.metrics import ranking_metrics
from timerec.evaluation.peers import lightgbm, needed, rectools_process
from timerec.evaluation.peers.als import ALS
from timerec.evaluation.peers.sasrec import LENGTH, SASRec, check_python, sequences
from timerec.evaluation.protocol import Pairs, Requests, sample_requests
from timerec.schema import DataError
from timerec.training.requests import between


def test_what_is_missing_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(DataError, match=r"pip install 'timerec\[peers\]'"):
        needed("lightgbm")


def test_als_fits_anew_what_is_not_a_question_of_visits_alone():
    pytest.importorskip("implicit")
    log, other = (History(*random_log(seed), N_USERS, N_ITEMS, True) for seed in (7, 8))
    baseline = ALS()
    assert len({frozenset(point.items()) for point in baseline.grid}) == len(baseline.grid)
    point = {"factors": 8.0, "regularisation_weight": 0.1, "confidence_weight": 2.0, "visits": 1.0}
    baseline.fit(log, TEST, **point)
    first = baseline._model
    baseline.fit(log, TEST, **point | {"visits": 4.0})
    assert baseline._model is first
    for given, cut, changed in ((log, TEST, {"factors": 4.0}), (log, TEST // 2, {}), (other, TEST, {})):
        baseline.fit(given, cut, **point | changed)
        fresh = ALS()
        fresh.fit(given, cut, **point | changed)
        np.testing.assert_array_equal(baseline._model.item_factors, fresh._model.item_factors)
        assert baseline._model is not first
        baseline.fit(log, TEST, **point)
        first = baseline._model


@pytest.mark.parametrize("visits", [np.inf, 4.0])
def test_als_solves_the_user_from_the_history_before_the_request(visits):
    pytest.importorskip("implicit")
    log = random_log(7)
    requests = requests_of(log, 30)
    baseline = ALS()
    params = {"factors": 8.0, "regularisation_weight": 0.1, "confidence_weight": 2.0, "visits": visits}
    baseline.fit(History(*log, N_USERS, N_ITEMS, True), TEST, **params)
    items = baseline._model.item_factors.astype(np.float64)
    ranked = baseline.recommend(requests, 5)
    row, item = (x.ravel() for x in np.indices((len(requests), N_ITEMS)))
    scored = baseline.score(requests, Pairs(row, item.astype(np.int32), np.zeros(len(row), np.int8)))
    for r in range(len(requests)):
        mine = (log.user == requests.user[r]) & (log.time < requests.time[r])
        since = [np.unique(log.time[mine & (log.time > t)]).size for t in log.time[mine]]  # visits of the user after each event
        counts = np.bincount(log.item[mine], 0.5 ** (np.array(since) / visits), N_ITEMS)
        confidence = np.minimum(counts, 1) + 2 * np.log1p(counts)
        # (Y'Y + Y'(C - I)Y + lambda I) x = Y'C p, C = confidence where taken and 1 elsewhere
        gram = items.T @ items + items.T @ (np.where(counts > 0, confidence - 1, 0)[:, None] * items) + 0.1 * np.eye(8)
        expected = items @ np.linalg.solve(gram, items.T @ confidence)
        shown = ranked[r][ranked[r] >= 0]
        offered = np.flatnonzero(baseline.available <= requests.time[r])
        np.testing.assert_allclose(expected[shown], np.sort(expected[offered])[::-1][: len(shown)], rtol=0.02, atol=0.02)
        order = np.argsort(scored.reshape(-1, N_ITEMS)[r], kind="stable")
        assert (np.diff(expected[order]) > -0.02).all()


def test_lambdarank_learns_from_own_candidates_before_the_cut_and_ranks_them(monkeypatch):
    pytest.importorskip("lightgbm")
    monkeypatch.setattr(lightgbm, "TREES", 8)
    log = build_log(random_events(1, 900))
    state = state_of(sources_of(log))
    val_from, test_from = START + SPAN * 6 // 10, START + SPAN * 8 // 10
    user = np.repeat(np.arange(log.n_users, dtype=np.int32), log.user_size)
    events = (user, log.event_item, log.event_time)
    val = sample_requests(*events, start=val_from, end=test_from, cut=val_from, n=50, seed=0)
    test = sample_requests(*events, start=test_from, end=START + SPAN, cut=test_from, n=40, seed=0)
    seen: list[int] = []
    build = batch.build

    def watched(*arguments, **more):
        seen.append(int(arguments[4].max()))
        return build(*arguments, **more)

    monkeypatch.setattr(lightgbm.batch, "build", watched)
    ranker = lightgbm.LambdaRank(state, TrainConfig(), 1)
    best = ranker.tune(val, val_from, test_from, 5)
    assert max(seen) < test_from
    assert 1 <= best["trees"] <= 8 and len(ranker.tried) == len(lightgbm.GRID)
    start = np.arange(len(test) + 1) * 2
    pairs = np.tile(np.array([3, 24], np.int32), len(test))
    ranked, scores = ranker.answer(test, 5, start, pairs)
    alone, _ = ranker.answer(test, 5)
    assert np.array_equal(ranked, alone) and (ranked[:, 0] >= 0).all()
    again = ranker.answer(test, 0, start, ranked[:, [0, 1]].ravel())[1].reshape(-1, 2)
    assert (again[:, 0] >= again[:, 1]).all() and np.isfinite(scores).all()
    chosen = max(ranker.tried, key=lambda point: point[1])
    ranked, _ = ranker.answer(val, 5, tuned=True)  # the trees of the choice, which were fitted before validation
    assert ranking_metrics(ranked, val.truth_start, val.truth_item, 5)["ndcg@5"].mean() == pytest.approx(chosen[1])


def test_rows_hold_what_was_taken_and_some_others(monkeypatch):
    monkeypatch.setattr(lightgbm, "NEGATIVES", 4)
    log = build_log(random_events(1, 900))
    state = state_of(sources_of(log))
    requests = between(log, state.first_known(), START + SPAN // 2, START + SPAN, True)
    ranker = lightgbm.LambdaRank(state, TrainConfig(), 1)
    some, whole = ranker.rows(requests, np.random.default_rng(0)), ranker.rows(requests, None)
    assert some.size.sum() == len(some.label) == len(some.features)
    assert whole.label.sum() == some.label.sum() > 0
    row = np.repeat(np.arange(len(some.size)), some.size)
    taken = np.bincount(row, weights=some.label)
    assert (taken > 0).all() and (some.size - taken <= 4).all() and (whole.size >= some.size).all()
    assert some.features.shape[1] == state.layout.width + len(state.layout.context)


def test_sasrec_without_its_environment_names_the_cure(tmp_path):
    for python, said in (("", "make rectools"), (str(tmp_path / "python"), "cannot be run"), (sys.executable, "has no rectools")):
        with pytest.raises(DataError, match=said):
            check_python(python)


def test_sasrec_hands_over_what_is_before_the_cut_and_reads_factors_back(tmp_path, monkeypatch):
    """The other half is played by a program that notes what it was given and answers with known factors."""
    log = random_log(7)
    requests = requests_of(log, 30)
    program = tmp_path / "program.py"
    program.write_text(
        "import sys, pathlib, shutil, numpy as np\n"
        "step, folder = sys.argv[1], pathlib.Path(sys.argv[2])\n"
        f"noted = pathlib.Path({str(tmp_path)!r})\n"
        "if step == 'fit':\n"
        "    import os\n"
        "    (noted / 'threads').write_text(os.environ.get('OMP_NUM_THREADS', 'all'))\n"
        "    shutil.copy(folder / 'events.npz', noted)\n"
        "    shutil.copy(folder / 'settings.json', noted)\n"
        "else:\n"
        "    shutil.copy(folder / 'histories.npz', noted)\n"
        "    given = np.load(folder / 'histories.npz')\n"
        f"    items = np.eye({N_ITEMS}, dtype=np.float32)\n"
        "    items[0] = np.nan\n"
        "    asked = np.unique(given['request'])\n"
        f"    users = np.zeros((len(asked), {N_ITEMS}), np.float32)\n"
        "    for row, request in enumerate(asked):\n"
        "        users[row, given['item'][given['request'] == request][-1]] = 1\n"
        "    np.savez(folder / 'factors.npz', users=users, requests=asked, items=items)\n"
    )
    monkeypatch.setattr(rectools_process, "__file__", str(program))
    monkeypatch.chdir(Path(sys.executable).parent)
    baseline = SASRec("./" + Path(sys.executable).name)  # as seen from here, not from where it runs
    history = History(*log, N_USERS, N_ITEMS, True)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # as connecting to Ray leaves it
    baseline.fit(history, TEST, **baseline.grid[0])
    assert (tmp_path / "threads").read_text() == "all"
    events = np.load(tmp_path / "events.npz")
    for given, expected in zip((events["sequence"], events["item"]), sequences(history, TEST, 17), strict=True):
        np.testing.assert_array_equal(given, expected)
    settings = json.loads((tmp_path / "settings.json").read_text())
    batches = -(-len(np.unique(events["sequence"])) // settings["batch"])
    assert settings["epochs"] * batches >= baseline.grid[0]["steps"] > (settings["epochs"] - 1) * batches
    ranked = baseline.recommend(requests, 5)
    told = np.load(tmp_path / "histories.npz")
    checked = 0
    for r in range(len(requests)):
        mine = (log.user == requests.user[r]) & (log.time < requests.time[r])
        given = told["item"][told["request"] == r]
        when = [set(log.item[mine & (log.time == t)]) for t in sorted(log.time[mine], reverse=True)]
        assert all(item in items for item, items in zip(given[::-1], when, strict=False))  # in order of time, ties in any
        assert len(given) == min(mine.sum(), 100)
        if len(given) and given[-1] != 0:
            checked += 1
            assert ranked[r, 0] == given[-1]
        assert 0 not in ranked[r, :3]  # an item that the model does not know comes last
    assert checked > 10
    pairs = Pairs(np.array([0, 0]), np.array([ranked[0, 0], 0], np.int32), np.zeros(2, np.int8))
    first, unknown = baseline.score(requests, pairs)
    assert first > unknown


def test_the_loss_of_sasrec_is_the_mean_cross_entropy_of_what_is_not_padding():
    draw = torch.Generator().manual_seed(3)
    logits, weight = torch.randn(4, 6, 9, generator=draw), torch.rand(4, 6, generator=draw)
    target = torch.randint(0, 9, (4, 6), generator=draw)
    target[0] = 0
    each = torch.nn.functional.cross_entropy(logits.transpose(1, 2), target, ignore_index=0, reduction="none") * weight
    expected = each.sum() / (target != 0).sum()
    torch.testing.assert_close(rectools_process._softmax_loss(logits, target, weight), expected)


def test_sequences_are_the_events_before_the_cut_in_windows_and_ties_in_a_random_order():
    n = 2 * LENGTH + 50
    user = np.repeat(np.array([0, 1], np.int32), [n, 40])
    time = np.concatenate([np.arange(n), np.full(40, 7)])
    item = np.concatenate([np.arange(n), np.arange(40)]).astype(np.int32)
    history = History(user, item, time, 2, n, True)
    sequence, items = sequences(history, n - 10, 3)
    size = np.bincount(sequence)
    known = n - 10
    assert size.tolist() == [known - 2 * (LENGTH + 1), LENGTH + 1, LENGTH + 1, 40]
    np.testing.assert_array_equal(items[:known], np.arange(known))
    tied = items[known:]
    assert sorted(tied) == list(range(40)) and (np.diff(tied) < 0).any()
    assert (sequences(history, n - 10, 4)[1][known:] != tied).any()


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("raise SystemExit('out of memory')", "ended with code 1 in 'fit': out of memory"),
        ("import os\nos.kill(os.getpid(), 9)", "ended by SIGKILL"),
    ],
)
def test_sasrec_that_fails_says_why_in_one_sentence(tmp_path, monkeypatch, program, said):
    (tmp_path / "program.py").write_text(program)
    monkeypatch.setattr(rectools_process, "__file__", str(tmp_path / "program.py"))
    baseline = SASRec(sys.executable)
    with pytest.raises(DataError, match=said):
        baseline.fit(History(*random_log(7), N_USERS, N_ITEMS, True), TEST, **baseline.grid[0])


@pytest.mark.slow
def test_sasrec_learns_in_its_environment():
    """Users go round in a circle of items: what comes next is the item after the last."""
    python = Path(".venv-rectools/bin/python")
    if not python.exists():
        pytest.skip("make rectools has not been run")
    user, step = (x.ravel() for x in np.indices((60, 20)))
    item = ((user + step) % 12).astype(np.int32)
    time = START + step.astype(np.int64) * 100
    history = History(user.astype(np.int32), item, time, 60, 12, True)
    cut = START + 1500
    late = step == 15
    requests = Requests(user[late].astype(np.int32), time[late], np.arange(61), item[late], np.full(60, 15), np.ones(60, bool))
    baseline = SASRec(str(python))
    baseline.fit(history, cut, factors=32.0, blocks=1.0, steps=250.0, dropout=0.1)
    assert (baseline.recommend(requests, 1)[:, 0] == item[late]).mean() > 0.9
