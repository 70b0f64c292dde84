"""What programs do with redis-py, against the server on the port given: python3 python-redis.py <port>."""

import sys
import threading
import time

import redis

port = int(sys.argv[1])


def connect(**options):
    return redis.Redis(port=port, **options)


def rejects(kind, text, call):
    try:
        call()
    except kind as error:
        assert text in str(error), error
        return
    raise AssertionError("no " + kind.__name__)


r = connect(db=5, client_name="python-test")
r.flushdb()
assert r.ping() is True
assert r.set("a", 1) is True
assert r.get("a") == b"1"
assert r.get("nothing") is None
assert r.set("a", 2, nx=True) is None
assert r.mget("a", "nothing") == [b"1", None]
assert r.incrby("a", 5) == 6
assert r.incrbyfloat("f", 1.5) == 1.5
assert r.set("t", "x", px=60000) is True
assert 0 < r.pttl("t") <= 60000
assert r.client_getname() == "python-test"
assert connect().get("a") is None
text = connect(db=5, decode_responses=True)
assert text.get("a") == "6"

# Bytes that are no text.
key = bytes([0, 255, 13, 10, 128])
value = bytes(range(256))
assert r.set(key, value)
assert r.get(key) == value
large = bytes(1000003) * 3
assert r.set("large", large)
assert r.get("large") == large
assert r.getrange("large", 0, 3) == bytes(4)

# Pipelines.
with r.pipeline(transaction=False) as pipe:
    pipe.set("p", "text").get("p").incr("p").delete("p")
    results = pipe.execute(raise_on_error=False)
assert results[:2] == [True, b"text"] and results[3] == 1, results
assert isinstance(results[2], redis.ResponseError)
with r.pipeline(transaction=False) as pipe:
    for i in range(5000):
        pipe.set("many:%d" % i, i)
    assert all(pipe.execute())
assert len(set(r.scan_iter(match="many:1??", count=100))) == 100
assert r.dbsize() > 5000

# Errors.
rejects(redis.ResponseError, "value is not an integer or out of range", lambda: r.incr("t"))
rejects(redis.ResponseError, "unknown command 'nothing'", lambda: r.execute_command("nothing", "here"))
rejects(redis.ResponseError, "DB index is out of range", lambda: connect(db=99).get("a"))
rejects(redis.ConnectionError, "", lambda: redis.Redis(port=1).ping())

# What redis-py reads out of replies.
info = r.info()
assert isinstance(info["used_memory"], int) and info["db5"]["keys"] > 5000
assert info["redis_mode"] == "standalone" and info["role"] == "master"
assert r.config_get("maxmemory-clients") == {"maxmemory-clients": "0"}
assert r.config_set("maxmemory-samples", 5) is True
clients = r.client_list()
assert any(one["name"] == "python-test" and one["db"] == "5" for one in clients)
assert r.client_info()["name"] == "python-test"
assert r.command_count() > 50
assert r.command()["get"]["arity"] == 2
assert r.time()[0] > 1500000000
assert r.object("encoding", "a") == b"int"
assert r.memory_usage("a") > 0
assert r.lastsave() is not None if "lastsave" in r.command() else True

# A connection that is killed comes back by itself.
mine = r.client_id()
assert connect().client_kill_filter(_id=mine) >= 0
assert r.get("a") == b"6"
assert r.client_getname() == "python-test"

# A reply that takes too long.
hasty = connect(db=5, socket_timeout=0.05)
assert hasty.ping()
connect().client_pause(200, all=True)
rejects(redis.TimeoutError, "Timeout", lambda: hasty.get("a"))
assert r.get("a") == b"6"

# MONITOR, as redis-py reads its lines.
with connect().monitor() as monitor:
    threading.Timer(0.02, lambda: r.echo('se"en')).start()
    for command in monitor.listen():
        if command["command"].startswith("ECHO"):
            break
    assert command["db"] == 5 and command["client_type"] == "tcp", command
    assert abs(command["time"] - time.time()) < 60

pool = redis.ConnectionPool(port=port, db=5, max_connections=8)
failures = []


def work(n):
    try:
        client = redis.Redis(connection_pool=pool)
        for i in range(50):
            assert client.set("work:%d" % n, i)
            assert client.get("work:%d" % n) == b"%d" % i
    except Exception as error:
        failures.append(error)


threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert failures == [], failures
print("ok")
