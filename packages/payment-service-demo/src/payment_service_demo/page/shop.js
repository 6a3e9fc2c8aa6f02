// The page of the shop: buy, ask its own server how to pay, pay through Stripe.js, show the result and the records on Kafka.
"use strict";

const POLL_MS = 400;
const $ = (id) => document.getElementById(id);

const SENTENCES = {
  "orders.created": () => "The shop wrote the order.",
  "orders.created.dlq": () => "The order cannot be accepted.",
  "payments.initiated": () => "The customer can pay.",
  "payments.succeeded": (v) => `${money(v)} was paid by ${v.payment_method}.`,
  "payments.failed": (v) => (v.final ? `Ended unpaid: ${v.reason}` : `${v.reason} The customer may try again.`),
  "payments.canceled": (v) => v.reason,
  "payments.authorized": (v) => `${money(v)} is held.`,
  "payments.captured": (v) => `${money(v)} more was captured.`,
  "payments.refund_initiated": (v) => `A refund of ${money(v)} was requested.`,
  "payments.refunded": (v) => `${money(v)} was refunded.`,
  "payments.refund_failed": (v) => `The refund of ${money(v)} failed.`,
};
const MOODS = { "payments.succeeded": "good", "payments.failed": "bad", "payments.canceled": "ended" };

let orderId = new URLSearchParams(window.location.search).get("order_id");
let offered = null; // the last response of the checkout
let mounted = ""; // the client secret whose form is on the page
let asking = false;
let stripe = null;
let elements = null;

function money(value) {
  return `${value.amount} ${value.currency.toUpperCase()}`;
}

function sleep(ms) {
  return new Promise((done) => setTimeout(done, ms));
}

async function call(path, body) {
  const sent = body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
  try {
    const answer = await fetch(path, sent);
    const wait = Number(answer.headers.get("Retry-After") ?? 0) * 1000;
    const json = (answer.headers.get("Content-Type") ?? "").includes("json");
    return { status: answer.status, wait, value: json ? await answer.json() : { detail: await answer.text() } };
  } catch {
    return { status: 0, wait: 1000, value: { detail: "The shop does not respond: is the demo still running?" } };
  }
}

function say(id, text) {
  $(id).textContent = text;
  $(id).hidden = !text;
}

function busy(button, on) {
  button.disabled = on;
  button.classList.toggle("busy", on);
}

function only(...shown) {
  for (const id of ["buy", "pay", "outcome"]) $(id).hidden = !shown.includes(id);
}

function show(mood, title, text, button) {
  only("outcome");
  say("notice", "");
  say("problem", "");
  $("outcome").dataset.mood = mood;
  $("outcome-title").textContent = title;
  $("outcome-text").textContent = text;
  $("again").hidden = button !== "again";
  $("more").hidden = button !== "more";
  $("outcome").focus();
}

async function buy() {
  busy($("buy"), true);
  say("problem", "");
  const { status, value } = await call("/orders", {});
  busy($("buy"), false);
  if (status !== 201) return say("problem", value.detail);
  orderId = value.order_id;
  $("records").replaceChildren();
  window.history.pushState(null, "", `?order_id=${encodeURIComponent(orderId)}`);
  return begin();
}

function begin() {
  only();
  $("order-id").textContent = orderId;
  $("order").hidden = false;
  say("notice", "Waiting for the payment service to accept the order …");
  return ask();
}

// Repeat until there is something to show: 404, 409 and 503 mean "retry in a moment".
async function ask() {
  if (asking) return;
  asking = true;
  for (let done = false; !done; ) {
    const { status, wait, value } = await call(`/checkout?order_id=${encodeURIComponent(orderId)}`);
    done = status === 200;
    if (done) take(value);
    else if (status === 404 && !value.type) done = forget();
    else {
      if (status === 0 || status === 503) say("notice", value.detail);
      await sleep(Math.min(wait || POLL_MS, 5000));
    }
  }
  asking = false;
}

function forget() {
  orderId = null;
  $("order").hidden = true;
  window.history.replaceState(null, "", "/");
  only("buy");
  say("notice", "");
  return true;
}

function take(answer) {
  offered = answer;
  if (answer.next === "pay") return offer(answer);
  mounted = "";
  if (answer.next === "done") return show("good", "Thank you!", "The order is paid.", "more");
  if (answer.next === "open_new") return show("ended", "This payment ended unpaid", "Nothing was charged.", "again");
  return show("wait", "Payment on its way", "Your bank is working on it.", "");
}

function offer(answer) {
  only("pay");
  say("notice", "");
  // The focused button is gone: move the focus here for customers who use the keyboard.
  if (document.activeElement === document.body) $("pay-title").focus();
  if (mounted === answer.pay.client_secret) return;
  mounted = answer.pay.client_secret;
  const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
  stripe = window.Stripe(answer.pay.publishable_key);
  elements = stripe.elements({ clientSecret: mounted, appearance: { theme: dark ? "night" : "stripe" } });
  const element = elements.create("payment");
  busy($("pay-button"), false);
  $("pay-button").disabled = true;
  element.on("ready", () => busy($("pay-button"), false));
  element.on("change", () => say("problem", ""));
  element.on("loaderror", () => say("problem", "The card form could not be loaded. Please reload the page."));
  $("payment-element").replaceChildren();
  element.mount("#payment-element");
}

async function pay(event) {
  event.preventDefault();
  if ($("pay-button").disabled) return;
  busy($("pay-button"), true);
  $("give-up").disabled = true;
  say("problem", "");
  const { error } = await stripe.confirmPayment({
    elements,
    confirmParams: { return_url: window.location.href },
    redirect: "if_required",
  });
  $("give-up").disabled = false;
  busy($("pay-button"), false);
  if (error) {
    if (error.type !== "validation_error") say("problem", error.message);
    return;
  }
  await ask();
}

async function giveUp() {
  busy($("give-up"), true);
  const { status, value } = await call("/cancel", { order_id: orderId, payment_id: offered.payment_id });
  busy($("give-up"), false);
  if (status !== 201) say("problem", value.detail);
}

async function again() {
  busy($("again"), true);
  const { status, value } = await call("/payments", { order_id: orderId, payment_id: offered.payment_id });
  busy($("again"), false);
  if (status !== 201) return say("problem", value.detail);
  return begin();
}

function row({ topic, value, sequence, attempt }) {
  const item = document.createElement("li");
  const name = document.createElement("code");
  const sentence = document.createElement("p");
  const details = document.createElement("details");
  const summary = document.createElement("summary");
  const raw = document.createElement("pre");
  item.dataset.mood = topic === "payments.failed" && !value.final ? "ended" : (MOODS[topic] ?? "");
  name.textContent = topic;
  item.append(name);
  if (sequence) {
    const number = document.createElement("span");
    number.className = "number";
    number.textContent = `#${sequence}${attempt > 1 ? ` of payment ${attempt}` : ""}`;
    item.append(number);
  }
  sentence.textContent = (SENTENCES[topic] ?? (() => ""))(value);
  summary.textContent = "the record";
  raw.textContent = JSON.stringify(value, null, 2);
  raw.tabIndex = 0;
  details.append(summary, raw);
  item.append(sentence, details);
  return item;
}

// Insert a late record before the later ones, which stay unchanged. Return the records that were not shown yet.
function showRecords(records) {
  const list = $("records");
  return records.filter((record, place) => {
    const name = `${record.attempt}.${record.sequence}`;
    if (list.children[place]?.dataset.name === name) return false;
    const item = row(record);
    item.dataset.name = name;
    list.insertBefore(item, list.children[place] ?? null);
    return true;
  });
}

// Each record of an ended payment arrives here, whatever ended it; then the page asks its server for the status.
async function poll() {
  for (;;) {
    const { status, value } = orderId ? await call(`/records?order_id=${encodeURIComponent(orderId)}`) : { status: 204 };
    $("live").classList.toggle("off", status === 0);
    if (status === 200 && value.records.length > $("records").children.length) {
      const fresh = showRecords(value.records);
      $("silence").hidden = true;
      if (offered && fresh.some((record) => record.topic === "payments.succeeded" || record.value.final)) ask();
    }
    await sleep(POLL_MS);
  }
}

$("buy").addEventListener("click", buy);
$("more").addEventListener("click", buy);
$("again").addEventListener("click", again);
$("give-up").addEventListener("click", giveUp);
$("pay").addEventListener("submit", pay);
window.addEventListener("popstate", () => window.location.reload());
$("scriptless").hidden = true;
if (orderId) begin();
else only("buy");
poll();
