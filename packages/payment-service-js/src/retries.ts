import { NoAnswerError } from "./errors.js";

export interface Retries {
  readonly maxRetries: number;
  /** Limits each attempt. */
  readonly timeoutMs: number;
  readonly fetch: (request: Request) => Promise<Response>;
}

// A proxy or the service cannot answer now, or limits the rate. Another error is retried if it has Retry-After.
const RETRIED_STATUSES = new Set([429, 502, 503, 504]);
const FIRST_WAIT_MS = 250;
// A caller waits for us, so a longer Retry-After is an error at once.
const LONGEST_WAIT_MS = 30_000;
const KEY = "Idempotency-Key";

const keys = new WeakMap<Response, string>();

/** The idempotency key under which a response was requested. */
export const keyOf = (response: Response): string | undefined => keys.get(response);

/** Send a request, again if need be. Each attempt has the same bytes and the same idempotency key. */
export async function send(request: Request, retries: Retries): Promise<Response> {
  if (request.method === "POST" && !request.headers.has(KEY)) request.headers.set(KEY, crypto.randomUUID());
  const key = request.headers.get(KEY) ?? undefined;
  for (let retry = 1; ; retry++) {
    const outcome = await attempt(request, retries);
    const wait = retry > retries.maxRetries ? undefined : waitMs(retry, outcome);
    if (wait === undefined || request.signal.aborted) {
      if (!(outcome instanceof Response)) throw request.signal.aborted ? outcome.error : new NoAnswerError(request, outcome.error, key);
      if (key) keys.set(outcome, key);
      return outcome;
    }
    await new Promise((resolve) => setTimeout(resolve, wait));
  }
}

async function attempt(request: Request, { fetch, timeoutMs }: Retries): Promise<Response | { error: unknown }> {
  const signal = AbortSignal.any([request.signal, AbortSignal.timeout(timeoutMs)]);
  try {
    const response = await fetch(new Request(request.clone(), { signal, redirect: "manual" }));
    // Read the body here: a response that breaks off is retried too.
    return new Response(response.body && (await response.arrayBuffer()), response);
  } catch (error) {
    return { error };
  }
}

/** How long to wait before a retry, or undefined if the outcome is final. Waits double, with jitter. */
function waitMs(retry: number, outcome: Response | { error: unknown }): number | undefined {
  const backoff = FIRST_WAIT_MS * 2 ** (retry - 1) * (0.5 + Math.random() / 2);
  if (!(outcome instanceof Response)) return backoff;
  const asked = outcome.headers.get("retry-after");
  if (outcome.status < 400 || (asked === null && !RETRIED_STATUSES.has(outcome.status))) return undefined;
  // The service and common proxies send seconds. A date counts as none.
  const wait = Math.max(backoff, /^\d+$/.test(asked ?? "") ? Number(asked) * 1000 : 0);
  return wait <= LONGEST_WAIT_MS ? wait : undefined;
}
