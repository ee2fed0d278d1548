"""Numbers of things, as people say them."""


def counted(n: int, one: str, many: str = "") -> str:
    """Returns "1 page" or "1,200 pages"; `many` is what follows more than one, where that is not
    `one` with an s: counted(n, "case fails", "cases fail")."""
    return f"{n:,} {one if n == 1 else many or f'{one}s'}"
