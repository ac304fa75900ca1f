/* SPDX-License-Identifier: BSD-2-Clause
 *
 * The Java side of the comparison: Kafka's own clients, one command a run.
 *
 *     Peer COMMAND BOOTSTRAP ARG...
 *
 *     create TOPIC PARTITIONS [NAME=VALUE...]
 *     produce TOPIC SEED COUNT CODEC plain|keyed|idempotent|transactional
 *                                         (keyed: no null keys, as a compacted topic wants it)
 *     records TOPIC read_uncommitted|read_committed [FROM-OFFSET | @FROM-TIMESTAMP]
 *     offsets TOPIC TIMESTAMP...           -1 latest, -2 earliest
 *     commit TOPIC (GROUP OFFSET)...       for all its partitions; tx-...: in transactions, one of them aborted
 *     committed TOPIC GROUP...             "group partition offset"
 *     partitions COUNT                     of the keys on stdin, in hex, a line each
 *     serde                                "TYPE HEX" lines on stdin: the value, and the bytes it becomes again
 *
 * A record is printed as "partition offset timestamp C|L key value header=value,...": bytes in hex behind
 * an x, null as "-". records.c prints the same of a kaja directory.
 */
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Utils;

public class Peer {
    static final PrintStream out = new PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false);

    static Map<String, Object> config(String bootstrap, Object... pairs) {
        Map<String, Object> config = new HashMap<>();
        config.put("bootstrap.servers", bootstrap);
        for (int i = 0; i < pairs.length; i += 2)
            config.put((String) pairs[i], pairs[i + 1]);
        return config;
    }

    static String hex(byte[] bytes) {
        if (bytes == null)
            return "-";
        StringBuilder text = new StringBuilder(1 + 2 * bytes.length).append('x');
        for (byte b : bytes)
            text.append(Character.forDigit((b >> 4) & 15, 16)).append(Character.forDigit(b & 15, 16));
        return text.toString();
    }

    static void create(String bootstrap, String topic, int partitions, List<String> configs) throws Exception {
        Map<String, String> map = new HashMap<>();
        for (String c : configs)
            map.put(c.substring(0, c.indexOf('=')), c.substring(c.indexOf('=') + 1));
        try (Admin admin = Admin.create(config(bootstrap))) {
            admin.createTopics(List.of(new NewTopic(topic, partitions, (short) 1).configs(map))).all().get();
        }
    }

    /* Keys that come again, null keys and values, headers, sizes up to some KiB: all from the seed. */
    static ProducerRecord<byte[], byte[]> draw(Random random, String topic, int partitions, int i, boolean keyed) {
        byte[] key = random.nextInt(5) == 0 && !keyed ? null : ("key-" + random.nextInt(40)).getBytes();
        byte[] value = random.nextInt(12) == 0 && key != null ? null : new byte[random.nextInt(random.nextInt(20) == 0 ? 6000 : 120)];
        if (value != null)
            for (int j = 0; j < value.length; j++)
                value[j] = (byte) (random.nextInt(4) == 0 ? random.nextInt(256) : 'a' + j % 26);
        ProducerRecord<byte[], byte[]> record =
            new ProducerRecord<>(topic, i % partitions, 1700000000000L + i * 7L - random.nextInt(20), key, value);
        for (int h = random.nextInt(10) == 0 ? 3 : 0; h > 0; h--)
            record.headers().add("h" + h, h == 2 ? null : new byte[] {(byte) i, (byte) h});
        return record;
    }

    static void produce(String bootstrap, String topic, long seed, int count, String codec, String mode) throws Exception {
        Map<String, Object> config = config(bootstrap, "key.serializer", ByteArraySerializer.class, "value.serializer",
            ByteArraySerializer.class, "compression.type", codec, "linger.ms", 2, "batch.size", 4000, "enable.idempotence",
            mode.equals("idempotent") || mode.equals("transactional"));
        if (mode.equals("transactional"))
            config.put("transactional.id", "t-" + topic);
        Random random = new Random(seed);
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config)) {
            int partitions = producer.partitionsFor(topic).size();
            boolean transactional = mode.equals("transactional");
            if (transactional)
                producer.initTransactions();
            int left = 0;
            for (int i = 0; i < count; i++) {
                if (transactional && left == 0) {
                    producer.beginTransaction();
                    left = 1 + random.nextInt(50);
                }
                producer.send(draw(random, topic, partitions, i, mode.equals("keyed")), (m, e) -> {
                    if (e != null && !(e instanceof org.apache.kafka.common.errors.TransactionAbortedException))
                        throw new RuntimeException(e);
                });
                if (transactional && (--left == 0 || i == count - 1)) {
                    left = 0;
                    producer.flush();
                    if (random.nextInt(3) == 0)
                        producer.abortTransaction();
                    else
                        producer.commitTransaction();
                }
            }
            producer.flush();
        }
    }

    static KafkaConsumer<byte[], byte[]> consumer(String bootstrap, String isolation) {
        return new KafkaConsumer<>(config(bootstrap, "key.deserializer", ByteArrayDeserializer.class, "value.deserializer",
            ByteArrayDeserializer.class, "isolation.level", isolation, "enable.auto.commit", false, "check.crcs", true));
    }

    static List<TopicPartition> partitions(KafkaConsumer<?, ?> consumer, String topic) {
        List<TopicPartition> list = new ArrayList<>();
        consumer.partitionsFor(topic).forEach(p -> list.add(new TopicPartition(topic, p.partition())));
        list.sort(Comparator.comparingInt(TopicPartition::partition));
        return list;
    }

    static void print(ConsumerRecord<byte[], byte[]> r) {
        StringBuilder line = new StringBuilder();
        line.append(r.partition()).append(' ').append(r.offset()).append(' ').append(r.timestamp()).append(' ');
        line.append(r.timestampType() == TimestampType.LOG_APPEND_TIME ? 'L' : 'C').append(' ');
        line.append(hex(r.key())).append(' ').append(hex(r.value())).append(' ');
        String comma = "";
        for (Header h : r.headers()) {
            line.append(comma).append(hex(h.key().getBytes(java.nio.charset.StandardCharsets.UTF_8))).append('=').append(hex(h.value()));
            comma = ",";
        }
        out.println(line.toString().stripTrailing());
    }

    /* One partition after the other, to its end as it is now. */
    static void records(String bootstrap, String topic, String isolation, String from) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap, isolation)) {
            for (TopicPartition tp : partitions(consumer, topic)) {
                consumer.assign(List.of(tp));
                long end = consumer.endOffsets(List.of(tp)).get(tp);
                if (from == null)
                    consumer.seekToBeginning(List.of(tp));
                else if (from.startsWith("@")) {
                    OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(tp, Long.parseLong(from.substring(1)))).get(tp);
                    consumer.seek(tp, found != null ? found.offset() : end);
                } else
                    consumer.seek(tp, Long.parseLong(from));
                while (consumer.position(tp) < end)
                    for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofMillis(500)))
                        print(r);
            }
        }
    }

    static void offsets(String bootstrap, String topic, List<String> timestamps) {
        try (KafkaConsumer<byte[], byte[]> consumer = consumer(bootstrap, "read_uncommitted")) {
            List<TopicPartition> list = partitions(consumer, topic);
            for (String t : timestamps) {
                long timestamp = Long.parseLong(t);
                for (TopicPartition tp : list) {
                    Long offset;
                    if (timestamp == -1)
                        offset = consumer.endOffsets(List.of(tp)).get(tp);
                    else if (timestamp == -2)
                        offset = consumer.beginningOffsets(List.of(tp)).get(tp);
                    else {
                        OffsetAndTimestamp found = consumer.offsetsForTimes(Map.of(tp, timestamp)).get(tp);
                        offset = found != null ? found.offset() : -1;
                    }
                    out.println(tp.partition() + " " + t + " " + offset);
                }
            }
        }
    }

    static Map<TopicPartition, OffsetAndMetadata> offsetsOf(List<TopicPartition> partitions, long offset) {
        Map<TopicPartition, OffsetAndMetadata> offsets = new HashMap<>();
        for (TopicPartition tp : partitions)
            offsets.put(tp, new OffsetAndMetadata(offset, "at " + offset));
        return offsets;
    }

    static void commitInTransactions(String bootstrap, String group, List<TopicPartition> partitions, long offset) {
        try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(config(bootstrap, "key.serializer",
                 ByteArraySerializer.class, "value.serializer", ByteArraySerializer.class, "transactional.id", group))) {
            producer.initTransactions();
            for (int i = 0; i < 2; i++) {
                producer.beginTransaction();
                producer.sendOffsetsToTransaction(offsetsOf(partitions, offset + i), new ConsumerGroupMetadata(group));
                if (i == 0)
                    producer.commitTransaction();
                else
                    producer.abortTransaction();
            }
        }
    }

    static void commit(String bootstrap, String topic, List<String> rest) {
        for (int i = 0; i < rest.size(); i += 2) {
            Map<String, Object> config = config(bootstrap, "group.id", rest.get(i), "key.deserializer",
                ByteArrayDeserializer.class, "value.deserializer", ByteArrayDeserializer.class, "enable.auto.commit", false);
            long offset = Long.parseLong(rest.get(i + 1));
            try (KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(config)) {
                List<TopicPartition> list = partitions(consumer, topic);
                if (rest.get(i).startsWith("tx-"))
                    commitInTransactions(bootstrap, rest.get(i), list, offset);
                else
                    for (long before = offset - 3; before <= offset; before++) /* the last one counts */
                        consumer.commitSync(offsetsOf(list, before));
            }
        }
    }

    static void committed(String bootstrap, String topic, List<String> groups) throws Exception {
        try (Admin admin = Admin.create(config(bootstrap))) {
            for (String group : groups) {
                Map<TopicPartition, OffsetAndMetadata> offsets =
                    admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
                offsets.keySet().stream().filter(tp -> tp.topic().equals(topic))
                    .sorted(Comparator.comparingInt(TopicPartition::partition))
                    .forEach(tp -> out.println(group + " " + tp.partition() + " " + offsets.get(tp).offset()));
            }
        }
    }

    static void placement(int count) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;)
            out.println(Utils.toPositive(Utils.murmur2(bytes(line))) % count);
    }

    /* A float as the whole part of its 1024-fold: both languages print that alike. */
    static String serde(String type, byte[] bytes) {
        switch (type) {
        case "int16": {
            Short v = new ShortDeserializer().deserialize("t", bytes);
            return v + " " + hex(new ShortSerializer().serialize("t", v));
        }
        case "int32": {
            Integer v = new IntegerDeserializer().deserialize("t", bytes);
            return v + " " + hex(new IntegerSerializer().serialize("t", v));
        }
        case "int64": {
            Long v = new LongDeserializer().deserialize("t", bytes);
            return v + " " + hex(new LongSerializer().serialize("t", v));
        }
        case "float": {
            Float v = new FloatDeserializer().deserialize("t", bytes);
            return (long) (v * 1024.0) + " " + hex(new FloatSerializer().serialize("t", v));
        }
        case "double": {
            Double v = new DoubleDeserializer().deserialize("t", bytes);
            return (long) (v * 1024.0) + " " + hex(new DoubleSerializer().serialize("t", v));
        }
        case "uuid": {
            UUID v = new UUIDDeserializer().deserialize("t", bytes);
            return String.format("%016x%016x", v.getMostSignificantBits(), v.getLeastSignificantBits()) + " "
                + hex(new UUIDSerializer().serialize("t", v));
        }
        case "string": {
            String v = new StringDeserializer().deserialize("t", bytes);
            return v.codePointCount(0, v.length()) + " " + hex(new StringSerializer().serialize("t", v));
        }
        default: throw new IllegalArgumentException(type);
        }
    }

    static byte[] bytes(String hex) {
        byte[] bytes = new byte[hex.length() / 2];
        for (int i = 0; i < bytes.length; i++)
            bytes[i] = (byte) Integer.parseInt(hex.substring(2 * i, 2 * i + 2), 16);
        return bytes;
    }

    static void serdes() throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in));
        for (String line; (line = in.readLine()) != null;) {
            String type = line.substring(0, line.indexOf(' ')), answer;
            try {
                answer = serde(type, bytes(line.substring(line.indexOf(' ') + 1)));
            } catch (org.apache.kafka.common.errors.SerializationException e) {
                answer = "error";
            }
            out.println(type + " " + answer);
        }
    }

    public static void main(String[] args) throws Exception {
        List<String> rest = Arrays.asList(args).subList(2, args.length);
        switch (args[0]) {
        case "create": create(args[1], rest.get(0), Integer.parseInt(rest.get(1)), rest.subList(2, rest.size())); break;
        case "produce":
            produce(args[1], rest.get(0), Long.parseLong(rest.get(1)), Integer.parseInt(rest.get(2)), rest.get(3), rest.get(4));
            break;
        case "records": records(args[1], rest.get(0), rest.get(1), rest.size() > 2 ? rest.get(2) : null); break;
        case "offsets": offsets(args[1], rest.get(0), rest.subList(1, rest.size())); break;
        case "commit": commit(args[1], rest.get(0), rest.subList(1, rest.size())); break;
        case "committed": committed(args[1], rest.get(0), rest.subList(1, rest.size())); break;
        case "serde": serdes(); break;
        case "partitions": placement(Integer.parseInt(rest.get(0))); break;
        default: throw new IllegalArgumentException(args[0]);
        }
        out.flush();
    }
}
