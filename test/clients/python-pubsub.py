"""Pub/sub with redis-py: python3 python-pubsub.py <port>. Handlers in threads, messages, health checks. Prints what arrived."""

import sys
import threading
import time

import redis

port = int(sys.argv[1])
MESSAGES = 500


def say(text, value):
    print(f"{text}: {value}")


client = redis.Redis(port=port, decode_responses=True)

# run_in_thread: handlers are called by a thread, for channels and for patterns.
lock = threading.Condition()
heard = {"channel": [], "pattern": []}


def note(kind):
    def handler(message):
        with lock:
            heard[kind].append((message["type"], message["pattern"], message["channel"], message["data"]))
            lock.notify_all()

    return handler


pubsub = client.pubsub(ignore_subscribe_messages=True)
pubsub.subscribe(**{"news": note("channel")})
pubsub.psubscribe(**{"ne*": note("pattern")})
thread = pubsub.run_in_thread(sleep_time=0.01)
while client.execute_command("PUBSUB", "NUMPAT") < 1:
    time.sleep(0.005)


def publish(first):
    with redis.Redis(port=port) as own:
        with own.pipeline(transaction=first % 2 == 0) as pipe:
            for i in range(first, first + MESSAGES):
                pipe.publish("news", f"{i}é")
            assert pipe.execute() == [2] * MESSAGES


publishers = [threading.Thread(target=publish, args=(first * 1_000_000 + first,)) for first in range(3)]
for publisher in publishers:
    publisher.start()
for publisher in publishers:
    publisher.join()
with lock:
    lock.wait_for(lambda: all(len(messages) == 3 * MESSAGES for messages in heard.values()), timeout=20)
for kind, messages in heard.items():
    data = [message[3] for message in messages]
    order = []
    for first in range(3):
        start = first * 1_000_000 + first
        own = [text for text in data if start <= int(text[:-1]) < start + MESSAGES]
        order.append(own == [f"{i}é" for i in range(start, start + MESSAGES)])
    say(kind, (len(messages), order, messages[0][:3]))
thread.stop()
thread.join(timeout=10)
say("thread", thread.is_alive())

# get_message with a timeout, and what is sent for subscribing itself.
pubsub = client.pubsub()
pubsub.subscribe("one", "two")
pubsub.psubscribe("t?o")
seen = []
while len(seen) < 3:
    message = pubsub.get_message(timeout=5)
    seen.append((message["type"], message["channel"], message["data"]))
say("subscribed", seen)
say("heard", client.publish("two", "x"))
say("messages", [pubsub.get_message(timeout=5)["type"] for _ in range(2)])
say("nothing", pubsub.get_message(timeout=0.01))
pubsub.ping("é")
pong = pubsub.get_message(timeout=5)
say("ping", (pong["type"], pong["data"]))
pubsub.unsubscribe("one")
pubsub.punsubscribe()
say("left", [pubsub.get_message(timeout=5)["type"] for _ in range(2)])

# The connection is killed: redis-py connects and subscribes again within get_message.
killed = client.client_kill_filter(_type="pubsub")
say("killed", killed)
again = []
while not again or again[-1] != "message":
    try:
        message = pubsub.get_message(timeout=0.1)
    except redis.ConnectionError:
        continue
    if message is not None:
        again.append(message["type"])
    client.publish("two", "again")
say("again", again[-1])
pubsub.close()
client.close()
