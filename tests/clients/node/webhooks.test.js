import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import Stripe from "stripe";
import { Receiver, orderId, pay, stripe } from "./support.js";

const receiver = new Receiver();
let endpoint;

before(async () => {
  const url = await receiver.start();
  endpoint = await stripe.webhookEndpoints.create({ url, enabled_events: ["*"], api_version: Stripe.API_VERSION });
});

after(async () => {
  await stripe.webhookEndpoints.del(endpoint.id);
  receiver.stop();
});

test("the SDK verifies the signature of a delivery and parses its payment", async () => {
  const order = orderId();
  const paid = await pay({ metadata: { order_id: order } });
  const isPaid = ({ payload }) => payload.includes(order) && payload.includes('"payment_intent.succeeded"');
  const { payload, signature } = await receiver.delivery(isPaid);

  const event = stripe.webhooks.constructEvent(payload, signature, endpoint.secret);
  assert.deepEqual([event.type, event.api_version], ["payment_intent.succeeded", Stripe.API_VERSION]);
  assert.deepEqual([event.data.object.id, event.data.object.metadata.order_id], [paid.id, order]);

  const { StripeSignatureVerificationError } = Stripe.errors;
  const forged = payload.toString().replace(order, "another-order");
  assert.throws(() => stripe.webhooks.constructEvent(forged, signature, endpoint.secret), StripeSignatureVerificationError);
  assert.throws(() => stripe.webhooks.constructEvent(payload, signature, "whsec_other"), StripeSignatureVerificationError);
});
