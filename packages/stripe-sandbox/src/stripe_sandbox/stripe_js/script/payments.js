// The steps of a payment from the click on Pay to the result.

const REDIRECT_STATUS = { succeeded: "succeeded", requires_capture: "succeeded", processing: "pending" };
const NEVER = new Promise(() => undefined); // the browser leaves the page

function returnAddress(text) {
  try {
    return new URL(text);
  } catch {
    throw new IntegrationError(`Invalid value for return_url: ${text} is not a valid URL.`);
  }
}

function leaveFor(url) {
  window.location.assign(url);
  return NEVER;
}

function returnTo(returnUrl, intent) {
  const url = returnAddress(returnUrl);
  url.searchParams.set("payment_intent", intent.id);
  url.searchParams.set("payment_intent_client_secret", intent.client_secret);
  url.searchParams.set("redirect_status", REDIRECT_STATUS[intent.status] ?? "failed");
  return leaveFor(url);
}

class Payments {
  #credentials;

  constructor(credentials) {
    this.#credentials = credentials;
  }

  async retrieve(clientSecret) {
    const path = `/v1/payment_intents/${intentIdOf(clientSecret)}`;
    return this.#result(await call(this.#credentials, "GET", path, { client_secret: clientSecret }));
  }

  async confirm(clientSecret, params) {
    const path = `/v1/payment_intents/${intentIdOf(clientSecret)}/confirm`;
    return this.#result(await call(this.#credentials, "POST", path, { ...params, client_secret: clientSecret }));
  }

  // Return the PaymentMethod's ID for an ID, a token or a form.
  async method(source, more = {}) {
    if (typeof source === "string") return { id: source };
    const { error, object } = await this.create(source, more);
    return error ? { error } : { id: object.id };
  }

  async create(source, more) {
    if (source instanceof Placeholder) {
      throw new IntegrationError(`The sandbox's Stripe.js shows an empty box for ${source._kind}. Pay with an Element of type payment or card.`);
    }
    if (source instanceof Element) return source._request("createPaymentMethod", more);
    return call(this.#credentials, "POST", "/v1/payment_methods", { type: "card", card: source, ...more });
  }

  // Let the customer complete the intent's next action, then read the result.
  async completeAction(result) {
    if (result.error) return result;
    const { paymentIntent } = result;
    if (paymentIntent.status !== "requires_action") return result;
    const action = paymentIntent.next_action;
    if (action.type === "redirect_to_url") return leaveFor(action.redirect_to_url.url);
    await challenge(action.use_stripe_sdk.stripe_js);
    const after = await this.retrieve(paymentIntent.client_secret);
    if (after.error || after.paymentIntent.status !== "requires_payment_method") return after;
    return failureOf(after.paymentIntent);
  }

  #result({ error, object }) {
    return error ? { error } : { paymentIntent: object };
  }
}
