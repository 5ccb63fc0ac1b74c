"""How a network is made narrower: one rule for all of them."""


def scaled(channels: int, width: float, multiple: int = 4) -> int:
    """Return `channels * width`, rounded to a multiple (at least one of it); exact at width 1.

    Args:
        channels: the official channel count.
        width: 1.0 is the official network; the starter weights are narrower.
        multiple: keeps vector lanes full; channel counts below it are never scaled up.
    """
    if width == 1.0:
        return channels
    return max(min(multiple, channels), round(channels * width / multiple) * multiple)
