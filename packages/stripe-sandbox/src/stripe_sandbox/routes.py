"""The route table of the API."""

from __future__ import annotations

from stripe_sandbox.api import Operation
from stripe_sandbox.resources import (
    account,
    balance_transactions,
    captures,
    charges,
    customers,
    disputes,
    endpoints,
    events,
    intents,
    payment_methods,
    products,
    refunds,
    schemas,
)

INTENT = "/v1/payment_intents/{id}"

OPERATIONS = (
    Operation("POST", "/v1/payment_intents", intents.create, schemas.CREATE_INTENT),
    Operation("GET", "/v1/payment_intents", intents.list_all, schemas.LIST_INTENTS),
    Operation("GET", INTENT, intents.retrieve, schemas.RETRIEVE_INTENT, publishable=True),
    Operation("POST", INTENT, intents.update, schemas.UPDATE_INTENT),
    Operation("POST", INTENT + "/confirm", intents.confirm, schemas.CONFIRM_INTENT, publishable=True),
    Operation("POST", INTENT + "/capture", captures.capture, schemas.CAPTURE_INTENT),
    Operation("POST", INTENT + "/cancel", intents.cancel, schemas.CANCEL_INTENT),
    Operation("GET", "/v1/charges", charges.list_all, schemas.LIST_CHARGES),
    Operation("GET", "/v1/charges/{id}", charges.retrieve, schemas.RETRIEVE),
    Operation("GET", "/v1/charges/{id}/refunds", refunds.list_of_charge, schemas.LIST_REFUNDS_OF_CHARGE),
    Operation("POST", "/v1/refunds", refunds.create, schemas.CREATE_REFUND),
    Operation("GET", "/v1/refunds", refunds.list_all, schemas.LIST_REFUNDS),
    Operation("GET", "/v1/refunds/{id}", refunds.retrieve, schemas.RETRIEVE),
    Operation("POST", "/v1/refunds/{id}", refunds.update, schemas.UPDATE_REFUND),
    Operation("POST", "/v1/refunds/{id}/cancel", refunds.cancel, schemas.RETRIEVE),
    Operation("POST", "/v1/payment_methods", payment_methods.create, schemas.CREATE_METHOD, publishable=True),
    Operation("GET", "/v1/payment_methods/{id}", payment_methods.retrieve, schemas.RETRIEVE),
    Operation("GET", "/v1/events", events.list_all, schemas.LIST_EVENTS),
    Operation("GET", "/v1/events/{id}", events.retrieve, schemas.RETRIEVE),
    Operation("POST", "/v1/webhook_endpoints", endpoints.create, schemas.CREATE_ENDPOINT),
    Operation("GET", "/v1/webhook_endpoints", endpoints.list_all, schemas.LIST_ENDPOINTS),
    Operation("GET", "/v1/webhook_endpoints/{id}", endpoints.retrieve, schemas.RETRIEVE),
    Operation("POST", "/v1/webhook_endpoints/{id}", endpoints.update, schemas.UPDATE_ENDPOINT),
    Operation("DELETE", "/v1/webhook_endpoints/{id}", endpoints.delete, schemas.NO_PARAMETERS),
    Operation("POST", "/v1/payment_methods/{id}/attach", customers.attach, schemas.ATTACH_METHOD),
    Operation("POST", "/v1/customers", customers.create, schemas.CREATE_CUSTOMER),
    Operation("GET", "/v1/customers/{id}", customers.retrieve, schemas.RETRIEVE),
    Operation("POST", "/v1/products", products.create, schemas.CREATE_PRODUCT),
    Operation("GET", "/v1/products/{id}", products.retrieve, schemas.RETRIEVE),
    Operation("POST", "/v1/products/{id}", products.update, schemas.UPDATE_PRODUCT),
    Operation("DELETE", "/v1/products/{id}", products.delete, schemas.NO_PARAMETERS),
    Operation("GET", "/v1/account", account.retrieve, schemas.RETRIEVE),
    Operation("GET", "/v1/disputes", disputes.list_all, schemas.LIST_DISPUTES),
    Operation("GET", "/v1/disputes/{id}", disputes.retrieve, schemas.RETRIEVE),
    Operation("POST", "/v1/disputes/{id}", disputes.update, schemas.UPDATE_DISPUTE),
    Operation("POST", "/v1/disputes/{id}/close", disputes.close, schemas.RETRIEVE),
    Operation("GET", "/v1/balance", balance_transactions.balance, schemas.RETRIEVE),
    Operation("GET", "/v1/balance_transactions", balance_transactions.list_all, schemas.LIST_BALANCE_TRANSACTIONS),
    Operation("GET", "/v1/balance_transactions/{id}", balance_transactions.retrieve, schemas.RETRIEVE),
)
