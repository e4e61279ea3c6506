"""Simple recommenders that any model has to beat, tuned as carefully as the model is."""

from timerec.evaluation.baselines.base import Baseline, History
from timerec.evaluation.baselines.personal import PersonalDecayed, PersonalFrequency
from timerec.evaluation.baselines.personal_trending import PersonalTrending
from timerec.evaluation.baselines.popularity import AllTimePopularity
from timerec.evaluation.baselines.trending import DecayedPopularity, RecentPopularity
from timerec.evaluation.baselines.tune import Tuned, tune

__all__ = [
    "AllTimePopularity",
    "Baseline",
    "DecayedPopularity",
    "History",
    "PersonalDecayed",
    "PersonalFrequency",
    "PersonalTrending",
    "RecentPopularity",
    "Tuned",
    "standard_baselines",
    "tune",
]


def standard_baselines(repeats: bool) -> list[Baseline]:
    """One of each, not yet fitted.

    Args:
        repeats: whether items that the user already has are on offer; where not, the personal ones have nothing of
            their own to offer and would only repeat the popularity, so they are left out.
    """
    baselines: list[Baseline] = [AllTimePopularity(), RecentPopularity(), DecayedPopularity()]
    return baselines + ([PersonalFrequency(), PersonalDecayed(), PersonalTrending()] if repeats else [])
