"""Stripe's form encoding, compared with the SDK's encoder."""

from __future__ import annotations

import contextlib
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stripe._encode import _api_encode

from stripe_sandbox.errors import ApiError
from stripe_sandbox.wire import forms

names = st.text("abcdefghijklmnopqrstuvwxyz_", min_size=1, max_size=8)
values = st.recursive(
    st.text(max_size=20),
    lambda inner: st.lists(inner, min_size=1, max_size=3) | st.dictionaries(names, inner, min_size=1, max_size=3),
    max_leaves=8,
)


# Hypothesis builds its Unicode table on the first draw, which takes over a second on a loaded machine.
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(names, values, max_size=5))
def test_form_encoded_by_the_sdk_is_decoded_unchanged(params: dict[str, Any]) -> None:
    text = urlencode(list(_api_encode(params)))
    assert forms.decode(text.encode()) == params


@given(st.binary(max_size=60))
def test_arbitrary_bytes_are_decoded_or_rejected(text: bytes) -> None:
    """Only `ApiError` is raised, so invalid input causes no 500."""
    with contextlib.suppress(ApiError):
        assert isinstance(forms.decode(text), dict)


@pytest.mark.parametrize(
    ("text", "params"),
    [
        (b"", {}),
        (b"a=", {"a": ""}),
        (b"a[]=1&a[]=2", {"a": ["1", "2"]}),
        (b"a%5B0%5D%5Bb%5D=x+y&a%5B1%5D%5Bb%5D=%26", {"a": [{"b": "x y"}, {"b": "&"}]}),
        (b"metadata[order_id]=1&metadata[]=2", {"metadata": {"order_id": "1", "1": "2"}}),
    ],
)
def test_nested_and_indexed_keys_are_decoded(text: bytes, params: dict[str, Any]) -> None:
    assert forms.decode(text) == params


@pytest.mark.parametrize(
    "text", [b"a=1&a[b]=2", b"a[b]=1&a=2", b"a[=1", b"[]=1", b"=1", b"a=%ff", b"a" + b"[b]" * 20 + b"=1"]
)
def test_ambiguous_or_malformed_form_is_rejected(text: bytes) -> None:
    with pytest.raises(ApiError):
        forms.decode(text)
