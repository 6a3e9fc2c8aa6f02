"""The parameters of each operation (https://docs.stripe.com/api/payment_intents)."""

from __future__ import annotations

from stripe_sandbox.resources.dispute_objects import COMPELLING, EVIDENCE_TEXTS, TRANSACTION_TEXTS
from stripe_sandbox.resources.method_types import method_types
from stripe_sandbox.resources.pagination import list_fields
from stripe_sandbox.wire.parameters import (
    Parser,
    Schema,
    an_object,
    array,
    boolean,
    integer,
    mapping,
    metadata,
    one_of,
    text,
    unset_or,
    unsettable,
)

EXPAND = array(text())
DESCRIPTION_CHARS = 1000
DESCRIPTOR_CHARS = 22

_ADDRESS = mapping({name: unsettable() for name in ("city", "country", "line1", "line2", "postal_code", "state")})
BILLING_DETAILS = mapping(
    {
        "address": unset_or(_ADDRESS),
        "email": unsettable(),
        "name": unsettable(),
        "phone": unsettable(),
        "tax_id": unsettable(),
    }
)
SHIPPING = mapping(
    {
        "address": _ADDRESS,
        "carrier": unsettable(),
        "name": text(),
        "phone": unsettable(),
        "tracking_number": unsettable(),
    },
    required=("address", "name"),
)
BANK_ACCOUNT = mapping(
    {
        "account_holder_type": one_of("company", "individual"),
        "account_number": text(),
        "account_type": one_of("checking", "savings"),
        "financial_connections_account": text(),
        "routing_number": text(),
    }
)
MANDATE = mapping(
    {
        "customer_acceptance": mapping(
            {
                "accepted_at": integer,
                "offline": an_object,
                "online": mapping({"ip_address": text(), "user_agent": text()}, required=("ip_address", "user_agent")),
                "type": one_of("offline", "online"),
            },
            required=("type",),
        )
    },
    required=("customer_acceptance",),
)
RADAR = mapping({"referrer": unsettable(), "session": text()})
CARD = mapping(
    {
        "cvc": text(),
        "exp_month": integer,
        "exp_year": integer,
        "networks": mapping({"preferred": one_of("cartes_bancaires", "mastercard", "visa")}),
        "number": text(),
        "token": text(),
    }
)
CAPTURE_METHOD = one_of("automatic", "automatic_async", "manual")
METHOD_TYPE = one_of("card", "us_bank_account", "sepa_debit")
METHOD_TYPES = method_types(METHOD_TYPE.allowed)
METHOD_DATA = mapping(
    {
        "type": METHOD_TYPE,
        "allow_redisplay": one_of("always", "limited", "unspecified"),
        "billing_details": BILLING_DETAILS,
        "card": CARD,
        "metadata": metadata,
        "radar_options": mapping({"session": text()}),
        "sepa_debit": mapping({"iban": text()}, required=("iban",)),
        "us_bank_account": BANK_ACCOUNT,
    },
    required=("type",),
)

_SHARED: dict[str, Parser] = {
    "capture_method": CAPTURE_METHOD,
    "expand": EXPAND,
    "excluded_payment_method_types": unset_or(array(text())),
    "payment_method": text(),
    "payment_method_data": METHOD_DATA,
    "payment_method_options": an_object,
    "payment_method_types": METHOD_TYPES,
    "receipt_email": unsettable(),
    "setup_future_usage": unset_or(one_of("off_session", "on_session")),
    "shipping": unset_or(SHIPPING),
}

_DESCRIBED: dict[str, Parser] = {
    "amount": integer,
    "currency": text(),
    "customer": text(),
    "description": unsettable(DESCRIPTION_CHARS),
    "metadata": metadata,
    "statement_descriptor": unsettable(DESCRIPTOR_CHARS),
    "statement_descriptor_suffix": unsettable(DESCRIPTOR_CHARS),
    "transfer_group": text(),
}

_CONFIRMING: dict[str, Parser] = {
    "error_on_requires_action": boolean,
    "mandate_data": unset_or(MANDATE),
    "off_session": one_of("true", "false", "one_off", "recurring"),
    "radar_options": RADAR,
    "return_url": text(),
    "use_stripe_sdk": boolean,
}

CREATE_INTENT = Schema(
    {
        **_SHARED,
        **_DESCRIBED,
        **_CONFIRMING,
        "automatic_payment_methods": mapping(
            {"allow_redirects": one_of("always", "never"), "enabled": boolean},
            required=("enabled",),
        ),
        "confirm": boolean,
        "confirmation_method": one_of("automatic", "manual"),
    },
    required=("amount", "currency"),
)
UPDATE_INTENT = Schema({**_SHARED, **_DESCRIBED})
CONFIRM_INTENT = Schema({**_SHARED, **_CONFIRMING, "client_secret": text()})
CAPTURE_INTENT = Schema(
    {
        "amount_to_capture": integer,
        "expand": EXPAND,
        "final_capture": boolean,
        "metadata": metadata,
        "statement_descriptor": text(DESCRIPTOR_CHARS),
        "statement_descriptor_suffix": text(DESCRIPTOR_CHARS),
    }
)
CANCEL_INTENT = Schema(
    {
        "cancellation_reason": one_of("abandoned", "duplicate", "fraudulent", "requested_by_customer"),
        "expand": EXPAND,
    }
)
NO_PARAMETERS = Schema({})
RETRIEVE = Schema({"expand": EXPAND})
RETRIEVE_INTENT = Schema({"client_secret": text(), "expand": EXPAND})
LIST_INTENTS = Schema(list_fields(customer=text()))
LIST_CHARGES = Schema(list_fields(customer=text(), payment_intent=text()))
LIST_EVENTS = Schema(list_fields(type=text(), types=array(text()), delivery_success=boolean))
LIST_ENDPOINTS = Schema({name: parser for name, parser in list_fields().items() if name != "created"})
CREATE_METHOD = Schema(
    {
        "type": METHOD_TYPE,
        "allow_redisplay": one_of("always", "limited", "unspecified"),
        "billing_details": BILLING_DETAILS,
        "card": CARD,
        "expand": EXPAND,
        "metadata": metadata,
        "sepa_debit": mapping({"iban": text()}, required=("iban",)),
        "us_bank_account": BANK_ACCOUNT,
    },
    required=("type",),
)
_ENDPOINT: dict[str, Parser] = {
    "description": unsettable(),
    "enabled_events": array(text()),
    "expand": EXPAND,
    "metadata": metadata,
    "url": text(),
}
CREATE_ENDPOINT = Schema(
    {**_ENDPOINT, "api_version": text(), "connect": boolean},
    required=("enabled_events", "url"),
)
UPDATE_ENDPOINT = Schema({**_ENDPOINT, "disabled": boolean})

# https://docs.stripe.com/api/refunds
CREATE_REFUND = Schema(
    {
        "amount": integer,
        "charge": text(),
        "expand": EXPAND,
        "instructions_email": text(),
        "metadata": metadata,
        "payment_intent": text(),
        "reason": one_of("duplicate", "fraudulent", "requested_by_customer"),
    }
)
UPDATE_REFUND = Schema({"expand": EXPAND, "metadata": metadata})
LIST_REFUNDS = Schema(list_fields(charge=text(), payment_intent=text()))
LIST_REFUNDS_OF_CHARGE = Schema({name: parser for name, parser in list_fields().items() if name != "created"})

# https://docs.stripe.com/api/balance_transactions
LIST_BALANCE_TRANSACTIONS = Schema(list_fields(currency=text(), payout=text(), source=text(), type=text()))

# https://docs.stripe.com/api/disputes
EVIDENCE_CHARS = 20_000
_FEE_ACKNOWLEDGED = mapping({"fee_acknowledged": boolean})
_TRANSACTION: dict[str, Parser] = {**{name: unsettable() for name in TRANSACTION_TEXTS}, "shipping_address": _ADDRESS}
_COMPELLING = mapping(
    {
        "disputed_transaction": mapping(
            {**_TRANSACTION, "merchandise_or_services": one_of("merchandise", "services")},
        ),
        "prior_undisputed_transactions": array(mapping({**_TRANSACTION, "charge": text()}, required=("charge",))),
    }
)
_ENHANCED_EVIDENCE = mapping(
    {"mastercard_compliance": _FEE_ACKNOWLEDGED, COMPELLING: _COMPELLING, "visa_compliance": _FEE_ACKNOWLEDGED}
)
UPDATE_DISPUTE = Schema(
    {
        "evidence": mapping(
            {
                **{name: unsettable(EVIDENCE_CHARS) for name in EVIDENCE_TEXTS},
                "enhanced_evidence": unset_or(_ENHANCED_EVIDENCE),
            }
        ),
        "expand": EXPAND,
        "metadata": metadata,
        "submit": boolean,
    }
)
LIST_DISPUTES = Schema(list_fields(charge=text(), payment_intent=text()))

# https://docs.stripe.com/api/customers
_PRODUCT: dict[str, Parser] = {
    "active": boolean,
    "description": unsettable(),
    "expand": EXPAND,
    "metadata": metadata,
    "name": text(),
}
CREATE_PRODUCT = Schema({**_PRODUCT, "id": text()}, required=("name",))
UPDATE_PRODUCT = Schema(_PRODUCT)
CREATE_CUSTOMER = Schema(
    {
        "address": unset_or(_ADDRESS),
        "balance": integer,
        "description": unsettable(),
        "email": unsettable(512),
        "expand": EXPAND,
        "invoice_prefix": text(),
        "metadata": metadata,
        "name": unsettable(256),
        "next_invoice_sequence": integer,
        "payment_method": text(),
        "phone": unsettable(20),
        "preferred_locales": array(text()),
        "shipping": unset_or(
            mapping({"address": _ADDRESS, "name": text(), "phone": text()}, required=("address", "name"))
        ),
        "tax_exempt": one_of("", "exempt", "none", "reverse"),
    }
)
ATTACH_METHOD = Schema({"customer": text(), "expand": EXPAND}, required=("customer",))
