import assert from "node:assert/strict";
import test from "node:test";
import Stripe from "stripe";
import { card, control, orderId, pay, stripe } from "./support.js";

test("a payment is created, confirmed and updated with metadata", async () => {
  const order = orderId();
  const made = await stripe.paymentIntents.create({ ...card, metadata: { order_id: order } });
  assert.equal(made.status, "requires_payment_method");

  const paid = await stripe.paymentIntents.confirm(made.id, { payment_method: "pm_card_visa" });
  assert.deepEqual([paid.status, paid.amount_received, paid.last_payment_error], ["succeeded", 1000, null]);

  const changed = await stripe.paymentIntents.update(made.id, { metadata: { note: "gift" } });
  assert.deepEqual({ ...changed.metadata }, { order_id: order, note: "gift" });
  assert.match(changed.lastResponse.requestId, /^req_/);
});

test("a declined intent returns a card error and is paid with another card", async () => {
  const made = await stripe.paymentIntents.create(card);
  const declined = stripe.paymentIntents.confirm(made.id, { payment_method: "pm_card_chargeDeclinedInsufficientFunds" });
  const error = await declined.then(assert.fail, (thrown) => thrown);

  assert.ok(error instanceof Stripe.errors.StripeCardError, error);
  assert.deepEqual(
    [error.type, error.statusCode, error.code, error.decline_code],
    ["StripeCardError", 402, "card_declined", "insufficient_funds"],
  );
  assert.match(error.charge, /^ch_/);
  assert.equal(error.payment_intent.status, "requires_payment_method");

  const paid = await stripe.paymentIntents.confirm(made.id, { payment_method: "pm_card_mastercard" });
  assert.deepEqual([paid.id, paid.status], [made.id, "succeeded"]);
});

test("an authorization is captured partially", async () => {
  const authorized = await pay({ capture_method: "manual" });
  assert.deepEqual([authorized.status, authorized.amount_capturable, authorized.amount_received], ["requires_capture", 1000, 0]);

  const paid = await stripe.paymentIntents.capture(authorized.id, { amount_to_capture: 700 });
  assert.deepEqual([paid.status, paid.amount_capturable, paid.amount_received], ["succeeded", 0, 700]);
});

test("a partial refund limits the refundable remainder", async () => {
  const paid = await pay();
  const refund = await stripe.refunds.create({ payment_intent: paid.id, amount: 400, reason: "requested_by_customer" });
  assert.deepEqual([refund.object, refund.status, refund.amount], ["refund", "succeeded", 400]);
  assert.deepEqual([refund.payment_intent, refund.charge], [paid.id, paid.latest_charge]);

  const charge = await stripe.charges.retrieve(paid.latest_charge, { expand: ["refunds"] });
  assert.deepEqual([charge.amount_refunded, charge.refunded], [400, false]);
  assert.deepEqual(charge.refunds.data.map((one) => one.id), [refund.id]);

  const error = await stripe.refunds.create({ payment_intent: paid.id, amount: 601 }).then(assert.fail, (thrown) => thrown);
  assert.ok(error instanceof Stripe.errors.StripeInvalidRequestError, error);
});

test("a payment succeeds after 3-D Secure", async () => {
  const waiting = await pay({ payment_method: "pm_card_threeDSecure2Required", return_url: "https://shop.example/done" });
  assert.deepEqual([waiting.status, waiting.next_action.type], ["requires_action", "redirect_to_url"]);
  assert.equal(waiting.next_action.redirect_to_url.return_url, "https://shop.example/done");

  await control("POST", `/sandbox/payment_intents/${waiting.id}/authenticate`, { outcome: "succeed" });
  assert.equal((await stripe.paymentIntents.retrieve(waiting.id)).status, "succeeded");
});
