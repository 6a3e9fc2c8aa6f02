// The events of an element: https://docs.stripe.com/js/element/events

class Emitter {
  #listeners = new Map();

  on(event, listener) {
    this.#listeners.set(event, [...(this.#listeners.get(event) ?? []), listener]);
    return this;
  }

  once(event, listener) {
    const first = (payload) => {
      this.off(event, first);
      listener(payload);
    };
    return this.on(event, first);
  }

  off(event, listener) {
    const others = (this.#listeners.get(event) ?? []).filter((one) => listener && one !== listener);
    this.#listeners.set(event, others);
    return this;
  }

  _emit(event, payload) {
    for (const listener of this.#listeners.get(event) ?? []) listener(payload);
  }
}

function nodeAt(target) {
  const node = typeof target === "string" ? document.querySelector(target) : target;
  if (!node) throw new IntegrationError(`The selector you specified (${target}) applies to no DOM elements that are currently on the page.`);
  return node;
}
