// Tests with the official Go client. Only its API base is changed. scripts/test-clients sets SANDBOX_URL.
package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/stripe/stripe-go/v86"
)

const deliveryTimeout = 20 * time.Second

// newClient returns an SDK client that retries failed requests up to the given number of times.
func newClient(key string, retries int64) *stripe.Client {
	config := &stripe.BackendConfig{
		URL:               stripe.String(os.Getenv("SANDBOX_URL")),
		MaxNetworkRetries: stripe.Int64(retries),
		LeveledLogger:     &stripe.LeveledLogger{},
	}
	return stripe.NewClient(key, stripe.WithBackends(stripe.NewBackendsWithConfig(config)))
}

func orderID(t *testing.T) string {
	return fmt.Sprintf("go-%s-%d", t.Name(), time.Now().UnixNano())
}

func payment(order string) *stripe.PaymentIntentCreateParams {
	params := &stripe.PaymentIntentCreateParams{
		Amount:             stripe.Int64(1000),
		Currency:           stripe.String("usd"),
		PaymentMethodTypes: []*string{stripe.String("card")},
	}
	params.AddMetadata("order_id", order)
	return params
}

func confirmed(order string) *stripe.PaymentIntentCreateParams {
	params := payment(order)
	params.PaymentMethod = stripe.String("pm_card_visa")
	params.Confirm = stripe.Bool(true)
	return params
}

func pay(t *testing.T, params *stripe.PaymentIntentCreateParams) *stripe.PaymentIntent {
	t.Helper()
	intent, err := newClient("sk_test_anything", 0).V1PaymentIntents.Create(context.Background(), params)
	if err != nil {
		t.Fatal(err)
	}
	return intent
}

// stripeError returns err as a *stripe.Error.
func stripeError(t *testing.T, err error) *stripe.Error {
	t.Helper()
	var found *stripe.Error
	if !errors.As(err, &found) {
		t.Fatalf("expected a Stripe error, got %v", err)
	}
	return found
}

func equal[T comparable](t *testing.T, what string, got, wanted T) {
	t.Helper()
	if got != wanted {
		t.Errorf("%s: got %v, wanted %v", what, got, wanted)
	}
}

// control calls the sandbox's control API.
func control(t *testing.T, method, path string, body any) map[string]any {
	t.Helper()
	sent, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequest(method, os.Getenv("SANDBOX_URL")+path, bytes.NewReader(sent))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var content map[string]any
	if err := json.NewDecoder(response.Body).Decode(&content); err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s %s: %d %v %v", method, path, response.StatusCode, content, err)
	}
	return content
}

func TestPaymentIsCreatedConfirmedAndRetrieved(t *testing.T) {
	ctx, client, order := context.Background(), newClient("sk_test_anything", 0), orderID(t)
	made, err := client.V1PaymentIntents.Create(ctx, payment(order))
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "status", made.Status, stripe.PaymentIntentStatusRequiresPaymentMethod)

	params := &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String("pm_card_visa")}
	if _, err = client.V1PaymentIntents.Confirm(ctx, made.ID, params); err != nil {
		t.Fatal(err)
	}
	retrieve := &stripe.PaymentIntentRetrieveParams{}
	retrieve.AddExpand("latest_charge")
	paid, err := client.V1PaymentIntents.Retrieve(ctx, made.ID, retrieve)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "status", paid.Status, stripe.PaymentIntentStatusSucceeded)
	equal(t, "received", paid.AmountReceived, 1000)
	equal(t, "order", paid.Metadata["order_id"], order)
	equal(t, "captured", paid.LatestCharge.AmountCaptured, 1000)
}

func TestDeclinedIntentIsPaidWithAnotherCard(t *testing.T) {
	ctx, client := context.Background(), newClient("sk_test_anything", 0)
	made := pay(t, payment(orderID(t)))
	confirm := func(card string) (*stripe.PaymentIntent, error) {
		params := &stripe.PaymentIntentConfirmParams{PaymentMethod: stripe.String(card)}
		return client.V1PaymentIntents.Confirm(ctx, made.ID, params)
	}

	_, err := confirm("pm_card_chargeDeclinedInsufficientFunds")
	declined := stripeError(t, err)
	equal(t, "type", declined.Type, stripe.ErrorTypeCard)
	equal(t, "status", declined.HTTPStatusCode, http.StatusPaymentRequired)
	equal(t, "code", declined.Code, stripe.ErrorCodeCardDeclined)
	equal(t, "decline code", declined.DeclineCode, stripe.DeclineCodeInsufficientFunds)
	equal(t, "intent", declined.PaymentIntent.Status, stripe.PaymentIntentStatusRequiresPaymentMethod)

	paid, err := confirm("pm_card_mastercard")
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "status", paid.Status, stripe.PaymentIntentStatusSucceeded)
}

func TestIdempotencyKeyReplaysAndRejectsOtherParameters(t *testing.T) {
	order := orderID(t)
	keyed := func(amount int64) (*stripe.PaymentIntent, error) {
		params := confirmed(order)
		params.Amount = stripe.Int64(amount)
		params.SetIdempotencyKey(order)
		return newClient("sk_test_anything", 0).V1PaymentIntents.Create(context.Background(), params)
	}
	first, err := keyed(1000)
	if err != nil {
		t.Fatal(err)
	}
	second, err := keyed(1000)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "id", second.ID, first.ID)
	equal(t, "replayed", second.LastResponse.Header.Get("Idempotent-Replayed"), "true")

	_, err = keyed(2000)
	equal(t, "type", stripeError(t, err).Type, stripe.ErrorTypeIdempotency)
}

func TestClientRetriesAfterLostResponseChargeOnce(t *testing.T) {
	order := orderID(t)
	control(t, "POST", "/sandbox/faults", map[string]any{"rules": []any{map[string]any{
		"match": map[string]any{"metadata": map[string]any{"order_id": order}},
		"times": 1, "phase": "after", "action": "drop",
	}}})
	defer control(t, "DELETE", "/sandbox/faults", nil)

	paid, err := newClient("sk_test_anything", 2).V1PaymentIntents.Create(context.Background(), confirmed(order))
	if err != nil {
		t.Fatal(err)
	}
	var captured []any
	for _, entry := range control(t, "GET", "/sandbox/ledger", nil)["data"].([]any) {
		entry := entry.(map[string]any)
		ours := entry["metadata"].(map[string]any)["order_id"] == order
		if ours && entry["effect"] == "charge.captured" {
			captured = append(captured, entry["payment_intent"])
		}
	}
	if !slices.Equal(captured, []any{paid.ID}) {
		t.Errorf("captured %v, wanted %s once", captured, paid.ID)
	}
}

func TestListIsPagedWithoutGaps(t *testing.T) {
	ctx, client := context.Background(), newClient("sk_test_anything", 0)
	customer, err := client.V1Customers.Create(ctx, &stripe.CustomerCreateParams{Name: stripe.String("Page Turner")})
	if err != nil {
		t.Fatal(err)
	}
	var made, found []string
	for range 5 {
		params := confirmed(orderID(t))
		params.Customer = stripe.String(customer.ID)
		made = append([]string{pay(t, params).ID}, made...)
	}
	list := &stripe.PaymentIntentListParams{Customer: stripe.String(customer.ID)}
	list.Limit = stripe.Int64(2)
	for intent, err := range client.V1PaymentIntents.List(ctx, list).All(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		found = append(found, intent.ID)
	}
	if !slices.Equal(found, made) {
		t.Errorf("found %v, wanted %v", found, made)
	}
}

func TestPartialRefundsNeverExceedThePayment(t *testing.T) {
	ctx, client := context.Background(), newClient("sk_test_anything", 0)
	paid := pay(t, confirmed(orderID(t)))
	refund := func(amount int64) (*stripe.Refund, error) {
		params := &stripe.RefundCreateParams{PaymentIntent: stripe.String(paid.ID), Amount: stripe.Int64(amount)}
		return client.V1Refunds.Create(ctx, params)
	}
	first, err := refund(400)
	if err != nil {
		t.Fatal(err)
	}
	equal(t, "status", first.Status, stripe.RefundStatusSucceeded)
	equal(t, "charge", first.Charge.ID, paid.LatestCharge.ID)

	_, err = refund(601)
	rejected := stripeError(t, err)
	equal(t, "status", rejected.HTTPStatusCode, http.StatusBadRequest)
	equal(t, "param", rejected.Param, "amount")
}

func TestClientVerifiesWebhookSignature(t *testing.T) {
	ctx, client, order := context.Background(), newClient("sk_test_anything", 0), orderID(t)
	type delivery struct {
		payload   []byte
		signature string
	}
	deliveries := make(chan delivery, 64)
	receiver := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, request *http.Request) {
		payload, _ := io.ReadAll(request.Body)
		if bytes.Contains(payload, []byte(order)) {
			deliveries <- delivery{payload, request.Header.Get("Stripe-Signature")}
		}
	}))
	defer receiver.Close()
	endpoint, err := client.V1WebhookEndpoints.Create(ctx, &stripe.WebhookEndpointCreateParams{
		URL:           stripe.String(receiver.URL),
		EnabledEvents: []*string{stripe.String("payment_intent.succeeded")},
		APIVersion:    stripe.String(stripe.APIVersion),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer client.V1WebhookEndpoints.Delete(ctx, endpoint.ID, nil)

	paid := pay(t, confirmed(order))
	select {
	case got := <-deliveries:
		event, err := stripe.ConstructEvent(got.payload, got.signature, endpoint.Secret)
		if err != nil {
			t.Fatal(err)
		}
		equal(t, "type", event.Type, stripe.EventTypePaymentIntentSucceeded)
		equal(t, "intent", event.Data.Object["id"].(string), paid.ID)
		if _, err := stripe.ConstructEvent(got.payload, got.signature, "whsec_other"); err == nil {
			t.Error("the signature verifies with another secret")
		}
	case <-time.After(deliveryTimeout):
		t.Fatal("no delivery arrived")
	}
}
