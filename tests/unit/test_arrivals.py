"""New listings among the candidates: the newest, and of the newer ones those whose texts are near."""

from __future__ import annotations

import numpy as np

from tests.unit.core_cases import KINDS, START, build_log, layout_of, random_events, sources_of
from timerec.candidates import arrivals
from timerec.candidates.batch import build as build_many
from timerec.candidates.pairs import workspace

A = 700


def listings(seed=0):
    rng = np.random.default_rng(seed)
    times = np.sort(rng.integers(0, 10_000, A))
    vectors = rng.normal(size=(A, 5)).astype(np.float32)
    return arrivals.Arrivals(times, rng.permutation(A).astype(np.int32)), vectors


def propose(found, vectors, recent, t):
    items = np.full(arrivals.LATEST + arrivals.NEAREST, -1, np.int32)
    n = arrivals.propose(found, vectors, np.asarray(recent, np.float32), t, items, np.empty(arrivals.NEAREST))
    return items[:n].tolist()


def test_the_newest_and_the_nearest_as_by_sorting():
    found, vectors = listings()
    recent = np.array([1.0, -0.5, 0.3, 0.0, 2.0])
    for t in (-1, int(found.time[3]), int(found.time[400]), 10_000):
        known = [int(item) for item, time in zip(found.item, found.time, strict=True) if time <= t][::-1]
        rest = sorted(known[arrivals.LATEST : arrivals.LOOKED_AT], key=lambda item: -float(vectors[item] @ recent))
        near = [item for item in rest[: arrivals.NEAREST] if vectors[item] @ recent > 0]
        assert propose(found, vectors, recent, t) == known[: arrivals.LATEST] + near


def test_without_texts_the_newest_alone():
    found, vectors = listings(1)
    assert len(propose(found, vectors * 0, np.ones(5), 10_000)) == arrivals.LATEST


def test_an_untouched_item_is_a_candidate_from_its_listing_on():
    events = random_events(4)
    listed = np.full(26, np.int64(1) << 62)
    listed[25] = START + 1_000_000  # nobody ever touches it
    log = build_log(events, items=26, listed=listed)
    sources = sources_of(log)
    users = np.array([0, -1, 0, -1], np.int32)
    times = np.array([listed[25] - 1, listed[25] - 1, listed[25], listed[25]])
    none = np.zeros(5, np.int64)
    built = build_many(
        sources,
        workspace(log, len(KINDS)),
        layout_of(log),
        users,
        times,
        extra_start=none,
        extra_item=np.zeros(0, np.int32),
        history=4,
    )
    offered = [25 in built.items[r, : built.count[r]] for r in range(4)]
    assert offered == [False, False, True, True]
