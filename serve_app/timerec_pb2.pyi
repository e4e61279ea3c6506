from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Moment(_message.Message):
    __slots__ = ("seconds", "iso")
    SECONDS_FIELD_NUMBER: _ClassVar[int]
    ISO_FIELD_NUMBER: _ClassVar[int]
    seconds: float
    iso: str
    def __init__(self, seconds: _Optional[float] = ..., iso: _Optional[str] = ...) -> None: ...

class ItemIds(_message.Message):
    __slots__ = ("item_ids",)
    ITEM_IDS_FIELD_NUMBER: _ClassVar[int]
    item_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, item_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class SeenItem(_message.Message):
    __slots__ = ("item_id", "timestamp", "event", "value")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    timestamp: Moment
    event: str
    value: float
    def __init__(self, item_id: _Optional[str] = ..., timestamp: _Optional[_Union[Moment, _Mapping]] = ..., event: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class SeenItems(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[SeenItem]
    def __init__(self, events: _Optional[_Iterable[_Union[SeenItem, _Mapping]]] = ...) -> None: ...

class RecommendRequest(_message.Message):
    __slots__ = ("user_id", "history", "at", "k", "exclude", "items", "category", "diversity", "explain")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    HISTORY_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    DIVERSITY_FIELD_NUMBER: _ClassVar[int]
    EXPLAIN_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    history: SeenItems
    at: Moment
    k: int
    exclude: _containers.RepeatedScalarFieldContainer[str]
    items: ItemIds
    category: str
    diversity: float
    explain: bool
    def __init__(self, user_id: _Optional[str] = ..., history: _Optional[_Union[SeenItems, _Mapping]] = ..., at: _Optional[_Union[Moment, _Mapping]] = ..., k: _Optional[int] = ..., exclude: _Optional[_Iterable[str]] = ..., items: _Optional[_Union[ItemIds, _Mapping]] = ..., category: _Optional[str] = ..., diversity: _Optional[float] = ..., explain: _Optional[bool] = ...) -> None: ...

class BatchRequest(_message.Message):
    __slots__ = ("requests",)
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    requests: _containers.RepeatedCompositeFieldContainer[RecommendRequest]
    def __init__(self, requests: _Optional[_Iterable[_Union[RecommendRequest, _Mapping]]] = ...) -> None: ...

class Item(_message.Message):
    __slots__ = ("rank", "item_id", "score", "title", "category", "parts")
    class PartsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    RANK_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    rank: int
    item_id: str
    score: float
    title: str
    category: str
    parts: _containers.ScalarMap[str, float]
    def __init__(self, rank: _Optional[int] = ..., item_id: _Optional[str] = ..., score: _Optional[float] = ..., title: _Optional[str] = ..., category: _Optional[str] = ..., parts: _Optional[_Mapping[str, float]] = ...) -> None: ...

class RecommendAnswer(_message.Message):
    __slots__ = ("request_id", "user_id", "at", "known", "items", "degraded", "model", "seq")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    KNOWN_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    DEGRADED_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    user_id: str
    at: int
    known: bool
    items: _containers.RepeatedCompositeFieldContainer[Item]
    degraded: _containers.RepeatedScalarFieldContainer[str]
    model: str
    seq: int
    def __init__(self, request_id: _Optional[str] = ..., user_id: _Optional[str] = ..., at: _Optional[int] = ..., known: _Optional[bool] = ..., items: _Optional[_Iterable[_Union[Item, _Mapping]]] = ..., degraded: _Optional[_Iterable[str]] = ..., model: _Optional[str] = ..., seq: _Optional[int] = ...) -> None: ...

class BatchAnswer(_message.Message):
    __slots__ = ("answers",)
    ANSWERS_FIELD_NUMBER: _ClassVar[int]
    answers: _containers.RepeatedCompositeFieldContainer[RecommendAnswer]
    def __init__(self, answers: _Optional[_Iterable[_Union[RecommendAnswer, _Mapping]]] = ...) -> None: ...

class NewEvent(_message.Message):
    __slots__ = ("event_id", "user_id", "item_id", "timestamp", "event", "value")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    user_id: str
    item_id: str
    timestamp: Moment
    event: str
    value: float
    def __init__(self, event_id: _Optional[str] = ..., user_id: _Optional[str] = ..., item_id: _Optional[str] = ..., timestamp: _Optional[_Union[Moment, _Mapping]] = ..., event: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class EventBatch(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[NewEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[NewEvent, _Mapping]]] = ...) -> None: ...

class StoredEvent(_message.Message):
    __slots__ = ("event_id", "seq", "duplicate")
    EVENT_ID_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    DUPLICATE_FIELD_NUMBER: _ClassVar[int]
    event_id: str
    seq: int
    duplicate: bool
    def __init__(self, event_id: _Optional[str] = ..., seq: _Optional[int] = ..., duplicate: _Optional[bool] = ...) -> None: ...

class EventAnswer(_message.Message):
    __slots__ = ("events",)
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    events: _containers.RepeatedCompositeFieldContainer[StoredEvent]
    def __init__(self, events: _Optional[_Iterable[_Union[StoredEvent, _Mapping]]] = ...) -> None: ...

class HistoryQuery(_message.Message):
    __slots__ = ("user_id", "at", "limit")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    at: Moment
    limit: int
    def __init__(self, user_id: _Optional[str] = ..., at: _Optional[_Union[Moment, _Mapping]] = ..., limit: _Optional[int] = ...) -> None: ...

class PastEvent(_message.Message):
    __slots__ = ("item_id", "title", "timestamp", "event", "value")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    TIMESTAMP_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    VALUE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    timestamp: int
    event: str
    value: float
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., timestamp: _Optional[int] = ..., event: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...

class HistoryAnswer(_message.Message):
    __slots__ = ("user_id", "at", "count", "events")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    at: int
    count: int
    events: _containers.RepeatedCompositeFieldContainer[PastEvent]
    def __init__(self, user_id: _Optional[str] = ..., at: _Optional[int] = ..., count: _Optional[int] = ..., events: _Optional[_Iterable[_Union[PastEvent, _Mapping]]] = ...) -> None: ...

class ForecastQuery(_message.Message):
    __slots__ = ("item_id", "at")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    at: Moment
    def __init__(self, item_id: _Optional[str] = ..., at: _Optional[_Union[Moment, _Mapping]] = ...) -> None: ...

class SeriesStep(_message.Message):
    __slots__ = ("count",)
    FROM_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    count: float
    def __init__(self, count: _Optional[float] = ..., **kwargs) -> None: ...

class ForecastStep(_message.Message):
    __slots__ = ("mean", "q10", "q50", "q90")
    FROM_FIELD_NUMBER: _ClassVar[int]
    MEAN_FIELD_NUMBER: _ClassVar[int]
    Q10_FIELD_NUMBER: _ClassVar[int]
    Q50_FIELD_NUMBER: _ClassVar[int]
    Q90_FIELD_NUMBER: _ClassVar[int]
    mean: float
    q10: float
    q50: float
    q90: float
    def __init__(self, mean: _Optional[float] = ..., q10: _Optional[float] = ..., q50: _Optional[float] = ..., q90: _Optional[float] = ..., **kwargs) -> None: ...

class ForecastAnswer(_message.Message):
    __slots__ = ("item_id", "at", "step_seconds", "series", "forecast")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    STEP_SECONDS_FIELD_NUMBER: _ClassVar[int]
    SERIES_FIELD_NUMBER: _ClassVar[int]
    FORECAST_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    at: int
    step_seconds: int
    series: _containers.RepeatedCompositeFieldContainer[SeriesStep]
    forecast: _containers.RepeatedCompositeFieldContainer[ForecastStep]
    def __init__(self, item_id: _Optional[str] = ..., at: _Optional[int] = ..., step_seconds: _Optional[int] = ..., series: _Optional[_Iterable[_Union[SeriesStep, _Mapping]]] = ..., forecast: _Optional[_Iterable[_Union[ForecastStep, _Mapping]]] = ...) -> None: ...

class SimilarQuery(_message.Message):
    __slots__ = ("item_id", "k", "at")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    k: int
    at: Moment
    def __init__(self, item_id: _Optional[str] = ..., k: _Optional[int] = ..., at: _Optional[_Union[Moment, _Mapping]] = ...) -> None: ...

class SimilarItem(_message.Message):
    __slots__ = ("item_id", "title", "category", "reason", "score")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    TITLE_FIELD_NUMBER: _ClassVar[int]
    CATEGORY_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    title: str
    category: str
    reason: str
    score: float
    def __init__(self, item_id: _Optional[str] = ..., title: _Optional[str] = ..., category: _Optional[str] = ..., reason: _Optional[str] = ..., score: _Optional[float] = ...) -> None: ...

class SimilarAnswer(_message.Message):
    __slots__ = ("item_id", "items")
    ITEM_ID_FIELD_NUMBER: _ClassVar[int]
    ITEMS_FIELD_NUMBER: _ClassVar[int]
    item_id: str
    items: _containers.RepeatedCompositeFieldContainer[SimilarItem]
    def __init__(self, item_id: _Optional[str] = ..., items: _Optional[_Iterable[_Union[SimilarItem, _Mapping]]] = ...) -> None: ...

class UsersQuery(_message.Message):
    __slots__ = ("search", "limit")
    SEARCH_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    search: str
    limit: int
    def __init__(self, search: _Optional[str] = ..., limit: _Optional[int] = ...) -> None: ...

class FoundUser(_message.Message):
    __slots__ = ("user_id", "events")
    USER_ID_FIELD_NUMBER: _ClassVar[int]
    EVENTS_FIELD_NUMBER: _ClassVar[int]
    user_id: str
    events: int
    def __init__(self, user_id: _Optional[str] = ..., events: _Optional[int] = ...) -> None: ...

class UsersAnswer(_message.Message):
    __slots__ = ("users",)
    USERS_FIELD_NUMBER: _ClassVar[int]
    users: _containers.RepeatedCompositeFieldContainer[FoundUser]
    def __init__(self, users: _Optional[_Iterable[_Union[FoundUser, _Mapping]]] = ...) -> None: ...

class HealthQuery(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class PartState(_message.Message):
    __slots__ = ("ok", "seq", "behind", "models")
    class ModelsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    OK_FIELD_NUMBER: _ClassVar[int]
    SEQ_FIELD_NUMBER: _ClassVar[int]
    BEHIND_FIELD_NUMBER: _ClassVar[int]
    MODELS_FIELD_NUMBER: _ClassVar[int]
    ok: bool
    seq: int
    behind: bool
    models: _containers.ScalarMap[str, int]
    def __init__(self, ok: _Optional[bool] = ..., seq: _Optional[int] = ..., behind: _Optional[bool] = ..., models: _Optional[_Mapping[str, int]] = ...) -> None: ...

class HealthAnswer(_message.Message):
    __slots__ = ("ready", "encoder", "forecaster", "fusion", "store", "model", "now", "version")
    READY_FIELD_NUMBER: _ClassVar[int]
    ENCODER_FIELD_NUMBER: _ClassVar[int]
    FORECASTER_FIELD_NUMBER: _ClassVar[int]
    FUSION_FIELD_NUMBER: _ClassVar[int]
    STORE_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    NOW_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ready: bool
    encoder: PartState
    forecaster: PartState
    fusion: PartState
    store: PartState
    model: str
    now: int
    version: str
    def __init__(self, ready: _Optional[bool] = ..., encoder: _Optional[_Union[PartState, _Mapping]] = ..., forecaster: _Optional[_Union[PartState, _Mapping]] = ..., fusion: _Optional[_Union[PartState, _Mapping]] = ..., store: _Optional[_Union[PartState, _Mapping]] = ..., model: _Optional[str] = ..., now: _Optional[int] = ..., version: _Optional[str] = ...) -> None: ...
