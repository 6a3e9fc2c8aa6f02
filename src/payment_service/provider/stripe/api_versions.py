"""Stripe's API versions: our pin, and the rules by which objects of each supported version are read.

Stripe renders a webhook in the version of its endpoint, or of the account if the endpoint has none, and a response in
the version of its request (https://docs.stripe.com/api/versioning). Only a major version changes existing fields
(https://docs.stripe.com/changelog). So one row per major says what differs in the objects that the service reads.
An object of any other version is not read: the service reads it again in its own version.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

# The version of every request, and of the webhook endpoint that the manual tells operators to create.
API_VERSION: Final = "2026-08-26.dahlia"

_VERSION: Final = re.compile(r"([0-9]{4}-[0-9]{2}-[0-9]{2})\.([a-z]{1,32})")
# The changelog entry about partial captures and cancellations.
_BASIL: Final = "https://docs.stripe.com/changelog/basil/2025-03-31/remove-refund-from-partial-capture-and-payment-cancellation-flow"


@dataclass(frozen=True, slots=True, kw_only=True)
class Major:
    """The rules of a major version, from its first release `since` on.

    `releases_are_refunds`: a partial capture or a cancellation makes a Refund of the released part, which carries no
    metadata, and adds it to the charge's `amount_refunded`.
    """

    name: str
    since: str
    releases_are_refunds: bool
    source: str


# The pinned major, the two before it, the last one with another rule, and the one that new accounts get. `stripe` 16.1.0
# is generated from 2026-10-28.endive and has every field that the service reads.
MAJORS: Final = (
    Major(name="acacia", since="2024-09-30", releases_are_refunds=True, source=_BASIL),
    Major(name="basil", since="2025-03-31", releases_are_refunds=False, source=_BASIL),
    Major(
        name="clover", since="2025-09-30", releases_are_refunds=False, source="https://docs.stripe.com/changelog/clover"
    ),
    Major(
        name="dahlia", since="2026-03-25", releases_are_refunds=False, source="https://docs.stripe.com/changelog/dahlia"
    ),
    Major(
        name="endive",
        since="2026-09-30",
        releases_are_refunds=False,
        source="https://docs.stripe.com/changelog/endive",
    ),
)
_BY_NAME: Final = {major.name: major for major in MAJORS}
OWN: Final = _BY_NAME[API_VERSION.rpartition(".")[2]]


def major_of(version: object) -> Major | None:
    """Return the rules of a version such as `2026-08-26.dahlia`. Return None if it is not supported."""
    match = _VERSION.fullmatch(version) if isinstance(version, str) else None
    if match is None:
        return None
    major = _BY_NAME.get(match[2])
    return major if major is not None and match[1] >= major.since else None


def compare_versions(endpoints: Sequence[str], account: str) -> tuple[str, str]:
    """Compare the versions of the webhook endpoints and of the account with ours. Return the finding and the fix.

    The fix is empty if all are of our major version, whose monthly releases render existing fields alike.
    """
    seen = [*(f"endpoint {version or 'unknown'}" for version in endpoints), f"account {account or 'unknown'}"]
    found = f"service {API_VERSION}, {', '.join(seen)}"
    if any(major_of(version) is not OWN for version in endpoints):
        reads = any(major_of(version) is None for version in endpoints)
        cost = "; each event of an unsupported version costs a read" if reads else ""
        return f"{found}{cost}", f"add an endpoint with API version {API_VERSION}, then remove the old one"
    if account and major_of(account) is not OWN:
        fix = f"check that every endpoint and program sets its version, then upgrade the account to {OWN.name} in Workbench"
        return found, fix
    return found, ""
