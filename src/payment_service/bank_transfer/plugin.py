"""The plugin: all that the provider brings to the service. Its commands have an entry point of their own (`cli`)."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from payment_service.bank_transfer.attention import ATTENTION
from payment_service.bank_transfer.contracts import BankTransferPay
from payment_service.bank_transfer.provider import BankTransfer
from payment_service.bank_transfer.settings import BankTransferSettings
from payment_service.provider.plugins import Plugin

_MIGRATIONS: Final = files(__package__) / "migrations"

PLUGIN: Final = Plugin(
    settings=BankTransferSettings,
    make=BankTransfer,
    pay=BankTransferPay,
    migrations=((_MIGRATIONS / "0001_ledger.sql").read_text(),),
    rights={
        "bank_intents": "SELECT, INSERT, UPDATE (ended_at, status)",
        "bank_refunds": "SELECT, INSERT, UPDATE (failure, status, updated_at)",
        "bank_transfers": "SELECT, INSERT, UPDATE (outcome, reference)",
    },
    attention=ATTENTION,
)
