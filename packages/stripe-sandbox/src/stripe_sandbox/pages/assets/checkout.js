// A shop's use of Stripe.js: mount the form, confirm the payment, show the outcome.
"use strict";

const { key, clientSecret } = document.getElementById("checkout").dataset;
const form = document.getElementById("payment-form");
const button = document.getElementById("pay");
const message = document.getElementById("message");
const outcome = document.getElementById("outcome");

const OUTCOMES = {
  succeeded: ["Payment received", "Thank you! Your order is on its way."],
  requires_capture: ["Payment authorized", "Thank you! Your card is charged when the order ships."],
  processing: ["Payment processing", "Your bank is processing the payment. We will email you when it arrives."],
  canceled: ["Payment canceled", "You were not charged. Please place a new order if you still want it."],
};

const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
const stripe = window.Stripe(key);
const elements = stripe.elements({ clientSecret, appearance: { theme: dark ? "night" : "stripe" } });
const element = elements.create("payment");

function showMessage(text) {
  message.textContent = text;
  message.hidden = !text;
}

function setBusy(busy) {
  button.disabled = busy;
  button.classList.toggle("busy", busy);
}

function showOutcome(intent) {
  const known = OUTCOMES[intent.status];
  if (!known) return false;
  [document.getElementById("outcome-title").textContent, document.getElementById("outcome-text").textContent] = known;
  outcome.dataset.status = intent.status;
  outcome.hidden = false;
  form.hidden = true;
  return true;
}

async function pay(event) {
  event.preventDefault();
  if (button.disabled) return;
  setBusy(true);
  showMessage("");
  const { error, paymentIntent } = await stripe.confirmPayment({
    elements,
    confirmParams: { return_url: window.location.href },
    redirect: "if_required",
  });
  setBusy(false);
  if (error) showMessage(error.type === "validation_error" ? "" : error.message);
  const current = error?.payment_intent ?? paymentIntent;
  if (current && showOutcome(current)) outcome.focus();
}

async function start() {
  const { error, paymentIntent } = await stripe.retrievePaymentIntent(clientSecret);
  if (error) return showMessage(error.message);
  if (showOutcome(paymentIntent)) return undefined;
  if (paymentIntent.last_payment_error) showMessage(paymentIntent.last_payment_error.message);
  element.on("ready", () => setBusy(false));
  element.on("loaderror", () => showMessage("The card form could not be loaded. Please reload the page."));
  element.on("change", () => showMessage(""));
  element.mount("#payment-element");
  return undefined;
}

form.addEventListener("submit", pay);
start();
