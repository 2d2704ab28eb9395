// Plays scenarios.json with the Java client: java -cp 'LIB/*' Scenario.java SCENARIOS SERVICE_URL WEB_URL.
//
// A line for each scenario: `ok`, `left-out` or `failed`, its name, and why; tab separated. To have the broker
// restarted, or a topic offloaded, it prints `restart` and how, or `offload` and the topic, and waits for a line.
import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.File;
import java.io.InputStreamReader;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.TimeUnit;
import java.util.regex.Pattern;
import org.apache.pulsar.client.api.*;
import org.apache.pulsar.common.schema.SchemaInfo;
import org.apache.pulsar.common.schema.SchemaType;

public class Scenario {
    static final Set<String> CAN = Set.of(
            "access modes", "producers that wait", "producers that fence", "message keys", "sticky ranges",
            "sequence ids", "last sequence id of a producer", "schemas", "delays", "chunks",
            "acknowledgement of a batch's messages", "receipts for acknowledgements", "seek",
            "seek on exclusive subscriptions", "topic patterns", "readers", "transactions", "tokens");
    static final int PATIENCE_MS = 20_000;
    static final int SILENCE_MS = 700;
    static final int OPERATION_SECONDS = 15;
    static final BufferedReader IN = new BufferedReader(new InputStreamReader(System.in));

    final String serviceUrl;
    final String webUrl;
    final Map<String, AutoCloseable> named = new HashMap<>();
    final Map<String, CompletableFuture<Producer<byte[]>>> later = new HashMap<>();
    PulsarClient client;
    long timeMs;

    Scenario(String serviceUrl, String webUrl) throws Exception {
        this.serviceUrl = serviceUrl;
        this.webUrl = webUrl;
        this.client = connect().build();
    }

    /** With the time that a producer which is refused for a while tries again. */
    ClientBuilder connect() {
        return PulsarClient.builder().serviceUrl(serviceUrl).operationTimeout(OPERATION_SECONDS, TimeUnit.SECONDS);
    }

    public static void main(String[] arguments) throws Exception {
        for (JsonNode scenario : new ObjectMapper().readTree(new File(arguments[0]))) {
            String name = scenario.get("name").asText();
            List<String> missing = new ArrayList<>();
            scenario.path("needs").forEach(need -> {
                if (!CAN.contains(need.asText())) {
                    missing.add(need.asText());
                }
            });
            if (!missing.isEmpty()) {
                tell("left-out", name, "the client has no " + String.join(", ", missing));
                continue;
            }
            try {
                new Scenario(arguments[1], arguments[2]).play(scenario);
                tell("ok", name, "");
            } catch (Throwable error) {
                tell("failed", name, error.toString().replaceAll("\\s+", " "));
            }
        }
        // Threads of the client may linger.
        System.exit(0);
    }

    static void tell(String word, String name, String why) {
        System.out.println(word + "\t" + name + "\t" + why);
        System.out.flush();
    }

    void play(JsonNode scenario) throws Exception {
        int number = 0;
        try {
            for (JsonNode step : scenario.get("steps")) {
                number++;
                act(step);
            }
        } catch (Throwable error) {
            throw new Exception("step " + number + ": " + error);
        } finally {
            client.close();
        }
    }

    @SuppressWarnings("unchecked")
    Producer<byte[]> producer(String name) {
        return (Producer<byte[]>) named.get(name);
    }

    @SuppressWarnings("unchecked")
    Consumer<byte[]> consumer(String name) {
        return (Consumer<byte[]>) named.get(name);
    }

    static void check(boolean holds, String what) {
        if (!holds) {
            throw new AssertionError(what);
        }
    }

    static String wordOf(Throwable error) {
        if (error instanceof PulsarClientException.ProducerFencedException
                || error instanceof PulsarClientException.AlreadyClosedException) {
            return "fenced";
        } else if (error instanceof PulsarClientException.ProducerBusyException) {
            return "producer-busy";
        } else if (error instanceof PulsarClientException.ConsumerBusyException) {
            return "consumer-busy";
        } else if (error instanceof PulsarClientException.ConsumerAssignException) {
            return "consumer-assign";
        } else if (error instanceof PulsarClientException.IncompatibleSchemaException) {
            return "incompatible-schema";
        } else if (error instanceof PulsarClientException.ProducerBlockedQuotaExceededException) {
            return "quota";
        } else if (error instanceof PulsarClientException.TopicTerminatedException) {
            return "terminated";
        } else if (error instanceof PulsarClientException.AuthenticationException) {
            return "not-authenticated";
        } else if (error instanceof PulsarClientException.AuthorizationException) {
            return "not-authorized";
        } else if (error.toString().contains("The broker doesn't enable the transaction coordinator")) {
            return "not-allowed";
        }
        return error.toString();
    }

    /** Runs `act`, which must be refused if the step says so. */
    static <T> T expect(JsonNode step, Callable<T> act) throws Exception {
        T result;
        try {
            result = act.call();
        } catch (Exception error) {
            if (step.has("refused") && step.get("refused").asText().equals(wordOf(error))) {
                return null;
            }
            throw error;
        }
        check(!step.has("refused"), "it was not refused: " + step.path("refused").asText());
        return result;
    }

    void act(JsonNode step) throws Exception {
        String by = step.path("by").asText();
        switch (step.get("do").asText()) {
            case "client" -> {
                client.close();
                client = connect().authentication(AuthenticationFactory.token(step.get("token").asText())).build();
            }
            case "producer" -> makeProducer(step);
            case "waits" -> check(!later.get(step.get("what").asText()).isDone(), "it did not wait");
            case "ready" -> {
                String what = step.get("what").asText();
                named.put(what, later.get(what).get(PATIENCE_MS, TimeUnit.MILLISECONDS));
            }
            case "consumer" -> makeConsumer(step);
            case "send" -> send(step);
            case "send_batch" -> {
                step.get("values").forEach(value -> producer(by).sendAsync(bytes(value.asText())));
                producer(by).flush();
            }
            case "send_keyed" -> {
                for (int turn = 0; turn < step.get("each").asInt(); turn++) {
                    for (int key = 0; key < step.get("keys").asInt(); key++) {
                        producer(by).newMessage().key("k" + key).value(bytes(key + "-" + turn)).send();
                    }
                }
            }
            case "receive_keyed" -> receiveKeyed(step);
            case "receive_active" -> receiveActive(step);
            case "receive" -> receive(step);
            case "send_large" -> producer(by).send(new byte[step.get("bytes").asInt()]);
            case "receive_large" -> {
                Message<byte[]> message = consumer(by).receive(PATIENCE_MS, TimeUnit.MILLISECONDS);
                check(message != null && message.getData().length == step.get("bytes").asInt(), "it is not the message");
            }
            case "silence" -> {
                Message<byte[]> message = consumer(by).receive(SILENCE_MS, TimeUnit.MILLISECONDS);
                check(message == null, "there is a message");
            }
            case "remember_time" -> timeMs = System.currentTimeMillis();
            case "seek" -> {
                if (step.get("to").asText().equals("earliest")) {
                    consumer(by).seek(MessageId.earliest);
                } else {
                    consumer(by).seek(timeMs);
                }
            }
            case "read" -> read(step);
            case "close" -> {
                for (JsonNode what : step.get("what")) {
                    named.remove(what.asText()).close();
                }
            }
            case "pause" -> Thread.sleep(step.get("ms").asInt());
            case "admin" -> admin(step);
            case "restart" -> ask("restart", step.get("how").asText());
            case "offload" -> ask("offload", step.get("topic").asText());
            case "transaction" -> expect(step, () -> {
                try (PulsarClient own = PulsarClient.builder().serviceUrl(serviceUrl).enableTransaction(true).build()) {
                    return own.newTransaction().withTransactionTimeout(5, TimeUnit.SECONDS).build().get();
                }
            });
            default -> throw new AssertionError("no such step");
        }
    }

    static void ask(String what, String how) throws Exception {
        System.out.println(what + "\t" + how);
        System.out.flush();
        check(IN.readLine() != null, "nobody does that with the broker");
    }

    static byte[] bytes(String text) {
        return text.getBytes(StandardCharsets.UTF_8);
    }

    /** A schema that is only declared: payloads are bytes. */
    static Schema<byte[]> declared(JsonNode schema) {
        if (schema.isMissingNode()) {
            return Schema.BYTES;
        }
        String definition = "{\"type\":\"record\",\"name\":\"R\",\"fields\":" + schema.get("fields").asText() + "}";
        SchemaInfo info = SchemaInfo.builder().name("R").type(SchemaType.valueOf(schema.get("type").asText()))
                .schema(bytes(definition)).properties(Collections.emptyMap()).build();
        return new Schema<>() {
            @Override
            public byte[] encode(byte[] message) {
                return message;
            }

            @Override
            public byte[] decode(byte[] bytes) {
                return bytes;
            }

            @Override
            public SchemaInfo getSchemaInfo() {
                return info;
            }

            @Override
            public Schema<byte[]> clone() {
                return this;
            }
        };
    }

    void makeProducer(JsonNode step) throws Exception {
        String name = step.get("as").asText();
        ProducerBuilder<byte[]> builder = client.newProducer(declared(step.path("schema"))).topic(step.get("topic").asText())
                .enableBatching(step.has("batching")).enableChunking(step.path("chunking").asBoolean());
        if (step.has("batching")) {
            builder.batchingMaxMessages(step.get("batching").asInt()).batchingMaxPublishDelay(1, TimeUnit.SECONDS);
        }
        if (step.has("name")) {
            builder.producerName(step.get("name").asText());
        }
        if (step.has("access")) {
            builder.accessMode(ProducerAccessMode.valueOf(step.get("access").asText()));
        }
        if (step.path("later").asBoolean()) {
            later.put(name, builder.createAsync());
            return;
        }
        Producer<byte[]> producer = expect(step, builder::create);
        named.put(name, producer);
        if (step.has("last_sequence")) {
            long last = producer.getLastSequenceId();
            check(last == step.get("last_sequence").asLong(), "the last sequence id is " + last);
        }
    }

    void makeConsumer(JsonNode step) throws Exception {
        ConsumerBuilder<byte[]> builder = client.newConsumer(declared(step.path("schema")))
                .subscriptionName(step.get("subscription").asText()).negativeAckRedeliveryDelay(100, TimeUnit.MILLISECONDS)
                .enableBatchIndexAcknowledgment(step.path("batch_index").asBoolean())
                .isAckReceiptEnabled(step.path("ack_receipt").asBoolean());
        builder.subscriptionType(SubscriptionType.valueOf(step.path("type").asText("Exclusive")));
        if (step.path("start").asText().equals("earliest")) {
            builder.subscriptionInitialPosition(SubscriptionInitialPosition.Earliest);
        }
        if (step.has("ranges")) {
            List<Range> ranges = new ArrayList<>();
            step.get("ranges").forEach(range -> ranges.add(Range.of(range.get(0).asInt(), range.get(1).asInt())));
            builder.keySharedPolicy(KeySharedPolicy.stickyHashRange().ranges(ranges));
        }
        if (step.has("pattern")) {
            builder.topicsPattern(Pattern.compile(step.get("pattern").asText()));
        } else {
            builder.topic(step.get("topic").asText());
        }
        named.put(step.get("as").asText(), expect(step, builder::subscribe));
    }

    void send(JsonNode step) throws Exception {
        int place = 0;
        for (JsonNode value : step.get("values")) {
            TypedMessageBuilder<byte[]> message = producer(step.get("by").asText()).newMessage().value(bytes(value.asText()));
            if (step.has("sequence")) {
                message.sequenceId(step.get("sequence").get(place++).asLong());
            }
            if (step.has("delay_ms")) {
                message.deliverAfter(step.get("delay_ms").asLong(), TimeUnit.MILLISECONDS);
            }
            expect(step, message::send);
        }
    }

    void receive(JsonNode step) throws Exception {
        Consumer<byte[]> consumer = consumer(step.get("by").asText());
        List<String> wanted = new ArrayList<>();
        step.get("values").forEach(value -> wanted.add(value.asText()));
        List<String> found = new ArrayList<>();
        for (int number = 0; number < wanted.size(); number++) {
            Message<byte[]> message = consumer.receive(PATIENCE_MS, TimeUnit.MILLISECONDS);
            check(message != null, "found " + found);
            found.add(new String(message.getData(), StandardCharsets.UTF_8));
            String then = step.path("then").asText("ack");
            if (then.equals("nack")) {
                consumer.negativeAcknowledge(message);
            } else if (then.equals("ack") || number % 2 == 1) {
                consumer.acknowledge(message);
            }
        }
        if (step.path("any_order").asBoolean()) {
            Collections.sort(found);
        }
        check(found.equals(wanted), "found " + found);
    }

    /** Of two consumers the one that gets the message is `active` from now on, and the one that does not is `other`. */
    void receiveActive(JsonNode step) throws Exception {
        String[] names = {step.get("by").get(0).asText(), step.get("by").get(1).asText()};
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        for (int turn = 0; System.currentTimeMillis() < deadline; turn++) {
            String name = names[turn % 2];
            Message<byte[]> message = consumer(name).receive(300, TimeUnit.MILLISECONDS);
            if (message != null) {
                check(new String(message.getData(), StandardCharsets.UTF_8).equals(step.get("value").asText()), "another message");
                consumer(name).acknowledge(message);
                named.put("active", named.remove(name));
                named.put("other", named.remove(names[(turn + 1) % 2]));
                return;
            }
        }
        throw new AssertionError("nobody got it");
    }

    void receiveKeyed(JsonNode step) throws Exception {
        int each = step.get("each").asInt();
        int left = each * step.get("keys").asInt();
        Map<String, String> owners = new HashMap<>();
        Map<String, Integer> turns = new HashMap<>();
        long deadline = System.currentTimeMillis() + PATIENCE_MS;
        while (left > 0 && System.currentTimeMillis() < deadline) {
            for (JsonNode name : step.get("by")) {
                Message<byte[]> message = consumer(name.asText()).receive(100, TimeUnit.MILLISECONDS);
                if (message == null) {
                    continue;
                }
                consumer(name.asText()).acknowledge(message);
                String[] parts = new String(message.getData(), StandardCharsets.UTF_8).split("-");
                left--;
                check(owners.computeIfAbsent(parts[0], key -> name.asText()).equals(name.asText()), "key " + parts[0] + " moved");
                check(turns.merge(parts[0], 1, Integer::sum) == Integer.parseInt(parts[1]) + 1, "key " + parts[0] + " out of order");
            }
        }
        check(left == 0, left + " messages are missing");
        check(new HashSet<>(owners.values()).size() == step.get("by").size(), "one consumer has everything");
    }

    void read(JsonNode step) throws Exception {
        try (Reader<byte[]> reader = client.newReader().topic(step.get("topic").asText()).startMessageId(MessageId.earliest)
                .readCompacted(step.path("compacted").asBoolean()).create()) {
            for (JsonNode value : step.get("values")) {
                Message<byte[]> message = reader.readNext(PATIENCE_MS, TimeUnit.MILLISECONDS);
                check(message != null && new String(message.getData(), StandardCharsets.UTF_8).equals(value.asText()), "missing");
            }
        }
    }

    void admin(JsonNode step) throws Exception {
        HttpRequest.BodyPublisher body = step.has("body") ? HttpRequest.BodyPublishers.ofString(step.get("body").toString())
                : HttpRequest.BodyPublishers.noBody();
        HttpRequest request = HttpRequest.newBuilder(URI.create(webUrl + "/admin/v2" + step.get("path").asText()))
                .version(HttpClient.Version.HTTP_1_1).header("Content-Type", "application/json")
                .method(step.get("method").asText(), body).build();
        HttpResponse<String> answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString());
        check(answer.statusCode() < 300, answer.statusCode() + " " + answer.body());
        check(answer.body().contains(step.path("contains").asText()), answer.body());
    }
}
