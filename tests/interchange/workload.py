"""The messages of the suite: one kind of them for each ledger, the same in each topic."""
import hashlib
import random
from dataclasses import dataclass, field

import pulsar

MIB = 1 << 20
SEED = 20250


@dataclass(frozen=True)
class Message:
    payload: bytes
    key: str = ""
    ordering_key: str = ""
    properties: dict = field(default_factory=dict)
    event_ms: int = 0

    @property
    def digest(self):
        return digest(self.payload, self.key, self.ordering_key, self.properties, self.event_ms)


def digest(payload, key, ordering_key, properties, event_ms):
    """One hash over all that a consumer sees of a message."""
    told = hashlib.sha256(payload).hexdigest()
    rest = repr((told, key, ordering_key, sorted(properties.items()), event_ms))
    return hashlib.sha256(rest.encode()).hexdigest()


def received_digest(message):
    return digest(message.data(), message.partition_key(), message.ordering_key(), message.properties(),
                  message.event_timestamp())


@dataclass(frozen=True)
class Kind:
    """One ledger's messages and how they are sent."""

    name: str
    messages: list
    producer: dict = field(default_factory=dict)

    @property
    def payload_bytes(self):
        return sum(len(message.payload) for message in self.messages)


def noise(generator, size):
    return generator.randbytes(size)


def text(generator, size):
    """Something that a compressor has a use for."""
    words = [f"word-{generator.randrange(50)}" for _ in range(size // 6 + 1)]
    return " ".join(words).encode()[:size]


def batches(compression=pulsar.CompressionType.NONE, **more):
    return {"batching_enabled": True, "batching_max_messages": 10, "batching_max_publish_delay_ms": 500,
            "compression_type": compression, **more}


def unbatched(compression=pulsar.CompressionType.NONE):
    return {"batching_enabled": False, "compression_type": compression}


def chunked(compression=pulsar.CompressionType.NONE):
    return {"batching_enabled": False, "chunking_enabled": True, "compression_type": compression}


def kinds():
    """All kinds, made anew from the seed."""
    generator = random.Random(SEED)
    compressions = pulsar.CompressionType
    made = [
        Kind("unbatched", [Message(noise(generator, 1 + 37 * i % 3000)) for i in range(60)], unbatched()),
        Kind("one message", [Message(b"alone")], unbatched()),
        Kind("batched", [Message(text(generator, 20 + 7 * i)) for i in range(100)], batches()),
    ]
    for name in ("LZ4", "ZLib", "ZSTD", "SNAPPY"):
        messages = [Message(text(generator, 200 + 11 * i)) for i in range(50)]
        made.append(Kind(f"batched, {name}", messages, batches(getattr(compressions, name))))
    made += [
        Kind("unbatched, LZ4", [Message(text(generator, 2000 + i)) for i in range(20)], unbatched(compressions.LZ4)),
        Kind(
            "keyed",
            [Message(text(generator, 90), key=f"key-{i % 7}", ordering_key=f"order-{i % 3}") for i in range(40)],
            unbatched(),
        ),
        Kind(
            "keyed, batched",
            [Message(text(generator, 90), key=f"key-{i // 10}") for i in range(40)],
            batches(batching_type=pulsar.BatchingType.KeyBased),
        ),
        Kind(
            "properties",
            [
                Message(
                    text(generator, 50),
                    properties={"n": str(i), "colour": ["red", "green", "blau ü"][i % 3], "empty": ""},
                    event_ms=1_700_000_000_000 + i,
                )
                for i in range(30)
            ],
            batches(),
        ),
        Kind("0-byte, unbatched", [Message(b"") for _ in range(10)], unbatched()),
        Kind("0-byte, batched", [Message(b"", properties={"n": str(i)}) for i in range(30)], batches()),
        Kind("chunked", [Message(noise(generator, 5 * MIB // 2 + i)) for i in range(3)], chunked()),
        Kind("chunked, ZSTD", [Message(noise(generator, 3 * MIB + i), key="big") for i in range(2)],
             chunked(compressions.ZSTD)),
        Kind("many blocks", [Message(noise(generator, 20_000 + 1000 * (i % 25))) for i in range(550)], unbatched()),
    ]
    return made
