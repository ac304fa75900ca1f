# SPDX-License-Identifier: BSD-2-Clause
#
# tests/crash/craft.py - batches by hand, and damage of every kind to a directory's files: each case is
# verified, consumed and produced to with the program, which must say what is wrong, and lose or change
# nothing that is valid. This reads and writes Kafka's batch format by itself.
#
#     craft.py sweep KAJA BASE N    every Nth case; BASE: a sound directory with topic t, one partition,
#                                  text lines
#     craft.py bomb LOG             appends a gzip batch that becomes 120 MB
#     craft.py batch LOG TEXT       appends an ordinary batch
#     craft.py run-small MIB CMD... runs the command; fails if it needed more memory
import os, random, resource, shutil, struct, subprocess, sys, tempfile, zlib

# --- batches ------------------------------------------------------------------------------------

TABLE = []
for n in range(256):
    for _ in range(8):
        n = n >> 1 ^ (0x82f63b78 if n & 1 else 0)
    TABLE.append(n)


def crc32c(data):
    crc = 0xffffffff
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xffffffff


def varint(n):
    n = n << 1 ^ n >> 63
    n &= 0xffffffffffffffff
    out = b""
    while n > 127:
        out += bytes([n & 127 | 128])
        n >>= 7
    return out + bytes([n])


def record(delta, value):
    body = b"\0" + varint(0) + varint(delta) + varint(-1) + varint(len(value)) + value + varint(0)
    return varint(len(body)) + body


def batch(base, records, count, codec=0, time=1700000000000):
    tail = struct.pack(">hiqqqhii", codec, count - 1, time, time, -1, -1, -1, count) + records
    head = struct.pack(">qiibI", base, len(tail) + 9, 0, 2, crc32c(tail))
    return head + tail


def batch_at(data, pos):
    """(base offset, bytes) of a valid batch, or None."""
    if pos + 61 > len(data) or data[pos + 16] != 2:
        return None
    base, length = struct.unpack_from(">qi", data, pos)
    end = pos + 12 + length
    if base < 0 or length < 49 or end > len(data):
        return None
    if crc32c(data[pos + 21:end]) != struct.unpack_from(">I", data, pos + 17)[0]:
        return None
    return base, data[pos:end]


def batches(data, search=False):
    """[(pos, base, bytes)]; search: also behind bytes that are no batch."""
    found, pos = [], 0
    while pos < len(data):
        got = batch_at(data, pos)
        if got:
            found.append((pos, got[0], got[1]))
            pos += len(got[1])
        elif search:
            pos += 1
        else:
            break
    return found


def next_offset(data):
    pos, base, whole = batches(data)[-1]
    return base + struct.unpack_from(">i", whole, 23)[0] + 1


# --- directories ----------------------------------------------------------------------------------

def logs(directory):
    part = os.path.join(directory, "t-0")
    return sorted(os.path.join(part, n) for n in os.listdir(part) if n.endswith(".log"))


def valid(directory):
    """Every valid batch that stands in a log, by what its checksum covers: recovery may put right a base
    offset or an epoch that was damaged."""
    out = set()
    for name in logs(directory):
        if os.path.isfile(name):
            for _, _, whole in batches(open(name, "rb").read(), search=True):
                out.add(whole[21:])
    return out


def tree(directory):
    out = {}
    for at, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(at, name)
            out[path] = open(path, "rb").read() if os.path.isfile(path) else None
    return out


class Run:
    def __init__(self, kaja, *args, stdin=b""):
        done = subprocess.run([kaja, *args], input=stdin, capture_output=True, timeout=60)
        self.args, self.rc, self.out, self.err = args, done.returncode, done.stdout, done.stderr


class Sweep:
    def __init__(self, kaja, base, every):
        self.kaja, self.base, self.bad, self.cases = kaja, base, 0, 0
        self.every, self.number = every, random.randrange(every)
        self.lines = self.consume(base).out.split(b"\n")[:-1]
        self.files = [os.path.basename(n) for n in logs(base)]
        assert len(self.files) >= 3, self.files

    def complain(self, what, run=None):
        self.bad += 1
        print("FAILED: %s: %s" % (self.name, what))
        if run:
            print("   exit %s: %s" % (run.rc, " ".join(run.args)))
            told = run.out if run.args[0] == "verify" else run.err
            for line in told.decode("utf-8", "replace").split("\n")[:4]:
                print("   " + line)

    def consume(self, directory, *more):
        return Run(self.kaja, "consume", "--dir", directory, "--topic", "t", "--from-beginning",
                   "--timeout-ms", "60", *more)

    def ended_well(self, run, codes=(0, 1)):
        if run.rc not in codes:
            self.complain("exit status", run)
        lines = [x for x in run.err.split(b"\n") if x and not x.startswith(b"Processed a total")]
        if run.rc and not lines and run.args[0] != "verify":
            self.complain("no reason on stderr", run)
        if len(lines) > 4:
            self.complain("%d lines on stderr" % len(lines), run)
        return lines

    def case(self, name, change, damaged=True, marker=True):
        # change(directory) does the damage. damaged: True, something is lost by it; False, nothing is;
        # None, nothing is said about that.
        self.name = name + ("" if marker else ", no marker")
        self.number += 1
        if self.number % self.every != 0:
            return
        self.cases += 1
        with tempfile.TemporaryDirectory(dir=os.path.dirname(self.base)) as tmp:
            directory = os.path.join(tmp, "data")
            shutil.copytree(self.base, directory, symlinks=True)
            change(directory)
            if not marker:
                os.unlink(os.path.join(directory, ".kafka_cleanshutdown"))
            self.judge(directory, damaged)

    def judge(self, directory, damaged):
        before, files = valid(directory), tree(directory)
        run = Run(self.kaja, "verify", "--dir", directory)
        self.ended_well(run)
        if damaged and (run.rc != 1 or b"t-0" not in run.out or b".log" not in run.out):
            self.complain("verify does not name the place", run)
        if tree(directory) != files:
            self.complain("verify changed something")
        run = self.consume(directory)
        lines = self.ended_well(run)
        got = run.out.split(b"\n")[:-1]
        if damaged and len(got) < len(self.lines) and not any(b"t-0" in x for x in lines):
            self.complain("records are missing and nobody says so", run)
        if damaged is False and (got != self.lines or run.rc):
            self.complain("%d of %d lines" % (len(got), len(self.lines)), run)
        wanted = iter(self.lines)
        if not all(line in wanted for line in got):
            self.complain("lines that were not sent, or in another order", run)
        self.not_lost(before, directory, "consuming")
        run = Run(self.kaja, "produce", "--dir", directory, "--topic", "t", stdin=b"one more\n")
        self.ended_well(run)
        self.not_lost(before, directory, "producing")
        if run.rc == 0:
            again = self.consume(directory)
            self.ended_well(again)
            if again.rc == 0 and again.out.split(b"\n")[-2:-1] != [b"one more"]:
                self.complain("what was acknowledged is not the last line", again)

    def not_lost(self, before, directory, when):
        lost = before - valid(directory)
        if lost:
            self.complain("%d valid batches lost by %s" % (len(lost), when))

    # --- kinds of damage

    def edit(self, name, change):
        def edited(directory):
            path = os.path.join(directory, "t-0", name)
            data = bytearray(open(path, "rb").read())
            changed = change(data)
            open(path, "wb").write(data if changed is None else changed)
        return edited

    def both(self, name, change, damaged=True):
        self.case(name, change, damaged)
        self.case(name, change, damaged, marker=False)

    def logs_damaged(self):
        fields = {"base offset": 3, "length": 10, "length's first byte": 8, "epoch": 15, "magic": 16,
                  "checksum": 18, "attributes": 22, "last offset delta": 26, "timestamp": 30,
                  "producer id": 44, "count": 60, "payload": 70}
        for place, name in (("middle", self.files[1]), ("last", self.files[-1])):
            data = open(os.path.join(self.base, "t-0", name), "rb").read()
            found = batches(data)
            pos = found[len(found) // 2][0]
            for field, at in fields.items():
                def flip(d, at=pos + at):
                    d[at] ^= 4
                # The epoch lies outside the checksum, and any that is not below the last will do.
                self.both("%s segment, a bit of the %s" % (place, field), self.edit(name, flip),
                          damaged=None if field == "epoch" else True)
            for length in (0, -1, 1, 14, 48, 49, 2**31 - 1, -2**31):
                def put(d, length=length):
                    struct.pack_into(">i", d, pos + 8, length)
                self.both("%s segment, length %d" % (place, length), self.edit(name, put))
            for magic in (0, 1, 3, 255):
                def put(d, magic=magic):
                    d[pos + 16] = magic
                self.both("%s segment, magic %d" % (place, magic), self.edit(name, put))
            def zero(d):
                d[pos:pos + 200] = bytes(200)
            self.both("%s segment, 200 zeros" % place, self.edit(name, zero))
            def count(d):
                struct.pack_into(">i", d, pos + 57, 2**31 - 1)
                fix(d, pos)
            self.both("%s segment, count 2^31-1 and a fitting checksum" % place, self.edit(name, count))
            def records(d):
                d[pos + 61:pos + 64] = b"\xff\xff\xff"
                fix(d, pos)
            self.both("%s segment, absurd record and a fitting checksum" % place, self.edit(name, records))

    def logs_cut(self):
        for place, name in (("middle", self.files[1]), ("last", self.files[-1])):
            size = os.path.getsize(os.path.join(self.base, "t-0", name))
            for length in (0, 1, 10, 60, size // 2, size - 1):
                def cut(d, length=length):
                    return d[:length]
                self.both("%s segment cut to %d of %d bytes" % (place, length, size), self.edit(name, cut),
                          damaged=None if place == "middle" and length == 0 else True)
        name = self.files[-1]
        def garbage(d):
            return d + b"garbage!" * 20
        self.case("garbage behind the end", self.edit(name, garbage))
        self.case("garbage behind the end", self.edit(name, garbage), damaged=False, marker=False)

    def indexes(self):
        base = self.files[1][:-4]
        last = self.files[-1][:-4]
        def negative(d): # offsets as they were, positions from another world
            return b"".join(d[i:i + 4] + b"\xca\xf7\x60\x00" for i in range(0, len(d), 8))
        for stem in (base, last):
            for suffix in (".index", ".timeindex"):
                name = stem + suffix
                path = os.path.join(self.base, "t-0", name)
                size = os.path.getsize(path)
                kinds = {"zeros": lambda d: bytes(len(d)), "ones": lambda d: b"\xff" * len(d),
                         "cut": lambda d: d[:len(d) - 3], "empty": lambda d: b"",
                         "longer": lambda d: d + os.urandom(len(d) + 13),
                         "noise": lambda d: os.urandom(len(d)),
                         "huge": lambda d: bytes(2 << 20)}
                if suffix == ".index":
                    kinds["negative positions"] = negative
                for kind, change in kinds.items():
                    if size == 0 and kind == "cut":
                        continue
                    def edited(directory, name=name, change=change):
                        path = os.path.join(directory, "t-0", name)
                        data = change(open(path, "rb").read())
                        open(path, "wb").write(data if data else b"")
                    self.both("%s: %s" % (name, kind), edited, damaged=False)
                def gone(directory, name=name):
                    os.unlink(os.path.join(directory, "t-0", name))
                self.both("%s: gone" % name, gone, damaged=False)


def fix(d, pos):
    length = struct.unpack_from(">i", d, pos + 8)[0]
    struct.pack_into(">I", d, pos + 17, crc32c(bytes(d[pos + 21:pos + 12 + length])))


def main():
    what = sys.argv[1]
    if what == "sweep":
        seed = int(os.environ.get("KJ_SEED", random.randrange(1 << 30)))
        random.seed(seed)
        print("KJ_SEED=%d" % seed)
        sweep = Sweep(sys.argv[2], sys.argv[3], int(sys.argv[4]))
        sweep.logs_damaged()
        sweep.logs_cut()
        sweep.indexes()
        print("%d cases of damage, %d failures" % (sweep.cases, sweep.bad))
        sys.exit(1 if sweep.bad else 0)
    if what in ("bomb", "batch"):
        data = open(sys.argv[2], "rb").read()
        offset = next_offset(data)
        if what == "batch":
            made = batch(offset, record(0, sys.argv[3].encode()), 1)
        else:
            size = 120 << 20
            body = b"\0" + varint(0) + varint(0) + varint(-1) + varint(size)
            packer = zlib.compressobj(1, zlib.DEFLATED, 31)
            packed = packer.compress(varint(len(body) + size + 1) + body)
            for _ in range(size >> 20):
                packed += packer.compress(bytes(1 << 20))
            packed += packer.compress(varint(0)) + packer.flush()
            made = batch(offset, packed, 1, codec=1)
        open(sys.argv[2], "ab").write(made)
    elif what == "run-small":
        code = subprocess.call(sys.argv[3:])
        used = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10
        if used > int(sys.argv[2]):
            print("FAILED: %d MiB used" % used)
            sys.exit(99)
        sys.exit(code)


if __name__ == "__main__":
    main()
