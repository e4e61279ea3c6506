"""Fusion, standardised features and Shapley values."""

from __future__ import annotations

from itertools import pairwise, permutations

import pytest
import torch

from timerec.fusion import standardise
from timerec.fusion.explain import shapley
from timerec.fusion.fuse import GROUPS, Fusion
from timerec.fusion.head import DenseHead
from timerec.fusion.standardise import BINS, LIMIT, UNIFORM, Standardise

WIDTHS = {"taste": 5, "momentum": 4, "habit": 3, "context": 2}
HIDDEN, REQUESTS, CANDIDATES = 8, 3, 6


def network(kind):
    """Fusion and head with random weights everywhere, and the inputs of a batch."""
    torch.manual_seed(0)
    fusion, head = Fusion(kind, WIDTHS, HIDDEN), DenseHead(HIDDEN).eval()
    for parameter in [*fusion.parameters(), *head.parameters()]:
        torch.nn.init.normal_(parameter, std=0.7)
    sizes = {name: (REQUESTS, 1 if name == "context" else CANDIDATES, width) for name, width in WIDTHS.items()}
    return fusion, head, {name: torch.randn(size) for name, size in sizes.items()}


def test_concat_is_a_dense_layer_over_the_concatenated_inputs():
    fusion, _, groups = network("concat")
    joined, straight = fusion.join(*fusion.parts(groups), groups["context"])
    wide = torch.cat([groups[name].expand(-1, CANDIDATES, -1) for name in GROUPS], -1)
    weight = torch.cat([fusion.project[name].weight for name in GROUPS], 1)
    torch.testing.assert_close(joined, wide @ weight.T + fusion.bias)
    direct = torch.cat([fusion.direct[name].weight for name in GROUPS], 1)
    torch.testing.assert_close(straight, wide @ direct.T)


def test_gate_weighs_the_groups_by_a_softmax_of_context_and_projections():
    fusion, _, groups = network("gated")
    projected, direct = fusion.parts(groups)
    joined, _ = fusion.join(projected, direct, groups["context"])
    for b in range(REQUESTS):
        for c in range(CANDIDATES):
            parts = [projected[name][b, 0 if name == "context" else c] for name in GROUPS]
            seen = torch.cat([groups["context"][b, 0], torch.tanh(sum(parts))])
            gate = torch.softmax(fusion.gate.weight @ seen + fusion.gate.bias, 0)
            expected = fusion.bias + sum(4 * g * part for g, part in zip(gate, parts, strict=True))
            torch.testing.assert_close(joined[b, c], expected)


def test_an_untrained_gate_is_the_plain_sum():
    torch.manual_seed(0)
    gated = Fusion("gated", WIDTHS, HIDDEN)
    _, _, groups = network("concat")
    plain = Fusion("concat", WIDTHS, HIDDEN)
    plain.load_state_dict(gated.state_dict(), strict=False)
    one, other = (f.join(*f.parts(groups), groups["context"])[0] for f in (gated, plain))
    torch.testing.assert_close(one, other)


def test_groups_at_their_average_leave_the_bias_alone():
    fusion, _, groups = network("concat")
    nothing = {name: torch.zeros_like(value) for name, value in groups.items()}
    joined, straight = fusion.join(*fusion.parts(nothing), nothing["context"])
    torch.testing.assert_close(joined, fusion.bias.expand_as(joined))
    assert not straight.any()


def test_head_is_two_layers_and_the_direct_part():
    _, head, _ = network("concat")
    joined, straight = torch.randn(2, 3, HIDDEN), torch.randn(2, 3, 1)
    silu = torch.nn.functional.silu
    middle = silu(silu(joined) @ head.middle.weight.T + head.middle.bias)
    expected = (middle @ head.out.weight.T + head.out.bias + straight)[..., 0]
    torch.testing.assert_close(head(joined, straight), expected)


@pytest.mark.parametrize("kind", ["concat", "gated"])
def test_shapley_values_are_the_mean_over_all_orders_of_arrival(kind):
    fusion, head, groups = network(kind)
    values, baseline = shapley(fusion, head, groups)

    def score(known):
        """The whole network once more, with unknown groups at zero."""
        kept = {name: value * (name in known) for name, value in groups.items()}
        with torch.no_grad():
            return head(*fusion.join(*fusion.parts(kept), kept["context"]))

    torch.testing.assert_close(baseline, score(()))
    torch.testing.assert_close(sum(values.values()) + baseline, score(GROUPS), atol=1e-5, rtol=0)
    orders = list(permutations(GROUPS))
    for name in GROUPS:
        gains = [score(o[: o.index(name) + 1]) - score(o[: o.index(name)]) for o in orders]
        torch.testing.assert_close(values[name], sum(gains) / len(orders), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("kind", ["concat", "gated"])
def test_a_group_without_influence_gets_nothing(kind):
    fusion, head, groups = network(kind)
    with torch.no_grad():
        for layer in (fusion.project["habit"], fusion.direct["habit"]):
            layer.weight.zero_()
    values, _ = shapley(fusion, head, groups)
    assert values["habit"].abs().max() < 1e-6
    assert min(values[name].abs().max() for name in GROUPS if name != "habit") > 1e-3


def test_features_are_centred_and_compared_with_the_best_of_the_requests_own():
    torch.manual_seed(1)
    features = torch.randn(4, 7, 3) * torch.tensor([1.0, 10.0, 0.1]) + 5
    mask = torch.arange(7) < torch.tensor([7, 5, 6, 4])[:, None]
    standard = torch.arange(7) < torch.tensor([3, 5, 2, 4])[:, None]
    scale = Standardise(3)
    best = features.masked_fill(~standard[..., None], -torch.inf).amax(1)
    scale.fit(features, mask, best)
    level, distance, _ = scale(features, best).unbind(2)
    torch.testing.assert_close(level[mask].mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    torch.testing.assert_close(level[mask].std(0), torch.ones(3), atol=2e-2, rtol=0)
    torch.testing.assert_close(distance[mask].mean(0), torch.zeros(3), atol=1e-5, rtol=0)
    for b in range(4):
        for c in range(7):
            highest = level[b, : int(standard[b].sum())].max(0).values
            raw = (level[b, c] - highest - scale.distance_mean) / scale.distance_scale
            torch.testing.assert_close(distance[b, c], raw.clamp(-LIMIT, LIMIT), atol=1e-5, rtol=1e-5)
    assert scale(features * 1e6, best * 1e6)[:, :, 0].abs().max() == LIMIT
    # no candidates of its own: as if the best were the least
    _, without, _ = scale(features, torch.full((4, 3), -torch.inf)).unbind(2)
    torch.testing.assert_close(without, ((level + LIMIT - scale.distance_mean) / scale.distance_scale).clamp(-LIMIT, LIMIT))


def test_places_tell_the_share_of_training_candidates_below():
    torch.manual_seed(2)
    features = torch.stack([torch.randn(20, 100).exp(), torch.randint(0, 2, (20, 100)) * 4.0, torch.full((20, 100), 3.0)], -1)
    mask = torch.ones(20, 100, dtype=torch.bool)
    scale = Standardise(3)
    best = features.amax(1)
    scale.fit(features, mask, best)
    place = scale(features, best)[:, :, 2]
    skewed = place[..., 0].flatten()
    share = features[..., 0].flatten().argsort().argsort() / 2000
    assert (
        skewed - (share - 0.5) * UNIFORM
    ).abs().max() < UNIFORM / BINS  # right but for its place in the bin, whatever the scale
    torch.testing.assert_close(place.mean((0, 1)), torch.zeros(3), atol=1e-3, rtol=0)
    assert len(place[..., 1].unique()) == 2  # sixteenths of one value are not counted: the two are one bin apart
    apart = place[features[..., 1] == 4, 1].min() - place[features[..., 1] == 0, 1].max()
    assert float(apart) == pytest.approx(UNIFORM / BINS)
    assert not place[..., 2].any()  # a feature that never differs says nothing
    far = torch.tensor([[[-1e9, -1e9, -1e9], [1e9, 1e9, 1e9]]])
    outside = scale(far, far[:, 1])[:, :, 2]
    torch.testing.assert_close(outside[0, :, 0], torch.tensor([skewed.min(), skewed.max()]))


def test_places_of_all_thirds_are_the_definition_in_plain_words():
    torch.manual_seed(3)
    features = torch.randn(6, 9, 4).round(decimals=1)
    scale = Standardise(4)
    scale.fit(features, torch.ones(6, 9, dtype=torch.bool), features.amax(1))
    place = scale(features, features.amax(1))[:, :, 2]
    for f in range(4):
        edges = scale.quantiles[f]
        for b in range(6):
            for c in range(9):
                total = 0.0
                for low, high in pairwise(edges):
                    if high > low:
                        total += float(((features[b, c, f] - low) / (high - low)).clamp(0, 1))
                expected = (total / BINS - scale.place_mean[f]) * UNIFORM
                torch.testing.assert_close(place[b, c, f], expected, atol=1e-5, rtol=1e-4)


def test_the_pass_of_the_processor_gives_what_tensors_give_to_the_last_bit():
    torch.manual_seed(5)
    features = torch.randn(7, 40, 30)
    features[..., :8] = features[..., :8].round()  # equal values, edges hit exactly
    features[..., 8:14] = features[..., 8:14].exp() * 1e4
    features[..., 14:16] = 3.0  # never differs
    scale = Standardise(30)
    scale.fit(features, torch.ones(7, 40, dtype=torch.bool), features.amax(1))
    asked = torch.cat([features, features * 1.7 - 0.3, torch.full((7, 1, 30), 1e9), torch.full((7, 1, 30), -1e9)], 1)
    best = asked[:, :5].amax(1)
    best[2] = -torch.inf
    asked[3, 4], best[5, 6] = torch.nan, torch.nan  # a fault upstream stays one
    found = scale(asked, best)
    assert found[3, 4, 2].isnan().all()
    torch.testing.assert_close(found, scale._on_tensors(asked, best), rtol=0, atol=0, equal_nan=True)
    turned = asked.transpose(0, 1).contiguous().transpose(0, 1)  # not in the order of its indices
    torch.testing.assert_close(scale(turned, best), found, rtol=0, atol=0, equal_nan=True)
    for given in ((asked, best[:3]), (asked[..., :9], best[:, :9])):
        with pytest.raises(ValueError, match="30 columns"):
            scale(*given)


def test_scales_read_no_padding_and_quantiles_rows_from_everywhere(monkeypatch):
    torch.manual_seed(4)
    real = torch.randn(400, 2).sort(0).values
    best = torch.full((1, 2), 3.0)
    alone = Standardise(2)
    alone.fit(real[None], torch.ones(1, 400, dtype=torch.bool), best)
    padded = torch.full((1, 1000, 2), 1e9)
    mask = torch.zeros(1, 1000, dtype=torch.bool)
    mask[0, torch.randperm(1000)[:400].sort().values] = True
    padded[mask] = real
    other = Standardise(2)
    other.fit(padded, mask, best)
    for name, value in alone.named_buffers():
        torch.testing.assert_close(getattr(other, name), value)
    monkeypatch.setattr(standardise, "ROWS", 100)
    some = Standardise(2)
    some.fit(padded, mask, best)
    assert (some.quantiles - alone.quantiles)[:, 1:-1].abs().max() < 0.1


def test_places_of_many_features_are_measured(monkeypatch):
    wide = torch.randn(60, 100, 2800)  # more values than torch.quantile takes at once
    scale = Standardise(2800)
    monkeypatch.setattr(scale, "_places", lambda features: torch.zeros(*features.shape))  # of which there would be many
    scale.fit(wide, torch.ones(60, 100, dtype=torch.bool), wide.amax(1))
    assert (scale.quantiles.diff(dim=1) > 0).all()
