"""Sources left out: they cannot move a score, and a model without time does not see when anything happened."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from tests.unit.core_cases import (
    CATEGORIES,
    SPAN,
    START,
    attribute_rows,
    build_batch,
    build_log,
    categories,
    families,
    forecast_table,
    layout_of,
    random_events,
    snapshots,
    state_of,
    text_vectors,
)
from timerec.candidates import similar
from timerec.candidates.arrivals import arrivals
from timerec.candidates.order import place, stride
from timerec.candidates.pairs import Sources
from timerec.candidates.without import offer
from timerec.config import Config, FusionConfig
from timerec.engine import Engine
from timerec.eventlog import build
from timerec.model import JointModel, Shape, inputs
from timerec.training.finetune_loop import Shape as SameShape

SHORT = 8  # events that every feature reads whole
NOW = START + SPAN - 7 * 86_400
SOURCES = ["time", "habit", "momentum", "forecast", "sequence", "text", "category", "attributes"]


def model_of(log, without, kind="concat"):
    torch.manual_seed(0)
    config = FusionConfig(kind=kind, width=8, hidden=16, history=10, heads=2, without=without)
    model = JointModel(Shape.of(config, layout_of(log), 6, CATEGORIES, log.n_items)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn_like(parameter) * 0.3)
    model.attach(text_vectors(0, log.n_items), categories(log.n_items).astype(np.int64) + 1, np.arange(log.n_items) + 1)
    return model


def world(stretch=1):
    """A log, everything beside it, and the moment, with all gaps of the past `stretch` times as long."""

    def later(time):
        return START + (np.asarray(time) - START) * stretch

    events = random_events(3, 300)
    events = events.where((events.user > 0) | (np.arange(len(events.user)) < SHORT))  # user 0 comes first and has a short history
    item, time, value = attribute_rows(4)
    log = build(
        *events._replace(time=later(events.time)), n_users=12, item_category=categories(), attributes=(item, later(time), value)
    )
    table = forecast_table(0)
    sources = Sources(log, table, similar.fit(log, later(snapshots())), text_vectors(0), families(), arrivals(log), True)
    return sources, int(later(NOW))


def scores(without, stretch):
    sources, now = world(stretch)
    engine = Engine(state_of(sources), model_of(sources.log, without))
    users, times = np.arange(12, dtype=np.int32), np.full(12, now)
    asked = np.tile(np.arange(25, dtype=np.int32), 12)
    return engine.score(users, times, np.arange(13) * 25, asked)


@pytest.mark.parametrize("without", [["time"], ["time", "sequence"]])
def test_a_model_without_time_gives_the_same_scores_when_the_past_is_stretched(without):
    np.testing.assert_allclose(scores(without, 1), scores(without, 5), atol=1e-4)


def test_the_whole_model_does_not():
    assert np.abs(scores([], 1) - scores([], 5)).max() > 0.05


def test_a_model_without_time_does_not_see_the_order_of_a_short_history():
    """The events of one user change places; nothing but their order can tell. Items of others stay as they were."""
    sources, now = world()
    log = sources.log
    user, known = 0, int((log.event_time[: log.user_size[0]] < now).sum())
    assert 4 <= known <= SHORT and len({*log.event_kind[:known]}) > 1
    turned = {name: getattr(log, name).copy() for name in ("event_item", "event_value", "event_weight", "event_kind")}
    for column in turned.values():
        column[:known] = column[:known][::-1]
    same, other = sources, sources._replace(log=log._replace(**turned))
    for without, equal in ((["time"], True), ([], False)):
        model = model_of(log, without)
        found = [
            Engine(state_of(one), model).score(
                np.array([user], np.int32), np.array([now]), np.array([0, 25]), np.arange(25, dtype=np.int32)
            )
            for one in (same, other)
        ]
        assert (np.abs(found[0] - found[1]).max() < 1e-4) == equal


@pytest.mark.parametrize("kind", ["concat", "gated"])
@pytest.mark.parametrize("source", SOURCES)
def test_columns_left_out_have_no_gradient_and_all_others_have(source, kind):
    sources, now = world()
    names = layout_of(sources.log)
    built = build_batch(sources._replace(offer=offer([source])), names, np.arange(12), np.full(12, now))
    x = inputs(built)
    x = x._replace(features=x.features.clone().requires_grad_(), context=x.context.clone().requires_grad_())
    model = model_of(sources.log, [source], kind)
    model.fit_scales(inputs(built))
    found = model(x)
    found[x.mask].square().sum().backward()
    moved = x.features.grad.abs().amax((0, 1)).numpy() > 0
    gone = set(model.shape.dropped)
    seen = {name for name, live in zip(names.names, moved, strict=True) if live}
    expected = {
        "time": {"item_since", "item_due", "decay_3", "share_0", "next", "similar_fast", "price_change", "forecast_next", "age"},
        "habit": {"item_has", "item_count", "category_share"},
        "momentum": {"count", "share_7", "category_5"},
        "forecast": {"forecast_next", "forecast_trend", "forecast_period"},
        "sequence": set(),
        "text": {"text_recent", "text_last", "family_due", "family_share"},
        "category": {"category_share", "category_5"},
        "attributes": {"price_level", "promotion_change", "promotion_known"},
    }[source]
    dropped = {names.names[j] for j in gone}
    assert expected <= dropped
    assert not seen & dropped
    kept = set(names.names) - dropped
    constant = {n for j, n in enumerate(names.names) if np.ptp(built.features[np.asarray(x.mask)][:, j]) < 1e-6}
    assert kept - constant <= seen
    stays = {"time": "item_count", "habit": "count", "momentum": "price_level", "forecast": "decay_0"}.get(source, "item_has")
    assert stays in kept
    hours = x.context.grad[:, :4].abs().max() > 0
    assert bool(hours) == (source != "time")


def test_candidates_without_a_source():
    sources, now = world()
    names, users, times = layout_of(sources.log), np.arange(12), np.full(12, now)
    every = build_batch(sources, names, users, times)
    blind = build_batch(sources._replace(offer=offer(["time"])), names, users, times)
    has, count = names.names.index("item_has"), names.names.index("item_count")
    for r in range(12):
        own = blind.features[r, : blind.standard[r], has] > 0
        mine = blind.features[r, : blind.standard[r], count][own]
        assert (np.diff(mine) <= 1e-6).all()  # own items first, by count
        assert own.sum() == (every.features[r, : every.standard[r], has] > 0).sum()
    # a stranger has trending items only
    for without, some in ((["momentum"], False), (["time"], True), (["habit"], True)):
        found = build_batch(sources._replace(offer=offer(without)), names, [-1], [now])
        assert (found.standard[0] > 0) == some


def test_without_sequence_history_and_item_vectors_play_no_part():
    sources, now = world()
    x = inputs(build_batch(sources, layout_of(sources.log), np.arange(12), np.full(12, now)))
    for without, equal in ((["sequence"], True), ([], False)):
        model = model_of(sources.log, without)
        before = model(x)
        model.attach(-text_vectors(1), categories().astype(np.int64), np.arange(25))
        after = model(x._replace(history=x.history.flip(1)))
        assert torch.equal(before, after) == equal
    trained = {name for name, p in model_of(sources.log, ["sequence"]).named_parameters() if p.requires_grad}
    assert all(name.startswith(("fusion.", "head.")) for name in trained)


@pytest.mark.parametrize("source", ["text", "category"])
def test_item_vectors_without_text_or_category(source):
    sources, _ = world()
    items = torch.arange(25)
    for without, equal in (([source], True), ([], False)):
        model = model_of(sources.log, without)
        before = model.item_vectors(items)
        text = text_vectors(1 if source == "text" else 0)
        category = categories().astype(np.int64) + (1 if source == "text" else 0)
        model.attach(text, category, np.arange(25) + 1)
        assert torch.equal(before, model.item_vectors(items)) == equal


def test_remembered_vectors_score_alike_and_the_texts_are_let_go():
    sources, now = world()
    x = inputs(build_batch(sources, layout_of(sources.log), np.arange(12), np.full(12, now)))
    model = model_of(sources.log, [])
    with torch.inference_mode():
        before = model(x)
        model.remember()
        torch.testing.assert_close(model(x), before)
    assert model.text.untyped_storage().nbytes() == 0


def test_a_stride_visits_every_place_once_and_is_no_order_of_time():
    for known in (1, 2, 3, 5, 8, 13, 60, 100, 987, 4096):
        step = int(stride(known))
        visited = [place(k, known, step) for k in range(known)]
        assert sorted(visited) == list(range(known))
        if known >= 60:
            assert abs(np.corrcoef(np.arange(known), visited)[0, 1]) < 0.35
            assert 0.35 * known < np.mean(visited[:20]) < 0.65 * known  # the first twenty are not the latest twenty
    assert [place(k, 4, 0) for k in range(4)] == [3, 2, 1, 0]


def test_an_older_bundles_shape_has_everything():
    sources, _ = world()
    shape = model_of(sources.log, []).shape.to_dict()
    del shape["dropped"], shape["dropped_context"], shape["fusion"]["without"]
    assert JointModel(SameShape(**shape)).kept.all()


def test_names_of_sources():
    assert Config(fusion={"without": SOURCES}).fusion.without == SOURCES
    with pytest.raises(ValueError, match="without"):
        FusionConfig(without=["weather"])
    assert build_log(random_events(0)).n_items == 25


def test_without_text_no_listing_is_chosen_by_its_text():
    """60 items, of which the first half has events and all others were listed, one a second, before the moment."""
    events = random_events(3, 300)
    listed = np.full(60, NOW + 1, np.int64)
    listed[25:] = NOW - 100 + np.arange(35)
    log = build_log(events, items=60, listed=listed)
    found = similar.fit(log, snapshots())
    sources = Sources(log, forecast_table(0, 60), found, text_vectors(0, 60), families(60), arrivals(log), True)
    names = layout_of(log)
    proposed = {}
    for source in ("nothing", "text", "momentum", "time"):
        built = build_batch(sources._replace(offer=offer([source])), names, [3], [NOW])
        proposed[source] = {int(item) for item in built.items[0, : built.standard[0]] if item >= 25}
    assert proposed["text"] == set(range(44, 60))
    assert proposed["text"] < proposed["nothing"]
    assert proposed["momentum"] == proposed["time"] == set()
