"""Report words that Stripe has added since this version, once per word. Stripe's enumerations are open."""

from __future__ import annotations

from typing import Final

import structlog

from payment_service.provider.stripe.api_versions import API_VERSION, OWN, major_of
from payment_service.telemetry import metrics

log = structlog.get_logger(__name__)

# Signed events and responses carry a handful of new words. The limit bounds memory and the log.
_REPORTED_MAX: Final = 100
_reported: set[tuple[str, str]] = set()


def report_unknown(field: str, word: str) -> None:
    """Count an unknown word of a field, and log it the first time."""
    metrics.PROVIDER_UNKNOWN_VALUES.labels("stripe", field).inc()
    if _is_new(field, word):
        log.warning("provider_value_unknown", provider="stripe", field=field, value=word[:100])


def report_version(version: object) -> None:
    """Count an event that was not rendered in a version of our major, and log its version the first time."""
    major = major_of(version)
    if major is OWN:
        return
    metrics.PROVIDER_FOREIGN_VERSIONS.labels("stripe", major.name if major else "unsupported").inc()
    if _is_new("api_version", str(version)):
        log.warning(
            "provider_version_differs",
            provider="stripe",
            version=str(version)[:100],
            own_version=API_VERSION,
            supported=major is not None,
        )


def _is_new(field: str, word: str) -> bool:
    key = (field, word[:100])
    if key in _reported or len(_reported) >= _REPORTED_MAX:
        return False
    _reported.add(key)
    return True
