"""Numbers and texts as they are read."""

__all__ = ["duration", "joules", "short", "words_of"]


def short(number: float) -> str:
    """Four digits at most, with the field's letters for thousands and so on."""
    for size, letter in ((1e9, " G"), (1e6, " M"), (1e4, " k")):
        if number >= size:
            return f"{number / min(size, 1e3 if letter == ' k' else size):.3g}{letter}"
    return f"{number:,.0f}"


def duration(seconds: float) -> str:
    """In the unit that fits."""
    if seconds >= 60:
        return f"{seconds / 60:.1f} min"
    for size, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds * 1e6:.3g} µs"


def joules(energy: float) -> str:
    """In the unit that fits."""
    for size, unit in ((1.0, "J"), (1e-3, "mJ"), (1e-6, "µJ"), (1e-9, "nJ")):
        if energy >= size:
            return f"{energy / size:.3g} {unit}"
    return f"{energy * 1e12:.3g} pJ"


def words_of(text: str, longest: int | None = None) -> str:
    """A text without what cannot be shown, and cut if it is long."""
    shown = "".join(letter if letter.isprintable() or letter in "\n\t" else "·" for letter in text[:longest])
    return shown if longest is None or len(text) <= longest else f"{shown} …"
