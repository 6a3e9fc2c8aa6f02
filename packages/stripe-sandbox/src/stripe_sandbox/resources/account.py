"""The account of the API key (https://docs.stripe.com/api/accounts/retrieve)."""

from __future__ import annotations

from stripe_sandbox.errors import Json
from stripe_sandbox.state.unit_of_work import Reply, UnitOfWork

# Every sandbox is the same account, so that a sandbox that lost its state is not another one.
ACCOUNT_ID = "acct_1SandboxAccount000"


def retrieve(work: UnitOfWork, params: Json, path: Json) -> Reply:
    """Return the account with the fields that do not depend on its setup."""
    return Reply(
        {
            "id": ACCOUNT_ID,
            "object": "account",
            "business_profile": None,
            "business_type": None,
            "charges_enabled": True,
            "country": "US",
            "default_currency": "usd",
            "details_submitted": True,
            "email": None,
            "groups": None,
            "payouts_enabled": True,
            "settings": None,
            "type": "standard",
        }
    )
