"""Names and values of options and metrics, as a reader expects them."""

ABBREVIATIONS = {
    "d": "D",
    "dim": "dimension",
    "dims": "dimensions",
    "ema": "EMA",
    "elbo": "ELBO",
    "iwae": "IWAE",
    "kl": "KL",
    "nll": "NLL",
    "num": "number of",
}


def name(key: str) -> str:
    """Write out a name: `test/kl_nats` becomes `test KL (nats)`."""
    quantity = key.removesuffix("_nats")
    words = quantity.replace("/", " ").replace("_", " ").split(" ")
    unit = " (nats)" if quantity != key else ""
    return " ".join(ABBREVIATIONS.get(word, word) for word in words) + unit


def sentence(text: str) -> str:
    """Begin with a capital letter, and end with a full stop."""
    return f"{text[:1].upper()}{text[1:].removesuffix('.')}."


def value(x: object) -> str:
    """Write out the value of an option."""
    if isinstance(x, bool):
        return "yes" if x else "no"
    if isinstance(x, tuple | list):
        return ", ".join(map(value, x))
    return f"{x:g}" if isinstance(x, float) else str(x)
