"""The guard of stored events: no card number stays, and no id that the provider or we assigned is lost."""

from __future__ import annotations

import json

import pytest

from payment_service.domain.guard import clean_payload

CARD = "4111111111111111"
EVENT_ID = f"evt_3af2d{CARD}ab12"
INTENT_ID = f"pi_3af2d{CARD}ab12"
# A name-based UUID whose digits are a card number.
PAYMENT_ID = "41111111-1111-5005-a117-abcdefabcdef"


@pytest.mark.parametrize(
    "event",
    [
        {"id": EVENT_ID, "object": "event", "data": {"object": {"id": INTENT_ID, "object": "payment_intent"}}},
        {"data": {"object": {"id": f"ch_3af2d{CARD}ab12", "payment_intent": INTENT_ID}}},
        {"data": {"object": {"latest_charge": f"ch_3af2d{CARD}ab12", "payment_method": f"pm_3af2d{CARD}ab12"}}},
        {"data": {"object": {"metadata": {"payment_id": PAYMENT_ID, "refund_id": PAYMENT_ID}}}},
    ],
)
def test_an_id_of_an_object_stays(event: object) -> None:
    """With a masked id, an event would be about nothing, and an intent would be canceled as another one of its payment."""
    text = json.dumps(event)
    assert json.loads(clean_payload(text)) == event


@pytest.mark.parametrize(
    "event",
    [
        {"id": CARD},
        {"id": f"card {CARD}"},
        {"id": f"evt_{CARD}"},
        {"payment_intent": [CARD]},
        {"payment_intent": int(CARD)},
        {"description": INTENT_ID},
        {"metadata": {"id": INTENT_ID}},
        {"metadata": {"payment_id": CARD}},
        {"metadata": {"order_id": PAYMENT_ID.replace("a", "0")}},
        {"metadata": {"nested": {"payment_intent": INTENT_ID}}},
        {INTENT_ID: ""},
    ],
)
def test_a_card_number_anywhere_else_is_masked(event: object) -> None:
    assert CARD not in clean_payload(json.dumps(event)).replace("-", "")
