/* SPDX-License-Identifier: BSD-2-Clause
 *
 * Cases of assignors drawn from a seed, and what Kafka's own classes make of them:
 *
 *     Assignors SEED COUNT
 *
 * prints "assignor|topics|members|result|remark" a line, in the form of tests/coord/assign_case.h. A case is
 * part of a group's life: some rounds in which members come, go, are late (they claim what they had in an
 * older generation) and subscribe anew, and topics come and grow. Remark: "-", or why the result is none
 * that could be used: "empty" (a member without topics came first and hides that the others differ from
 * it), "foreign" (a member gets a topic to which it does not subscribe; the cooperative one may then hold
 * it back, but others lack it), or the name of an exception.
 */
import java.nio.ByteBuffer;
import java.util.*;
import java.util.stream.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.*;
import org.apache.kafka.common.*;

public class Assignors {
    static class Member {
        String id, instance;
        List<String> topics = new ArrayList<>();
        List<TopicPartition> owned = new ArrayList<>();
        int generation = -1;
    }

    static Random random;
    static final Node node = new Node(0, "localhost", 9092);

    static Cluster cluster(SortedMap<String, Integer> topics) {
        List<PartitionInfo> infos = new ArrayList<>();
        topics.forEach((topic, count) -> {
            for (int p = 0; p < count; p++)
                infos.add(new PartitionInfo(topic, p, node, new Node[] {node}, new Node[] {node}));
        });
        return new Cluster("c", List.of(node), infos, Set.of(), Set.of());
    }

    static ByteBuffer userData(Member m, boolean cooperative) {
        if (cooperative) {
            ByteBuffer data = ByteBuffer.allocate(4).putInt(m.generation);
            data.flip();
            return data;
        }
        Map<String, List<Integer>> byTopic = new TreeMap<>();
        for (TopicPartition tp : m.owned)
            byTopic.computeIfAbsent(tp.topic(), t -> new ArrayList<>()).add(tp.partition());
        ByteBuffer data = ByteBuffer.allocate(100000).putInt(byTopic.size());
        byTopic.forEach((topic, numbers) -> {
            data.putShort((short) topic.length()).put(topic.getBytes()).putInt(numbers.size());
            numbers.forEach(data::putInt);
        });
        data.putInt(m.generation).flip();
        return data;
    }

    static ConsumerPartitionAssignor make(String name) {
        switch (name) {
        case "range": return new RangeAssignor();
        case "roundrobin": return new RoundRobinAssignor();
        case "sticky": return new StickyAssignor();
        default: return new CooperativeStickyAssignor();
        }
    }

    static String text(Collection<TopicPartition> partitions) {
        return partitions.stream().sorted(Comparator.comparing(TopicPartition::topic).thenComparing(TopicPartition::partition))
            .map(TopicPartition::toString).collect(Collectors.joining(","));
    }

    static Map<String, List<TopicPartition>> assign(String name, SortedMap<String, Integer> topics, List<Member> members) {
        Map<String, Subscription> subscriptions = new HashMap<>();
        for (Member m : members) {
            Subscription s = new Subscription(m.topics, name.startsWith("r") ? null : userData(m, name.startsWith("coop")),
                name.equals("sticky") ? List.of() : m.owned, m.generation, Optional.empty());
            s.setGroupInstanceId(Optional.ofNullable(m.instance));
            subscriptions.put(m.id, s);
        }
        Map<String, List<TopicPartition>> result = new HashMap<>();
        make(name).assign(cluster(topics), new GroupSubscription(subscriptions)).groupAssignment()
            .forEach((id, a) -> result.put(id, a.partitions()));
        return result;
    }

    static boolean foreign(Map<String, List<TopicPartition>> result, List<Member> members) {
        return members.stream().anyMatch(m -> result.get(m.id).stream().anyMatch(tp -> !m.topics.contains(tp.topic())));
    }

    /* The sticky ones then take subscriptions for equal that are not. */
    static boolean startsEmpty(List<Member> members) {
        Map<String, List<String>> topics = new HashMap<>();
        members.forEach(m -> topics.put(m.id, m.topics));
        return topics.values().iterator().next().isEmpty() && members.stream().anyMatch(m -> !m.topics.isEmpty());
    }

    /* Prints one case; the new assignment, or null where Kafka has none. */
    static Map<String, List<TopicPartition>> run(String name, SortedMap<String, Integer> topics, List<Member> members) {
        String head = name + "|" +
            topics.entrySet().stream().map(e -> e.getKey() + "=" + e.getValue()).collect(Collectors.joining(",")) + "|" +
            members.stream().map(m -> m.id + (m.instance == null ? "" : "@" + m.instance) + ":" + String.join("+", m.topics) + ";" +
                m.owned.stream().map(TopicPartition::toString).collect(Collectors.joining(",")) + ";" + m.generation)
                .collect(Collectors.joining(" "));
        Map<String, List<TopicPartition>> result;
        String remark = "-";
        try {
            result = assign(name, topics, members);
            if (startsEmpty(members))
                remark = "empty";
            else if (foreign(result, members) || (name.startsWith("coop") && foreign(assign("sticky", topics, members), members)))
                remark = "foreign";
        } catch (RuntimeException e) {
            System.out.println(head + "||" + e.getClass().getSimpleName());
            return null;
        }
        System.out.println(head + "|" +
            members.stream().map(m -> m.id + "=" + text(result.get(m.id))).collect(Collectors.joining(" ")) + "|" + remark);
        return remark.equals("-") ? result : null;
    }

    static String topicName() {
        int n = random.nextInt(4);
        return (n == 0 ? "t" : n == 1 ? "orders-" : n == 2 ? "Aa.BB_" : "") + "x" + random.nextInt(30);
    }

    static String memberId() {
        switch (random.nextInt(4)) {
        case 0: return "m" + random.nextInt(1000);
        case 1: return "consumer-group-1-" + new UUID(random.nextLong(), random.nextLong());
        case 2: return "\u00e4\u4e2d" + (random.nextBoolean() ? "\uff5e" : "\ud83d\ude00") + random.nextInt(1000);
        default: return Long.toHexString(random.nextLong());
        }
    }

    static List<String> subscribe(SortedMap<String, Integer> topics) {
        List<String> all = new ArrayList<>(topics.keySet());
        if (random.nextInt(12) == 0)
            all.add("missing" + random.nextInt(3));
        Collections.shuffle(all, random);
        int most = random.nextInt(30) == 0 ? 0 : 1 + random.nextInt(all.size());
        return new ArrayList<>(all.subList(0, Math.min(most, all.size())));
    }

    static Member member(SortedMap<String, Integer> topics, List<String> shared, List<Member> others) {
        Member m = new Member();
        do
            m.id = memberId();
        while (others.stream().anyMatch(o -> o.id.equals(m.id)));
        m.topics = shared != null ? new ArrayList<>(shared) : subscribe(topics);
        Collections.shuffle(m.topics, random);
        if (random.nextInt(3) == 0)
            m.instance = "i" + others.size() + "-" + random.nextInt(100);
        return m;
    }

    static void life(String name, int left) {
        SortedMap<String, Integer> topics = new TreeMap<>();
        int scale = random.nextInt(12) == 0 ? 60 : 8;
        for (int i = 1 + random.nextInt(random.nextInt(3) == 0 ? 12 : 4); i > 0; i--)
            topics.put(topicName(), 1 + random.nextInt(scale));
        List<String> shared = random.nextBoolean() ? new ArrayList<>(topics.keySet()) : null;
        List<Member> members = new ArrayList<>();
        for (int i = 1 + random.nextInt(random.nextInt(4) == 0 ? 40 : 6); i > 0; i--)
            members.add(member(topics, shared, members));
        int generation = random.nextInt(3);
        for (int rounds = 1 + random.nextInt(10); rounds > 0 && left > 0; rounds--, left--) {
            Map<String, List<TopicPartition>> result = run(name, topics, members);
            generation++;
            for (Member m : members)
                if (result != null && random.nextInt(8) != 0) { /* else it is late, and still has the old ones */
                    m.owned = new ArrayList<>(result.get(m.id));
                    m.generation = generation;
                    if (random.nextInt(12) == 0)
                        m.generation = -1; /* was reset */
                    Collections.shuffle(m.owned, random);
                }
            change(topics, shared, members);
        }
    }

    static void change(SortedMap<String, Integer> topics, List<String> shared, List<Member> members) {
        if (random.nextInt(3) == 0)
            members.remove(random.nextInt(members.size()));
        while (members.isEmpty() || random.nextInt(3) == 0)
            members.add(member(topics, shared, members));
        if (random.nextInt(4) == 0) {
            String topic = topicName();
            topics.putIfAbsent(topic, 1 + random.nextInt(8));
            if (shared != null && !shared.contains(topic)) {
                shared.add(topic);
                members.forEach(m -> m.topics = new ArrayList<>(shared));
            }
        }
        if (random.nextInt(5) == 0)
            topics.replaceAll((topic, count) -> random.nextInt(3) == 0 ? count + random.nextInt(3) : count);
        if (random.nextInt(6) == 0 && topics.size() > 1)
            topics.remove(topics.firstKey());
        for (Member m : members)
            if (shared == null && random.nextInt(6) == 0)
                m.topics = subscribe(topics);
        Member one = members.get(random.nextInt(members.size()));
        if (random.nextInt(4) == 0) { /* claims what others have */
            Set<TopicPartition> more = new LinkedHashSet<>(one.owned);
            more.addAll(members.get(random.nextInt(members.size())).owned);
            one.owned = new ArrayList<>(more);
        }
        if (random.nextInt(5) == 0)
            Collections.shuffle(members, random);
        /* A topic made anew with fewer partitions: Kafka takes claims of what is gone, gives partitions twice, or
         * does not end. */
        for (Member m : members)
            m.owned.removeIf(tp -> tp.partition() >= topics.getOrDefault(tp.topic(), Integer.MAX_VALUE));
    }

    public static void main(String[] args) {
        long seed = Long.parseLong(args[0]);
        System.setOut(new java.io.PrintStream(new java.io.FileOutputStream(java.io.FileDescriptor.out), false,
            java.nio.charset.StandardCharsets.UTF_8));
        String[] names = {"sticky", "cooperative-sticky", "range", "roundrobin"};
        for (int n = 0; n < names.length; n++) {
            random = new Random(seed * 4 + n);
            int count = Integer.parseInt(args[1]) / (n < 2 ? 1 : 5);
            for (int i = 0; i < count / 5; i++)
                life(names[n], 10);
        }
        System.out.flush();
    }
}
