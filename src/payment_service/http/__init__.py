"""The HTTP API: `/v1`, webhooks, health, metrics and the API description, on two ports.

`app` lists all routes. A module per resource (`payments`, `refunds`, `captures`, `checkout`) parses the request, calls a
flow and renders the result; `problems` renders every error. `openapi` and `responses` describe the API.

It may import flows and everything below them, but not `kafka`. Start reading at `app`.
"""
