// What a shop's page does with Stripe.js: mount the form, confirm, show what came of it.
"use strict";

const { key, clientSecret } = document.getElementById("checkout").dataset;
const form = document.getElementById("payment-form");
const button = document.getElementById("pay");
const message = document.getElementById("message");
const outcome = document.getElementById("outcome");

const OUTCOMES = {
  succeeded: ["Payment received", "Thank you! Your order is on its way."],
  requires_capture: ["Payment authorized", "Thank you! Your card is charged once the order is sent."],
  processing: ["Payment on its way", "Your bank is working on it. We write to you when it has arrived."],
  canceled: ["This payment was canceled", "Nothing was charged. Please order again if you still want it."],
};

const dark = window.matchMedia("(prefers-color-scheme: dark)").matches;
const stripe = window.Stripe(key);
const elements = stripe.elements({ clientSecret, appearance: { theme: dark ? "night" : "stripe" } });
const element = elements.create("payment");

function say(text) {
  message.textContent = text;
  message.hidden = !text;
}

function wait(busy) {
  button.disabled = busy;
  button.classList.toggle("busy", busy);
}

function show(intent) {
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
  wait(true);
  say("");
  const { error, paymentIntent } = await stripe.confirmPayment({
    elements,
    confirmParams: { return_url: window.location.href },
    redirect: "if_required",
  });
  wait(false);
  if (error) say(error.type === "validation_error" ? "" : error.message);
  const now = error?.payment_intent ?? paymentIntent;
  if (now && show(now)) outcome.focus();
}

async function begin() {
  const { error, paymentIntent } = await stripe.retrievePaymentIntent(clientSecret);
  if (error) return say(error.message);
  if (show(paymentIntent)) return undefined;
  if (paymentIntent.last_payment_error) say(paymentIntent.last_payment_error.message);
  element.on("ready", () => wait(false));
  element.on("loaderror", () => say("The card form could not be loaded. Please reload the page."));
  element.on("change", () => say(""));
  element.mount("#payment-element");
  return undefined;
}

form.addEventListener("submit", pay);
begin();
