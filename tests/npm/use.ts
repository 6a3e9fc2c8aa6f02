// Use the installed package: types, retries with one idempotency key, errors, and every record that the service publishes.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createPaymentService, items, NoAnswerError, PaymentServiceError, readEvent, TOPICS, unwrap } from "payment-service-client";
import type { Schemas } from "payment-service-client";

const { API_URL = "", API_KEY = "", PAYMENT_ID = "", RECORDS = "" } = process.env;

const broken = () => new ReadableStream({ pull: (body) => body.error(new TypeError("terminated")) });
type Fetch = (request: Request) => Promise<Response>;
const serviceWith = (fetch: Fetch, maxRetries = 3) => createPaymentService({ baseUrl: API_URL, apiKey: API_KEY, fetch, maxRetries });
const service = serviceWith(fetch);

// The first answer is lost, the second is of a proxy, the third breaks off: the refund is made once.
const keys: (string | null)[] = [];
const flaky = serviceWith(async (request) => {
  keys.push(request.headers.get("idempotency-key"));
  const response = await fetch(request);
  if (keys.length === 1) throw new TypeError("connection reset");
  if (keys.length === 2) return new Response("<html>", { status: 502 });
  return keys.length === 3 ? new Response(broken(), response) : response;
});
const refund: Schemas["Refund"] = await unwrap(
  flaky.POST("/v1/payments/{payment_id}/refunds", { params: { path: { payment_id: PAYMENT_ID } }, body: { amount: "5.00" } }),
);
assert.equal(keys.length, 4);
assert.equal(new Set(keys).size, 1);
assert.match(keys[0] ?? "", /^[0-9a-f-]{36}$/);

const refunds: Schemas["Refund"][] = [];
for await (const one of items((cursor) =>
  service.GET("/v1/payments/{payment_id}/refunds", { params: { path: { payment_id: PAYMENT_ID }, query: { cursor, limit: 1 } } }),
)) {
  refunds.push(one);
}
assert.deepEqual(refunds.map((one) => [one.id, one.amount]), [[refund.id, "5.00"]]);

const refused = service.POST("/v1/payments/{payment_id}/cancel", {
  params: { path: { payment_id: PAYMENT_ID }, header: { "Idempotency-Key": "cancel-1" } },
  body: {},
});
await assert.rejects(unwrap(refused), (error) => {
  assert(error instanceof PaymentServiceError);
  assert.deepEqual([error.status, error.code, error.idempotencyKey], [409, "not_allowed", "cancel-1"]);
  return true;
});

let attempts = 0;
const dead = serviceWith(async () => Promise.reject(new TypeError(`no network ${++attempts}`)), 1);
await assert.rejects(dead.GET("/v1/checkout", { params: { query: { order_id: "order-1" } } }), NoAnswerError);
assert.equal(attempts, 2);

const withLineEnd = () => createPaymentService({ baseUrl: API_URL, apiKey: "psk_1\n" });
assert.throws(withLineEnd, /^TypeError: The API key is empty or has line ends/);

// A caller that gives up gets its own error, at once.
const impatient = dead.GET("/v1/checkout", { params: { query: { order_id: "order-1" } }, signal: AbortSignal.abort("changed my mind") });
await assert.rejects(impatient, (error) => !(error instanceof NoAnswerError));
attempts = 2;

const busy = serviceWith(async () => (attempts++, new Response(null, { status: 503, headers: { "Retry-After": "31" } })));
const answer = await busy.GET("/v1/checkout", { params: { query: { order_id: "order-1" } } });
assert.deepEqual([answer.response.status, attempts], [503, 3]);

const records: { topic: string; value: string; headers: Record<string, string> }[] = JSON.parse(await readFile(RECORDS, "utf8"));
for (const { topic, value, headers } of records) {
  const event = readEvent(topic, Buffer.from(value), headers);
  assert.equal(event?.id, headers["ce_id"]);
  assert.equal(event?.data.order_id, JSON.parse(value).order_id);
}
assert.deepEqual([...new Set(records.map((record) => record.topic))].sort(), [...TOPICS]);
assert.equal(readEvent("payments.added_later", Buffer.from("{}"), {}), undefined);
