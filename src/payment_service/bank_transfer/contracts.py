"""Models of the provider: the data for a customer's transfer, and the output of its commands with `--json`."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from pydantic import BaseModel, Field


class BankTransferPay(BaseModel):
    """Data for a customer's bank transfer of `amount`."""

    provider: Literal["bank_transfer"] = Field(description="Pay by bank transfer.")
    iban: str = Field(description="IBAN of the account to pay to.", examples=["DE02120300000000202051"])
    account_holder: str = Field(description="Holder of the account.", examples=["A Shop Ltd"])
    reference: str = Field(
        description="The transfer must contain it: payments are matched by it.", examples=["RF18539007547034"]
    )


class StatementLine(BaseModel):
    """The result of one transfer."""

    line: int | None = Field(None, description="Line number in the file, from 1; null for a confirmed transfer.")
    transaction_id: str | None = Field(None, description="The bank's id of the transfer.")
    amount: str | None = Field(None, description="Amount as a decimal; null if the line is outgoing or cannot be read.")
    currency: str | None = Field(None, description="Its currency, ISO 4217 in lower case.")
    result: str = Field(
        description="paid; parked (it names a payment but does not match it); unmatched (it contains no known reference); "
        "known (imported before); contradicted (imported before with another amount or payment); outgoing; bad (cannot be read)."
    )
    payment_id: UUID | None = None
    reference: str | None = None
    reason: str = Field("", description="Reason why it was parked or refused.")


class Statement(BaseModel):
    """A bank statement, line by line."""

    data: list[StatementLine]
