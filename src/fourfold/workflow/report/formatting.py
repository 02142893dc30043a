"""Numbers as the report prints them."""

from __future__ import annotations

from fourfold.workflow.report.language import Text, words

ABSENT = "–"


def fixed(value: float | None, digits: int = 2) -> str:
    return ABSENT if value is None else f"{value:.{digits}f}".replace("-", "−")


def percent(value: float | None) -> str:
    return ABSENT if value is None else f"{100 * value:.0f} %".replace("-", "−")


def points(value: float) -> str:
    """A difference of two rates in percentage points, with its sign."""
    return f"{100 * value:+.0f}".replace("-", "−")


def interval(low: float | None, high: float | None, digits: int = 2) -> str:
    return "" if low is None or high is None else f"{fixed(low, digits)} – {fixed(high, digits)}"


def percent_interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f"{100 * low:.0f} – {100 * high:.0f} %".replace("-", "−")


def count(value: float | None) -> str:
    return ABSENT if value is None else f"{value:,.0f}"


def short_count(value: float | None) -> str:
    """1,234 as 1.2k, 2e12 as 2T."""
    if value is None:
        return ABSENT
    for size, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g}{unit}"
    return f"{value:.0f}"


def size(value: float | None) -> str:
    """Bytes in decimal units."""
    if value is None:
        return ABSENT
    for unit_size, unit in ((1e9, "GB"), (1e6, "MB"), (1e3, "kB")):
        if value >= unit_size:
            return f"{value / unit_size:.3g} {unit}"
    return f"{value:.0f} B"


def duration(seconds: float | None) -> Text:
    """Seconds in the unit a reader would use."""
    if seconds is None:
        return Text(ABSENT, ABSENT)
    if seconds < 60:
        amount = f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.2g}"
        return words("seconds", n=amount)
    if seconds < 3600:
        return words("minutes", n=f"{seconds / 60:.1f}".removesuffix(".0"))
    return words("hours", n=f"{seconds / 3600:.1f}".removesuffix(".0"))
