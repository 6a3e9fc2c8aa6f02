import assert from "node:assert/strict";
import test from "node:test";
import Stripe from "stripe";
import { card, clientWith, orderId, pay, stripe } from "./support.js";

const { StripeAuthenticationError, StripeIdempotencyError, StripeInvalidRequestError } = Stripe.errors;

async function rejected(call, kind) {
  const error = await call.then(assert.fail, (thrown) => thrown);
  assert.ok(error instanceof kind, error);
  return error;
}

test("an unknown ID is a 404 that names the parameter", async () => {
  const error = await rejected(stripe.paymentIntents.retrieve("pi_unknown"), StripeInvalidRequestError);
  assert.deepEqual([error.statusCode, error.code, error.param], [404, "resource_missing", "intent"]);
  assert.equal(error.message, "No such payment_intent: 'pi_unknown'");
});

test("an unknown parameter is a 400 that names it", async () => {
  const error = await rejected(stripe.paymentIntents.create({ ...card, color: "red" }), StripeInvalidRequestError);
  assert.deepEqual([error.statusCode, error.code, error.param], [400, "parameter_unknown", "color"]);
});

test("an invalid key is an authentication error", async () => {
  const error = await rejected(clientWith("nonsense").balance.retrieve(), StripeAuthenticationError);
  assert.equal(error.statusCode, 401);
});

test("an idempotency key replays its response and rejects other parameters", async () => {
  const idempotencyKey = orderId();
  const pays = { ...card, payment_method: "pm_card_visa", confirm: true };
  const first = await stripe.paymentIntents.create(pays, { idempotencyKey });
  const second = await stripe.paymentIntents.create(pays, { idempotencyKey });

  assert.equal(second.id, first.id);
  assert.equal(first.lastResponse.headers["idempotent-replayed"], undefined);
  assert.equal(second.lastResponse.headers["idempotent-replayed"], "true");
  assert.equal(second.lastResponse.idempotencyKey, idempotencyKey);

  const other = stripe.paymentIntents.create({ ...pays, amount: 2000 }, { idempotencyKey });
  assert.equal((await rejected(other, StripeIdempotencyError)).statusCode, 400);
});

test("an operation in the wrong status is rejected with the intent", async () => {
  const paid = await pay();
  const error = await rejected(stripe.paymentIntents.cancel(paid.id), StripeInvalidRequestError);
  assert.deepEqual([error.code, error.payment_intent.status], ["payment_intent_unexpected_state", "succeeded"]);
});
