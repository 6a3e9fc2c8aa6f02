"""Which requests are plain: one reading only, whole, and nothing else in the bytes."""

from __future__ import annotations

import pytest

from payment_service.http.fast_path import read_plain

HEAD = b"POST /webhooks/stripe HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
PLAIN = HEAD + b"Stripe-Signature: t=1,v1=ab\r\nContent-Length: 2\r\n\r\n{}"


def test_a_whole_request_with_a_length_is_plain() -> None:
    request = read_plain(PLAIN)
    assert request is not None
    assert (request.path, request.body) == ("/webhooks/stripe", b"{}")
    assert dict(request.headers) == {
        "host": "test",
        "content-type": "application/json",
        "stripe-signature": "t=1,v1=ab",
        "content-length": "2",
    }


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(PLAIN[:-1], id="without its last byte"),
        pytest.param(PLAIN + b"P", id="with the start of another"),
        pytest.param(PLAIN + PLAIN, id="twice"),
        pytest.param(PLAIN[:40], id="the start of a head"),
        pytest.param(PLAIN.replace(b"POST", b"PUT"), id="another method"),
        pytest.param(PLAIN.replace(b"1.1", b"1.0"), id="HTTP/1.0"),
        pytest.param(PLAIN.replace(b"stripe ", b"stripe?x=1 "), id="a query"),
        pytest.param(PLAIN.replace(b"/stripe", b"%2Fstripe"), id="an escape in the path"),
        pytest.param(PLAIN.replace(b"Host: test\r\n", b""), id="no host"),
        pytest.param(PLAIN.replace(b"Host: test", b"Host: test\r\nhost: other"), id="two hosts"),
        pytest.param(PLAIN.replace(b"Length: 2", b"Length: 2\r\nContent-Length: 2"), id="two lengths"),
        pytest.param(PLAIN.replace(b"Length: 2", b"Length: +2"), id="a length with a sign"),
        pytest.param(PLAIN.replace(b"Length: 2", b"Length: 02"), id="a length with a zero before"),
        pytest.param(PLAIN.replace(b"Length: 2", b"Length: 2 "), id="a space after a value"),
        pytest.param(PLAIN.replace(b"Length: 2", b"Length:2"), id="no space before a value"),
        pytest.param(PLAIN.replace(b"Length: 2", b"Length : 2"), id="a space before a colon"),
        pytest.param(PLAIN.replace(b"Content-Length: 2", b"Transfer-Encoding: chunked"), id="chunks"),
        pytest.param(HEAD + b"Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n{}", id="length and chunks"),
        pytest.param(HEAD + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}", id="a connection to close"),
        pytest.param(HEAD + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n{}", id="a client that waits"),
        pytest.param(HEAD + b"X: a\nb: c\r\nContent-Length: 2\r\n\r\n{}", id="a bare LF"),
        pytest.param(HEAD + b"X: a\r\n b\r\nContent-Length: 2\r\n\r\n{}", id="a folded header"),
        pytest.param(HEAD + b"X: \xe4\r\nContent-Length: 2\r\n\r\n{}", id="not ASCII"),
        pytest.param(HEAD + b"X: " + b"a" * 5_000 + b"\r\nContent-Length: 2\r\n\r\n{}", id="a large head"),
        pytest.param(b"", id="nothing"),
    ],
)
def test_any_other_request_is_left_to_the_parser(data: bytes) -> None:
    assert read_plain(data) is None
