// A small order service: it publishes an order, consumes `payments.*`, and ships each paid order once.
//
// Each record is one transaction: its `ce_id`, and the new status of the order. kafkajs stores the offset after eachMessage has
// returned, so a crash at any moment repeats records and loses none.
import { Kafka, logLevel, Partitioners } from "kafkajs";
import { createPaymentService, MalformedRecordError, readEvent, TOPICS, unwrap } from "payment-service-client";
import pg from "pg";

const { KAFKA_BROKERS, KAFKA_GROUP_ID = "order-service-node", ORDERS_DSN, API_URL, API_KEY } = process.env;

const SCHEMA = `
CREATE SCHEMA IF NOT EXISTS order_service;
CREATE TABLE IF NOT EXISTS order_service.orders (
    order_id text PRIMARY KEY, status text NOT NULL DEFAULT 'new', parcels integer NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS order_service.payment_events (
    ce_id text PRIMARY KEY, order_id text NOT NULL REFERENCES order_service.orders,
    attempt integer NOT NULL, sequence integer NOT NULL, status text NOT NULL);`;

const kafka = new Kafka({ clientId: "order-service", brokers: KAFKA_BROKERS.split(","), logLevel: logLevel.WARN });
const db = new pg.Client({ connectionString: ORDERS_DSN });
const payments = createPaymentService({ baseUrl: API_URL, apiKey: API_KEY });

/** Publish an order and wait until Kafka has it. */
async function place(order_id, total, currency) {
  const producer = kafka.producer({ createPartitioner: Partitioners.DefaultPartitioner });
  await producer.connect();
  const value = JSON.stringify({ order_id, user_id: "user-1", total, currency });
  await producer.send({ topic: "orders.created", messages: [{ key: order_id, value }] });
  await producer.disconnect();
  console.log(`${order_id}: placed`);
}

/** The status that an event gives its order, or an empty text if it changes nothing. */
function statusAfter({ topic, data }) {
  switch (topic) {
    case "payments.initiated":
      return "awaiting payment";
    case "payments.authorized":
      return "held";
    case "payments.succeeded":
      return "paid";
    case "payments.failed":
      return data.final ? "unpaid" : "";
    case "payments.refunded":
      return data.full ? "refunded" : "";
    default:
      return "";
  }
}

/** Run statements in one transaction. */
async function transaction(statements) {
  await db.query("BEGIN");
  try {
    const result = await statements();
    await db.query("COMMIT");
    return result;
  } catch (error) {
    await db.query("ROLLBACK");
    throw error;
  }
}

/** Store an event. Return the new status of its order, or undefined if the status stays. */
async function take(event) {
  const order = event.data.order_id;
  await db.query("INSERT INTO order_service.orders (order_id) VALUES ($1) ON CONFLICT DO NOTHING", [order]);
  // Another member of the group may hold a record of this order, from another topic: it waits here.
  const before = await db.query("SELECT status FROM order_service.orders WHERE order_id = $1 FOR UPDATE", [order]);
  const added = await db.query(
    "INSERT INTO order_service.payment_events VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
    [event.id, order, event.attempt, event.sequence, statusAfter(event)],
  );
  if (added.rowCount === 0) return undefined; // repeated
  // Topics overtake each other, so the highest sequence of the latest payment decides, not the record that came last.
  const after = await db.query(
    `SELECT status FROM order_service.payment_events WHERE order_id = $1 AND status <> ''
     ORDER BY attempt DESC, sequence DESC LIMIT 1`,
    [order],
  );
  const status = after.rows[0]?.status;
  if (status === undefined || status === before.rows[0].status) return undefined;
  await db.query("UPDATE order_service.orders SET status = $1, parcels = parcels + $2 WHERE order_id = $3", [
    status,
    status === "paid" ? 1 : 0,
    order,
  ]);
  return status;
}

/** Ask how the customer can pay. A shop passes `pay` of the answer to its page; never log it. */
async function showCheckout(order_id) {
  try {
    const checkout = await unwrap(payments.GET("/v1/checkout", { params: { query: { order_id } } }));
    console.log(`${order_id}: checkout: ${checkout.next} ${checkout.amount} ${checkout.currency}`);
  } catch (error) {
    console.log(`${order_id}: no checkout: ${error.message}`);
  }
}

/** Read a record. Set aside a malformed one, so that it does not block the others. */
function read(topic, { value, headers }) {
  try {
    return readEvent(topic, value, headers);
  } catch (error) {
    if (!(error instanceof MalformedRecordError)) throw error;
    console.log(`set aside: ${error.message}`);
    return undefined;
  }
}

await db.connect();
await db.query(SCHEMA);
if (process.argv.length > 2) await place(...process.argv.slice(2));

const consumer = kafka.consumer({ groupId: KAFKA_GROUP_ID, sessionTimeout: 6000 });
await consumer.connect();
await consumer.subscribe({ topics: [...TOPICS], fromBeginning: true });
await consumer.run({
  eachMessage: async ({ topic, message }) => {
    const event = read(topic, message);
    if (event === undefined) return;
    const status = await transaction(() => take(event));
    if (status === undefined) return;
    console.log(`${event.data.order_id}: ${status}`);
    if (status === "awaiting payment") await showCheckout(event.data.order_id);
  },
});

for (const name of ["SIGTERM", "SIGINT"]) {
  process.once(name, async () => {
    await consumer.disconnect();
    await db.end();
  });
}
