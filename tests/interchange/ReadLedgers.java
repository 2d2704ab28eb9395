// What the bookies hold, by BookKeeper's own client: java -cp 'LIB/*' ReadLedgers.java METADATA_URI read|gone LEDGER...
//
// `read` prints a line for each entry: ledger, entry, length, CRC32C of its bytes in hex; tab separated.
// `gone` waits until none of the ledgers is there any more, and fails after a minute.
import java.util.zip.CRC32C;
import org.apache.bookkeeper.client.BKException;
import org.apache.bookkeeper.client.BookKeeper;
import org.apache.bookkeeper.client.LedgerEntry;
import org.apache.bookkeeper.client.LedgerHandle;
import org.apache.bookkeeper.conf.ClientConfiguration;

public class ReadLedgers {
    static final int ENTRIES_AT_ONCE = 32;
    static final long GONE_MILLIS_MAX = 60_000;

    public static void main(String[] arguments) throws Exception {
        ClientConfiguration configuration = new ClientConfiguration().setMetadataServiceUri(arguments[0]);
        try (BookKeeper bookies = new BookKeeper(configuration)) {
            for (int at = 2; at < arguments.length; at++) {
                long ledger = Long.parseLong(arguments[at]);
                if (arguments[1].equals("read")) {
                    read(bookies, ledger);
                } else {
                    awaitGone(bookies, ledger);
                }
            }
        }
        // Threads of the client's logging may linger.
        System.exit(0);
    }

    static LedgerHandle open(BookKeeper bookies, long ledger) throws Exception {
        // The ledger's own metadata decides about the digest; Pulsar's password is empty.
        return bookies.openLedgerNoRecovery(ledger, BookKeeper.DigestType.CRC32C, new byte[0]);
    }

    static void read(BookKeeper bookies, long ledger) throws Exception {
        StringBuilder lines = new StringBuilder();
        try (LedgerHandle handle = open(bookies, ledger)) {
            long last = handle.getLastAddConfirmed();
            for (long first = 0; first <= last; first += ENTRIES_AT_ONCE) {
                var entries = handle.readEntries(first, Math.min(last, first + ENTRIES_AT_ONCE - 1));
                while (entries.hasMoreElements()) {
                    LedgerEntry entry = entries.nextElement();
                    byte[] bytes = entry.getEntry();
                    CRC32C crc = new CRC32C();
                    crc.update(bytes);
                    lines.append(String.format("%d\t%d\t%d\t%08x%n", ledger, entry.getEntryId(), bytes.length, crc.getValue()));
                }
            }
        }
        System.out.print(lines);
    }

    static void awaitGone(BookKeeper bookies, long ledger) throws Exception {
        long deadline = System.currentTimeMillis() + GONE_MILLIS_MAX;
        while (System.currentTimeMillis() < deadline) {
            try (LedgerHandle handle = open(bookies, ledger)) {
                Thread.sleep(200);
            } catch (BKException.BKNoSuchLedgerExistsException | BKException.BKNoSuchLedgerExistsOnMetadataServerException gone) {
                return;
            }
        }
        System.err.println("ledger " + ledger + " is still with the bookies");
        System.exit(1);
    }
}
