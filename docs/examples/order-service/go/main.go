// Command order-service is a small order service: it publishes an order, consumes payments.*, and ships each paid order once.
//
// Each record is one transaction: its ce_id, and the new status of the order. The offset is committed after the transaction, so a
// crash at any moment repeats records and loses none.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

const schema = `
CREATE SCHEMA IF NOT EXISTS order_service;
CREATE TABLE IF NOT EXISTS order_service.orders (
    order_id text PRIMARY KEY, status text NOT NULL DEFAULT 'new', parcels integer NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS order_service.payment_events (
    ce_id text PRIMARY KEY, order_id text NOT NULL REFERENCES order_service.orders,
    attempt integer NOT NULL, sequence integer NOT NULL, status text NOT NULL);`

// An event is the part of a record that this service needs. Unknown fields are ignored.
type event struct {
	ID                string `json:"-"`
	Sequence, Attempt int    `json:"-"`
	OrderID           string `json:"order_id"`
	Final             bool   `json:"final"` // of payments.failed
	Full              bool   `json:"full"`  // of payments.refunded
}

type checkout struct {
	Next, Amount, Currency string
}

var client = http.Client{Timeout: 10 * time.Second}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
}

func run(ctx context.Context, order []string) error {
	db, err := pgx.Connect(ctx, os.Getenv("ORDERS_DSN"))
	if err != nil {
		return err
	}
	defer db.Close(context.Background())
	if _, err := db.Exec(ctx, schema); err != nil {
		return err
	}
	group := os.Getenv("KAFKA_GROUP_ID")
	if group == "" {
		group = "order-service-go"
	}
	kafka, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Getenv("KAFKA_BROKERS"), ",")...),
		kgo.ConsumerGroup(group),
		kgo.ConsumeRegex(),
		kgo.ConsumeTopics(`^payments\..*$`),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.SessionTimeout(6*time.Second),
		kgo.DisableAutoCommit(),
		kgo.MaxVersions(kversion.V3_6_0()), // the broker of the demo knows no later requests
		kgo.ProducerBatchCompression(kgo.NoCompression()),
	)
	if err != nil {
		return err
	}
	defer kafka.Close()
	if len(order) == 3 {
		if err := place(ctx, kafka, order[0], order[1], order[2]); err != nil {
			return err
		}
	}
	for {
		fetches := kafka.PollFetches(ctx)
		if err := fetches.Err0(); err != nil {
			return err
		}
		for _, record := range fetches.Records() {
			if err := handle(ctx, db, record); err != nil {
				return err
			}
		}
		if err := kafka.CommitUncommittedOffsets(ctx); err != nil {
			return err
		}
	}
}

// place publishes an order and waits until Kafka has it.
func place(ctx context.Context, kafka *kgo.Client, orderID, total, currency string) error {
	value, err := json.Marshal(map[string]string{
		"order_id": orderID, "user_id": "user-1", "total": total, "currency": currency,
	})
	if err != nil {
		return err
	}
	record := &kgo.Record{Topic: "orders.created", Key: []byte(orderID), Value: value}
	if err := kafka.ProduceSync(ctx, record).FirstErr(); err != nil {
		return err
	}
	fmt.Printf("%s: placed\n", orderID)
	return nil
}

// handle takes a record, and acts when the status of its order changes.
func handle(ctx context.Context, db *pgx.Conn, record *kgo.Record) error {
	found, err := read(record)
	if err != nil {
		fmt.Printf("set aside: %s: %v\n", record.Topic, err)
		return nil
	}
	if found.OrderID == "" { // a topic added later, about something else
		return nil
	}
	status := ""
	err = pgx.BeginFunc(ctx, db, func(tx pgx.Tx) (err error) {
		status, err = take(ctx, tx, found, statusAfter(record.Topic, found))
		return err
	})
	if err != nil || status == "" {
		return err
	}
	fmt.Printf("%s: %s\n", found.OrderID, status)
	if status == "awaiting payment" {
		showCheckout(ctx, found.OrderID)
	}
	return nil
}

// read turns a record into an event.
func read(record *kgo.Record) (event, error) {
	headers := map[string]string{}
	for _, header := range record.Headers {
		headers[header.Key] = string(header.Value)
	}
	found := event{ID: headers["ce_id"]}
	if found.ID == "" {
		return found, errors.New("the header ce_id is missing")
	}
	var err error
	if found.Sequence, err = strconv.Atoi(headers["ce_sequence"]); err != nil {
		return found, err
	}
	if found.Attempt, err = strconv.Atoi(headers["ce_attempt"]); err != nil {
		return found, err
	}
	return found, json.Unmarshal(record.Value, &found)
}

// statusAfter returns the status that an event gives its order, or an empty string if it changes nothing.
func statusAfter(topic string, found event) string {
	switch {
	case topic == "payments.initiated":
		return "awaiting payment"
	case topic == "payments.authorized":
		return "held"
	case topic == "payments.succeeded":
		return "paid"
	case topic == "payments.failed" && found.Final:
		return "unpaid"
	case topic == "payments.refunded" && found.Full:
		return "refunded"
	}
	return ""
}

// take stores an event. It returns the new status of its order, or an empty string if the status stays.
func take(ctx context.Context, tx pgx.Tx, found event, status string) (string, error) {
	_, err := tx.Exec(ctx, "INSERT INTO order_service.orders (order_id) VALUES ($1) ON CONFLICT DO NOTHING", found.OrderID)
	if err != nil {
		return "", err
	}
	// Another member of the group may hold a record of this order, from another topic: it waits here.
	var before string
	row := tx.QueryRow(ctx, "SELECT status FROM order_service.orders WHERE order_id = $1 FOR UPDATE", found.OrderID)
	if err := row.Scan(&before); err != nil {
		return "", err
	}
	added, err := tx.Exec(ctx, "INSERT INTO order_service.payment_events VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
		found.ID, found.OrderID, found.Attempt, found.Sequence, status)
	if err != nil || added.RowsAffected() == 0 { // repeated
		return "", err
	}
	// Topics overtake each other, so the highest sequence of the latest payment decides, not the record that came last.
	var after string
	row = tx.QueryRow(ctx, `SELECT status FROM order_service.payment_events WHERE order_id = $1 AND status <> ''
		ORDER BY attempt DESC, sequence DESC LIMIT 1`, found.OrderID)
	if err := row.Scan(&after); errors.Is(err, pgx.ErrNoRows) || err == nil && after == before {
		return "", nil
	} else if err != nil {
		return "", err
	}
	parcels := 0
	if after == "paid" {
		parcels = 1
	}
	_, err = tx.Exec(ctx, "UPDATE order_service.orders SET status = $1, parcels = parcels + $2 WHERE order_id = $3",
		after, parcels, found.OrderID)
	return after, err
}

// showCheckout asks how the customer can pay. A shop passes `pay` of the answer to its page; never log it.
func showCheckout(ctx context.Context, orderID string) {
	found, err := readCheckout(ctx, orderID)
	if err != nil {
		fmt.Printf("%s: no checkout: %v\n", orderID, err)
		return
	}
	fmt.Printf("%s: checkout: %s %s %s\n", orderID, found.Next, found.Amount, found.Currency)
}

func readCheckout(ctx context.Context, orderID string) (found checkout, err error) {
	target := os.Getenv("API_URL") + "/v1/checkout?order_id=" + url.QueryEscape(orderID)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return found, err
	}
	request.Header.Set("Authorization", "Bearer "+os.Getenv("API_KEY"))
	response, err := client.Do(request)
	if err != nil {
		return found, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return found, errors.New(response.Status)
	}
	return found, json.NewDecoder(response.Body).Decode(&found)
}
