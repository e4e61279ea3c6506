"""Histories read in compiled passes are those that the model reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.core_cases import (
    SPAN,
    START,
    build_log,
    joint_model,
    random_events,
)
from timerec.candidates.window import Windows, windows
from timerec.encoder.passes import add_and_norm, gelu
from timerec.model import JointModel
from timerec.online.histories import CompiledReader, TensorReader, reader_of

USERS = np.array([*range(6), -1], np.int32)


def case(without: tuple[str, ...] = (), layers: int = 1) -> tuple[JointModel, Windows]:
    """A model that remembers, and windows that are full, partly full and empty."""
    log = build_log(random_events(3, 100))
    model = joint_model(log, without=without, layers=layers)
    found = windows(log, USERS, np.full(len(USERS), START + SPAN), 10)
    known = (found.history >= 0).sum(1)
    assert known.min() == 0 and known.max() == 10 and len(set(known)) > 3
    with torch.inference_mode():
        model.remember()
    return model, found


@pytest.mark.parametrize(("without", "layers"), [((), 1), (("time",), 1), ((), 3), ((), 0)])
def test_they_are_read_as_the_model_reads_them(without: tuple[str, ...], layers: int) -> None:
    model, found = case(without, layers)
    with torch.inference_mode():
        read, tensors = reader_of(model), TensorReader(model)
        assert isinstance(read, CompiledReader if layers else TensorReader)
        for (user, events), (wanted, keys) in zip(read(found), tensors(found), strict=True):
            np.testing.assert_allclose(user, wanted, atol=2e-6, rtol=1e-5)
            np.testing.assert_allclose(events, keys, atol=2e-6, rtol=1e-5)


def test_each_is_read_by_itself() -> None:
    model, found = case()
    with torch.inference_mode():
        read = CompiledReader(model)
        for row, (user, events) in enumerate(read(found)):
            ((alone, keys),) = read(Windows(*(part[row : row + 1] for part in found)))
            np.testing.assert_allclose(user, alone, atol=1e-6)
            np.testing.assert_allclose(events, keys, atol=1e-6)


def test_an_item_behind_the_catalogue_is_the_stranger() -> None:
    model, found = case()
    last, item = len(model.category) - 1, found.history[0, -1]
    beyond, stranger = (
        found._replace(history=np.where(found.history == item, other, found.history)) for other in (last + 7, last)
    )
    with torch.inference_mode():
        for read in (CompiledReader(model), TensorReader(model)):
            np.testing.assert_array_equal(read(beyond)[0][1], read(stranger)[0][1])


def test_the_passes_are_those_of_torch() -> None:
    rng = np.random.default_rng(0)
    x, change = rng.normal(0, 3, (2, 50, 24)).astype(np.float32)
    weight, bias = rng.normal(0, 1, (2, 24)).astype(np.float32)
    out, summed = np.empty_like(x), torch.from_numpy(x + change)
    add_and_norm(x, change, weight, bias, out)
    np.testing.assert_array_equal(x, summed.numpy())
    wanted = torch.nn.functional.layer_norm(summed, (24,), torch.from_numpy(weight), torch.from_numpy(bias))
    np.testing.assert_allclose(out, wanted.numpy(), atol=1e-5)
    wide = np.linspace(-9, 9, 2_000, dtype=np.float32).reshape(40, 50)
    wanted = torch.nn.functional.gelu(torch.from_numpy(wide))
    gelu(wide)
    np.testing.assert_allclose(wide, wanted.numpy(), atol=1e-6)


def test_a_model_remembers_its_catalogue_first() -> None:
    model, _ = case()
    model.vectors = None
    with pytest.raises(ValueError, match="remember"):
        CompiledReader(model)
