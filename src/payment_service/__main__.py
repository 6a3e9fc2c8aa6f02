"""`python -m payment_service`, the same as the command `payment-service`."""

from __future__ import annotations

from payment_service.cli import main

if __name__ == "__main__":
    main()
