import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.net.URI;
import java.net.URLEncoder;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse.BodyHandlers;
import java.nio.charset.StandardCharsets;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.time.Duration;
import java.util.Map;
import java.util.regex.Pattern;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * A small order service: it publishes an order, consumes payments.*, and ships each paid order once.
 *
 * <p>Each record is one transaction: its ce_id, and the new status of the order. The offset is committed after the transaction, so
 * a crash at any moment repeats records and loses none.
 */
public final class OrderService {
  private static final String SCHEMA =
      """
      CREATE SCHEMA IF NOT EXISTS order_service;
      CREATE TABLE IF NOT EXISTS order_service.orders (
          order_id text PRIMARY KEY, status text NOT NULL DEFAULT 'new', parcels integer NOT NULL DEFAULT 0);
      CREATE TABLE IF NOT EXISTS order_service.payment_events (
          ce_id text PRIMARY KEY, order_id text NOT NULL REFERENCES order_service.orders,
          attempt integer NOT NULL, sequence integer NOT NULL, status text NOT NULL);
      """;
  private static final Map<String, String> ENV = System.getenv();
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final HttpClient HTTP = HttpClient.newBuilder().connectTimeout(Duration.ofSeconds(10)).build();

  /** The part of a record that this service needs. `status` is empty if the event leaves the status of its order. */
  private record Event(String id, String orderId, int attempt, int sequence, String status) {}

  public static void main(String[] order) throws Exception {
    try (Connection db = connect();
        KafkaConsumer<String, String> consumer = new KafkaConsumer<>(consumerSettings())) {
      try (var statement = db.createStatement()) {
        statement.execute(SCHEMA);
      }
      db.setAutoCommit(false);
      if (order.length == 3) {
        place(order[0], order[1], order[2]);
      }
      Thread main = Thread.currentThread();
      Runtime.getRuntime().addShutdownHook(new Thread(() -> stop(consumer, main)));
      consumer.subscribe(Pattern.compile("payments\\..*"));
      while (true) {
        for (ConsumerRecord<String, String> record : consumer.poll(Duration.ofSeconds(1))) {
          handle(db, record);
        }
        consumer.commitSync();
      }
    } catch (WakeupException stopped) {
      // SIGTERM or Ctrl-C.
    }
  }

  private static Connection connect() throws SQLException {
    URI dsn = URI.create(ENV.get("ORDERS_DSN"));
    String[] login = dsn.getUserInfo().split(":", 2);
    String url = "jdbc:postgresql://%s:%d%s".formatted(dsn.getHost(), dsn.getPort() < 0 ? 5432 : dsn.getPort(), dsn.getPath());
    return DriverManager.getConnection(url, login[0], login.length > 1 ? login[1] : "");
  }

  private static Map<String, Object> consumerSettings() {
    return Map.of(
        "bootstrap.servers", ENV.get("KAFKA_BROKERS"),
        "group.id", ENV.getOrDefault("KAFKA_GROUP_ID", "order-service-java"),
        "session.timeout.ms", 6000,
        "auto.offset.reset", "earliest",
        "enable.auto.commit", false,
        "key.deserializer", StringDeserializer.class,
        "value.deserializer", StringDeserializer.class);
  }

  private static void stop(KafkaConsumer<String, String> consumer, Thread main) {
    consumer.wakeup();
    try {
      main.join();
    } catch (InterruptedException interrupted) {
      Thread.currentThread().interrupt();
    }
  }

  /** Publish an order and wait until Kafka has it. */
  private static void place(String orderId, String total, String currency) throws Exception {
    Map<String, Object> settings =
        Map.of(
            "bootstrap.servers", ENV.get("KAFKA_BROKERS"),
            "key.serializer", StringSerializer.class,
            "value.serializer", StringSerializer.class);
    Map<String, String> order = Map.of("order_id", orderId, "user_id", "user-1", "total", total, "currency", currency);
    try (var producer = new KafkaProducer<String, String>(settings)) {
      producer.send(new ProducerRecord<>("orders.created", orderId, JSON.writeValueAsString(order))).get();
    }
    System.out.println(orderId + ": placed");
  }

  /** Take a record, and act when the status of its order changes. */
  private static void handle(Connection db, ConsumerRecord<String, String> record) throws SQLException, InterruptedException {
    Event event;
    try {
      event = read(record);
    } catch (IOException | RuntimeException malformed) {
      System.out.printf("set aside: %s: %s%n", record.topic(), malformed.getMessage());
      return;
    }
    if (event.orderId().isEmpty()) { // a topic added later, about something else
      return;
    }
    String status;
    try {
      status = take(db, event);
      db.commit();
    } catch (SQLException error) {
      db.rollback();
      throw error;
    }
    if (!status.isEmpty()) {
      System.out.println(event.orderId() + ": " + status);
    }
    if (status.equals("awaiting payment")) {
      showCheckout(event.orderId());
    }
  }

  private static Event read(ConsumerRecord<String, String> record) throws IOException {
    JsonNode value = JSON.readTree(record.value());
    return new Event(
        header(record, "ce_id"),
        value.path("order_id").asText(),
        Integer.parseInt(header(record, "ce_attempt")),
        Integer.parseInt(header(record, "ce_sequence")),
        statusAfter(record.topic(), value));
  }

  private static String header(ConsumerRecord<String, String> record, String name) {
    var header = record.headers().lastHeader(name);
    if (header == null) {
      throw new IllegalArgumentException("the header " + name + " is missing");
    }
    return new String(header.value(), StandardCharsets.UTF_8);
  }

  private static String statusAfter(String topic, JsonNode value) {
    return switch (topic) {
      case "payments.initiated" -> "awaiting payment";
      case "payments.authorized" -> "held";
      case "payments.succeeded" -> "paid";
      case "payments.failed" -> value.path("final").asBoolean() ? "unpaid" : "";
      case "payments.refunded" -> value.path("full").asBoolean() ? "refunded" : "";
      default -> "";
    };
  }

  /** Store an event. Return the new status of its order, or an empty text if the status stays. */
  private static String take(Connection db, Event event) throws SQLException {
    run(db, "INSERT INTO order_service.orders (order_id) VALUES (?) ON CONFLICT DO NOTHING", event.orderId());
    // Another member of the group may hold a record of this order, from another topic: it waits here.
    String before = text(db, "SELECT status FROM order_service.orders WHERE order_id = ? FOR UPDATE", event.orderId());
    String insert = "INSERT INTO order_service.payment_events VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING";
    if (run(db, insert, event.id(), event.orderId(), event.attempt(), event.sequence(), event.status()) == 0) {
      return ""; // repeated
    }
    // Topics overtake each other, so the highest sequence of the latest payment decides, not the record that came last.
    String latest =
        """
        SELECT status FROM order_service.payment_events WHERE order_id = ? AND status <> ''
        ORDER BY attempt DESC, sequence DESC LIMIT 1
        """;
    String after = text(db, latest, event.orderId());
    if (after.isEmpty() || after.equals(before)) {
      return "";
    }
    String update = "UPDATE order_service.orders SET status = ?, parcels = parcels + ? WHERE order_id = ?";
    run(db, update, after, after.equals("paid") ? 1 : 0, event.orderId());
    return after;
  }

  private static int run(Connection db, String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = prepare(db, sql, values)) {
      return statement.executeUpdate();
    }
  }

  /** Return the first column of the first row, or an empty text. */
  private static String text(Connection db, String sql, Object... values) throws SQLException {
    try (PreparedStatement statement = prepare(db, sql, values);
        ResultSet rows = statement.executeQuery()) {
      return rows.next() ? rows.getString(1) : "";
    }
  }

  private static PreparedStatement prepare(Connection db, String sql, Object... values) throws SQLException {
    PreparedStatement statement = db.prepareStatement(sql);
    for (int index = 0; index < values.length; index++) {
      statement.setObject(index + 1, values[index]);
    }
    return statement;
  }

  /** Ask how the customer can pay. A shop passes `pay` of the answer to its page; never log it. */
  private static void showCheckout(String orderId) throws InterruptedException {
    String target = ENV.get("API_URL") + "/v1/checkout?order_id=" + URLEncoder.encode(orderId, StandardCharsets.UTF_8);
    var request =
        HttpRequest.newBuilder(URI.create(target))
            .header("Authorization", "Bearer " + ENV.get("API_KEY"))
            .timeout(Duration.ofSeconds(10))
            .build();
    try {
      var response = HTTP.send(request, BodyHandlers.ofString());
      JsonNode answer = JSON.readTree(response.body());
      if (response.statusCode() == 200) {
        System.out.printf("%s: checkout: %s %s %s%n", orderId, answer.get("next").asText(), answer.get("amount").asText(), answer.get("currency").asText());
      } else {
        System.out.printf("%s: no checkout: %s%n", orderId, answer.path("detail").asText());
      }
    } catch (IOException error) {
      System.out.printf("%s: no checkout: %s%n", orderId, error);
    }
  }
}
