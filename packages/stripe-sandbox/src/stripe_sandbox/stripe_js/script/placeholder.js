// An empty box for each element that the sandbox lacks, so that a page with one of them runs: no address, no wallet.

class Placeholder extends Emitter {
  #kind;
  #box = null;

  constructor(kind) {
    super();
    this.#kind = kind;
    console.warn(`The sandbox's Stripe.js has no element of type ${kind}. It shows an empty box, which collects nothing.`);
  }

  get _kind() {
    return this.#kind;
  }

  mount(target) {
    const node = nodeAt(target);
    this.unmount();
    this.#box = document.createElement("div");
    node.classList.add("StripeElement", "StripeElement--empty");
    node.replaceChildren(this.#box);
    const box = this.#box;
    // Without `availablePaymentMethods`, a page hides the express checkout.
    setTimeout(() => { if (box === this.#box) this._emit("ready", { elementType: this.#kind }); });
    return this;
  }

  unmount() {
    this.#box?.parentElement?.classList.remove("StripeElement", "StripeElement--empty");
    this.#box?.remove();
    this.#box = null;
  }

  destroy() {
    this.unmount();
    this._emit("destroy");
  }

  async getValue() {
    return { complete: false, empty: true, isNewAddress: false, value: {} };
  }

  update() {}

  clear() {}

  focus() {}

  blur() {}

  collapse() {}
}

// Apple Pay and Google Pay: never available here. https://docs.stripe.com/js/payment_request
class PaymentRequest extends Emitter {
  async canMakePayment() {
    return null;
  }

  isShowing() {
    return false;
  }

  show() {}

  abort() {}

  update() {}
}
