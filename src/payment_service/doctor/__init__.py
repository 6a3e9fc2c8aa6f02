"""`payment-service doctor`, whose checks the page *Health* shows too: every dependency of the service, a line each, with the fix.

Start reading at `checks.py`. `contracts/findings.py` has the lines of the report.
"""
