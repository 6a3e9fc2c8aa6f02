"""The table of pages: method, path, permission and function. Sections are the navigation. Providers may bring more (`table.py`)."""

from __future__ import annotations

from typing import Final

from payment_service.pages import (
    actions,
    approvals,
    attention,
    disputes,
    health,
    keys,
    payment,
    payments,
    records,
    today,
)
from payment_service.pages.permissions import Permission
from payment_service.pages.table import PageRoute, Section

SECTIONS: Final = (
    Section("today", "/", "Today", Permission.READ),
    Section("payments", "/payments", "Payments", Permission.READ),
    Section("refunds", "/refunds", "Refunds", Permission.READ),
    Section("disputes", "/disputes", "Disputes", Permission.READ),
    Section("attention", "/attention", "Needs attention", Permission.READ),
    Section("approvals", "/approvals", "Approvals", Permission.APPROVE),
    Section("health", "/health", "Health", Permission.READ),
    Section("exports", "/exports", "Exports", Permission.EXPORT),
    Section("audit", "/audit", "Audit", Permission.AUDIT),
    Section("keys", "/keys", "Keys", Permission.KEYS),
)

_PAYMENT: Final = "/payments/{id:uuid}"

ROUTES: Final = (
    PageRoute("GET", "/", Permission.READ, today.show),
    PageRoute("GET", "/payments", Permission.READ, payments.overview),
    PageRoute("GET", "/payments.csv", Permission.EXPORT, payments.export),
    PageRoute("GET", _PAYMENT, Permission.READ, payment.show),
    PageRoute("POST", _PAYMENT + "/note", Permission.NOTE, actions.add_note),
    *(
        PageRoute(method, f"{_PAYMENT}/{one.name}", one.permission, page)
        for one in actions.ACTIONS
        for method, page in (("GET", actions.form_of(one)), ("POST", actions.submit_of(one)))
    ),
    PageRoute("GET", "/refunds", Permission.READ, records.refunds),
    PageRoute("GET", "/refunds.csv", Permission.EXPORT, records.refunds_csv),
    PageRoute("GET", "/disputes", Permission.READ, disputes.overview),
    PageRoute("GET", "/disputes.csv", Permission.EXPORT, disputes.export),
    PageRoute("GET", "/disputes/{id:uuid}", Permission.READ, disputes.show),
    PageRoute("POST", "/disputes/{id:uuid}/note", Permission.NOTE, disputes.add_note),
    PageRoute("GET", "/exports", Permission.EXPORT, records.exports),
    PageRoute("GET", "/audit", Permission.AUDIT, records.audit),
    PageRoute("GET", "/audit.csv", Permission.EXPORT, records.audit_csv),
    PageRoute("GET", "/approvals", Permission.APPROVE, approvals.overview),
    PageRoute("GET", "/approvals/{id:uuid}", Permission.APPROVE, approvals.show),
    PageRoute("POST", "/approvals/{id:uuid}/approve", Permission.APPROVE, approvals.approve),
    PageRoute("POST", "/approvals/{id:uuid}/decline", Permission.APPROVE, approvals.decline),
    PageRoute("GET", "/attention", Permission.READ, attention.overview),
    PageRoute("GET", "/attention/item", Permission.PERSONAL, attention.show),
    PageRoute("POST", "/attention/retry", Permission.RESOLVE, attention.retry),
    PageRoute("POST", "/attention/resolve", Permission.RESOLVE, attention.resolve),
    PageRoute("GET", "/health", Permission.READ, health.show),
    PageRoute("GET", "/keys", Permission.KEYS, keys.overview),
    PageRoute("POST", "/keys", Permission.KEYS, keys.create),
    PageRoute("POST", "/keys/{id:uuid}/revoke", Permission.KEYS, keys.revoke),
)
