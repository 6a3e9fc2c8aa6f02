import assert from "node:assert/strict";
import test from "node:test";
import { control, pay, stripe } from "./support.js";

test("a list is paged newest first without gaps", async () => {
  const customer = await stripe.customers.create({ name: "Page Turner" });
  const made = [];
  for (let number = 0; number < 5; number += 1) made.unshift((await pay({ customer: customer.id })).id);

  const found = [];
  for await (const intent of stripe.paymentIntents.list({ customer: customer.id, limit: 2 })) found.push(intent.id);
  assert.deepEqual(found, made);

  const backwards = [];
  const before = stripe.paymentIntents.list({ customer: customer.id, limit: 2, ending_before: made[4] });
  for await (const intent of before) backwards.push(intent.id);
  assert.deepEqual(backwards, made.slice(0, 4).reverse());
});

test("nested objects are expanded, including the balance transaction", async () => {
  const customer = await stripe.customers.create({ email: "anna@shop.example" });
  const expand = ["customer", "payment_method", "latest_charge.balance_transaction"];
  const paid = await pay({ customer: customer.id, capture_method: "automatic", expand });

  assert.equal(paid.customer.email, "anna@shop.example");
  assert.deepEqual([paid.payment_method.card.brand, paid.payment_method.card.last4], ["visa", "4242"]);
  assert.deepEqual([paid.latest_charge.paid, paid.latest_charge.payment_method_details.type], [true, "card"]);
  const { amount, fee, net } = paid.latest_charge.balance_transaction;
  assert.deepEqual([amount, net], [1000, 1000 - fee]);
});

test("a dispute, its charge and its payment method are retrieved", async () => {
  const paid = await pay();
  const opened = await control("POST", `/sandbox/charges/${paid.latest_charge}/dispute`, { reason: "fraudulent" });

  const dispute = await stripe.disputes.retrieve(opened.id, { expand: ["charge"] });
  assert.deepEqual([dispute.status, dispute.reason, dispute.amount], ["needs_response", "fraudulent", 1000]);
  assert.deepEqual([dispute.charge.id, dispute.charge.disputed], [paid.latest_charge, true]);
  const method = await stripe.paymentMethods.retrieve(paid.payment_method);
  assert.deepEqual([method.object, method.type], ["payment_method", "card"]);
});

test("events are listed with their objects", async () => {
  const paid = await pay();
  const events = await stripe.events.list({ type: "payment_intent.succeeded", limit: 100 }).autoPagingToArray({ limit: 1000 });

  const event = events.find((one) => one.data.object.id === paid.id);
  assert.equal(event.object, "event");
  assert.deepEqual([event.data.object.object, event.data.object.amount_received], ["payment_intent", 1000]);
  assert.equal((await stripe.events.retrieve(event.id)).type, "payment_intent.succeeded");
});
