"""The joint model begun before histories are read, and finished with what is read of them elsewhere."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.unit.core_cases import SPAN, START, build_batch, build_log, joint_model, layout_of, random_events, sources_of
from timerec.eventlog import EventLog
from timerec.model import Inputs, inputs

NOW = START + SPAN


def requests() -> tuple[EventLog, Inputs]:
    """A log, and requests on it: of people with longer and shorter histories, of a stranger, with candidates padded."""
    log = build_log(random_events(3, 300))
    users = [*range(6), -1]
    extras = [list(range(2 * user)) for user in range(len(users))]
    return log, inputs(build_batch(sources_of(log), layout_of(log), users, np.full(len(users), NOW), extras))


@pytest.mark.parametrize("without", [(), ("sequence",), ("habit", "text"), ("time", "category")])
@pytest.mark.parametrize("kind", ["concat", "gated"])
@pytest.mark.parametrize("remembered", [False, True])
def test_in_two_parts_it_scores_as_in_one(kind: str, without: Sequence[str], remembered: bool) -> None:
    log, x = requests()
    model = joint_model(log, kind, without=without)
    assert not x.mask.all()
    with torch.inference_mode():
        whole = model(x)
        if remembered:
            model.remember()
        begun, read = model.begin(x), model.read(x.history, x.gaps, x.values, x.context)
        torch.testing.assert_close(model.finish(begun, read), whole, atol=1e-5, rtol=1e-5)
        parts, baseline = model.explain(begun, read)
        torch.testing.assert_close((sum(parts.values()) + baseline)[x.mask], whole[x.mask], atol=1e-4, rtol=1e-4)


def test_what_was_remembered_is_not_kept_for_another_catalogue() -> None:
    log, _ = requests()
    model = joint_model(log)
    model.remember()
    model.attach(np.zeros((3, 6), np.float32), np.ones(3, np.int64), np.ones(3, np.int64))
    assert model.vectors is None
