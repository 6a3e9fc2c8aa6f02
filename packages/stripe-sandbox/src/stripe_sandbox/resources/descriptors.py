"""Statement descriptors (https://docs.stripe.com/get-started/account/statement-descriptors)."""

from __future__ import annotations

import re

from stripe_sandbox.errors import ApiError, Json, invalid

PREFIX = "SANDBOX"
CHARS_MIN = 5
CHARS_MAX = 22
FORBIDDEN = "<>\\'\"*"

_LATIN_LETTER = re.compile("[A-Za-z\u00c0-\u024f]")


def check(params: Json) -> None:
    """Raise `ApiError` 400 for a descriptor that the networks reject; an unset one passes."""
    for name in ("statement_descriptor", "statement_descriptor_suffix"):
        text: str | None = params.get(name)
        if text is None:
            continue
        if any(char in text for char in FORBIDDEN):
            raise invalid(f"The {name} can't contain any of {FORBIDDEN}", name, "invalid_characters")
        if _LATIN_LETTER.search(text) is None:
            raise invalid(f"The {name} must contain at least one Latin letter.", name)
        if name == "statement_descriptor" and len(text) < CHARS_MIN:
            raise invalid(f"The {name} must be at least {CHARS_MIN} characters.", name)


def not_for_cards() -> ApiError:
    return invalid(
        "The statement_descriptor parameter is not supported for card charges. Use statement_descriptor_suffix instead.",
        "statement_descriptor",
        "payment_intent_invalid_parameter",
    )


def of_charge(suffix: str | None) -> Json:
    """Return a card charge's fields: the account's prefix, then as much of the suffix as fits."""
    whole = f"{PREFIX}* {suffix}"[:CHARS_MAX] if suffix else PREFIX
    return {"calculated_statement_descriptor": whole, "statement_descriptor_suffix": suffix}
