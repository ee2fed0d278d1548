"""Work on texts that come again, remembered: so much of it that its bytes have a bound, too."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
Work = Callable[Concatenate[str, P], T]


def remembered(most: int, longest: int) -> Callable[[Work[P, T]], Work[P, T]]:
    """Returns `lru_cache` for work on texts: a text of over `longest` characters, which a caller
    may send as long and as often as they like, is worked on anew."""

    def remembering(work: Work[P, T]) -> Work[P, T]:
        kept = lru_cache(most)(work)

        @wraps(work)
        def call(text: str, /, *args: P.args, **kwargs: P.kwargs) -> T:
            do = kept if len(text) <= longest else work
            return do(text, *args, **kwargs)

        return call

    return remembering
