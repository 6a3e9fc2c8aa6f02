import { TOPICS, type components } from "./generated/events.js";

export { TOPICS };

export type Topic = (typeof TOPICS)[number];

/** The value of the records of each topic: `EventData["payments.succeeded"]`. */
export type EventData = components["schemas"];

interface EventOf<T extends Topic> {
  topic: T;
  /** Stable across repeated deliveries: do nothing for an id that you have stored. */
  id: string;
  /** Counts the records of a payment over all topics, from 1. */
  sequence: number;
  /** Counts the payments of an order, from 1. */
  attempt: number;
  /** RFC 3339, UTC. */
  time: string;
  data: EventData[T];
}

/** An event. Compare `topic` to narrow `data`. */
export type PaymentEvent = { [T in Topic]: EventOf<T> }[Topic];

/** A record that breaks the contract. Set it aside and continue. */
export class MalformedRecordError extends Error {
  override readonly name = "MalformedRecordError";
}

type Text = string | Uint8Array;
type Headers = Readonly<Record<string, Text | Text[] | undefined>>;

/** Read a record of any Kafka client. Return undefined for a topic that this version does not know. */
export function readEvent(topic: string, value: Uint8Array | null, headers: Headers): PaymentEvent | undefined {
  if (!isTopic(topic)) return undefined;
  const header = (name: string): string => {
    const found = headers[name];
    if (found === undefined || Array.isArray(found)) throw new MalformedRecordError(`${topic}: the header ${name} is missing.`);
    return typeof found === "string" ? found : new TextDecoder().decode(found);
  };
  const count = (name: string): number => {
    const text = header(name);
    if (!/^[1-9][0-9]{0,14}$/.test(text)) throw new MalformedRecordError(`${topic}: the header ${name} is not a count.`);
    return Number(text);
  };
  const data = parse(topic, value);
  const shared = { id: header("ce_id"), sequence: count("ce_sequence"), attempt: count("ce_attempt"), time: header("ce_time") };
  return { topic, ...shared, data } as PaymentEvent;
}

/** Return the history of one order: its latest payment alone, each event once, by sequence. */
export function inOrder(events: Iterable<PaymentEvent>): PaymentEvent[] {
  const known = [...new Map(Array.from(events, (event) => [event.id, event])).values()];
  const latest = known.reduce((highest, event) => Math.max(highest, event.attempt), 0);
  return known.filter((event) => event.attempt === latest).sort((one, other) => one.sequence - other.sequence);
}

function isTopic(topic: string): topic is Topic {
  return (TOPICS as readonly string[]).includes(topic);
}

function parse(topic: string, value: Uint8Array | null): unknown {
  try {
    const data: unknown = JSON.parse(new TextDecoder().decode(value ?? undefined));
    if (typeof data === "object" && data !== null && "payment_id" in data && "order_id" in data) return data;
  } catch {
    // Not JSON: told below.
  }
  throw new MalformedRecordError(`${topic}: the value is no event.`);
}
