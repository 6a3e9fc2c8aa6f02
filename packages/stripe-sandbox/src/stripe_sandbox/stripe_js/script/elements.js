// https://docs.stripe.com/js/elements_object

const KINDS = ["card", "payment"];

class Elements {
  #credentials;
  #options;
  #elements = new Map();
  #submitted = false;

  constructor(credentials, options) {
    this.#credentials = credentials;
    this.#options = options;
    if (options.clientSecret) intentIdOf(options.clientSecret);
  }

  get _clientSecret() {
    return this.#options.clientSecret;
  }

  // Elements created without a client secret must be submitted before the payment is confirmed.
  get _mustSubmit() {
    return !this.#options.clientSecret && Boolean(this.#options.mode) && !this.#submitted;
  }

  get _element() {
    return this.#elements.get("payment") ?? this.#elements.get("card");
  }

  create(kind, options = {}) {
    if (this.#elements.has(kind)) throw new IntegrationError(`Can only create one Element of type ${kind} through elements().`);
    const element = KINDS.includes(kind) ? this.#form(kind, options) : new Placeholder(kind);
    element.on("destroy", () => this.#elements.delete(kind));
    element.on("change", () => { this.#submitted = false; });
    this.#elements.set(kind, element);
    return element;
  }

  #form(kind, options) {
    return new Element(this.#credentials, kind, options, () => ({ appearance: this.#options.appearance ?? {} }));
  }

  getElement(kind) {
    return this.#elements.get(kind) ?? null;
  }

  update(options) {
    this.#options = { ...this.#options, ...options };
    this.#callAll("update", {});
  }

  async fetchUpdates() {
    return {};
  }

  // Show and return the first validation error.
  async submit() {
    if (!this._element) throw new IntegrationError("elements.submit() needs a mounted Element.");
    const { error } = await this._element._request("validate");
    if (error) return { error };
    this.#submitted = true;
    return { selectedPaymentMethod: "card" };
  }

  #callAll(method, argument) {
    for (const element of this.#elements.values()) element[method](argument);
  }
}
