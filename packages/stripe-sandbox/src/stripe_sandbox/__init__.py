"""A Stripe API that runs offline and fails on request, for tests and development.

The package is independent and imports nothing of the payment service. Inside it, imports point down this list:

- `cli`, `server`: the command and the HTTP server;
- `routes`: the route table of the API;
- `pages`, `control`, `stripe_js`: the pages for people, the control API, the replacement for Stripe.js;
- `api`: one API request from its headers to its response;
- `sandbox`: the assembled parts;
- `webhooks`: deliveries of events;
- `faults`: faults on request;
- `resources`: Stripe's objects and operations;
- `wire`: the HTTP layer of Stripe's API;
- `state`: storage, clock, timers and ledger;
- `errors`: errors in Stripe's format.

Start with `routes`, then follow a request through `api.Api.serve` into a module of `resources`.
"""
