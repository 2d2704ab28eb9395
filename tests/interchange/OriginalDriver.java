// The original's driver by itself, without a broker around it: java -cp 'LIB/*' OriginalDriver.java OFFLOADERS FOLDER KEY=VALUE...
//
// Ledgers are in memory and reading them costs next to nothing. Commands come line by line, one answer each, tab separated:
//
//   offload LEDGER ENTRY_BYTES ENTRIES   seconds, processor seconds of this process
//   read LEDGER                          the same, front to back by a handle that was just opened, 4 MiB at once
//   random LEDGER COUNT                  milliseconds of each of so many entries anywhere, read one by one
//   delete LEDGER                        nothing
import io.netty.buffer.ByteBuf;
import io.netty.buffer.Unpooled;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Random;
import java.util.UUID;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import org.apache.bookkeeper.client.LedgerMetadataBuilder;
import org.apache.bookkeeper.client.api.DigestType;
import org.apache.bookkeeper.client.api.LastConfirmedAndEntry;
import org.apache.bookkeeper.client.api.LedgerEntries;
import org.apache.bookkeeper.client.api.LedgerEntry;
import org.apache.bookkeeper.client.api.LedgerMetadata;
import org.apache.bookkeeper.client.api.ReadHandle;
import org.apache.bookkeeper.client.impl.LedgerEntriesImpl;
import org.apache.bookkeeper.client.impl.LedgerEntryImpl;
import org.apache.bookkeeper.common.util.OrderedScheduler;
import org.apache.bookkeeper.mledger.LedgerOffloader;
import org.apache.bookkeeper.mledger.LedgerOffloaderFactory;
import org.apache.bookkeeper.mledger.LedgerOffloaderStats;
import org.apache.bookkeeper.mledger.offload.OffloaderUtils;
import org.apache.bookkeeper.net.BookieId;
import org.apache.pulsar.common.policies.data.OffloadPoliciesImpl;

public class OriginalDriver {
    static final int POOL_BYTES = 64 << 20;
    static final long READ_BYTES = 4 << 20;
    // Letters out of 16, of which zlib makes half.
    static final byte[] POOL = new byte[POOL_BYTES];

    final LedgerOffloader driver;
    final Map<Long, MemoryLedger> ledgers = new HashMap<>();

    OriginalDriver(LedgerOffloader driver) {
        this.driver = driver;
    }

    public static void main(String[] arguments) throws Exception {
        new Random(1).nextBytes(POOL);
        for (int at = 0; at < POOL_BYTES; at++) {
            POOL[at] = (byte) ('a' + (POOL[at] & 15));
        }
        Properties properties = new Properties();
        for (int at = 2; at < arguments.length; at++) {
            String[] pair = arguments[at].split("=", 2);
            properties.setProperty(pair[0], pair[1]);
        }
        OffloadPoliciesImpl policies = OffloadPoliciesImpl.create(properties);
        LedgerOffloaderFactory<?> factory = OffloaderUtils.searchForOffloaders(arguments[0], arguments[1])
                .getOffloaderFactory(policies.getManagedLedgerOffloadDriver());
        // Threads as the broker has them.
        OrderedScheduler scheduler = OrderedScheduler.newSchedulerBuilder()
                .numThreads(policies.getManagedLedgerOffloadMaxThreads()).name("offloader").build();
        Map<String, String> user = Map.of("S3ManagedLedgerOffloaderSoftwareVersion", "figures");
        LedgerOffloader driver = factory.create(policies, user, scheduler, LedgerOffloaderStats.create(false, false, null, 0));
        System.out.println("ready");
        new OriginalDriver(driver).obey();
        // Threads of the driver may linger.
        System.exit(0);
    }

    void obey() throws Exception {
        BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
        for (String line = commands.readLine(); line != null; line = commands.readLine()) {
            String[] words = line.split(" ");
            long ledger = Long.parseLong(words[1]);
            System.out.println("answer\t" + switch (words[0]) {
                case "offload" -> offload(ledger, Integer.parseInt(words[2]), Long.parseLong(words[3]));
                case "read" -> cost(() -> read(ledger));
                case "random" -> random(ledger, Integer.parseInt(words[2]));
                case "delete" -> String.valueOf(driver.deleteOffloaded(ledger, uuid(ledger), metadata()).get());
                default -> throw new IllegalArgumentException(line);
            });
        }
    }

    static UUID uuid(long ledger) {
        return new UUID(0, ledger);
    }

    Map<String, String> metadata() {
        Map<String, String> metadata = new HashMap<>(driver.getOffloadDriverMetadata());
        metadata.put("ManagedLedgerName", "public/default/persistent/figures");
        return metadata;
    }

    /** Seconds, and those of processors. */
    static String cost(Callable<?> work) throws Exception {
        var system = (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
        long processor = system.getProcessCpuTime(), began = System.nanoTime();
        work.call();
        long took = System.nanoTime() - began;
        return took / 1e9 + "\t" + (system.getProcessCpuTime() - processor) / 1e9;
    }

    String offload(long ledger, int entryBytes, long entries) throws Exception {
        ledgers.put(ledger, new MemoryLedger(ledger, entryBytes, entries));
        return cost(() -> driver.offload(ledgers.get(ledger), uuid(ledger), metadata()).get());
    }

    ReadHandle open(long ledger) throws Exception {
        return driver.readOffloaded(ledger, uuid(ledger), metadata()).get();
    }

    long read(long ledger) throws Exception {
        MemoryLedger expected = ledgers.get(ledger);
        long atOnce = Math.max(1, READ_BYTES / expected.entryBytes), bytes = 0;
        ReadHandle handle = open(ledger);
        for (long first = 0; first < expected.entries; first += atOnce) {
            try (LedgerEntries read = handle.readAsync(first, Math.min(expected.entries, first + atOnce) - 1).get()) {
                for (LedgerEntry entry : read) {
                    bytes += entry.getLength();
                }
            }
        }
        handle.closeAsync().get();
        if (bytes != expected.getLength()) {
            throw new IllegalStateException(bytes + " bytes came back of " + expected.getLength());
        }
        return bytes;
    }

    String random(long ledger, int count) throws Exception {
        Random random = new Random(7);
        long entries = ledgers.get(ledger).entries;
        List<String> took = new ArrayList<>();
        ReadHandle handle = open(ledger);
        for (int at = 0; at < count; at++) {
            long entry = random.nextLong(entries), began = System.nanoTime();
            handle.readAsync(entry, entry).get().close();
            took.add(String.valueOf((System.nanoTime() - began) / 1e6));
        }
        handle.closeAsync().get();
        return String.join("\t", took);
    }

    /** A closed ledger whose entries are slices of the pool. */
    static class MemoryLedger implements ReadHandle {
        final long id;
        final int entryBytes;
        final long entries;
        final ByteBuf pool = Unpooled.directBuffer(POOL_BYTES).writeBytes(POOL);

        MemoryLedger(long id, int entryBytes, long entries) {
            this.id = id;
            this.entryBytes = entryBytes;
            this.entries = entries;
        }

        @Override
        public CompletableFuture<LedgerEntries> readAsync(long first, long last) {
            List<LedgerEntry> found = new ArrayList<>();
            for (long entry = first; entry <= last; entry++) {
                int start = (int) (entry % (POOL_BYTES / entryBytes) * entryBytes);
                found.add(LedgerEntryImpl.create(id, entry, entryBytes, pool.retainedSlice(start, entryBytes)));
            }
            return CompletableFuture.completedFuture(LedgerEntriesImpl.create(found));
        }

        @Override
        public CompletableFuture<LedgerEntries> readUnconfirmedAsync(long first, long last) {
            return readAsync(first, last);
        }

        @Override
        public CompletableFuture<Long> readLastAddConfirmedAsync() {
            return CompletableFuture.completedFuture(getLastAddConfirmed());
        }

        @Override
        public CompletableFuture<Long> tryReadLastAddConfirmedAsync() {
            return readLastAddConfirmedAsync();
        }

        @Override
        public long getLastAddConfirmed() {
            return entries - 1;
        }

        @Override
        public long getLength() {
            return entries * entryBytes;
        }

        @Override
        public boolean isClosed() {
            return true;
        }

        @Override
        public CompletableFuture<LastConfirmedAndEntry> readLastAddConfirmedAndEntryAsync(long entry, long millis, boolean parallel) {
            return CompletableFuture.failedFuture(new UnsupportedOperationException());
        }

        @Override
        public LedgerMetadata getLedgerMetadata() {
            return LedgerMetadataBuilder.create().withId(id).withEnsembleSize(1).withWriteQuorumSize(1).withAckQuorumSize(1)
                    .withDigestType(DigestType.CRC32C).withPassword(new byte[0]).withLastEntryId(entries - 1).withLength(getLength())
                    .withClosedState().newEnsembleEntry(0, List.of(BookieId.parse("127.0.0.1:3181"))).build();
        }

        @Override
        public long getId() {
            return id;
        }

        @Override
        public CompletableFuture<Void> closeAsync() {
            pool.release();
            return CompletableFuture.completedFuture(null);
        }
    }
}
