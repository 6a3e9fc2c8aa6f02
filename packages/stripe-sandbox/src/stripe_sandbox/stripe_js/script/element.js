// An element is an iframe with the card form. What is typed stays in there; events and results come out of it.

const READY_TIMEOUT_MS = 15000;
const STATES = ["focus", "empty", "complete", "invalid"];
const SIZES = {
  card: { width: "100%", height: "1.2em" }, // one line
  payment: { width: "calc(100% + 8px)", margin: "-4px", height: "236px" }, // room for focus rings; it tells its height
};

class Element {
  #credentials;
  #kind;
  #options;
  #setup;
  #listeners = new Map();
  #waiting = new Map();
  #target = null;
  #frame = null;
  #port = null;
  #opened = null;
  #destroyed = false;
  #requests = 0;

  constructor(credentials, kind, options, setup) {
    this.#credentials = credentials;
    this.#kind = kind;
    this.#options = options;
    this.#setup = setup; // of all elements: appearance
  }

  get _kind() {
    return this.#kind;
  }

  mount(target) {
    if (this.#destroyed) throw new IntegrationError("This Element has already been destroyed. Please create a new one.");
    const node = typeof target === "string" ? document.querySelector(target) : target;
    if (!node) throw new IntegrationError(`The selector you specified (${target}) applies to no DOM elements that are currently on the page.`);
    if (this.#target === node && this.#frame?.isConnected) return this;
    this.unmount();
    this.#target = node;
    this.#frame = this.#embed(node);
    return this;
  }

  unmount() {
    this.#port?.close();
    this.#frame?.remove();
    this.#target?.classList.remove("StripeElement", ...STATES.map((state) => `StripeElement--${state}`));
    for (const settle of this.#waiting.values()) settle({ error: NO_CONNECTION });
    this.#waiting.clear();
    this.#port = this.#frame = this.#target = this.#opened = null;
  }

  destroy() {
    this.unmount();
    this.#destroyed = true;
    this.#emit("destroy");
  }

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

  update(options) {
    this.#options = { ...this.#options, ...options };
    this.#tell("update", { options: this.#options });
  }

  clear() {
    this.#tell("clear");
  }

  focus() {
    this.#frame?.focus();
    this.#tell("focus");
  }

  blur() {
    this.#tell("blur");
  }

  // Ask the form for something; the answer is {object} or {error}.
  async _ask(name, params = {}) {
    if (!this.#frame?.isConnected) {
      throw new IntegrationError("We could not retrieve data from the specified Element. Please make sure the Element you are attempting to use is still mounted.");
    }
    if (!(await this.#opened)) return { error: NO_CONNECTION };
    this.#requests += 1;
    const id = this.#requests;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#tell(name, { id, params });
    });
  }

  #tell(name, more = {}) {
    this.#port?.postMessage({ name, ...more });
  }

  #embed(node) {
    const frame = document.createElement("iframe");
    frame.src = `${ORIGIN}/v3/form`;
    frame.title = "Secure card payment input frame";
    frame.allow = "payment";
    Object.assign(frame.style, { border: "0", display: "block", colorScheme: "normal", ...SIZES[this.#kind] });
    this.#opened = new Promise((resolve) => {
      frame.addEventListener("load", () => this.#connect(frame, resolve));
      setTimeout(() => resolve(false), READY_TIMEOUT_MS);
    });
    this.#opened.then((ready) => {
      if (frame !== this.#frame) return;
      if (ready) this.#emit("ready", { elementType: this.#kind });
      else this.#emit("loaderror", { elementType: this.#kind, error: NO_CONNECTION });
    });
    node.classList.add("StripeElement", "StripeElement--empty");
    node.replaceChildren(frame);
    return frame;
  }

  #connect(frame, ready) {
    this.#port?.close();
    const channel = new MessageChannel();
    this.#port = channel.port1;
    channel.port1.onmessage = ({ data }) => this.#receive(data, ready);
    const setup = { kind: this.#kind, credentials: this.#credentials, options: this.#options, ...this.#setup() };
    frame.contentWindow.postMessage({ name: "open", ...setup }, ORIGIN, [channel.port2]);
  }

  #receive(message, ready) {
    if (message.name === "ready") ready(true);
    else if (message.name === "resize") this.#frame.style.height = `${message.height}px`;
    else if (message.name === "submit") this.#target.closest("form")?.requestSubmit();
    else if (message.name === "answer") {
      this.#waiting.get(message.id)?.(message.answer);
      this.#waiting.delete(message.id);
    } else {
      this.#mark(message);
      this.#emit(message.name, message.payload);
    }
  }

  // The classes by which a shop's stylesheet knows the state of an element.
  #mark({ name, payload }) {
    const marks = this.#target.classList;
    if (name === "focus") marks.add("StripeElement--focus");
    if (name === "blur") marks.remove("StripeElement--focus");
    if (name !== "change") return;
    marks.toggle("StripeElement--empty", payload.empty);
    marks.toggle("StripeElement--complete", payload.complete);
    marks.toggle("StripeElement--invalid", Boolean(payload.error));
  }

  #emit(event, payload) {
    for (const listener of this.#listeners.get(event) ?? []) listener(payload);
  }
}
