"""Which weights Muon moves, how far, and that an interrupted training goes on as if nothing had been."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from timerec.config import TrainConfig
from timerec.training.optimise import LEAST_SIDE, MUON_RATE, Optimiser, dense_matrices

CONFIG = TrainConfig(learning_rate=1e-2, weight_decay=0.0)


class Small(nn.Module):
    """One of each: a dense layer, an embedding, an output layer of one row."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Embedding(20, 16)
        self.dense = nn.Linear(16, 12)
        self.out = nn.Linear(12, 1)

    def forward(self, index):
        return self.out(torch.tanh(self.dense(self.table(index)))).squeeze(-1)


def scaler():
    return torch.amp.GradScaler("cpu", enabled=False)


def loss_of(model, step=0):
    generator = torch.Generator().manual_seed(step)
    index = torch.randint(20, (64,), generator=generator)
    return ((model(index) - (index % 3).float()) ** 2).mean()


def test_only_dense_matrices_with_many_rows_and_columns():
    model = Small()
    assert [id(p) for p in dense_matrices(model)] == [id(model.dense.weight)]
    assert min(model.dense.weight.shape) >= LEAST_SIDE > min(model.out.weight.shape)
    model.dense.weight.requires_grad_(False)
    assert dense_matrices(model) == []


def test_every_weight_is_moved_and_those_of_other_modules_by_adamw():
    model, other = Small(), nn.Linear(16, 16)
    optimiser = Optimiser(model, [other], TrainConfig(weight_decay=0.25))
    assert len({id(p) for p in optimiser.parameters}) == len(optimiser.parameters) == 7
    before = [p.detach().clone() for p in optimiser.parameters]
    optimiser.step(loss_of(model) + other(torch.ones(1, 16)).sum() ** 2, scaler(), 1e-2, 1.0)
    assert all(not torch.equal(old, new) for old, new in zip(before, optimiser.parameters, strict=True))
    adamw, muon = optimiser.state_dict()
    assert [len(group["params"]) for group in adamw["param_groups"]] == [3, 3]  # matrices, vectors
    assert [len(group["params"]) for group in muon["param_groups"]] == [1]
    assert [group["weight_decay"] for group in adamw["param_groups"] + muon["param_groups"]] == [0.25, 0.0, 0.25]


@pytest.mark.parametrize("name", ["dense.weight", "table.weight"])
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_an_overflow_anywhere_moves_nothing(name, value):
    model = Small()
    optimiser = Optimiser(model, [], CONFIG)
    scaled = torch.amp.GradScaler("cpu", init_scale=64.0, growth_interval=1000)
    optimiser.step(loss_of(model), scaled, 1e-2, 1.0)
    before = copy.deepcopy(model.state_dict())
    hook = model.get_parameter(name).register_hook(lambda gradient: gradient * value)
    optimiser.step(loss_of(model), scaled, 1e-2, 1.0)
    hook.remove()
    for key, weight in model.state_dict().items():
        torch.testing.assert_close(weight, before[key], rtol=0, atol=0)
    assert scaled.get_scale() == 32.0
    optimiser.step(loss_of(model), scaled, 1e-2, 1.0)
    assert not torch.equal(model.dense.weight, before["dense.weight"])


def test_a_step_of_a_dense_matrix_turns_all_its_directions_alike():
    model = Small()
    before = model.dense.weight.detach().clone()
    optimiser = Optimiser(model, [], CONFIG)
    gradient = torch.autograd.grad(loss_of(model), model.dense.weight)[0]
    optimiser.step(loss_of(model), scaler(), 1e-3, 1e9)
    change = (model.dense.weight.detach() - before) / (MUON_RATE * 1e-3 * 0.2 * 16**0.5)  # the size of AdamW's steps
    spread = torch.linalg.svdvals(gradient)
    told = spread > 0.01 * spread[0]
    singular = torch.linalg.svdvals(change)[told]
    assert ((singular > 0.5) & (singular < 1.4)).all()  # five Newton-Schulz steps come that near to one
    assert spread[told].max() / spread[told].min() > 5 * singular.max() / singular.min()


def test_a_restored_optimiser_takes_the_same_steps():
    model = Small()
    optimiser = Optimiser(model, [], CONFIG)
    for step in range(5):
        optimiser.step(loss_of(model, step), scaler(), 1e-2, 1.0)
    weights, state = copy.deepcopy(model.state_dict()), copy.deepcopy(optimiser.state_dict())
    for step in range(5, 8):
        optimiser.step(loss_of(model, step), scaler(), 1e-2, 1.0)
    again = Small()
    again.load_state_dict(weights)
    restored = Optimiser(again, [], CONFIG)
    restored.load_state_dict(state)
    for step in range(5, 8):
        restored.step(loss_of(again, step), scaler(), 1e-2, 1.0)
    for one, other in zip(model.parameters(), again.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


def test_a_gradient_is_clipped_over_all_weights_together():
    model = Small()
    optimiser = Optimiser(model, [], CONFIG)
    optimiser.step(1e6 * loss_of(model), scaler(), 1e-2, 0.5)
    total = torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in model.parameters()]))
    assert float(total) == pytest.approx(0.5, rel=1e-4)
