"""Generated data sets with a known truth: a shop, a news site, a video and a music service, a travel site.

`truth.parquet` holds for every request the list that nobody can beat in expectation, because it ranks by the probabilities that
the answer was then drawn with (see `timerec.data.sources.process`).
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from timerec.clock import DAY, HOUR, WEEK
from timerec.data.sources.process import LIST, Items, Strength, Users, Walk, walk
from timerec.schema import Columns, DataError

START = 1_641_168_000  # a Monday, midnight UTC
STYLES = 2
TRUTH = "truth.parquet"
FEWEST = 50  # events of a log that can be prepared
MANNERS = ("plain", "classic", "modern", "bold", "quiet", "bright", "dark", "light")  # words of the eighths of the style plane


@dataclass(frozen=True)
class Kind:
    """A domain. Heights are in units of utility: e to the height is how many times as likely an item becomes."""

    users: int
    items: int
    events: int
    days: float
    nouns: tuple[str, ...]  # one category each
    basket: float = 1.0  # mean items of a request
    popularity: float = 1.0
    taste: float = 2.0
    style: float = 0.5
    wave: float = 0.0
    wave_days: tuple[float, float] = (60.0, 240.0)
    fade: float = 0.0
    life_days: float = 30.0
    rise_days: float = 1.0
    new: float = 0.3  # share of items that are listed after the start
    hour: float = 0.0
    weekday: float = 0.0
    year: float = 0.0
    cycle_days: tuple[float, float] = (7.0, 60.0)
    due: float = 0.0
    dip: float = 0.0
    loyal: float = 0.0
    promotion: float = 0.0
    repeats: bool = True
    takes: tuple[tuple[str, float], ...] = (("view", 1.0),)  # kinds of events and their shares
    looks: tuple[tuple[str, float], ...] = ()  # kinds that leave no trace in the process
    look: float = 0.0


KINDS: dict[str, Kind] = {
    "shop": Kind(
        2_000, 600, 150_000, 364,
        ("coffee", "pasta", "soap", "yoghurt", "bread", "tea", "rice", "cheese", "apples", "detergent", "cereal", "juice"),
        basket=3.0, wave=0.8, rise_days=7, weekday=0.3, year=0.8, due=4.0, dip=2.0, loyal=1.5, promotion=1.2,
        takes=(("purchase", 1.0),), looks=(("view", 0.7), ("cart", 0.3)), look=0.2,
    ),
    "news": Kind(
        4_000, 3_000, 150_000, 21,
        ("politics", "football", "science", "weather", "culture", "markets", "health", "travel", "games", "crime"),
        popularity=0.8, taste=2.2, fade=1.0, life_days=0.4, rise_days=0.02, new=0.99, hour=0.8, repeats=False,
        takes=(("view", 0.88), ("like", 0.08), ("bookmark", 0.04)),
    ),
    "video": Kind(
        3_000, 600, 120_000, 182,
        ("comedy", "drama", "thriller", "documentary", "animation", "romance", "western", "horror", "music", "crime"),
        popularity=0.9, taste=2.6, style=0.9, wave=0.5, fade=1.0, life_days=30, rise_days=2, new=0.5, hour=0.8, weekday=0.6,
        repeats=False, takes=(("watched", 0.8), ("rated", 0.2)),
    ),
    "music": Kind(
        1_500, 800, 200_000, 119,
        ("rock", "jazz", "techno", "folk", "soul", "rap", "metal", "opera", "blues", "pop"),
        taste=2.0, style=0.7, wave=0.8, wave_days=(30, 120), rise_days=3, new=0.3, hour=1.0, weekday=0.3,
        cycle_days=(1, 14), due=3.5, dip=1.0, loyal=2.5, takes=(("play", 1.0),), looks=(("skip", 1.0),), look=0.25,
    ),
    "travel": Kind(
        5_000, 300, 100_000, 728,
        ("beach", "ski", "city", "island", "lake", "desert", "forest", "spa", "castle", "safari"),
        taste=1.8, style=0.6, wave=0.6, wave_days=(120, 500), rise_days=14, new=0.2, weekday=0.2, year=1.6,
        cycle_days=(60, 365), due=2.5, dip=1.0, loyal=1.0, promotion=1.0,
        takes=(("book", 1.0),), looks=(("search", 0.6), ("click", 0.4)), look=0.6,
    ),
}  # fmt: skip


class Drawn(NamedTuple):
    """A process and what came of it."""

    items: Items
    users: Users
    strength: Strength
    walked: Walk


def draw(kind: str, users: int = 0, items: int = 0, events: int = 0, seed: int = 0) -> Drawn:
    """Draw everything of a data set but names and prices; the arguments are those of `write`."""
    if kind not in KINDS:
        raise DataError(f"--kind {kind}: choose one of {', '.join(KINDS)}")
    what = KINDS[kind]
    users, items, events = users or what.users, items or what.items, events or what.events
    if users < 2 or items < LIST or events < FEWEST:
        raise DataError(f"--users {users} --items {items} --events {events}: at least 2 users, {LIST} items, {FEWEST} events")
    rng = np.random.default_rng([seed, list(KINDS).index(kind)])
    catalogue = _items(rng, what, items)
    people = _users(rng, what, users, events)
    strength = Strength(
        what.fade, what.rise_days * DAY, what.promotion, what.due, what.dip, what.loyal, what.look, float(what.repeats)
    )
    return Drawn(catalogue, people, strength, walk(rng, catalogue, people, strength, START))


def write(out: Path, kind: str, users: int = 0, items: int = 0, events: int = 0, seed: int = 0) -> dict[str, Any]:
    """Write a data set directory of this kind, and `truth.parquet` beside its tables.

    `truth.parquet` has a row a request: user_id, timestamp, `best` (item ids of the LIST highest true probabilities given what
    really happened before, best first), `probability` (that a single draw takes them) and `timeless` (the same list for one who
    knows tastes and habits but no trend, season, promotion or cycle).

    Args:
        users, items, events: sizes, about; 0 for those of the kind.

    Returns:
        Rows written.

    Raises:
        DataError: an unknown kind, or sizes that give no log.
    """
    made = draw(kind, users, items, events, seed)
    what, rng = KINDS[kind], np.random.default_rng([seed, len(KINDS)])
    catalogue, people, walked = made.items, made.users, made.walked
    tables = {"interactions": _events(rng, what, people, walked), "items": _titles(rng, what, catalogue)}
    if what.promotion:
        tables["item_attributes"] = _prices(rng, catalogue)
    out.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_parquet(out / f"{name}.parquet", index=False)
    pq.write_table(_truth(people, walked), out / TRUTH)
    (out / "generated.json").write_text(json.dumps({"kind": kind, "seed": seed, **asdict(what)}, indent=1))
    return {"data": f"generated {kind}", "rows": {name: len(table) for name, table in tables.items()}}


def _items(rng: np.random.Generator, what: Kind, n: int) -> Items:
    kinds, weeks = len(what.nouns), int(what.days // 7) + 2
    span = what.days * DAY
    fresh = rng.random(n) < what.new
    lead = np.minimum(what.life_days * 4, 400.0) * DAY  # what is there at the start came at various times before it
    listed = START + np.where(fresh, rng.random(n) * span, -rng.random(n) * lead)
    low, high = np.log(what.cycle_days)
    return Items(
        popularity=rng.normal(0, what.popularity, n),
        category=rng.integers(0, kinds, n).astype(np.int32),
        style=rng.normal(0, 1, (n, STYLES)),
        listed=listed.astype(np.int64),
        wave=np.column_stack(
            [what.wave * rng.gamma(4, 0.25, n), rng.uniform(*what.wave_days, n) * DAY, rng.uniform(0, 2 * np.pi, n)]
        ),
        life=np.exp(rng.normal(np.log(what.life_days), 0.4, n)) * DAY,
        cycle=np.exp(rng.uniform(low, high, n)) * DAY,
        promoted=(rng.random((n, weeks)) < 0.08).astype(np.int8),
        hour=np.column_stack([np.full(kinds, what.hour), rng.uniform(0, 24, kinds)]),
        weekday=rng.normal(0, what.weekday, (kinds, 7)),
        year=np.column_stack([np.full(kinds, what.year), rng.random(kinds)]),
    )


def _users(rng: np.random.Generator, what: Kind, n: int, events: int) -> Users:
    kinds, span = len(what.nouns), what.days * DAY
    activity = np.exp(rng.normal(0, 0.8, n))
    count = np.maximum(2, np.round(activity / activity.sum() * events / what.basket)).astype(np.int64)
    joined = np.where(rng.random(n) < 0.3, rng.random(n) * 0.9, 0.0)
    user = np.repeat(np.arange(n), count)
    moment = START + (joined[user] + rng.random(len(user)) * (1 - joined[user])) * span
    busy = rng.normal(18, 4, len(user)) % 24  # most requests fall into the evening
    time = (moment // DAY * DAY + busy * HOUR).astype(np.int64)
    key = np.unique(np.stack([user, time]), axis=1)  # a request a second
    user, time = key[0], key[1]
    return Users(
        taste=rng.normal(0, what.taste, (n, kinds)) * (rng.random((n, kinds)) < 0.5),
        style=rng.normal(0, what.style, (n, STYLES)),
        pace=np.exp(rng.normal(0, 0.15, n)),
        start=np.searchsorted(user, np.arange(n + 1)).astype(np.int64),
        time=time,
        size=1 + rng.poisson(what.basket - 1, len(time)).astype(np.int64),
    )


def _events(rng: np.random.Generator, what: Kind, users: Users, walked: Walk) -> pd.DataFrame:
    row, place = np.nonzero(walked.item >= 0)
    user = np.repeat(np.arange(len(users.pace)), np.diff(users.start))
    kinds = _drawn(rng, what.takes, len(row))
    look = walked.look[row, place]
    if look.any():
        kinds[look] = _drawn(rng, what.looks, int(look.sum()))
    frame = pd.DataFrame(
        {
            Columns.USER: user[row],
            Columns.ITEM: walked.item[row, place].astype(np.int64),
            Columns.TIME: users.time[row],
            Columns.EVENT: kinds,
        }
    )
    return frame.sort_values([Columns.TIME, Columns.USER, Columns.ITEM], ignore_index=True)


def _drawn(rng: np.random.Generator, shares: tuple[tuple[str, float], ...], n: int) -> NDArray[np.object_]:
    names = np.array([name for name, _ in shares], dtype=object)
    return names[rng.choice(len(names), n, p=[share for _, share in shares])]


def _titles(rng: np.random.Generator, what: Kind, items: Items) -> pd.DataFrame:
    """The title names the category, and the manner roughly where the item lies in the plane of styles."""
    angle = np.arctan2(items.style[:, 1], items.style[:, 0])
    eighth = ((angle / (2 * np.pi) + 1) * len(MANNERS)).astype(int) % len(MANNERS)
    nouns = np.array(what.nouns)[items.category]
    item = np.arange(len(nouns))
    return pd.DataFrame(
        {
            Columns.ITEM: item,
            Columns.TITLE: [f"{MANNERS[e]} {noun} {i}" for e, noun, i in zip(eighth, nouns, item, strict=True)],
            Columns.CATEGORY: nouns,
            Columns.LISTED: items.listed,
        }
    )


def _prices(rng: np.random.Generator, items: Items) -> pd.DataFrame:
    """A price a week, a fifth lower in a week of promotion, known from the week's first second."""
    n, weeks = items.promoted.shape
    usual = np.exp(rng.normal(1.5, 0.8, n))
    price = usual[:, None] * (1.0 - 0.2 * items.promoted)
    item, week = np.divmod(np.arange(n * weeks), weeks)
    return pd.DataFrame(
        {
            Columns.ITEM: item,
            Columns.TIME: START + week * WEEK,
            "price": price.ravel().round(2),
            "promotion": items.promoted.ravel(),
        }
    )


def _truth(users: Users, walked: Walk) -> pa.Table:
    def lists(array: NDArray[Any], kind: pa.DataType) -> pa.Array:
        kept = walked.best >= 0  # all lists of a request are equally long
        ends = np.concatenate([[0], np.cumsum(kept.sum(1))]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(ends), pa.array(array[kept]).cast(kind))

    return pa.table(
        {
            Columns.USER: np.repeat(np.arange(len(users.pace)), np.diff(users.start)),
            Columns.TIME: users.time,
            "best": lists(walked.best, pa.int64()),
            "probability": lists(walked.probability, pa.float32()),
            "timeless": lists(walked.timeless, pa.int64()),
        }
    )
