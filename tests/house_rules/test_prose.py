"""The prose counter counts sentences, forbidden openings and forbidden words, and nothing that is code."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.count_prose import count, prose, sentences

COUNTER = Path(__file__).parents[2] / "scripts" / "count_prose.py"
COUNTER_LINES_MAX = 60  # it is a ratchet, not a style checker

MARKDOWN = """# A heading has no sentence

A claim belongs to a worker. It ends
after five seconds, see [the rule](docs/rules.md#nine).

- Run `make fmt` first.
- Then read https://example.com/a.b and run it.

    an indented block. What does not count

```sh
one fenced block. Who counts it
```

| Name | Meaning |
|---|---|
| `due_at` | When the call is due. |
"""
SENTENCES = [
    "A claim belongs to a worker.",
    "It ends after five seconds, see [the rule~.",
    "- Run ~ first.",
    "- Then read ~ and run it.",
    "When the call is due.",
]

PYTHON = '''"""Own the queue."""
# Retry once,
# then give up.
LIMIT = 5  # noqa: S105 - Stripe allows five.
PATH = "What a string says is not prose."


class Queue:
    """Hold the calls."""

    async def put(self):
        """Add one call.

        Raise when it is full.
        """
'''


def test_headings_code_and_addresses_are_no_sentences() -> None:
    assert list(sentences(MARKDOWN)) == SENTENCES


def test_words_in_code_spans_and_links_are_not_counted() -> None:
    average, _ = count([MARKDOWN])
    assert average == pytest.approx((6 + 8 + 2 + 5 + 5) / 5)


def test_docstrings_and_comments_are_read_and_strings_are_not() -> None:
    found = ["Own the queue.", "Hold the calls.", "Add one call.", "Raise when it is full."]
    comments = ["Retry once, then give up.", "Stripe allows five."]
    assert sorted(sentences(prose(PYTHON))) == sorted(found + comments)


@pytest.mark.parametrize("opening", ["What", "Who", "Whether", "Those", "One"])
def test_forbidden_openings_are_found(opening: str) -> None:
    text = f"A call is made. {opening} it makes is done. **{opening}** it makes is done. It is {opening.lower()} call."
    assert len(count([text])[1][0]) == 2


@pytest.mark.parametrize(
    "planted",
    [
        "A record is announced.",
        "The caller was told.",
        "The call waits for a person.",
        "A peer took up the work.",
        "Mend the fault.",
        "The refund was made by hand.",
        "The order was cancelled.",
        "The charge is authorised.",
        "How endings are stored.",
    ],
)
def test_forbidden_words_are_found(planted: str) -> None:
    assert len(count([f"A call is made. {planted}"])[1][1]) == 1


@pytest.mark.parametrize(
    "harmless",
    [
        "It reads orders.cancelled and sets ORDERS_CANCELLED_REFUND.",
        "The topic is `orders.cancelled`.",
        "A foreign key needs an index.",
        "Normalize line endings.",
        "Print the newspaper heartbeat.",
        "The payment is canceled.",
    ],
)
def test_harmless_words_are_not_found(harmless: str) -> None:
    assert count([harmless])[1] == [[], []]


def test_the_counter_stays_small() -> None:
    assert len(COUNTER.read_text().splitlines()) <= COUNTER_LINES_MAX
