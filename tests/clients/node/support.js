// The official SDK with only its API base changed, and the sandbox's control API.
// scripts/test-clients sets SANDBOX_URL.

import { randomUUID } from "node:crypto";
import http from "node:http";
import { buffer } from "node:stream/consumers";
import Stripe from "stripe";

export const base = new URL(process.env.SANDBOX_URL);

export function clientWith(key, more = {}) {
  return new Stripe(key, { protocol: "http", host: base.hostname, port: base.port, ...more });
}

export const stripe = clientWith("sk_test_anything");
export const card = { amount: 1000, currency: "usd", payment_method_types: ["card"] };

export function orderId() {
  return `node-${randomUUID()}`;
}

/** Create a confirmed payment of 10.00 USD. `more` overrides its parameters. */
export function pay(more = {}) {
  return stripe.paymentIntents.create({ ...card, payment_method: "pm_card_visa", confirm: true, ...more });
}

export async function control(method, path, body) {
  const response = await fetch(new URL(path, base), {
    method,
    headers: { "Content-Type": "application/json" },
    body: body && JSON.stringify(body),
  });
  if (!response.ok) throw new Error(await response.text());
  return response.json();
}

/** Return the captures for an order. More than one is a double charge. */
export async function captured(order) {
  const { data } = await control("GET", "/sandbox/ledger");
  return data.filter((entry) => entry.effect === "charge.captured" && entry.metadata.order_id === order);
}

/** A shop's web server. `delivery(matches)` waits for the first delivery that matches. */
export class Receiver {
  #deliveries = [];
  #waiting = [];

  async start() {
    this.server = http.createServer(async (request, response) => {
      const payload = await buffer(request);
      response.end();
      this.#record({ payload, signature: request.headers["stripe-signature"] });
    });
    await new Promise((listening) => this.server.listen(0, "127.0.0.1", listening));
    return `http://127.0.0.1:${this.server.address().port}/webhooks`;
  }

  stop() {
    this.server.close();
    this.server.closeAllConnections();
  }

  delivery(matches) {
    const found = this.#deliveries.find(matches);
    return found ? Promise.resolve(found) : new Promise((resolve) => this.#waiting.push({ matches, resolve }));
  }

  #record(delivery) {
    this.#deliveries.push(delivery);
    this.#waiting.filter(({ matches }) => matches(delivery)).forEach(({ resolve }) => resolve(delivery));
  }
}
