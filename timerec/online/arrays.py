"""Weights as compiled passes take them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from torch import Tensor


def array_of(tensor: Tensor) -> NDArray[np.float32]:
    """A copy of a tensor on the processor, which training does not change."""
    return tensor.detach().numpy().copy()
