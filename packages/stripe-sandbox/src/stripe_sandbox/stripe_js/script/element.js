// An element is an iframe with the card form. Card data stays inside it; only events and results leave it.

const READY_TIMEOUT_MS = 15000;
const STATES = ["focus", "empty", "complete", "invalid"];
const SIZES = {
  card: { width: "100%", height: "1.2em" }, // one line
  payment: { width: "calc(100% + 8px)", margin: "-4px", height: "236px" }, // room for focus rings; the form reports its real height
};

class Element extends Emitter {
  #credentials;
  #kind;
  #options;
  #setup;
  #waiting = new Map();
  #target = null;
  #frame = null;
  #port = null;
  #opened = null;
  #destroyed = false;
  #requests = 0;

  constructor(credentials, kind, options, setup) {
    super();
    this.#credentials = credentials;
    this.#kind = kind;
    this.#options = options;
    this.#setup = setup; // shared by all elements: the appearance
  }

  get _kind() {
    return this.#kind;
  }

  mount(target) {
    if (this.#destroyed) throw new IntegrationError("This Element has already been destroyed. Please create a new one.");
    const node = nodeAt(target);
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
    for (const resolve of this.#waiting.values()) resolve({ error: NO_CONNECTION });
    this.#waiting.clear();
    this.#port = this.#frame = this.#target = this.#opened = null;
  }

  destroy() {
    this.unmount();
    this.#destroyed = true;
    this._emit("destroy");
  }

  update(options) {
    this.#options = { ...this.#options, ...options };
    this.#send("update", { options: this.#options });
  }

  clear() {
    this.#send("clear");
  }

  collapse() {}

  focus() {
    this.#frame?.focus();
    this.#send("focus");
  }

  blur() {
    this.#send("blur");
  }

  // Send a request to the form. The response is {object} or {error}.
  async _request(name, params = {}) {
    if (!this.#frame?.isConnected) {
      throw new IntegrationError("We could not retrieve data from the specified Element. Please make sure the Element you are attempting to use is still mounted.");
    }
    if (!(await this.#opened)) return { error: NO_CONNECTION };
    this.#requests += 1;
    const id = this.#requests;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#send(name, { id, params });
    });
  }

  #send(name, more = {}) {
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
      if (ready) this._emit("ready", { elementType: this.#kind });
      else this._emit("loaderror", { elementType: this.#kind, error: NO_CONNECTION });
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
    else if (message.name === "response") {
      this.#waiting.get(message.id)?.(message.response);
      this.#waiting.delete(message.id);
    } else {
      this.#updateClasses(message);
      this._emit(message.name, message.payload);
    }
  }

  // The CSS classes that show a shop's stylesheet the state of an element.
  #updateClasses({ name, payload }) {
    const classes = this.#target.classList;
    if (name === "focus") classes.add("StripeElement--focus");
    if (name === "blur") classes.remove("StripeElement--focus");
    if (name !== "change") return;
    classes.toggle("StripeElement--empty", payload.empty);
    classes.toggle("StripeElement--complete", payload.complete);
    classes.toggle("StripeElement--invalid", Boolean(payload.error));
  }
}
