import assert from "node:assert/strict";
import http from "node:http";
import test from "node:test";
import Stripe from "stripe";
import { captured, clientWith, control, card, orderId } from "./support.js";

test("SDK retries after a lost response and a 503 charge once", async (t) => {
  const order = orderId();
  const match = { method: "POST", path_prefix: "/v1/payment_intents", metadata: { order_id: order } };
  await control("POST", "/sandbox/faults", {
    rules: [
      { match, times: 1, phase: "after", action: "drop" },
      { match, times: 1, phase: "before", action: "status", code: 503 },
    ],
  });

  const agent = new http.Agent(); // the SDK leaves sockets of retried responses open, so close them after the test
  t.after(() => agent.destroy());
  const httpClient = Stripe.createNodeHttpClient(agent);
  const stripe = clientWith("sk_test_anything", { maxNetworkRetries: 2, httpClient });
  const pays = { ...card, payment_method: "pm_card_visa", confirm: true, metadata: { order_id: order } };
  const paid = await stripe.paymentIntents.create(pays);

  const { rules } = await control("GET", "/sandbox/faults");
  assert.deepEqual(rules.map((rule) => rule.injected), [1, 1]);
  assert.deepEqual([paid.status, paid.lastResponse.headers["idempotent-replayed"]], ["succeeded", "true"]);
  assert.deepEqual((await captured(order)).map((entry) => entry.payment_intent), [paid.id]);
  await control("DELETE", "/sandbox/faults");
});
