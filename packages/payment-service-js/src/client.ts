import createClient, { type Client } from "openapi-fetch";
import { PaymentServiceError } from "./errors.js";
import type { components, paths } from "./generated/api.js";
import { keyOf, send } from "./retries.js";

/** The objects of the API by name: `Schemas["Payment"]`. */
export type Schemas = components["schemas"];

/** An openapi-fetch client: `GET` and `POST` with the paths, parameters and answers of the API. */
export type PaymentService = Client<paths, "application/json">;

export interface PaymentServiceOptions {
  /** The URL of SERVICE_PORT, or of the proxy in front of it. */
  baseUrl: string;
  apiKey: string;
  /** By default 3. With the waits between them, four attempts take about two seconds. A restart of the service takes one. */
  maxRetries?: number;
  /** Limits each attempt; by default 10 s. */
  timeoutMs?: number;
  /** Replaces the global `fetch`, for a proxy or a private certificate authority. */
  fetch?: (request: Request) => Promise<Response>;
}

/** Create a client. A change without `Idempotency-Key` gets a new key, and each retry of a call has the same. */
export function createPaymentService(options: PaymentServiceOptions): PaymentService {
  const { baseUrl, apiKey, maxRetries = 3, timeoutMs = 10_000 } = options;
  // fetch shows a header that it refuses, and this one is secret.
  if (!/^[!-~]+$/.test(apiKey)) throw new TypeError("The API key is empty or has line ends or spaces: check how you read it.");
  const retries = { maxRetries, timeoutMs, fetch: options.fetch ?? ((request: Request) => fetch(request)) };
  return createClient<paths, "application/json">({
    baseUrl,
    headers: { Authorization: `Bearer ${apiKey}` },
    fetch: (request) => send(request, retries),
  });
}

interface Result<Data> {
  data?: Data;
  error?: unknown;
  response: Response;
}

/** Return the answer of a call, or throw its problem as PaymentServiceError. */
export async function unwrap<Data>(call: Promise<Result<Data>>): Promise<NonNullable<Data>> {
  const { data, error, response } = await call;
  if (!response.ok || data === undefined || data === null) throw new PaymentServiceError(response, error, keyOf(response));
  return data;
}

export interface Page<Item> {
  data: Item[];
  has_more: boolean;
  next_cursor: string | null;
}

/** Iterate over all items of a list. `read` calls the list with a cursor, which is undefined for the first page. */
export async function* items<Item>(
  read: (cursor: string | undefined) => Promise<Result<Page<Item>>>,
): AsyncGenerator<Item, void, undefined> {
  let cursor: string | undefined;
  do {
    const page: Page<Item> = await unwrap(read(cursor));
    yield* page.data;
    cursor = page.has_more ? (page.next_cursor ?? undefined) : undefined;
  } while (cursor !== undefined);
}
