"""The network of a running system scores as the model does that it is made from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from tests.unit.core_cases import SPAN, START, build_batch, build_log, joint_model, layout_of, random_events, sources_of
from timerec.candidates.batch import Batch
from timerec.model import JointModel, inputs
from timerec.online.messages import Heard
from timerec.online.network import CompiledNetwork, TensorNetwork, network_of

NOW = START + SPAN
USERS = [*range(6), -1]


def case(kind: str = "concat", without: Sequence[str] = ()) -> tuple[JointModel, Batch, list[Heard]]:
    """A model, requests of people with longer and shorter histories and of a stranger, and what their histories say."""
    log = build_log(random_events(3, 80))
    built = build_batch(
        sources_of(log), layout_of(log), USERS, np.full(len(USERS), NOW), [list(range(2 * user)) for user in range(len(USERS))]
    )
    assert len(set(built.count)) > 1
    model = joint_model(log, kind, without=without)
    with torch.inference_mode():
        read = model.read(
            torch.from_numpy(built.history.astype(np.int64)), *map(torch.from_numpy, (built.gaps, built.values, built.context))
        )
        heard = [Heard(user.numpy(), events[taken].numpy()) for user, events, taken in zip(*read, strict=True)]
    assert not len(heard[-1].events) and len({len(one.events) for one in heard}) > 2
    return model, built, heard


@pytest.mark.parametrize("without", [(), ("sequence",), ("habit", "text"), ("time", "category")])
@pytest.mark.parametrize("kind", ["concat", "gated"])
@torch.inference_mode()
def test_it_scores_as_the_model_does(kind: str, without: Sequence[str]) -> None:
    model, built, heard = case(kind, without)
    wanted = model(inputs(built)).numpy()
    model.remember()
    network = network_of(model)
    assert isinstance(network, CompiledNetwork if kind == "concat" and "sequence" not in without else TensorNetwork)
    finish = network.begin(built)
    for _ in range(2):  # it may be finished again
        np.testing.assert_allclose(finish(heard), wanted, atol=1e-5, rtol=1e-5)
    explained, real = sum(TensorNetwork(model).explain(built, heard).values()), np.isfinite(wanted)
    np.testing.assert_allclose(explained[real], wanted[real], atol=1e-4, rtol=1e-4)


@torch.inference_mode()
def test_without_the_encoder_nothing_matches() -> None:
    model, built, heard = case()
    model.remember()
    compiled, tensors = CompiledNetwork(model), TensorNetwork(model)
    for said in ([None] * len(heard), [None, *heard[1:]]):
        np.testing.assert_allclose(compiled.begin(built)(said), tensors.begin(built)(said), atol=1e-5, rtol=1e-5)
    assert not np.allclose(compiled.begin(built)([None, *heard[1:]])[0], compiled.begin(built)(heard)[0])


@torch.inference_mode()
def test_an_item_behind_the_catalogue_is_the_stranger() -> None:
    model, built, heard = case()
    model.remember()
    last = len(model.category) - 1
    beyond, stranger = (
        built._replace(items=np.where(built.items == built.items[0, 0], other, built.items)) for other in (last + 9, last)
    )
    for network in (CompiledNetwork(model), TensorNetwork(model)):
        np.testing.assert_array_equal(network.begin(beyond)(heard), network.begin(stranger)(heard))


@torch.inference_mode()
def test_one_request_scores_as_in_a_batch() -> None:
    model, built, heard = case()
    model.remember()
    network = CompiledNetwork(model)
    together = network.begin(built)(heard)
    for row in range(len(heard)):
        alone = Batch(*(part[row : row + 1] for part in built))
        np.testing.assert_allclose(network.begin(alone)(heard[row : row + 1])[0], together[row], atol=1e-5, rtol=1e-5)


def test_a_model_remembers_its_catalogue_first() -> None:
    model, _, _ = case()
    with pytest.raises(ValueError, match="remember"):
        CompiledNetwork(model)
