"""Names of stored KV state."""

import numpy as np
from numpy.typing import NDArray

from unified_mlx_app.identity import digest_of


def entry_key(namespace_digest: str, tokens: NDArray[np.int32]) -> str:
    """sha256 hex that names the KV state of `tokens` (1-D) in a namespace."""
    return digest_of(namespace_digest.encode(), np.ascontiguousarray(tokens, dtype="<i4").tobytes())
