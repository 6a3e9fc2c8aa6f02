"""People, their roles, and the one table of what each role may do."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


class Role(StrEnum):
    """A role, which a group of the identity provider or a one-time link gives."""

    VIEWER = "viewer"
    SUPPORT = "support"
    FINANCE = "finance"
    OPERATOR = "operator"


class Permission(StrEnum):
    """A thing that a page shows or does."""

    READ = "read payments, refunds and disputes"
    PERSONAL = "see personal fields"
    EXPORT = "export lists as CSV"
    NOTE = "write notes"
    REFUND = "refund up to the limit"
    REFUND_ANY = "refund any amount"
    APPROVE = "approve refunds of others"
    CANCEL = "cancel unpaid payments"
    CAPTURE = "capture authorized payments"
    BANK = "import bank statements and record transfers"
    AUDIT = "read the audit"
    RESOLVE = "retry and resolve what needs attention"
    REPUBLISH = "publish records again"
    KEYS = "create and revoke API keys"


_EVERYBODY: Final = frozenset(Role)
_STAFF: Final = _EVERYBODY - {Role.VIEWER}
_MONEY: Final = frozenset({Role.SUPPORT, Role.FINANCE})
_FINANCE: Final = frozenset({Role.FINANCE})
_OPERATOR: Final = frozenset({Role.OPERATOR})

HOLDERS: Final[dict[Permission, frozenset[Role]]] = {
    Permission.READ: _EVERYBODY,
    Permission.PERSONAL: _STAFF,
    Permission.EXPORT: _FINANCE,
    Permission.NOTE: _STAFF,
    Permission.REFUND: _MONEY,
    Permission.REFUND_ANY: _FINANCE,
    Permission.APPROVE: _MONEY,
    Permission.CANCEL: _MONEY,
    Permission.CAPTURE: _FINANCE,
    Permission.BANK: _FINANCE,
    Permission.AUDIT: _FINANCE | _OPERATOR,
    Permission.RESOLVE: _OPERATOR,
    Permission.REPUBLISH: _OPERATOR,
    Permission.KEYS: _OPERATOR,
}


@dataclass(frozen=True, slots=True)
class Person:
    """A person who is logged in. `name` enters the audit. `session` is random per login; empty for a proxy's headers."""

    name: str
    roles: frozenset[Role]
    session: str = ""

    def may(self, permission: Permission) -> bool:
        """Return whether one of the person's roles has the permission."""
        return bool(self.roles & HOLDERS[permission])

    @property
    def role_names(self) -> str:
        """Return the roles in the order of the table."""
        return ", ".join(role.value for role in Role if role in self.roles)
