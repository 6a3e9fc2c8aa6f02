"""Webhook signatures: each invalid delivery is refused with its reason, and no other exception is raised."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from stripe import SignatureVerificationError, WebhookSignature

from payment_service.provider.port import SignatureRefused
from payment_service.provider.stripe.signatures import verify

NOW = 1_790_000_000
SECRET = "whsec_the_current_one"
OLD_SECRET = "whsec_the_one_before"
BODY = b'{"id":"evt_1","amount":1990}'
TEXT = st.text(st.characters(codec="utf-8"), max_size=200)
FULL_WIDTH = "".join(chr(0xFF10 + int(digit)) for digit in str(NOW))


def sign(body: bytes = BODY, *, secret: str = SECRET, at: int = NOW) -> str:
    """Return the header that Stripe would send, made by the official SDK."""
    return str(WebhookSignature.generate_signature_header(body.decode(), secret, at))


def signature(**changes: Any) -> str:
    """Return only the hexadecimal digits of a signature."""
    return sign(**changes).partition("v1=")[2]


def refusal(header: str | None, body: bytes = BODY) -> str:
    """Return the reason why a delivery is refused; fail if it is accepted."""
    with pytest.raises(SignatureRefused) as caught:
        verify(body, header, [SECRET], now_s=NOW)
    return caught.value.reason


@pytest.mark.parametrize(
    "header",
    [
        sign(),
        f"t={NOW},v1={signature(secret='whsec_other')},v1={signature()}",
        f"t={NOW},v0={'0' * 64},v1={signature()},v2=anything at all",
        f"v1={signature()},t={NOW}",
        sign(at=NOW - 300),
        sign(at=NOW + 300),
    ],
)
def test_valid_signatures_are_accepted(header: str) -> None:
    """Cases: several signatures during rotation, other schemes, and small differences between clocks."""
    assert verify(BODY, header, [SECRET], now_s=NOW) == "secret-1"


@given(body=TEXT, signed=TEXT, secret=st.sampled_from([SECRET, OLD_SECRET]))
def test_the_verdict_is_that_of_the_official_sdk(body: str, signed: str, secret: str) -> None:
    for about in (body, signed):
        header = sign(about.encode(), secret=secret)
        try:
            WebhookSignature.verify_header(body, header, SECRET)
            official = True
        except SignatureVerificationError:
            official = False
        try:
            ours = verify(body.encode(), header, [SECRET], now_s=NOW) == "secret-1"
        except SignatureRefused:
            ours = False
        assert ours is official


def test_the_label_names_the_secret_that_matched() -> None:
    """Operators see when the old secret is no longer in use. The label holds nothing of the secret."""
    assert verify(BODY, sign(secret=OLD_SECRET), [SECRET, OLD_SECRET], now_s=NOW) == "secret-2"


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (None, "missing_header"),
        ("", "missing_header"),
        ("t=", "malformed_header"),
        (f"t={NOW}", "malformed_header"),
        (f"v1={signature()}", "malformed_header"),
        (f"v0={signature()}", "malformed_header"),
        (f"t={NOW},v0={signature()}", "malformed_header"),
        (f"t={NOW}, v1={signature()}", "malformed_header"),
        (f"t={NOW},v1={signature().upper()}", "malformed_header"),
        (f"t={NOW},v1={signature()[:-1]}", "malformed_header"),
        (f"t={NOW},v1={signature()}=", "malformed_header"),
        (f"t={NOW},v1={'é' * 64}", "malformed_header"),
        (f"t={NOW},v1={'g' * 64}", "malformed_header"),
        (f"t={NOW},t={NOW},v1={signature()}", "malformed_header"),
        (f"t=1_790_000_000,v1={signature()}", "malformed_header"),
        (f"t=+{NOW},v1={signature()}", "malformed_header"),
        (f"t= {NOW},v1={signature()}", "malformed_header"),
        (f"{sign()}, {sign()}", "malformed_header"),
        (f"{sign()},", "malformed_header"),
        (f"t=0{NOW},v1={signature()}", "malformed_header"),
        (f"t={FULL_WIDTH},v1={signature()}", "malformed_header"),
        (f"t={'9' * 5000},v1={signature()}", "malformed_header"),
        (f"t={NOW}" + f",v1={signature()}" * 9, "malformed_header"),
        (f"t={NOW},v1={signature()},x={'y' * 4096}", "malformed_header"),
        (sign(at=NOW - 301), "stale"),
        (sign(at=NOW + 301), "future"),
        (sign(secret="whsec_of_another_endpoint"), "no_match"),
        (f"t={NOW + 1},v1={signature()}", "no_match"),
        (sign(b"{}"), "no_match"),
    ],
)
def test_invalid_signatures_are_refused_with_a_reason(header: str | None, reason: str) -> None:
    """Each reason is a label value of the metric."""
    assert refusal(header) == reason


def test_a_body_that_is_not_utf8_is_refused() -> None:
    """The SDK alone would raise UnicodeDecodeError here."""
    assert refusal(sign(), b"\xff\xfe") == "not_utf8"


@given(
    header=st.text(max_size=300)
    | st.lists(st.sampled_from(["t=", "v1=", ",", "=", str(NOW), "a" * 64, "é", "v0=", " "])).map("".join)
)
def test_any_header_raises_only_a_refusal(header: str) -> None:
    """Try random headers."""
    with pytest.raises(SignatureRefused):
        verify(BODY, header, [SECRET], now_s=NOW)


@given(position=st.integers(0, 200), bit=st.integers(0, 6), in_body=st.booleans())
def test_one_flipped_bit_in_body_time_or_signature_is_refused(position: int, bit: int, in_body: bool) -> None:
    """The signature covers the time and every byte."""
    header, body = bytearray(sign().encode()), bytearray(BODY)
    target = body if in_body else header
    target[position % len(target)] ^= 1 << bit
    with pytest.raises(SignatureRefused):
        verify(bytes(body), header.decode("latin-1"), [SECRET], now_s=NOW)
