"""The operators' pages: what support, finance and operations see and do, rendered on the server.

The pages call the same flows as the API and the command line (`flows/requests`, `flows/operators`) and read through `db`.
They own no rule about money. A page is a function in the table of `routes.py`, with the permission that it needs.
`permissions.py` says who has which. `guard.py` identifies the person, checks permission, origin and token, and turns a
refusal into a page. The package may import `http` and everything below it. Start reading at `routes.py`.
"""
