"""Settings of the provider: the account, and how long customers have to pay."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field, field_validator

from payment_service.config.config import Duration, Settings, about


class BankTransferSettings(Settings):
    """Settings of the provider `bank_transfer`."""

    prefix = "BANK_TRANSFER_"

    bank_transfer_iban: str = Field(
        description="IBAN of the account that customers transfer to.",
        json_schema_extra=about(
            "To use another account. Open payments keep their reference.",
            needed_by="bank_transfer",
        ),
    )
    bank_transfer_holder: str = Field(
        min_length=1,
        max_length=70,  # the maximum length of a name in a SEPA transfer
        description="Holder of that account, as customers write it.",
        json_schema_extra=about("Together with the account.", needed_by="bank_transfer"),
    )
    bank_transfer_expires_after: Duration = Field(
        timedelta(days=14),
        ge=timedelta(),
        description="Replaces PAYMENT_EXPIRES_AFTER, since transfers take days: 14d, 36h; 0: never.",
        json_schema_extra=about(
            "The time for which you reserve stock for customers who transfer. Weekends and holidays count."
        ),
    )

    @field_validator("bank_transfer_iban")
    @classmethod
    def _require_iban(cls, value: str) -> str:
        from stdnum import iban  # noqa: PLC0415 - it reads the forms of all countries

        if not iban.is_valid(value):
            raise ValueError("must be an IBAN with correct check digits")
        return iban.compact(value)

    @field_validator("bank_transfer_holder")
    @classmethod
    def _require_holder(cls, value: str) -> str:
        if not value.strip() or not value.isprintable():
            raise ValueError("must be a name of printable characters")
        return value.strip()
