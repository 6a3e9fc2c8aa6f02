// The card form inside the iframe. It sends the shop's page its state and, on request, a PaymentMethod. The card number
// goes only to the API.

const fields = cardFields();
const [number, expiry, cvc] = fields;
const form = document.getElementById("card");
const brand = document.getElementById("brand");
let port = null;
let kind = "card";
let credentials = null;
let focused = false;
let last = "";

const send = (name, more = {}) => port?.postMessage({ name, ...more });

function state() {
  const shown = fields.find((field) => field.problem)?.problem;
  const complete = fields.every((field) => !field.wrong);
  const common = { elementType: kind, empty: fields.every((field) => field.empty), complete };
  if (kind === "payment") return { ...common, collapsed: false, value: { type: "card" } };
  return { ...common, brand: brandOf(number.digits).name, error: shown ?? undefined, value: { postalCode: "" } };
}

function changed() {
  const found = brandOf(number.digits);
  brand.textContent = found.label;
  brand.dataset.brand = found.name;
  cvc.input.placeholder = found.cvc === 4 ? "4 digits" : "CVC";
  const payload = state();
  const text = JSON.stringify(payload);
  if (text !== last) send("change", { payload });
  last = text;
}

function typed(field) {
  field.read();
  const wrong = field.wrong;
  field.show(wrong && !wrong.code.startsWith("incomplete") ? wrong : null);
  const next = fields[fields.indexOf(field) + 1];
  const atEnd = field.input.selectionStart === field.input.value.length;
  if (!wrong && next && atEnd && document.activeElement === field.input) next.input.focus();
  changed();
}

function left(field) {
  if (!field.empty) field.show(field.wrong);
  changed();
  setTimeout(blurred); // wait a turn: the focus may only have moved to the next field
}

function blurred() {
  if (!focused || fields.some((one) => one.input === document.activeElement)) return;
  focused = false;
  send("blur", { payload: { elementType: kind } });
}

function entered() {
  if (focused) return;
  focused = true;
  send("focus", { payload: { elementType: kind } });
}

// Show every validation error and return the first.
function validate() {
  for (const field of fields) field.show(field.wrong);
  changed();
  const first = fields.find((field) => field.problem);
  if (!first) return {};
  first.input.focus();
  return { error: first.problem };
}

async function createPaymentMethod(more = {}) {
  const { error } = validate();
  if (error) return { error };
  const card = {
    number: number.digits,
    exp_month: Number(expiry.digits.slice(0, 2)),
    exp_year: CENTURY + Number(expiry.digits.slice(2)),
    cvc: cvc.digits,
  };
  return call(credentials, "POST", "/v1/payment_methods", { type: "card", ...more, card });
}

function clear() {
  for (const field of fields) field.set("");
  changed();
}

function fill(digits) {
  number.set(digits);
  expiry.set(`12${String(new Date().getFullYear() + 2).slice(2)}`);
  cvc.set("123".padEnd(brandOf(digits).cvc, "4"));
  changed();
}

// Apply the parts of a shop's styling that need none of its CSS in here.
function style({ options = {}, appearance = {} }) {
  const { base = {}, invalid = {} } = options.style ?? {};
  const { variables = {} } = appearance;
  const wanted = {
    "--text": base.color ?? variables.colorText,
    "--placeholder": base["::placeholder"]?.color ?? variables.colorTextPlaceholder,
    "--danger": invalid.color ?? variables.colorDanger,
    "--accent": variables.colorPrimary,
    "--ground": variables.colorBackground,
    "--family": base.fontFamily ?? variables.fontFamily,
    "--size": base.fontSize ?? variables.fontSizeBase,
    "--radius": variables.borderRadius,
  };
  const root = document.documentElement;
  for (const [name, value] of Object.entries(wanted)) if (value) root.style.setProperty(name, value);
  root.classList.toggle("night", appearance.theme === "night");
  for (const field of fields) field.input.disabled = Boolean(options.disabled);
}

const REQUESTS = { createPaymentMethod, validate };

async function receive({ data }) {
  if (data.name === "update") style(data);
  else if (data.name === "clear") clear();
  else if (data.name === "focus") number.input.focus();
  else if (data.name === "blur") document.activeElement?.blur();
  else if (REQUESTS[data.name]) send("response", { id: data.id, response: await REQUESTS[data.name](data.params) });
}

function open(event) {
  if (event.source !== window.parent || event.data?.name !== "open" || port) return;
  [port] = event.ports;
  ({ kind, credentials } = event.data);
  form.dataset.kind = kind;
  style(event.data);
  port.onmessage = receive;
  new ResizeObserver(() => {
    if (kind === "payment") send("resize", { height: Math.ceil(form.getBoundingClientRect().height) });
  }).observe(form);
  send("ready");
}

for (const field of fields) {
  field.input.addEventListener("input", () => typed(field));
  field.input.addEventListener("focus", entered);
  field.input.addEventListener("blur", () => left(field));
}
form.addEventListener("submit", (event) => {
  event.preventDefault();
  send("submit");
});
form.addEventListener("keydown", (event) => {
  if (event.key === "Escape") send("escape", { payload: { elementType: kind } });
  const index = fields.findIndex((field) => field.input === event.target);
  if (event.key === "Backspace" && index > 0 && event.target.value === "") fields[index - 1].input.focus();
});
const cards = document.getElementById("test-cards");
for (const card of TEST_CARDS) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = card.label;
  button.title = grouped(card.number, brandOf(card.number).groups);
  button.addEventListener("click", () => fill(card.number));
  cards.append(button);
}
window.addEventListener("message", open);
