"""Publish and subscribe with redis-py, also from its threads: python3 python-pubsub.py <port>. Prints what it heard."""

import queue
import sys
import threading

import redis

port = int(sys.argv[1])
r = redis.Redis(port=port, decode_responses=True)
heard = queue.Queue()


def handler(name):
    return lambda message: heard.put((name, message["type"], message["channel"], message["data"]))


def show(count):
    for line in sorted(heard.get(timeout=10) for _ in range(count)):
        print(*line)


# A thread that handles the messages.
p = r.pubsub(ignore_subscribe_messages=True)
p.subscribe(**{"news": handler("news"), "sport": handler("sport")})
p.psubscribe(**{"n*": handler("pattern")})
thread = p.run_in_thread(sleep_time=0.001)
while r.pubsub_numsub("news")[0][1] < 1 or r.pubsub_numpat() < 1:
    pass
print(r.publish("news", "both"))
show(2)


# Several threads that publish.
def publish(n):
    client = redis.Redis(port=port)
    for i in range(50):
        assert client.publish("sport", "%d:%02d" % (n, i)) == 1


threads = [threading.Thread(target=publish, args=(n,)) for n in range(4)]
for one in threads:
    one.start()
for one in threads:
    one.join()
of_thread = {}
for _ in range(200):
    _, _, _, data = heard.get(timeout=10)
    of_thread.setdefault(data.split(":")[0], []).append(data)
for name in sorted(of_thread):
    print(name, of_thread[name] == sorted(of_thread[name]), len(of_thread[name]))
thread.stop()
thread.join()

# One message after the other, with the confirmations.
q = redis.Redis(port=port).pubsub()
q.subscribe("a", "b")
q.psubscribe("a*")
for _ in range(3):
    print(q.get_message(timeout=5))
print(r.publish("a", "1"))
for _ in range(2):
    print(q.get_message(timeout=5))
q.ping("hello")
print(q.get_message(timeout=5))
q.unsubscribe("a")
q.punsubscribe()
for _ in range(2):
    print(q.get_message(timeout=5))
print(sorted(r.pubsub_channels()))
q.close()

r.config_set("notify-keyspace-events", "Kg$")
k = r.pubsub(ignore_subscribe_messages=True)
k.psubscribe("__keyspace@0__:*")
k.get_message(timeout=5)
with r.pipeline() as pipe:
    pipe.set("key", "v").expire("key", 100).delete("key").publish("__keyspace@0__:own", "x").execute()
for _ in range(4):
    print(k.get_message(timeout=5))
r.config_set("notify-keyspace-events", "")
