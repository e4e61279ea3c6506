"""Simple recommenders that any model has to beat, tuned as carefully as the model is."""

from timerec.evaluation.baselines.base import Baseline, History
from timerec.evaluation.baselines.function import FunctionBaseline, function_baseline, load_baseline
from timerec.evaluation.baselines.linear import Ease, EasePersonal, ItemKNN
from timerec.evaluation.baselines.personal import PersonalDecayed, PersonalFrequency
from timerec.evaluation.baselines.personal_trending import PersonalTrending
from timerec.evaluation.baselines.popularity import AllTimePopularity
from timerec.evaluation.baselines.tifu import TifuKNN
from timerec.evaluation.baselines.trending import DecayedPopularity, RecentPopularity
from timerec.evaluation.baselines.tune import Tuned, tune

__all__ = [
    "AllTimePopularity",
    "Baseline",
    "DecayedPopularity",
    "Ease",
    "EasePersonal",
    "FunctionBaseline",
    "History",
    "ItemKNN",
    "PersonalDecayed",
    "PersonalFrequency",
    "PersonalTrending",
    "RecentPopularity",
    "TifuKNN",
    "Tuned",
    "function_baseline",
    "load_baseline",
    "standard_baselines",
    "tune",
]


def standard_baselines(repeats: bool) -> list[Baseline]:
    """One of each, not yet fitted.

    Args:
        repeats: whether items that the user already has are on offer; where not, the personal ones have nothing of
            their own to offer and would only repeat the popularity, so they are left out.
    """
    ease = Ease(repeats)
    baselines: list[Baseline] = [AllTimePopularity(), RecentPopularity(), DecayedPopularity()]
    own: list[Baseline] = [PersonalFrequency(), PersonalDecayed(), PersonalTrending(), TifuKNN(), EasePersonal(ease)]
    return baselines + [ItemKNN(), ease] + (own if repeats else [])
