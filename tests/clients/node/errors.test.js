import assert from "node:assert/strict";
import test from "node:test";
import Stripe from "stripe";
import { card, clientWith, orderId, pay, stripe } from "./support.js";

const { StripeAuthenticationError, StripeIdempotencyError, StripeInvalidRequestError } = Stripe.errors;

async function refused(call, kind) {
  const error = await call.then(assert.fail, (thrown) => thrown);
  assert.ok(error instanceof kind, error);
  return error;
}

test("an unknown id is a 404 that names the parameter", async () => {
  const error = await refused(stripe.paymentIntents.retrieve("pi_unknown"), StripeInvalidRequestError);
  assert.deepEqual([error.statusCode, error.code, error.param], [404, "resource_missing", "intent"]);
  assert.equal(error.message, "No such payment_intent: 'pi_unknown'");
});

test("an unknown parameter is a 400 that names it", async () => {
  const error = await refused(stripe.paymentIntents.create({ ...card, colour: "red" }), StripeInvalidRequestError);
  assert.deepEqual([error.statusCode, error.code, error.param], [400, "parameter_unknown", "colour"]);
});

test("a key that is none is an authentication error", async () => {
  const error = await refused(clientWith("nonsense").balance.retrieve(), StripeAuthenticationError);
  assert.equal(error.statusCode, 401);
});

test("an idempotency key replays its answer, and is refused for other parameters", async () => {
  const idempotencyKey = orderId();
  const pays = { ...card, payment_method: "pm_card_visa", confirm: true };
  const first = await stripe.paymentIntents.create(pays, { idempotencyKey });
  const second = await stripe.paymentIntents.create(pays, { idempotencyKey });

  assert.equal(second.id, first.id);
  assert.equal(first.lastResponse.headers["idempotent-replayed"], undefined);
  assert.equal(second.lastResponse.headers["idempotent-replayed"], "true");
  assert.equal(second.lastResponse.idempotencyKey, idempotencyKey);

  const other = stripe.paymentIntents.create({ ...pays, amount: 2000 }, { idempotencyKey });
  assert.equal((await refused(other, StripeIdempotencyError)).statusCode, 400);
});

test("a wrong state is refused with the intent as it is", async () => {
  const paid = await pay();
  const error = await refused(stripe.paymentIntents.cancel(paid.id), StripeInvalidRequestError);
  assert.deepEqual([error.code, error.payment_intent.status], ["payment_intent_unexpected_state", "succeeded"]);
});
