// Prints what Hadoop's own classes find in a MapFile folder: its compression, one line `key length sha256` for each record
// in file order, and how many records were found again by their key.
// Usage: java -cp "$(scripts/hadoop-classpath)" tests/hadoop/ReadMapFile.java FOLDER
// FOLDER may be a URI, hdfs://namenode:port/folder.
import java.io.File;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.Path;
import org.apache.hadoop.io.BytesWritable;
import org.apache.hadoop.io.LongWritable;
import org.apache.hadoop.io.MapFile;
import org.apache.hadoop.io.SequenceFile;

public class ReadMapFile {
    private static byte[] sha256(BytesWritable value) throws Exception {
        MessageDigest digest = MessageDigest.getInstance("SHA-256");
        digest.update(value.getBytes(), 0, value.getLength());
        return digest.digest();
    }

    // Hadoop's local file system hides side files, so they are looked for past it.
    private static boolean isThere(FileSystem files, String argument, Path folder, String name) throws Exception {
        return argument.contains("://") ? files.exists(new Path(folder, name)) : new File(argument, name).isFile();
    }

    public static void main(String[] arguments) throws Exception {
        Configuration configuration = new Configuration();
        boolean local = !arguments[0].contains("://");
        Path folder = new Path(local ? new File(arguments[0]).getAbsolutePath() : arguments[0]);
        // The local file system with checksums: it compares each chunk with .data.crc and .index.crc. HDFS has its own.
        FileSystem files = local ? FileSystem.getLocal(configuration) : folder.getFileSystem(configuration);
        for (String side : new String[] {".data.crc", ".index.crc"}) {
            if (isThere(files, arguments[0], folder, side) != local) {
                throw new IllegalStateException((local ? "no " : "there is a ") + side);
            }
        }
        Path data = new Path(folder, MapFile.DATA_FILE_NAME);
        try (SequenceFile.Reader reader =
                new SequenceFile.Reader(configuration, SequenceFile.Reader.file(files.makeQualified(data)))) {
            System.out.println("compression " + reader.getCompressionType());
        }
        List<Long> keys = new ArrayList<>();
        List<byte[]> digests = new ArrayList<>();
        try (MapFile.Reader reader = new MapFile.Reader(files.makeQualified(folder), configuration)) {
            LongWritable key = new LongWritable();
            BytesWritable value = new BytesWritable();
            while (reader.next(key, value)) {
                keys.add(key.get());
                digests.add(sha256(value));
                String digest = HexFormat.of().formatHex(sha256(value));
                System.out.println(key.get() + " " + value.getLength() + " " + digest);
            }
            int found = 0;
            // Backwards, so that each look-up seeks by the index.
            for (int at = keys.size() - 1; at >= 0; at--) {
                BytesWritable again = (BytesWritable) reader.get(new LongWritable(keys.get(at)), new BytesWritable());
                if (again == null || !Arrays.equals(sha256(again), digests.get(at))) {
                    throw new IllegalStateException("key " + keys.get(at) + " was not found again");
                }
                found++;
            }
            if (reader.get(new LongWritable(keys.size() + 1000L), new BytesWritable()) != null) {
                throw new IllegalStateException("a key that was never written was found");
            }
            System.out.println("found by key " + found + ", verified by checksum");
        }
    }
}
