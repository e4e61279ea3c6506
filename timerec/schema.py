"""Names and dtypes of every table, in one place."""

from __future__ import annotations


class Columns:
    """Column names of the tables that users bring and receive."""

    USER = "user_id"
    ITEM = "item_id"
    TIME = "timestamp"
    EVENT = "event"
    VALUE = "value"
    EVENT_ID = "event_id"
    TITLE = "title"
    CATEGORY = "category"
    TEXT = "text"
    LISTED = "listed_at"
    REQUEST = "request_id"
    RANK = "rank"
    SCORE = "score"
    REASON = "reason"


class Prepared:
    """Files and columns inside a prepared directory (all indices are dense and start at 0)."""

    MANIFEST = "manifest.json"
    EVENTS = "events"  # folder of Parquet shards: user, item, time, value, weight, kind; sorted by (user, time, item)
    USERS = "users.parquet"  # user, user_id, events
    ITEMS = "items.parquet"  # item, item_id, title, category, text, category_index, listed_at
    ATTRIBUTES = "attributes.parquet"  # item, time, one float32 column an attribute
    LOG = "log"  # memory-mapped arrays of timerec.eventlog.EventLog
    QUARANTINE = "quarantine"  # rows that were refused, each with a reason

    USER = "user"  # int32
    ITEM = "item"  # int32
    TIME = "time"  # int64, unix seconds
    VALUE = "value"  # float32, 1 where the log has none
    WEIGHT = "weight"  # float32, weight of the event kind
    KIND = "kind"  # int8, place among the manifest's `kinds`, -1 of all others
    CATEGORY_INDEX = "category_index"  # int32


class DataError(ValueError):
    """A fault in the user's data or settings that makes the result meaningless.

    The message is one sentence that names the file, the column and the cure; the command line prints it and exits with 2.
    """
