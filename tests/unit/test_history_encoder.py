"""The history encoder: padding is invisible, age, place, value and context are not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from timerec.encoder.history import BUCKETS, LONGEST, HistoryEncoder

BATCH, LENGTH, WIDTH, CONTEXT = 3, 6, 8, 5


def encoder(layers: int, length: int = LENGTH) -> HistoryEncoder:
    torch.manual_seed(0)
    module = HistoryEncoder(width=WIDTH, layers=layers, heads=2, length=length, context=CONTEXT, dropout=0.1)
    for parameter in module.parameters():  # large enough that no input goes unnoticed
        torch.nn.init.normal_(parameter, std=0.5)
    return module.eval()


def arguments(known: list[int], length: int = LENGTH) -> dict[str, Tensor]:
    """Requests with that many events each, the newest at the end."""
    torch.manual_seed(1)
    rows = len(known)
    taken = torch.arange(length)[None, :] >= length - torch.tensor(known)[:, None]
    return {
        "items": torch.randn(rows, length, WIDTH),
        "gaps": torch.rand(rows, length) * LONGEST,
        "values": torch.rand(rows, length),
        "taken": taken,
        "context": torch.randn(rows, CONTEXT),
    }


def distance(left: Tensor, right: Tensor) -> float:
    return float((left - right).detach().abs().max())


@pytest.mark.parametrize("layers", [0, 1, 2])
def test_shapes(layers: int) -> None:
    state, events = encoder(layers)(**arguments([6, 3, 1]))
    assert state.shape == (BATCH, WIDTH) and events.shape == (BATCH, LENGTH, WIDTH)


@pytest.mark.parametrize("layers", [0, 2])
def test_what_is_padded_does_not_matter(layers: int) -> None:
    module, inputs = encoder(layers), arguments([6, 3, 1])
    state, events = module(**inputs)
    for name in ("items", "gaps", "values"):
        changed = inputs[name].clone()
        changed[~inputs["taken"]] += 3.0
        other, others = module(**inputs | {name: changed})
        assert distance(state, other) < 1e-6
        assert distance(events[inputs["taken"]], others[inputs["taken"]]) < 1e-6


@pytest.mark.parametrize("layers", [0, 2])
def test_a_longer_window_of_padding_gives_the_same_state(layers: int) -> None:
    module, short = encoder(layers, length=9), arguments([6, 3, 1])
    longer = {
        name: torch.cat([torch.zeros_like(value[:, :3]), value], 1) if name != "context" else value
        for name, value in short.items()
    }
    assert distance(module(**short)[0], module(**longer)[0]) < 1e-5


@pytest.mark.parametrize("layers", [0, 2])
def test_without_history_the_state_is_finite_and_follows_the_context_alone(layers: int) -> None:
    module, inputs = encoder(layers), arguments([0, 0])
    same = inputs | {"context": inputs["context"][:1].expand(2, -1)}
    state, _ = module(**same)
    assert torch.isfinite(state).all()
    assert distance(state[0], state[1]) < 1e-6
    apart, _ = module(**inputs)
    assert distance(apart[0], apart[1]) > 1e-2


@pytest.mark.parametrize("layers", [0, 1])
@pytest.mark.parametrize("name", ["items", "gaps", "values", "context"])
def test_every_input_reaches_the_state(layers: int, name: str) -> None:
    module, inputs = encoder(layers), arguments([6, 3, 1])
    changed = inputs[name].flip(-1 if name == "context" else 1)
    assert distance(module(**inputs)[0], module(**inputs | {name: changed})[0]) > 1e-3


@pytest.mark.parametrize("layers", [0, 1])
def test_order_counts_by_the_place_from_the_newest(layers: int) -> None:
    module, inputs = encoder(layers), arguments([6])
    swapped = {name: value.flip(1) if name != "context" else value for name, value in inputs.items()}
    difference = distance(module(**inputs)[0], module(**swapped)[0])
    # a mean of the events does not know their order
    assert difference > 1e-3 if layers else difference < 1e-5


def test_ages_within_a_bucket_are_alike_and_beyond_the_grid_clamped() -> None:
    module, inputs = encoder(1), arguments([6])
    width = LONGEST / BUCKETS

    def state(gap: float) -> Tensor:
        return module(**inputs | {"gaps": torch.full((1, LENGTH), gap)})[0]

    assert distance(state(10.1 * width), state(10.9 * width)) == 0
    assert distance(state(10.9 * width), state(11.1 * width)) > 1e-3
    assert distance(state(LONGEST - width / 2), state(LONGEST - 3 * width / 2)) > 1e-3
    assert distance(state(LONGEST + 5), state(LONGEST - width / 2)) == 0
    assert math.isclose(LONGEST, math.log1p(10 * 365 * 86_400))


def test_no_layers_is_the_mean_of_the_events_plus_the_projected_context() -> None:
    module, inputs = encoder(0), arguments([2])
    events = module(**inputs)[1]
    expected = module.norm(events[:, -2:].mean(1) + module.ask(inputs["context"]))
    assert distance(module(**inputs)[0], expected) < 1e-6


@pytest.mark.parametrize("layers", [0, 1])
def test_every_parameter_learns(layers: int) -> None:
    module = encoder(layers).train()
    state, _ = module(**arguments([6, 3, 0]))
    (state * torch.randn_like(state)).sum().backward()
    assert [name for name, p in module.named_parameters() if p.grad is None or not p.grad.any()] == []
