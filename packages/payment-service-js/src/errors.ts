import type { components } from "./generated/api.js";

type Problem = components["schemas"]["Problem"];

const URN = "urn:payment-service:";

/** The service refused a call. `code` is the problem type for programs; it is empty if a proxy answered. */
export class PaymentServiceError extends Error {
  override readonly name = "PaymentServiceError";
  readonly status: number;
  readonly code: string;
  readonly detail: string;
  /** The id of this error in the logs: X-Request-ID of a proxy, or the service's own id of a defect. */
  readonly requestId: string | undefined;
  /** The key of the change. Pass it to repeat the same change. */
  readonly idempotencyKey: string | undefined;

  constructor(response: Response, content: unknown, idempotencyKey: string | undefined) {
    const problem: Partial<Problem> = typeof content === "object" && content !== null ? content : {};
    const code = (problem.type ?? "").replace(URN, "");
    const detail = problem.detail ?? "The answer is not of payment-service: check the URL.";
    super(`${response.status} ${code}: ${detail}`);
    this.status = response.status;
    this.code = code;
    this.detail = detail;
    this.requestId = response.headers.get("x-request-id") ?? problem.instance;
    this.idempotencyKey = idempotencyKey;
  }
}

/** No answer arrived, after all retries. The change may have been made: repeat the call with `idempotencyKey`. */
export class NoAnswerError extends Error {
  override readonly name = "NoAnswerError";
  readonly idempotencyKey: string | undefined;

  constructor(request: Request, cause: unknown, idempotencyKey: string | undefined) {
    super(`${request.method} ${new URL(request.url).pathname} got no answer: check the URL, or repeat the call.`, { cause });
    this.idempotencyKey = idempotencyKey;
  }
}
