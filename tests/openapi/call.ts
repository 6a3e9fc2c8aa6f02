// A shop's backend in a few lines: what openapi-typescript makes of openapi.json compiles, and a call through it works.
import assert from "node:assert/strict";
import createClient from "openapi-fetch";
import type { components, paths } from "./api.js";

const { API_URL, API_KEY, PAYMENT_ID } = process.env;
assert.ok(API_URL && API_KEY && PAYMENT_ID);
const client = createClient<paths>({ baseUrl: API_URL, headers: { Authorization: `Bearer ${API_KEY}` } });

const asked = await client.POST("/v1/payments/{payment_id}/refunds", {
  params: { path: { payment_id: PAYMENT_ID }, header: { "Idempotency-Key": "refund-order-1001-1" } },
  body: { amount: "5.00", reason: "requested_by_customer" },
});
const refund: components["schemas"]["Refund"] | undefined = asked.data;
assert.equal(refund?.amount, "5.00");

const read = await client.GET("/v1/refunds/{refund_id}", { params: { path: { refund_id: refund.id } } });
assert.equal(read.data?.payment_id, PAYMENT_ID);

const unknown = await client.GET("/v1/payments/{payment_id}", { params: { path: { payment_id: refund.id } } });
const problem: components["schemas"]["Problem"] | undefined = unknown.error;
assert.equal(problem?.type, "urn:payment-service:not_found");
