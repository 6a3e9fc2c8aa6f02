// A client of the HTTP API of payment-service, and a reader of its events.
export { createPaymentService, items, unwrap } from "./client.js";
export type { Page, PaymentService, PaymentServiceOptions, Schemas } from "./client.js";
export { NoAnswerError, PaymentServiceError } from "./errors.js";
export { inOrder, MalformedRecordError, readEvent, TOPICS } from "./events.js";
export type { EventData, PaymentEvent, Topic } from "./events.js";
