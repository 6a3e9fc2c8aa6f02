package clients;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertThrows;

import com.stripe.Stripe;
import com.stripe.StripeClient;
import com.stripe.exception.CardException;
import com.stripe.exception.IdempotencyException;
import com.stripe.exception.InvalidRequestException;
import com.stripe.exception.SignatureVerificationException;
import com.stripe.model.PaymentIntent;
import com.stripe.net.RequestOptions;
import com.stripe.net.Webhook;
import com.stripe.param.CustomerCreateParams;
import com.stripe.param.PaymentIntentConfirmParams;
import com.stripe.param.PaymentIntentCreateParams;
import com.stripe.param.PaymentIntentListParams;
import com.stripe.param.RefundCreateParams;
import com.stripe.param.WebhookEndpointCreateParams;
import com.sun.net.httpserver.HttpServer;
import java.net.InetAddress;
import java.net.InetSocketAddress;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.BlockingQueue;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;

/** Tests with Stripe's client for Java. Only its API base is changed. scripts/test-clients sets SANDBOX_URL. */
class SandboxTest {
  private static final long DELIVERY_TIMEOUT_S = 20;

  private final StripeClient client =
      StripeClient.builder().setApiKey("sk_test_anything").setApiBase(System.getenv("SANDBOX_URL")).build();
  private final String order = "java-" + UUID.randomUUID();

  private PaymentIntentCreateParams.Builder payment() {
    return PaymentIntentCreateParams.builder()
        .setAmount(1000L)
        .setCurrency("usd")
        .addPaymentMethodType("card")
        .putMetadata("order_id", order);
  }

  private PaymentIntentCreateParams.Builder confirmed() {
    return payment().setPaymentMethod("pm_card_visa").setConfirm(true);
  }

  private PaymentIntent confirm(PaymentIntent intent, String card) throws Exception {
    var params = PaymentIntentConfirmParams.builder().setPaymentMethod(card).build();
    return client.v1().paymentIntents().confirm(intent.getId(), params);
  }

  @Test
  void paymentIsCreatedConfirmedAndRetrieved() throws Exception {
    var made = client.v1().paymentIntents().create(payment().build());
    assertEquals("requires_payment_method", made.getStatus());

    confirm(made, "pm_card_visa");
    var paid = client.v1().paymentIntents().retrieve(made.getId());
    assertEquals("succeeded", paid.getStatus());
    assertEquals(1000L, paid.getAmountReceived());
    assertEquals(order, paid.getMetadata().get("order_id"));
  }

  @Test
  void declinedIntentIsPaidWithAnotherCard() throws Exception {
    var made = client.v1().paymentIntents().create(payment().build());
    var declined =
        assertThrows(CardException.class, () -> confirm(made, "pm_card_chargeDeclinedInsufficientFunds"));
    assertEquals(402, declined.getStatusCode());
    assertEquals("card_declined", declined.getCode());
    assertEquals("insufficient_funds", declined.getDeclineCode());
    assertEquals("requires_payment_method", declined.getStripeError().getPaymentIntent().getStatus());

    assertEquals("succeeded", confirm(made, "pm_card_mastercard").getStatus());
  }

  @Test
  void idempotencyKeyReplaysAndRejectsOtherParameters() throws Exception {
    var options = RequestOptions.builder().setIdempotencyKey(order).build();
    var first = client.v1().paymentIntents().create(confirmed().build(), options);
    var second = client.v1().paymentIntents().create(confirmed().build(), options);
    assertEquals(first.getId(), second.getId());
    assertEquals("true", second.getLastResponse().headers().firstValue("Idempotent-Replayed").orElse(""));

    var other = confirmed().setAmount(2000L).build();
    assertThrows(IdempotencyException.class, () -> client.v1().paymentIntents().create(other, options));
  }

  @Test
  void listIsPagedWithoutGaps() throws Exception {
    var customer = client.v1().customers().create(CustomerCreateParams.builder().setName("Page Turner").build());
    List<String> made = new ArrayList<>();
    for (int number = 0; number < 5; number++) {
      made.add(0, client.v1().paymentIntents().create(confirmed().setCustomer(customer.getId()).build()).getId());
    }
    var wanted = PaymentIntentListParams.builder().setCustomer(customer.getId()).setLimit(2L).build();
    List<String> found = new ArrayList<>();
    client.v1().paymentIntents().list(wanted).autoPagingIterable().forEach(intent -> found.add(intent.getId()));
    assertEquals(made, found);
  }

  @Test
  void partialRefundsNeverExceedThePayment() throws Exception {
    var paid = client.v1().paymentIntents().create(confirmed().build());
    var part = RefundCreateParams.builder().setPaymentIntent(paid.getId()).setAmount(400L).build();
    var refund = client.v1().refunds().create(part);
    assertEquals("succeeded", refund.getStatus());
    assertEquals(paid.getLatestCharge(), refund.getCharge());

    var tooMuch = RefundCreateParams.builder().setPaymentIntent(paid.getId()).setAmount(601L).build();
    var rejected = assertThrows(InvalidRequestException.class, () -> client.v1().refunds().create(tooMuch));
    assertEquals("amount", rejected.getParam());
  }

  @Test
  void clientVerifiesWebhookSignature() throws Exception {
    BlockingQueue<String[]> deliveries = new LinkedBlockingQueue<>();
    var receiver = HttpServer.create(new InetSocketAddress(InetAddress.getLoopbackAddress(), 0), 0);
    receiver.createContext("/", exchange -> {
      var payload = new String(exchange.getRequestBody().readAllBytes());
      exchange.sendResponseHeaders(200, -1);
      exchange.close();
      if (payload.contains(order)) {
        deliveries.add(new String[] {payload, exchange.getRequestHeaders().getFirst("Stripe-Signature")});
      }
    });
    receiver.start();
    var endpoint = client.v1().webhookEndpoints().create(
        WebhookEndpointCreateParams.builder()
            .setUrl("http://127.0.0.1:" + receiver.getAddress().getPort() + "/webhooks")
            .addEnabledEvent(WebhookEndpointCreateParams.EnabledEvent.PAYMENT_INTENT__SUCCEEDED)
            .putExtraParam("api_version", Stripe.API_VERSION)
            .build());
    try {
      var paid = client.v1().paymentIntents().create(confirmed().build());
      var delivery = deliveries.poll(DELIVERY_TIMEOUT_S, TimeUnit.SECONDS);
      assertNotNull(delivery, "no delivery arrived");

      var event = Webhook.constructEvent(delivery[0], delivery[1], endpoint.getSecret());
      assertEquals("payment_intent.succeeded", event.getType());
      var intent = (PaymentIntent) event.getDataObjectDeserializer().getObject().orElseThrow();
      assertEquals(paid.getId(), intent.getId());
      assertThrows(
          SignatureVerificationException.class,
          () -> Webhook.constructEvent(delivery[0], delivery[1], "whsec_other"));
    } finally {
      client.v1().webhookEndpoints().delete(endpoint.getId());
      receiver.stop(0);
    }
  }
}
