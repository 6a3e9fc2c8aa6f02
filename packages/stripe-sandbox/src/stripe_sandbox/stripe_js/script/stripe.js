// https://docs.stripe.com/js: `Stripe(publishableKey, options)` and what it returns.

// Without these, a page would fail with "is not a function".
const NOT_COVERED = [
  "collectBankAccountForPayment",
  "collectBankAccountForSetup",
  "confirmAffirmPayment",
  "confirmCardSetup",
  "confirmIdealPayment",
  "confirmKlarnaPayment",
  "confirmPayPalPayment",
  "confirmSepaDebitPayment",
  "confirmSepaDebitSetup",
  "confirmSetup",
  "confirmUsBankAccountPayment",
  "confirmUsBankAccountSetup",
  "createConfirmationToken",
  "createEmbeddedCheckoutPage",
  "createSource",
  "createToken",
  "initCheckout",
  "initEmbeddedCheckout",
  "redirectToCheckout",
  "retrieveSetupIntent",
  "retrieveSource",
  "verifyIdentity",
];

class StripeObject {
  #credentials;
  #payments;

  constructor(key, options) {
    this.#credentials = { key, account: options.stripeAccount };
    this.#payments = new Payments(this.#credentials);
  }

  elements(options = {}) {
    return new Elements(this.#credentials, options);
  }

  async retrievePaymentIntent(clientSecret) {
    return this.#payments.retrieve(clientSecret);
  }

  // Takes ({type: "card", card: element}), ({elements, params}) or the legacy form ("card", element, data).
  async createPaymentMethod(first, element, data = {}) {
    const given = typeof first === "string" ? { type: first, card: element, ...data } : first;
    const { elements, params, type, card, ...more } = given;
    if (!elements && type !== "card") throw new IntegrationError("The sandbox's Stripe.js supports only PaymentMethods of type card.");
    const source = elements ? elements._element : card;
    if (!source) throw new IntegrationError("createPaymentMethod() needs an Element or a token.");
    const { error, object } = await this.#payments.create(source, elements ? params : more);
    return error ? { error } : { paymentMethod: object };
  }

  paymentRequest() {
    return new PaymentRequest();
  }

  async confirmCardPayment(clientSecret, data = {}, options = {}) {
    intentIdOf(clientSecret);
    const { payment_method: given, ...more } = data;
    const drive = options.handleActions !== false;
    if (!given && drive) {
      const now = await this.#payments.retrieve(clientSecret);
      if (now.error || now.paymentIntent.status === "requires_action") return this.#payments.completeAction(now);
    }
    const params = { ...more, use_stripe_sdk: drive || !more.return_url };
    if (given) {
      const { card, ...details } = typeof given === "string" ? {} : given;
      const method = await this.#payments.method(card ?? given, details);
      if (method.error) return { error: method.error };
      params.payment_method = method.id;
    }
    const result = await this.#payments.confirm(clientSecret, params);
    return drive ? this.#payments.completeAction(result) : result;
  }

  async confirmPayment({ elements, clientSecret, confirmParams = {}, redirect = "always" }) {
    const secret = clientSecret ?? elements?._clientSecret;
    if (!secret) throw new IntegrationError("stripe.confirmPayment() needs a clientSecret. Pass it to confirmPayment() or to elements().");
    intentIdOf(secret);
    const { return_url: returnUrl, payment_method_data: details = {}, payment_method: named, ...more } = confirmParams;
    if (redirect === "always" && !returnUrl) {
      throw new IntegrationError('stripe.confirmPayment() needs confirmParams.return_url, or redirect: "if_required".');
    }
    if (returnUrl) returnAddress(returnUrl);
    if (elements?._mustSubmit) throw new IntegrationError("elements.submit() must be called before stripe.confirmPayment().");
    const source = named ?? elements?._element;
    if (!source) throw new IntegrationError("stripe.confirmPayment() needs a mounted Element or confirmParams.payment_method.");
    const { type, ...known } = details;
    const method = await this.#payments.method(source, known);
    if (method.error) return { error: method.error };
    const params = { ...more, payment_method: method.id, return_url: returnUrl, use_stripe_sdk: true };
    const result = await this.#payments.completeAction(await this.#payments.confirm(secret, params));
    return redirect === "always" && result.paymentIntent ? returnTo(returnUrl, result.paymentIntent) : result;
  }

  async handleCardAction(clientSecret) {
    return this.#payments.completeAction(await this.#payments.retrieve(clientSecret));
  }

  async handleNextAction({ clientSecret }) {
    return this.handleCardAction(clientSecret);
  }

  // Called by Stripe's npm packages to identify themselves.
  registerAppInfo() {}

  _registerWrapper() {}
}

for (const name of NOT_COVERED) {
  StripeObject.prototype[name] = async () => {
    throw new IntegrationError(`The sandbox's Stripe.js does not cover stripe.${name}(). docs/sandbox.md lists what it covers.`);
  };
}

window.Stripe = function Stripe(key, options = {}) {
  if (typeof key !== "string" || !key.startsWith("pk_")) {
    throw new IntegrationError("Please call Stripe() with your publishable key, which starts with pk_. Never put a secret key in a page.");
  }
  return new StripeObject(key, options);
};
window.Stripe.version = 3;
