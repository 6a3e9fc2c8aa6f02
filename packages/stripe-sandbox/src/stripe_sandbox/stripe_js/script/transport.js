// API calls. The API has the same origin as this script.

const ORIGIN = new URL(document.currentScript.src).origin;
const ATTEMPTS = 3; // survives two network errors in a row
const RETRY_DELAY_MS = 500;
const BUSY = [409, 429]; // refused before any work was done: https://docs.stripe.com/error-low-level

const NO_CONNECTION = {
  type: "api_connection_error",
  message: "We are experiencing issues connecting to our payments provider. You have not been charged. "
    + "Please check your internet connection and try again.",
};

function encode(params, prefix = "", form = new URLSearchParams()) {
  for (const [name, value] of Object.entries(params)) {
    const key = prefix ? `${prefix}[${name}]` : name;
    if (value === undefined || value === null) continue;
    if (typeof value === "object") encode(value, key, form);
    else form.append(key, String(value));
  }
  return form;
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// Resolve to {object} or {error}; never reject. Each write has its own idempotency key, reused by its retries, so a
// lost response does not charge twice.
async function call(credentials, method, path, params) {
  const form = encode(params);
  const write = method === "POST";
  const url = ORIGIN + path + (write ? "" : `?${form}`);
  const headers = { Authorization: `Bearer ${credentials.key}` };
  if (credentials.account) headers["Stripe-Account"] = credentials.account;
  if (write) headers["Idempotency-Key"] = crypto.getRandomValues(new Uint32Array(4)).join("-");
  const request = { method, headers, body: write ? form : undefined, credentials: "omit", cache: "no-store" };
  let result = { error: NO_CONNECTION };
  for (let attempt = 1; attempt <= ATTEMPTS; attempt += 1) {
    if (attempt > 1) await pause(RETRY_DELAY_MS);
    const { status, body } = await fetchOnce(url, request);
    if (!body) continue;
    result = body.error ? { error: body.error } : { object: body };
    if (!BUSY.includes(status)) return result;
  }
  return result;
}

async function fetchOnce(url, request) {
  try {
    const response = await fetch(url, request);
    return { status: response.status, body: await response.json() };
  } catch {
    return {}; // no connection, or an incomplete response
  }
}
