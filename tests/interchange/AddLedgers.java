// Adds ledgers that were offloaded elsewhere to a topic of the original, by the original's own metadata classes:
//
//   java -cp 'LIB/*' AddLedgers.java ZOOKEEPER MANAGED_LEDGER DRIVER LEDGER:ENTRIES:SIZE:UUID... [KEY=VALUE...]
//
// The topic must not be loaded. Each ledger is recorded as offloaded, its copy with the bookies as deleted; pairs are the
// driver's metadata. What the topic already has comes behind them, so their ids must be smaller.
import java.util.List;
import java.util.UUID;
import org.apache.bookkeeper.mledger.proto.MLDataFormats.KeyValue;
import org.apache.bookkeeper.mledger.proto.MLDataFormats.ManagedLedgerInfo;
import org.apache.bookkeeper.mledger.proto.MLDataFormats.OffloadContext;
import org.apache.bookkeeper.mledger.proto.MLDataFormats.OffloadDriverMetadata;
import org.apache.zookeeper.ZooKeeper;
import org.apache.zookeeper.data.Stat;

public class AddLedgers {
    static final int SESSION_MILLIS = 30_000;

    public static void main(String[] arguments) throws Exception {
        String path = "/managed-ledgers/" + arguments[1];
        var driver = OffloadDriverMetadata.newBuilder().setName(arguments[2]);
        var rest = List.of(arguments).subList(3, arguments.length);
        for (String pair : rest) {
            if (pair.contains("=")) {
                String[] parts = pair.split("=", 2);
                driver.addProperties(KeyValue.newBuilder().setKey(parts[0]).setValue(parts[1]));
            }
        }
        try (ZooKeeper store = new ZooKeeper(arguments[0], SESSION_MILLIS, event -> { })) {
            Stat stat = new Stat();
            var before = ManagedLedgerInfo.parseFrom(store.getData(path, false, stat));
            var after = before.toBuilder().clearLedgerInfo();
            for (String ledger : rest) {
                if (!ledger.contains("=")) {
                    after.addLedgerInfo(offloaded(ledger.split(":"), driver));
                }
            }
            after.addAllLedgerInfo(before.getLedgerInfoList());
            store.setData(path, after.build().toByteArray(), stat.getVersion());
        }
        System.exit(0);
    }

    static ManagedLedgerInfo.LedgerInfo offloaded(String[] ledger, OffloadDriverMetadata.Builder driver) {
        UUID uuid = UUID.fromString(ledger[3]);
        long now = System.currentTimeMillis();
        var context = OffloadContext.newBuilder()
                .setUidMsb(uuid.getMostSignificantBits())
                .setUidLsb(uuid.getLeastSignificantBits())
                .setComplete(true)
                .setBookkeeperDeleted(true)
                .setTimestamp(now)
                .setDriverMetadata(driver);
        return ManagedLedgerInfo.LedgerInfo.newBuilder()
                .setLedgerId(Long.parseLong(ledger[0]))
                .setEntries(Long.parseLong(ledger[1]))
                .setSize(Long.parseLong(ledger[2]))
                .setTimestamp(now)
                .setOffloadContext(context)
                .build();
    }
}
